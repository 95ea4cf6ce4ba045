"""Frames are classified independently, and their probabilities multiplied, with learned weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State

_TRUST = 0.3  # about the weight of every frame before anything is learned: those of one clip often err alike


class OpinionPool(Cell):
    """A logarithmic opinion pool (Genest & Zidek 1986) of what the frames say, with weights that are learned:

        log p_t = log softmax f(x_t), w_t = log(1 + exp(u · x_t + c)), H_t = Σ_{t' ≤ t} w_t' log p_t'

    softmax(H_t) is the class after t frames: a product of experts (Hinton 2002) that are all one network f, and each as
    strong as what it sees lets it be. Frames that show little get small weights; an average counts them like
    the others. Trained on the last H alone (`--loss last`), f learns what frames know together.

    The sum runs, so a stream has the same numbers as a clip. It never forgets: a stream needs a new state where
    something new begins. `hidden` is H_t, `B K`, up to a number that is the same for all classes; `memory` is empty.

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
        """Features `N D h w`, averaged over their places, to what each frame adds, `N K`."""
        vectors = features.mean((2, 3))
        said, weight = self.judge(vectors), self.weight(vectors)
        # Sums over a whole clip, for which half precision does not suffice.
        said, weight = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (said, weight))
        return (F.softplus(weight) * said.log_softmax(1),)

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One frame more."""
        # A sum that only grows would soon have no digits left for how classes differ.
        pooled = (state.hidden + projected[0]).log_softmax(1)
        return CellOutput(pooled), State(pooled, state.memory)
