"""Soft attention of ALSTM: a small MLP scores every place from its feature and the memory's vector."""

import torch
from torch import Tensor, nn


class SoftAttention(nn.Module):
    """`e_i = w · tanh(W_x x_i + W_h h + b)`, then a softmax over the `h*w` places.

    The attention of ALSTM (Li et al. 2016, after Sharma et al. 2015).

    Args:
        num_features: D of the features.
        hidden: length of the memory's vector.
        units: width of the MLP.
    """

    hidden_ndim = 2

    def __init__(self, num_features: int, hidden: int, units: int) -> None:
        super().__init__()
        self.from_features = nn.Conv2d(num_features, units, 1)
        self.from_hidden = nn.Linear(hidden, units, bias=False)
        self.score = nn.Conv2d(units, 1, 1, bias=False)

    def project(self, features: Tensor) -> Tensor:
        """The part that no state enters, for all frames at once: `N D h w -> N units h w`."""
        return self.from_features(features)

    def forward(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """Projected features `B units h w` and a hidden vector `B hidden` to a map `B h w` that sums to one."""
        scores = self.score(torch.tanh(projected + self.from_hidden(hidden)[:, :, None, None]))
        return scores.flatten(1).softmax(1).unflatten(1, scores.shape[-2:])
