"""The table of attentions."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from onlooker.models.attention.context import ContextAttention
from onlooker.models.attention.conv import ConvAttention
from onlooker.models.attention.soft import SoftAttention


class Attention(Protocol):
    """What an attention promises: features and a hidden state to a map that sums to one over the places.

    Like a cell it is cut in two, so that what no state enters runs once over all frames. `hidden_ndim` says what
    state it can ask with: 2 for a vector `B D`, 4 for a map `B D h w`.
    """

    hidden_ndim: int

    def project(self, features: Tensor) -> Tensor:
        """Features `N D h w` to what the call takes, `N … h w`."""
        ...

    def __call__(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """What `project` made of one frame, and the hidden state `B D` or `B D h w`, to a map `B h w`."""
        ...


# name -> build(num_features, hidden, units, grid)
ATTENTIONS: dict[str, Callable[[int, int, int, tuple[int, int]], Attention]] = {
    "soft": lambda num_features, hidden, units, grid: SoftAttention(num_features, hidden, units),
    "conv": lambda num_features, hidden, units, grid: ConvAttention(num_features, hidden, units),
    "context": lambda num_features, hidden, units, grid: ContextAttention(hidden, grid),
}


def build_attention(name: str, num_features: int, hidden: int, units: int, grid: tuple[int, int]) -> Attention:
    """An attention by its name: it sees features on that grid, and a hidden state of `hidden` units.

    Raises:
        ValueError: no attention of that name.
    """
    if name not in ATTENTIONS:
        raise ValueError(f"no attention is called {name!r}; there are {', '.join(ATTENTIONS)}")
    return ATTENTIONS[name](num_features, hidden, units, grid)
