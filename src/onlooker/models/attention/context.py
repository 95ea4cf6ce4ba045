"""Attention of the HMDB-51 report: the feature cube's own average plus a context from the memory."""

from torch import Tensor, nn


class ContextAttention(nn.Module):
    """`A_t = softmax(mean_D(X_t) + W_c · mean_hw(H_{t-1}) + b_c)` (Teja & Akunuri 2020).

    The report says "the feature cube's average plus a context vector from the previous hidden state" and gives no
    equation. Read here as: the average over the D channels is a first map of what is salient in the frame, and the
    hidden state adds one number for each place.

    Args:
        hidden: channels of the memory's map.
        grid: `(h, w)` of the features; the context has one number for each place.
    """

    hidden_ndim = 4

    def __init__(self, hidden: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.context = nn.Linear(hidden, grid[0] * grid[1])

    def project(self, features: Tensor) -> Tensor:
        """The part that no state enters, for all frames at once: `N D h w -> N 1 h w`."""
        if features.shape[-2:] != self.grid:
            raise ValueError(
                f"features on a grid {tuple(features.shape[-2:])}, this attention was built for {self.grid}"
            )
        return features.mean(1, keepdim=True)

    def forward(self, projected: Tensor, hidden: Tensor) -> Tensor:
        """Projected features `B 1 h w` and a hidden map `B hidden h w` to a map `B h w` that sums to one."""
        scores = projected.flatten(1) + self.context(hidden.mean((2, 3)))
        return scores.softmax(1).unflatten(1, self.grid)
