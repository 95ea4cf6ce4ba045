"""The sets that VideoLSTM was published on, its models there, and how much of it a run computes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from onlooker.config import DataConfig, FlowMethod, Modality, ModelConfig, TrainConfig
from onlooker.data.official import PublishedSet
from onlooker.data.sets import SETS as PUBLISHED
from onlooker_papers.videolstm.published import PREFIX

STREAMS: tuple[Modality, Modality] = ("rgb", "flow")
# The columns of the paper's table, and the one that sees both streams.
SINGLE = ("convnet", "lstm", "alstm", "convlstm", "convalstm")
MOTION = "motion"
VECTORS = ("convnet", "lstm")  # models of one vector per frame: fc7 in the authors' code
MOTION_BEGINS = ("convalstm-rgb", "convlstm-flow")  # the runs whose weights it begins with, as published
BOTH = "motion + convalstm-flow"
# What localizes, and its video-mAP in per cent at .2 on UCF101-24, learned from class labels; as commonly cited.
CITED_VIDEO_MAP_20 = 36.9
# Late fusion: a run that sees the image, and one that sees the flow; the last is VideoLSTM with both streams.
FUSED = {
    "convalstm-rgb + convlstm-flow": ("convalstm-rgb", "convlstm-flow"),
    "convalstm-rgb + convalstm-flow": ("convalstm-rgb", "convalstm-flow"),
    BOTH: (MOTION, "convalstm-flow"),
}


@dataclass(frozen=True)
class OfficialSet:
    """A published set, and what Li et al. 2016 report on it.

    Args:
        published: how it is read.
        cited: accuracies in per cent by stream, in the order of `SINGLE`, on split 1; as commonly cited.
        cited_together: the accuracy of VideoLSTM with both streams, likewise.
    """

    published: PublishedSet
    cited: Mapping[str, tuple[float, ...]]
    cited_together: float


SETS = {
    "ucf101": OfficialSet(
        PUBLISHED["ucf101"], {"rgb": (77.4, 77.5, 77.0, 77.6, 79.6), "flow": (75.2, 78.3, 79.5, 79.1, 82.1)}, 89.2
    ),
    "hmdb51": OfficialSet(PUBLISHED["hmdb51"], {}, 56.4),
}


# Eight epochs of a few random frames of each clip; steps this small keep ImageNet's filters in a VGG-16 without norms.
FINE_TUNING = TrainConfig(epochs=8, batch=16, lr=1e-4)
FINE_TUNING_FRAMES = 10  # of each clip, from which they are drawn


@dataclass(frozen=True)
class Budget:
    """What is computed, and with how much; the defaults are the published sizes.

    Args:
        name: in words, for the page.
        training: of every model.
        encoder, pretrained, size: what makes the features, and the side of the frames that it sees, in pixels.
        flow, flow_length: how flow is computed, and fields in a stack of it.
        published: models of `published`, with the settings of the authors' code.
        vector: the encoder of `convnet` and `lstm`; empty: the mean over the map of the others.
        frames, windows: consecutive frames in a temporal crop, and crops that are averaged at test (a key of results).
        hidden, head_units: channels of the recurrent part, and units of the layer before the classes.
        dropout: before the classes.
        lstm_dropout: that of `lstm` and `alstm`.
        classes: number of classes, in alphabetical order; 0: all.
        clips: maximum per class and split; 0: all.
        complete: insist on the published number of clips; a cut-down copy of a set needs False.
        fine_tuning: how encoders are trained on frames of the split's training clips before they encode; None: they
            stay as they are.
        choose_on: validation clips on which it is chosen how to localize: each is encoded twice for 28 candidates.
    """

    name: str
    training: TrainConfig
    encoder: str = "vgg16"
    pretrained: bool = True
    size: int = 224
    flow: FlowMethod = "dis"
    flow_length: int = 10
    published: bool = False
    vector: str = ""
    frames: int = 30
    windows: int = 25
    hidden: int = 512
    head_units: int = 1024
    dropout: float = 0.7
    lstm_dropout: float = 0.5
    classes: int = 0
    clips: int = 0
    complete: bool = True
    fine_tuning: TrainConfig | None = None
    choose_on: int = 40

    def features(self, streams: Modality) -> DataConfig:
        """How clips are seen by the encoder of a stream."""
        length = self.flow_length if streams == "flow" else 1
        data = DataConfig(frames=30, size=self.size, modality=streams, flow_length=length, translate=0.0, scale=0.0)
        return data if streams == "rgb" else replace(data, flow=self.flow)

    @property
    def stores(self) -> dict[str, tuple[str, Modality]]:
        """The encoder and the stream of each feature store, by the name of its folder."""
        maps = {str(of): (self.encoder, of) for of in STREAMS}
        return maps | ({f"{of}-vector": (self.vector, of) for of in STREAMS} if self.vector else {})

    def store(self, model: str, stream: str) -> str:
        """The folder of the store that a model of one stream is trained on."""
        return f"{stream}-vector" if self.vector and model in VECTORS else stream

    def model_config(self, model: str) -> ModelConfig:
        """The settings of a model; its encoder and size are those of the features."""
        name = f"{PREFIX}{model}" if self.published and model != "convnet" else model
        init: Literal["zeros", "clip-mean"] = "clip-mean" if self.published and model not in VECTORS else "zeros"
        dropout = self.lstm_dropout if model in ("lstm", "alstm") else self.dropout
        units = 0 if self.published and model == "convnet" else self.head_units  # a softmax on fc7
        return ModelConfig(
            name, "conv4", pretrained=False, hidden=self.hidden, head_units=units, dropout=dropout, init=init
        )


BUDGETS = {
    "quick": Budget(
        "quick: a few clips of five classes, to see that everything runs",
        TrainConfig(epochs=2, batch=8, label_smoothing=0.0, patience=0),
        windows=5,
        classes=5,
        clips=4,
        complete=False,
        choose_on=0,
    ),
    "standard": Budget("standard: 20 epochs", TrainConfig(epochs=20, batch=32, label_smoothing=0.0, patience=0)),
    # The authors' code: no schedule and no gradient clipping; 200 epochs for LSTMs, 300 for ConvLSTMs, 400 for motion.
    # Its ConvNets see one flow field at a time.
    "full": Budget(
        "full: the settings of the authors' code, 300 epochs",
        TrainConfig(
            epochs=300, batch=128, lr=1e-3, optimizer="rmsprop", grad_clip=0.0, label_smoothing=0.0, patience=0
        ),
        flow="tvl1",
        flow_length=1,
        published=True,
        vector="vgg16:vector",
    ),
}
