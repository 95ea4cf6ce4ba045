"""Predictions are multiplied with learned exponents."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# initial weight of every prediction; below 1, because those of one clip often have the same error
_TRUST = 0.3


class OpinionPool(nn.Module):
    """A logarithmic opinion pool (Genest & Zidek 1986) of the predictions at S times, with learned
    weights:

        log p_s = log softmax f(x_s), w_s = log(1 + exp(u · x_s + c)), H_s = Σ_{s' ≤ s} w_s' log
        p_s'

    softmax(H_s) has the class probabilities so far: a product of experts (Hinton 2002) that share
    one network f, whose weights depend on what they see. Predictions from little evidence get small
    weights, while an average would count them like the others.

    Args:
        judge: f, from features `N D` to `N K`.
        num_features: D.
    """

    def __init__(self, judge: nn.Module, num_features: int) -> None:
        super().__init__()
        self.judge = judge
        self.weight = nn.Linear(num_features, 1)
        nn.init.zeros_(self.weight.weight)
        nn.init.constant_(self.weight.bias, math.log(math.expm1(_TRUST)))

    def forward(self, features: Tensor) -> Tensor:
        """`B S D` to H, normalized, `B S K`."""
        flat = features.flatten(0, 1)
        said = self.judge(flat)
        weight = self.weight(flat)
        # Half precision does not suffice for sums over a whole clip.
        said, weight = (
            part.to(torch.promote_types(part.dtype, torch.float32)) for part in (said, weight)
        )
        summands = (F.softplus(weight) * said.log_softmax(1)).unflatten(0, features.shape[:2])
        pooled = [torch.zeros_like(summands[:, 0])]
        for summand in summands.unbind(1):
            # Normalized, because a growing sum would lose the precision of the differences between
            # classes.
            pooled.append((pooled[-1] + summand).log_softmax(1))
        return torch.stack(pooled[1:], 1)
