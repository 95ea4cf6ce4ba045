"""Attention: a map over the locations of a frame, which sums to one, from features and a hidden state."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

__all__ = ["SoftAttention"]


class Attention(Protocol):
    """The interface of an attention: `project` runs once over all frames, the call at every frame.

    `hidden_ndim` is the number of dimensions of the state it takes: 2 for a vector `B D`, 4 for a map `B D h w`.
    """

    hidden_ndim: int

    def project(self, features: Tensor) -> Tensor:
        """The part that does not depend on the state: features `N D h w` to the input of the call, `N … h w`."""
        ...

    def __call__(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """Projected features `B … h w` and a hidden state `B D` or `B D h w` to a map `B h w`."""
        ...


class SoftAttention(nn.Module):
    """`e_i = w · tanh(W_x x_i + W_h h + b)`, then a softmax over the `h*w` locations.

    With a hidden vector h, this is the attention of ALSTM (Li et al. 2016, after Sharma et al. 2015). With a hidden map
    it is the attention of ConvALSTM (Li et al. 2016): `Z_t = W_z ∗ tanh(W_xa ∗ X_t + W_ha ∗ H_{t-1} + b_a)`, all 1×1.

    Args:
        num_features: D of the features.
        hidden: length of the hidden vector, or channels of the hidden map.
        units: width of the tanh layer.
        hidden_ndim: 2 for a hidden vector, 4 for a hidden map.
    """

    def __init__(self, num_features: int, hidden: int, units: int, hidden_ndim: int = 2) -> None:
        super().__init__()
        self.hidden_ndim = hidden_ndim
        self.from_features = nn.Conv2d(num_features, units, 1)
        of_vector = hidden_ndim == 2
        self.from_hidden = nn.Linear(hidden, units, False) if of_vector else nn.Conv2d(hidden, units, 1, bias=False)
        self.score = nn.Conv2d(units, 1, 1, bias=False)

    def project(self, features: Tensor) -> Tensor:
        return self.from_features(features)

    def forward(self, projected: Tensor, hidden: Tensor) -> Tensor:
        query = self.from_hidden(hidden)
        scores = self.score((projected + (query[:, :, None, None] if query.ndim == 2 else query)).tanh())
        return scores.flatten(1).softmax(1).unflatten(1, scores.shape[-2:])


class ContextAttention(nn.Module):
    """`A_t = softmax(mean_D(X_t) + W_c · mean_hw(H_{t-1}) + b_c)` (Teja & Akunuri 2020).

    The report gives no equation, only "the feature cube's average plus a context vector from the previous hidden
    state". Interpreted as: the mean over the D channels, plus one number per location from the hidden state.

    Args:
        hidden: channels of the hidden map.
        grid: `(h, w)` of the features.
    """

    hidden_ndim = 4

    def __init__(self, hidden: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.context = nn.Linear(hidden, grid[0] * grid[1])

    def project(self, features: Tensor) -> Tensor:
        return features.mean(1, keepdim=True)

    def forward(self, projected: Tensor, hidden: Tensor) -> Tensor:
        scores = projected.flatten(1) + self.context(hidden.mean((2, 3)))
        return scores.softmax(1).unflatten(1, self.grid)


# name -> build(num_features, hidden, units, grid): D, channels of the hidden state, width of the attention's own layer
ATTENTIONS: dict[str, Callable[[int, int, int, tuple[int, int]], Attention]] = {
    "soft": lambda num_features, hidden, units, grid: SoftAttention(num_features, hidden, units),
    "conv": lambda num_features, hidden, units, grid: SoftAttention(num_features, hidden, units, hidden_ndim=4),
    "context": lambda num_features, hidden, units, grid: ContextAttention(hidden, grid),
}
