"""Attention over all places of all frames at once: which moments of a clip tell its class."""

import math

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import CellOutput, Grid, State


class MILCell(nn.Module):
    """Attention pooling over space and time, from what each place of each frame shows by itself (Ilse et al. 2018):

        z_ti = w · tanh(V x_ti + b), a_ti = exp(z_ti) / (1 + Σ_t'j exp(z_t'j)), H_t = Σ_{t' ≤ t, i} a_t'i x_t'i

    A clip is a bag of places, and has the label of those that show it. An LSTM says the class after the event as well
    as in it; a place of a frame without the event has nothing to say it with, so its weight falls. How much a frame
    tells is its evidence, the logarithm of its weight up to a number that is the same for all frames:

        e_t = log Σ_i exp(z_ti), Σ_i a_ti = exp(e_t) / (1 + Σ_t' exp(e_t'))

    The sums are kept as they run, so a stream has the same numbers as a clip: `hidden` is H_t, `B D`, and `memory`
    log(1 + Σ exp(e)), `B 1`. The 1 is that of a first state of zeros: one place that shows nothing.

    A softmax is content with the best frames. Where each frame is hidden by lot while it learns, it must know all that
    tell the class (as Singh & Lee 2017, *Hide-and-Seek*, hide places). Nguyen et al. 2018 and Wang et al. 2017
    (UntrimmedNets) weigh frames likewise, with features of whole frames.

    Args:
        num_features: D of the features.
        units: width of the tanh layer.
        hidden_share: the share of frames that are hidden in training.

    Raises:
        ValueError: a share that is none, or that hides everything.
    """

    def __init__(self, num_features: int, units: int, hidden_share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= hidden_share < 1:
            raise ValueError(f"hidden_share is {hidden_share}, expected a share of the frames, at least 0, below 1")
        self.num_hidden, self.hidden_share = num_features, hidden_share
        self.from_features = nn.Conv2d(num_features, units, 1)
        self.score = nn.Conv2d(units, 1, 1, bias=False)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B D` and `B 1`."""
        return State(
            torch.zeros(batch_size, self.num_hidden, device=device, dtype=dtype),
            torch.zeros(batch_size, 1, device=device, dtype=dtype),
        )

    def attend(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Single frames `N D h w` to their evidence `N 1`, the attended features `N D`, and the map `N h w`."""
        scores = self.score(torch.tanh(self.from_features(features)))[:, 0]
        # Weights are compared over a whole clip, for which half precision does not suffice.
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        attention = scores.flatten(1).softmax(1).view_as(scores)
        return scores.flatten(1).logsumexp(1, keepdim=True), (features * attention[:, None]).sum((2, 3)), attention

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """The results of `attend` on frames `N D h w`; in training, some frames are hidden."""
        evidence, attended, attention = self.attend(features)
        if self.training and self.hidden_share:
            evidence = evidence.masked_fill(torch.rand_like(evidence) < self.hidden_share, -math.inf)
        return evidence, attended, attention

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """One frame more."""
        evidence, attended, attention = projected
        # Not logaddexp, which ONNX spells out as log(exp + exp): that overflows.
        total = torch.cat((state.memory, evidence), 1).logsumexp(1, keepdim=True)
        pooled = state.hidden * (state.memory - total).exp() + attended * (evidence - total).exp()
        return CellOutput(pooled, attention, evidence[:, 0]), State(pooled, total)

    def forward(self, features: Tensor, state: State) -> tuple[CellOutput, State]:
        """One step on features `B D h w`."""
        return self.recur(self.project(features), state)


def pool(evidence: Tensor, attended: Tensor) -> Tensor:
    """H_T of whole clips, without a loop: evidence `B T` and attended features `B T D` to `B D`.

    Evidence of -inf excludes a frame.
    """
    weights = nn.functional.pad(evidence, (1, 0)).softmax(1)[:, 1:]
    return torch.einsum("bt,btd->bd", weights, attended)
