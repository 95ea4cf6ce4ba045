"""The recurrent models as in the code of Li et al. 2016: `published-lstm`, `published-convalstm`,
and so on.

They differ from those of the library in the layers before the classes, which read the whole map
instead of its mean, in attention that is not multiplied by the number of locations (`product`), and
in the state before the first frame, which is predicted from the mean over the whole clip.
"""

from typing import Any

import torch
from torch import Tensor, nn

from onlooker import Classifier
from onlooker.models.cells.attentive import AttentiveCell, MotionCell
from onlooker.models.cells.cell import State
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.registry import Recipe, find_recipe, register_model
from onlooker.models.video_model import NO_OTHERS, Others, Output, VideoModel, make_head
from onlooker_papers import PACKAGE
from onlooker_papers.hmdb10 import attention

PREFIX = "published-"
NAMES = ("lstm", "alstm", "convlstm", "convalstm", "motion")


class LearnedInit(nn.Module):
    """Predicts each part of the initial state from the mean over all frames: `tanh(W ∗ X)`.

    Parts that are maps come from a 3×3 convolution (the code of Li et al. 2016: H_0, C_0 =
    tanh(conv(mean over time of X))), vectors from the features averaged over locations (the code of
    Sharma et al. 2015).

    Args:
        num_features: D of the features.
        state: an example, for the shapes of the parts.
    """

    def __init__(self, num_features: int, state: State) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Conv2d(num_features, part.shape[1], 3, padding=1)
            if part.ndim == 4
            else nn.Linear(num_features, part.shape[1])
            for part in state
        )

    def forward(self, features: Tensor) -> State:
        """Features `B D h w` to a state."""
        mean = features.mean((2, 3))
        return State(
            *(
                torch.tanh(part(features if isinstance(part, nn.Conv2d) else mean))
                for part in self.parts
            )
        )


class MotionInit(nn.Module):
    """The first state of `motion` in the authors' code: of the upper ConvLSTM from RGB, of the
    lower one from flow.

    `H_0, C_0 = tanh(W ∗ mean of X_t)` with 3×3 kernels, and the same for the flow with 1×1 kernels.

    Args:
        cell: the cell of `motion`.
    """

    def __init__(self, cell: MotionCell) -> None:
        super().__init__()
        self.sizes = cell.sizes
        part = torch.empty(1, cell.num_hidden, 1, 1)
        self.upper = LearnedInit(cell.sizes[0], State(part, part))
        self.lower = nn.ModuleList(nn.Conv2d(cell.sizes[1], cell.num_hidden, 1) for _ in range(2))

    def forward(self, features: Tensor) -> State:
        """Features `B D h w`, RGB before flow, to a state of the cell."""
        rgb, flow = features.split(self.sizes, 1)
        lower = (part(flow).tanh() for part in self.lower)
        return State(*(torch.cat(pair, 1) for pair in zip(self.upper(rgb), lower, strict=True)))


def initialize_motion(model: VideoModel, rgb: VideoModel, flow: VideoModel) -> None:
    """Give a `motion` model the weights of its two streams: ConvALSTM on RGB, ConvLSTM on flow (Li
    et al. 2016).

    The encoder, attention, ConvLSTM (here the upper one), head, and the linear layer of the
    attention loss (if both have one) come from RGB; the second encoder and the lower ConvLSTM come
    from flow. The lower ConvLSTM has 1×1 kernels; they get the centers of the 3×3 kernels of flow
    (the paper does not say how; the authors' script copies the 3×3 kernels). With the models of
    `published`, the first state of the upper ConvLSTM comes from RGB, too. `from_upper` is not
    changed.

    Args:
        model: `motion`, which is changed.
        rgb: `convalstm`, trained on the first channels of `model`.
        flow: `convlstm`, trained on the last channels.

    Raises:
        RuntimeError: weights of other shapes.
    """
    net: Any = model
    seen: Any = rgb
    moved: Any = flow
    parts: list[tuple[nn.Module, nn.Module]] = [
        (net.encoder.rgb, seen.encoder),
        (net.encoder.flow, moved.encoder),
        (net.cell.attention, seen.cell.attention),
        (net.cell.upper, seen.cell.cell),
        (net.head, seen.head),
    ]
    if isinstance(getattr(net, "learned_init", None), MotionInit) and hasattr(seen, "learned_init"):
        parts.append((net.learned_init.upper, seen.learned_init))
    if net.attention_head is not None and seen.attention_head is not None:
        parts.append((net.attention_head, seen.attention_head))
    for part, source in parts:
        part.load_state_dict(source.state_dict())
    net.cell.lower.load_state_dict(
        {name: _center(weights) for name, weights in moved.cell.state_dict().items()}
    )


