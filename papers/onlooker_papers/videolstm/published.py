"""The recurrent models as the code of Li et al. 2016 has them: `published-lstm`, `published-convalstm`, and so on.

They differ from the library's in the layers before the classes, which read the whole map instead of its mean, in the
bias of the forget gates, in the dropout of the LSTMs, in attention that is not multiplied by the number of locations
(`product`), and in the state before the first frame (`clip-mean`), which sees the whole clip. Each is a setting.
"""

from typing import Any

from torch import Tensor, nn

from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.cells.motion import MotionCell
from onlooker.models.classifier import Classifier
from onlooker.models.registry import Recipe, find_recipe, register_model
from onlooker.models.video_model import make_head

PREFIX = "published-"


class Published(Classifier):
    """A `Classifier` with the settings of the authors' code.

    Args:
        num_classes, cell, attention, glimpse, encoder, hidden, head_units, dropout, init, in_channels, flow_channels,
            size, pretrained: as for `Classifier`.
        flatten: the layers before the classes read all locations of the state; else their mean.
        dropout_twice: dropout also before the tanh layer, as in the authors' LSTMs.
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
        dropout_twice: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes, cell, attention, glimpse, encoder, hidden, head_units, dropout, init, False, in_channels,
            flow_channels, size, pretrained,
        )  # fmt: skip
        self.flatten = flatten
        if flatten and self._map_state:
            self.head = make_head(self.num_features * self.grid[0] * self.grid[1], head_units, dropout, num_classes)
        if dropout_twice:
            self.head = nn.Sequential(nn.Dropout(dropout), self.head)
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


def register() -> None:
    """Make `create_model`, `load` and the commands know these models."""
    for name in ("lstm", "alstm", "convlstm", "convalstm", "motion", "report"):
        of = find_recipe(name)
        # An LSTM on vectors begins with zeros in the authors' code; in ALSTM the glimpse is a sum anyway.
        settings = dict(of.settings)
        if name in ("convalstm", "motion"):
            settings["glimpse"] = "product"
        if name in ("lstm", "alstm"):
            settings |= {"dropout": 0.5, "dropout_twice": True}
        if name == "lstm":
            settings["init"] = "zeros"
        summary = f"{name} with the settings of the code of Li et al. 2016"
        register_model(f"{PREFIX}{name}", Recipe(summary, settings, Published, of.modality))


register()  # for the code of this paper, which imports this module
