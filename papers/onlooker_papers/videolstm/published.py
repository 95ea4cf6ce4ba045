"""The recurrent models as in the code of Li et al. 2016: `published-lstm`, `published-convalstm`, and so on.

They differ from those of the library in the layers before the classes, which read the whole map instead of its mean,
in attention that is not multiplied by the number of locations (`product`), and in the state before the first frame
(`clip-mean`), which sees the whole clip.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.cell import State
from onlooker.models.cells.init import LearnedInit
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.cells.motion import MotionCell
from onlooker.models.classifier import Classifier
from onlooker.models.registry import Recipe, find_recipe, register_model
from onlooker.models.video_model import make_head
from onlooker_papers import optimizers, single_frame

PREFIX = "published-"
NAMES = ("lstm", "alstm", "convlstm", "convalstm", "motion")


class MotionInit(nn.Module):
    """The first state of `motion` in the authors' code: of the upper ConvLSTM from RGB, of the lower one from flow.

    `H_0, C_0 = tanh(W ∗ mean of X_t)` with 3×3 kernels, and the same for the flow with 1×1 kernels.

    Args:
        cell: the cell of `motion`.
    """

    def __init__(self, cell: MotionCell) -> None:
        super().__init__()
        self.sizes, part = cell.sizes, torch.empty(1, cell.num_hidden, 1, 1)
        self.upper = LearnedInit(cell.sizes[0], State(part, part))
        self.lower = nn.ModuleList(nn.Conv2d(cell.sizes[1], cell.num_hidden, 1) for _ in range(2))

    def forward(self, features: Tensor) -> State:
        """Features `B D h w`, RGB before flow, to a state of the cell."""
        rgb, flow = features.split(self.sizes, 1)
        lower = (part(flow).tanh() for part in self.lower)
        return State(*(torch.cat(pair, 1) for pair in zip(self.upper(rgb), lower, strict=True)))


class Published(Classifier):
    """A `Classifier` with the settings of the authors' code.

    Args:
        num_classes, cell, attention, glimpse, encoder, hidden, head_units, dropout, init, in_channels, flow_channels,
            size, pretrained: as for `Classifier`; with `clip-mean`, the first state of `motion` is that of
            `MotionInit`.
        flatten: the layers before the classes read all locations of the state; otherwise their mean.
        forget_bias: initial bias of the forget gates.
    """

    package = "onlooker-papers"

    def __init__(
        self,
        num_classes: int,
        cell: str = "convlstm",
        attention: str | None = "conv",
        glimpse: str = "product",
        encoder: str = "vgg16",
        hidden: int = 512,
        head_units: int = 1024,
        dropout: float = 0.7,
        init: str = "clip-mean",
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 224,
        pretrained: bool = False,
        flatten: bool = True,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes, cell, attention, glimpse, encoder, hidden, head_units, dropout, init, False, in_channels,
            flow_channels, size, pretrained,
        )  # fmt: skip
        self.flatten = flatten
        if flatten and self._map_state:
            self.head = make_head(self.num_features * self.grid[0] * self.grid[1], head_units, dropout, num_classes)
        if init == "clip-mean" and isinstance(self.cell, MotionCell):
            self.learned_init = cast(Any, MotionInit(self.cell))
        for part in self.modules():
            if isinstance(part, LSTM | ConvLSTM):
                gates: Any = part.from_features
                nn.init.constant_(gates.bias.chunk(4)[1], forget_bias)

    @property
    def _map_state(self) -> bool:
        """Whether the state is a map."""
        cell = self.cell.cell if isinstance(self.cell, AttentiveCell) else self.cell
        return isinstance(cell, ConvLSTM | MotionCell)

    def classify(self, hidden: Tensor) -> Tensor:
        """Hidden states `N D` or `N D h w` to logits `N K`."""
        return self.head(hidden.flatten(1)) if self.flatten and hidden.ndim == 4 else super().classify(hidden)


def _settings(name: str) -> dict[str, Any]:
    """The settings of a model in the authors' code."""
    settings: dict[str, Any] = {
        "hidden": 512, "head_units": 1024, "dropout": 0.7, "init": "clip-mean", "flatten": True, "forget_bias": 0.0
    }  # fmt: skip
    if name in ("convalstm", "motion"):
        settings["glimpse"] = "product"
    if name in ("lstm", "alstm"):
        settings["dropout"] = 0.5
    if name in ("lstm", "convlstm"):
        settings["init"] = "zeros"
    return settings


def register() -> None:
    """Register these models, the baseline and the published optimizers for `create_model`, `load` and the commands."""
    single_frame.register()
    optimizers.register()
    for name in NAMES:
        of, summary = find_recipe(name), f"{name} with the settings of the code of Li et al. 2016"
        settings = {**of.settings, **_settings(name)}
        register_model(f"{PREFIX}{name}", Recipe(summary, settings, Published, of.modality))
    # By this name `load` finds the class.
    report = find_recipe("report").settings
    register_model(f"{PREFIX}report", Recipe("report with the layers of Li et al. 2016", report, Published))


register()  # for the code of this paper, which imports this module
