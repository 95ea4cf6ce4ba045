"""Frames are classified independently, and their probabilities are multiplied with learned exponents."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State

_TRUST = 0.3  # initial weight of every frame; below 1, because frames of one clip often have the same error


class OpinionPool(Cell):
    """A logarithmic opinion pool (Genest & Zidek 1986) of the predictions at all frames, with learned weights:

        log p_t = log softmax f(x_t), w_t = log(1 + exp(u · x_t + c)), H_t = Σ_{t' ≤ t} w_t' log p_t'

    softmax(H_t) has the class probabilities after t frames. It is a product of experts (Hinton 2002) that share one
    network f; the weight of each expert depends on its frame. Frames that show little get small weights, while an
    average would count them like the others. With the loss of the last H alone (`--loss last`), f is trained for the
    combination of frames.

    H_t is a running sum, so a stream gives the same numbers as a clip. It never forgets: a stream needs a new state
    when something new begins. `hidden` is H_t, `B K`, up to a constant that all classes share; `memory` is empty.

    Args:
        judge: f, from features `N D` to `N K`.
        num_features: D.
        num_classes: K.
    """

    def __init__(self, judge: nn.Module, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.num_hidden = num_classes
        self.judge = judge
        self.weight = nn.Linear(num_features, 1)
        nn.init.zeros_(self.weight.weight)
        nn.init.constant_(self.weight.bias, math.log(math.expm1(_TRUST)))

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B K` and `B 0`: all classes are equally probable."""
        return State(*(torch.zeros(batch_size, size, device=device, dtype=dtype) for size in (self.num_hidden, 0)))

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features `N D h w`, averaged over their locations, to the summand of each frame, `N K`."""
        vectors = features.mean((2, 3))
        said, weight = self.judge(vectors), self.weight(vectors)
        # Half precision does not suffice for sums over a whole clip.
        said, weight = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (said, weight))
        return (F.softplus(weight) * said.log_softmax(1),)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """Add one frame."""
        # Normalized, because a growing sum would lose the precision of the differences between classes.
        pooled = (state.hidden + projected[0]).log_softmax(1)
        return CellOutput(pooled), State(pooled, state.memory)
