"""The attention of the HMDB-51 report, and its model `report`: `create_model("report", 10)`."""

from torch import Tensor, nn

from onlooker.models.registry import Recipe, register_attention, register_model
from onlooker_papers import PACKAGE


class ContextAttention(nn.Module):
    """`A_t = softmax(mean_D(X_t) + W_c · mean_hw(H_{t-1}) + b_c)` (Teja & Akunuri 2020).

    The report describes it without an equation: the average of the feature cube, plus a context
    vector from the previous hidden state. Interpreted as: the mean over the D channels, plus one
    number per location from the hidden state.

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


RECIPE = Recipe(
    "attention from the mean of the features and the state, a ConvLSTM (Teja & Akunuri 2020)",
    {"cell": "convlstm", "attention": "context", "glimpse": "product"},
)


def register() -> None:
    """Register the attention and the model for `create_model`, `load` and the commands."""
    register_attention(
        "context",
        lambda num_features, hidden, units, grid: ContextAttention(hidden, grid),
        package=PACKAGE,
    )
    register_model("report", RECIPE)


register()  # for the code of this paper, which imports this module
