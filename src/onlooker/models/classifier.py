"""The model: an encoder for each frame, a cell over time, a class at every frame."""

from typing import cast

import torch
from torch import Tensor, nn

from onlooker.models.cells.build import CELLS, MOTION, Look, build_cell
from onlooker.models.cells.cell import Cell, State
from onlooker.models.cells.init import INITS, LearnedInit
from onlooker.models.cells.mil import MILCell, pool
from onlooker.models.cells.motion import MotionCell
from onlooker.models.cells.opinions import OpinionPool
from onlooker.models.cells.unroll import unroll
from onlooker.models.encoders.build import Encoder, build_encoder
from onlooker.models.encoders.glimpses import Glimpses
from onlooker.models.encoders.paired import Paired
from onlooker.models.heads import HEADS, EachGlimpse, make_head
from onlooker.models.video_model import Output, VideoModel, count_parameters

__all__ = ["Classifier", "Output", "VideoModel", "clip_scores", "count_parameters"]


AGGREGATIONS = ("mean", "product", "last")
OPINIONS = "opinions"  # the cell that the head is a part of


class Classifier(VideoModel):
    """Encoder, cell and head.

    All arguments are plain values, so that `save_pretrained` can write them to config.json and `from_pretrained` can
    build the same model from it.

    Args:
        num_classes: K.
        cell: `memoryless`, `lstm`, `convlstm`; or `opinions`, which sums what the head says of each frame.
        attention: `soft`, `conv`, `context`, `motion`, `mil`, or None.
        glimpse: what the cell sees through the attention: `sum`, `product` or `scaled`.
        encoder: `conv4`, `lenet`, any timm network by its name, or `NAME:vector`.
        hidden: units or channels of the cell.
        head_units: width of a tanh layer before the classes (Li et al. 2016 use 1024); 0: none.
        head: `joint`: all features make the classes; `each-glimpse`: one small classifier reads each window of an
            encoder that has several (`stn:N`), and a class is what they read, in any order (`EachGlimpse`).
        dropout: before the classes.
        init: the state before the first frame: `zeros`; `first-frame`, learned from its features; or `clip-mean`,
            learned from the average of all frames, as published (Li et al. 2016), which looks ahead and cannot stream.
        attention_loss: add an auxiliary loss in training: a linear layer classifies the attended features of each frame
            (attention pooling, Ilse et al. 2018). The memory then cannot take over, and the map stays where
            the answer is.
        in_channels: C of the frames.
        flow_channels: how many of them, the last, are optical flow that has an encoder of its own: 2 for each field of
            displacements. `motion` needs them; 0: one encoder sees all channels.
        size: height and width of the frames.
        pretrained: start the encoder from ImageNet weights (timm networks).

    Raises:
        ValueError: a setting that is unknown or does not fit the others, such as attention over a single place.
    """

    encodes_frames = True
    encoder: Encoder

    def __init__(
        self,
        num_classes: int,
        cell: str = "convlstm",
        attention: str | None = "conv",
        glimpse: str = "scaled",
        encoder: str = "conv4",
        hidden: int = 64,
        head_units: int = 0,
        head: str = "joint",
        dropout: float = 0.5,
        init: str = "zeros",
        attention_loss: bool = False,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        if attention == MOTION and not flow_channels:
            raise ValueError("attention 'motion' looks where the flow says, and flow_channels is 0; give 2 for a field")
        self.encoder = _build_encoder(encoder, in_channels, flow_channels, size, pretrained)
        self.grid = self.encoder.grid(size, size)
        if attention and self.grid == (1, 1):
            raise ValueError(
                f"encoder {encoder!r} makes one place of a frame of {size} pixels, where attention {attention!r} could "
                "only ever give it the weight 1; use an encoder with a map (such as conv4 or vgg16), larger frames, "
                "or a model without attention (such as lstm)"
            )
        if attention_loss and not attention:
            raise ValueError("attention_loss asks what is attended for the class, and this model does not attend")
        look = Look(attention, glimpse) if attention else None
        self.cell, self.head = self._cell_and_head(cell, look, hidden, head, head_units, dropout)
        if init not in INITS:
            raise ValueError(f"init is {init!r}, expected one of {', '.join(INITS)}")
        self.init = init
        if init != "zeros":
            state = self.cell.initial_state(1, self.grid, torch.device("cpu"), torch.float32)
            self.learned_init = LearnedInit(self.encoder.num_features, state)
        # Of two encoders, motion looks at the picture's features, the first.
        attended = self.cell.sizes[0] if isinstance(self.cell, MotionCell) else self.encoder.num_features
        self.attention_head = nn.Linear(attended, num_classes) if attention_loss else None
        self.attends, self.has_attention_loss = attention is not None, attention_loss
        self.has_evidence = isinstance(self.cell, MILCell)
        self.streams = init != "clip-mean"
        # Convolutions over few channels are several times faster on a CPU with the channels last in memory.
        self.to(memory_format=torch.channels_last)

    def _cell_and_head(
        self, cell: str, look: Look | None, hidden: int, head: str, head_units: int, dropout: float
    ) -> tuple[Cell, nn.Module]:
        """What runs over time and what names the classes; a pool of opinions has the second in the first."""
        features = self.encoder.num_features
        if cell not in (known := (*CELLS, OPINIONS)):
            raise ValueError(f"no cell is called {cell!r}; there are {', '.join(known)}")
        if cell != OPINIONS:
            built = build_cell(cell, features, hidden, self.grid, look)
            return built, self._head(head, built.num_hidden, head_units, dropout, cell == "memoryless" and look is None)
        if look is not None:
            raise ValueError(
                f"cell {OPINIONS!r} judges whole frames and has no state to attend with; use attention None"
            )
        judge = self._head(head, features, head_units, dropout, of_frames=True)
        return OpinionPool(judge, features, self.num_classes), nn.Identity()

    def _head(self, name: str, width: int, head_units: int, dropout: float, of_frames: bool) -> nn.Module:
        """From `width` numbers to classes; `of_frames` if they are a frame's own features."""
        if name not in HEADS:
            raise ValueError(f"head is {name!r}, expected one of {', '.join(HEADS)}")
        if name == "joint":
            return make_head(width, head_units, dropout, self.num_classes)
        if not isinstance(self.encoder, Glimpses) or not of_frames:
            raise ValueError(
                "head 'each-glimpse' reads the windows of an encoder such as stn:2, without a memory that mixes them; "
                "use model convnet or opinions and encoder stn:N"
            )
        return EachGlimpse(width, self.encoder.glimpses, head_units, dropout, self.num_classes)

    @property
    def num_features(self) -> int:
        """How many numbers classes are told from (D): those of the hidden state, or of a frame that judges alone."""
        return self.encoder.num_features if isinstance(self.cell, OpinionPool) else self.cell.num_hidden

    def forward(self, video: Tensor) -> Output:
        """A video `B T C H W` to class logits at every frame, attention and evidence."""
        return self.forward_features(self.encode_video(video))

    def forward_features(self, features: Tensor) -> Output:
        """The same behind the encoder: its maps of a video, `B T D h w`, stored or just made, to `forward`'s output.

        Raises:
            ValueError: the maps are not those of this model's encoder.
        """
        expected = (self.encoder.num_features, *self.grid)
        if features.ndim != 5 or tuple(features.shape[2:]) != expected:
            raise ValueError(f"features are {tuple(features.shape)}, expected B T and then {expected} (D h w)")
        output, _ = unroll(self.cell, features, self._begin(features))
        logits = self.classify(output.hidden.flatten(0, 1)).unflatten(0, features.shape[:2])
        return Output(logits, output.attention, output.evidence)

    def frame_evidence(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Evidence of each frame by itself, `B T`, and its attended features, `B T D`, from features `B T D h w`.

        Evidence is the logarithm of the frame's weight, up to a constant that is the same for all frames (`MILCell`).

        Raises:
            ValueError: the model does not weigh frames.
        """
        if not isinstance(self.cell, MILCell):
            return super().frame_evidence(features)
        evidence, attended, _ = self.cell.attend(features.flatten(0, 1))
        return evidence.view(features.shape[:2]), attended.unflatten(0, features.shape[:2])

    def pool_evidence(self, evidence: Tensor, attended: Tensor) -> Tensor:
        """The results of `frame_evidence` to logits of clips, `B K`; evidence of -inf excludes a frame."""
        return self.classify(pool(evidence, attended))

    def attended_logits(self, features: Tensor, attention: Tensor) -> Tensor:
        """Logits `B T K` from the attended features alone, without a memory: features `B T D h w`, maps `B T h w`.

        Raises:
            ValueError: the model was built without `attention_loss`.
        """
        if self.attention_head is None:
            return super().attended_logits(features, attention)
        attended = features[:, :, : self.attention_head.in_features] * attention[:, :, None]
        logits: Tensor = self.attention_head(attended.sum((3, 4)))
        return logits

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Output, State]:
        """One frame `B C H W` of a stream: the same numbers as `forward`, one frame at a time, in constant memory.

        Begin with `state=None`, and pass on the state that comes back.

        Raises:
            ValueError: the first frame for a model with `init="clip-mean"`, which needs the whole clip.
        """
        return self.step_features(self.encode(frame), state)

    def step_features(self, features: Tensor, state: State | None = None) -> tuple[Output, State]:
        """The same behind the encoder, on its maps of one frame, `B D h w`; the errors are those of `step`."""
        if state is None:
            if self.init == "clip-mean":
                raise ValueError("init is 'clip-mean', which needs the whole clip; train with first-frame or zeros")
            state = self._begin(features[:, None])
        output, state = self.cell(features, state)
        return Output(self.classify(output.hidden), output.attention, output.evidence), state

    def _begin(self, features: Tensor) -> State:
        """The state before the first frame of features `B T D h w`."""
        if self.init == "zeros":
            return self.initial_state(len(features))
        state: State = self.learned_init(features[:, 0] if self.init == "first-frame" else features.mean(1))
        return state

    def initial_state(self, batch_size: int) -> State:
        """The state before the first frame of `batch_size` videos or streams.

        Raises:
            ValueError: the model learns it from the frames; `step` then begins without a state.
        """
        if self.init != "zeros":
            raise ValueError(f"init is {self.init!r}: the first state is learned from frames; begin `step` with None")
        weight = next(self.parameters())
        return self.cell.initial_state(batch_size, self.grid, weight.device, weight.dtype)

    def encode(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`.

        Raises:
            ValueError: the frames are not of the size and channels that the model was built for.
        """
        self.check_frames(frames.shape[1:])
        return self.encoder(frames.contiguous(memory_format=torch.channels_last))

    def classify(self, hidden: Tensor) -> Tensor:
        """Hidden states `N D` or `N D h w` (averaged over the places) to logits `N K`."""
        return self.head(hidden.mean((2, 3)) if hidden.ndim == 4 else hidden)


def _build_encoder(name: str, in_channels: int, flow_channels: int, size: int, pretrained: bool) -> Encoder:
    if not flow_channels:
        return build_encoder(name, in_channels, size, pretrained)
    if not 0 < flow_channels < in_channels or flow_channels % 2:
        raise ValueError(
            f"flow_channels is {flow_channels} of {in_channels} channels, expected an even number that leaves a picture"
        )
    channels = in_channels - flow_channels, flow_channels
    picture, flow = (build_encoder(name, count, size, pretrained) for count in channels)
    return Paired(cast(nn.Module, picture), cast(nn.Module, flow), flow_channels)


def clip_scores(frame_scores: Tensor, aggregation: str = "mean") -> Tensor:
    """Probabilities of whole clips from those at their frames, `… T K -> … K`.

    Args:
        frame_scores: probabilities.
        aggregation: one of `AGGREGATIONS`. `mean` averages scores (Li et al. 2016). `product` multiplies, p ∝ Π_t p_t
            (the product rule of Kittler et al. 1998): what frames know together that were judged each by itself, where
            classes are equally frequent; evidence that a memory carried from frame to frame it would count again.
            `last` is the last frame's.
    """
    if aggregation == "product":
        # In logarithms, for a product of fifty probabilities is 0 in single precision.
        logs = frame_scores.double().clamp_min(torch.finfo(torch.float32).tiny).log().sum(-2)
        return logs.softmax(-1).to(frame_scores.dtype)
    return frame_scores.mean(-2) if aggregation == "mean" else frame_scores[..., -1, :]