def _center(part: Tensor) -> Tensor:
    """Kernels `O D k k` as 1×1 kernels of their center; a bias as it is."""
    if part.ndim < 4:
        return part
    y = part.shape[2] // 2
    x = part.shape[3] // 2
    return part[:, :, y : y + 1, x : x + 1]


class Published(Classifier):
    """A `Classifier` with the settings of the authors' code.

    Args:
        num_classes, cell, attention, glimpse, encoder, hidden, head_units, dropout, in_channels,
        flow_channels, size,
            pretrained: as for `Classifier`.
        clip_mean: the state before the first frame is predicted from the mean over all frames, so
            that the model cannot stream (`LearnedInit`, for `motion` `MotionInit`); otherwise it is
            zero.
        flatten: the layers before the classes read all locations of the state; otherwise their
        mean.
        forget_bias: initial bias of the forget gates.
    """

    package = PACKAGE

    def __init__(
        self,
        num_classes: int,
        *,
        cell: str = "convlstm",
        attention: str | None = "conv",
        glimpse: str = "product",
        encoder: str = "vgg16",
        hidden: int = 512,
        head_units: int = 1024,
        dropout: float = 0.7,
        clip_mean: bool = True,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 224,
        pretrained: bool = False,
        flatten: bool = True,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes,
            cell,
            attention=attention,
            glimpse=glimpse,
            encoder=encoder,
            hidden=hidden,
            head_units=head_units,
            dropout=dropout,
            attention_loss=False,
            in_channels=in_channels,
            flow_channels=flow_channels,
            size=size,
            pretrained=pretrained,
        )
        self.clip_mean = clip_mean
        self.streams = not clip_mean
        self.flatten = flatten
        if clip_mean:
            self.learned_init: Any = LearnedInit(
                self.encoder.num_features, super().initial_state(1)
            )
        if flatten and self._map_state:
            self.head = make_head(
                self.num_features * self.grid[0] * self.grid[1],
                head_units=head_units,
                dropout=dropout,
                num_classes=num_classes,
            )
        if clip_mean and isinstance(self.cell, MotionCell):
            self.learned_init = MotionInit(self.cell)
        for part in self.modules():
            if isinstance(part, LSTM | ConvLSTM):
                gates: Any = part.from_features
                nn.init.constant_(gates.bias.chunk(4)[1], forget_bias)

    @property
    def _map_state(self) -> bool:
        """Whether the state is a map."""
        cell = self.cell.cell if isinstance(self.cell, AttentiveCell) else self.cell
        return isinstance(cell, ConvLSTM | MotionCell)

    def forward_features(
        self, features: Tensor, others: Others = NO_OTHERS, *, state: State | None = None
    ) -> Output:
        """As `Classifier`; without a state from that of the clip."""
        if state is None and self.clip_mean:
            state = self.learned_init(features.mean(1))
        return super().forward_features(features, others, state=state)

    def initial_state(self, batch_size: int) -> State:
        """Zeros; a ValueError if the first state depends on the clip."""
        if self.clip_mean:
            raise ValueError(
                "the first state of this model is predicted from the whole clip; build it without"
            )
        return super().initial_state(batch_size)

    def classify(self, hidden: Tensor) -> Tensor:
        """Hidden states `N D` or `N D h w` to logits `N K`."""
        return (
            self.head(hidden.flatten(1))
            if self.flatten and hidden.ndim == 4
            else super().classify(hidden)
        )


def _settings(name: str) -> dict[str, Any]:
    """The settings of a model in the authors' code."""
    settings: dict[str, Any] = {
        "hidden": 512,
        "head_units": 1024,
        "dropout": 0.7,
        "clip_mean": True,
        "flatten": True,
        "forget_bias": 0.0,
    }
    if name in ("convalstm", "motion"):
        settings["glimpse"] = "product"
    if name in ("lstm", "alstm"):
        settings["dropout"] = 0.5
    if name in ("lstm", "convlstm"):
        settings["clip_mean"] = False
    return settings


def register() -> None:
    """Register these models for `create_model`, `load` and the commands."""
    attention.register()
    for name in NAMES:
        of = find_recipe(name)
        summary = f"{name} with the settings of the code of Li et al. 2016"
        settings = {**of.settings, **_settings(name)}
        register_model(
            f"{PREFIX}{name}", Recipe(summary, settings, Published, modality=of.modality)
        )
    # By this name `load` finds the class.
    summary = "report with the layers of Li et al. 2016"
    register_model(f"{PREFIX}report", Recipe(summary, attention.RECIPE.settings, Published))


register()  # for the code of this paper, which imports this module
