"""Multiple-instance learning (MIL): attention over all locations of all frames."""

import math

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, CellOutput, Grid, State


class MILCell(Cell):
    """Attention pooling over space and time, with weights that depend on one location of one frame (Ilse et al. 2018):

        z_ti = w · tanh(V x_ti + b), a_ti = exp(z_ti) / (1 + Σ_t'j exp(z_t'j)), H_t = Σ_{t' ≤ t, i} a_t'i x_t'i

    A clip is a bag of locations, labeled by those that show the class. An LSTM predicts the class after the event as
    well as during it; here a frame without the event cannot predict the class, so its weight falls. The evidence of a
    frame is the logarithm of its weight, up to a constant:

        e_t = log Σ_i exp(z_ti), Σ_i a_ti = exp(e_t) / (1 + Σ_t' exp(e_t'))

    The sums are running sums, so a stream has the same numbers as a clip: `hidden` is H_t, `B D`, and `memory`
    log(1 + Σ exp(e)), `B 1`. The 1 comes from an initial state of zeros: one location without features.

    Half of the frames, at random, are hidden in training (evidence -inf), so that the cell learns to find all frames
    that show the class, not only the best one; *Hide-and-Seek* (Singh & Lee 2017) hides locations in the same way.
    Nguyen et al. 2018 and Wang et al. 2017 (UntrimmedNets) also weight whole frames.

    Args:
        num_features: D of the features.
        units: width of the tanh layer.
    """

    has_evidence = True

    def __init__(self, num_features: int, units: int) -> None:
        super().__init__()
        self.num_hidden = num_features
        self.from_features = nn.Conv2d(num_features, units, 1)
        self.score = nn.Conv2d(units, 1, 1, bias=False)

    def initial_state(self, batch_size: int, grid: Grid, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, `B D` and `B 1`."""
        sizes = self.num_hidden, 1
        return State(*(torch.zeros(batch_size, size, device=device, dtype=dtype) for size in sizes))

    def attend(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames `N D h w` to their evidence `N 1`, attended features `N D`, and map `N h w`."""
        scores = self.score(torch.tanh(self.from_features(features)))[:, 0]
        # Half precision does not suffice to compare weights over a whole clip.
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        attention = scores.flatten(1).softmax(1).view_as(scores)
        return scores.flatten(1).logsumexp(1, keepdim=True), (features * attention[:, None]).sum((2, 3)), attention

    def frame_evidence(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Evidence `N` and attended features `N D` of single frames `N D h w`."""
        evidence, attended, _ = self.attend(features)
        return evidence[:, 0], attended

    def project(self, features: Tensor) -> tuple[Tensor, ...]:
        """The results of `attend` on frames `N D h w`; in training, some frames are hidden."""
        evidence, attended, attention = self.attend(features)
        if self.training:
            evidence = evidence.masked_fill(torch.rand_like(evidence) < 0.5, -math.inf)
        return evidence, attended, attention

    def recur(self, projected: tuple[Tensor, ...], state: State) -> tuple[CellOutput, State]:
        """Add one frame to the sums."""
        evidence, attended, attention = projected
        # Not logaddexp: its ONNX export is log(exp + exp), which overflows.
        total = torch.cat((state.memory, evidence), 1).logsumexp(1, keepdim=True)
        pooled = state.hidden * (state.memory - total).exp() + attended * (evidence - total).exp()
        return CellOutput(pooled, attention, evidence[:, 0]), State(pooled, total)


def pool(evidence: Tensor, attended: Tensor) -> Tensor:
    """H_T of whole clips, without a loop: evidence `B T` and attended features `B T D` to `B D`.

    Evidence of -inf excludes a frame.
    """
    weights = nn.functional.pad(evidence, (1, 0)).softmax(1)[:, 1:]
    return torch.einsum("bt,btd->bd", weights, attended)
