"""Convolutional attention of ConvALSTM: like soft attention, but the memory is a map, so every place asks its own."""

import torch
from torch import Tensor, nn


class ConvAttention(nn.Module):
    """`Z_t = W_z ∗ tanh(W_xa ∗ X_t + W_ha ∗ H_{t-1} + b_a)`, all 1×1; `A_t` is its softmax over places.

    The attention of ConvALSTM (Li et al. 2016).

    Args:
        num_features: D of the features.
        hidden: channels of the memory's map.
        units: channels of the inner map.
    """

    hidden_ndim = 4

    def __init__(self, num_features: int, hidden: int, units: int) -> None:
        super().__init__()
        self.from_features = nn.Conv2d(num_features, units, 1)
        self.from_hidden = nn.Conv2d(hidden, units, 1, bias=False)
        self.score = nn.Conv2d(units, 1, 1, bias=False)

    def project(self, features: Tensor) -> Tensor:
        """The part that no state enters, for all frames at once: `N D h w -> N units h w`."""
        return self.from_features(features)

    def forward(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """Projected features `B units h w` and a hidden map `B hidden h w` to a map `B h w` that sums to one."""
        scores = self.score(torch.tanh(projected + self.from_hidden(hidden)))
        return scores.flatten(1).softmax(1).unflatten(1, scores.shape[-2:])
