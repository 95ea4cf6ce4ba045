"""The data sets of VideoLSTM, its models on them, their published figures, and the budgets of a
run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.training.fitters import complete
from onlooker_papers.published_sets.hmdb51 import HMDB51
from onlooker_papers.published_sets.official import PublishedSet
from onlooker_papers.published_sets.ucf101 import UCF101
from onlooker_papers.videolstm import Modality
from onlooker_papers.videolstm.published import PREFIX

STREAMS: tuple[Modality, Modality] = ("rgb", "flow")
# The columns of the paper's table; then the model that sees both streams.
NAMES = {
    "convnet": "ConvNet",
    "lstm": "LSTM",
    "alstm": "ALSTM",
    "convlstm": "ConvLSTM",
    "convalstm": "ConvALSTM",
}
SINGLE = tuple(NAMES)
MOTION = "motion"
# Epochs in the authors' scripts; they have none for a ConvNet.
EPOCHS = {
    **{f"{model}-{of}": 200 for of in STREAMS for model in ("lstm", "alstm")},
    "convlstm-rgb": 200,
    **dict.fromkeys(("convlstm-flow", "convalstm-rgb", "convalstm-flow"), 300),
    MOTION: 400,
}
# the runs from whose weights `motion` starts, as published
MOTION_BEGINS = ("convalstm-rgb", "convlstm-flow")
BOTH = "motion + convalstm-flow"
VIDEOLSTM = "VideoLSTM"
# Late fusion of a run on the image and a run on the flow; the last pair is VideoLSTM with both
# streams.
FUSED = {
    "convalstm-rgb + convlstm-flow": ("convalstm-rgb", "convlstm-flow"),
    "convalstm-rgb + convalstm-flow": ("convalstm-rgb", "convalstm-flow"),
    BOTH: (MOTION, "convalstm-flow"),
}


@dataclass(frozen=True)
class OfficialSet:
    """A published set, and the results of Li et al. 2016 on it.

    Args:
        published: how the set is read.
        cited: accuracies in percent by stream, in the order of `SINGLE`, on split 1; as commonly
        cited.
        cited_together: the accuracy of VideoLSTM with both streams, in the same form.
    """

    published: PublishedSet
    cited: Mapping[str, tuple[float, ...]]
    cited_together: float


SETS = {
    "ucf101": OfficialSet(
        UCF101,
        {"rgb": (77.4, 77.5, 77.0, 77.6, 79.6), "flow": (75.2, 78.3, 79.5, 79.1, 82.1)},
        89.2,
    ),
    "hmdb51": OfficialSet(HMDB51, {}, 56.4),
}


# more frames than any clip has: all are encoded, because a temporal crop can start anywhere
LONGEST = 2000
FINE_TUNING_FRAMES = 10  # of each clip, from which random frames are drawn


@dataclass(frozen=True)
class OfficialBudget:
    """The size of the experiments; the defaults are the published sizes.

    Args:
        name: a description for the page.
        training: training settings of every model.
        encoder, pretrained, size: the encoder of the features, and the side of its frames in
        pixels.
        published: use the models of `published`, with the settings of the authors' code.
        epochs: of some runs, by their names; the others have those of `training`.
        frames, crops: consecutive frames in a temporal crop, and crops that are averaged at test.
        hidden, head_units: channels of the recurrent part, and units of the layer before the
        classes.
        dropout: before the classes.
        lstm_dropout: dropout of `lstm` and `alstm`.
        classes: number of classes, in alphabetical order; 0: all.
        clips: maximum per class and split; 0: all.
        complete: require the published number of clips; a reduced copy of a set needs False.
        fine_tuning: how encoders are trained on frames of the split's training clips first; None:
            they are not.
    """

    name: str
    training: TrainConfig
    encoder: str = "vgg16"
    pretrained: bool = True
    size: int = 224
    published: bool = False
    epochs: Mapping[str, int] = field(default_factory=dict)
    frames: int = 30
    crops: int = 25
    hidden: int = 512
    head_units: int = 1024
    dropout: float = 0.7
    lstm_dropout: float = 0.5
    classes: int = 0
    clips: int = 0
    complete: bool = True
    fine_tuning: TrainConfig | None = None

    def features(self, streams: Modality) -> DataConfig:
        """How clips are sampled for the encoder of a stream."""
        return DataConfig(frames=30, size=self.size, modality=streams, translate=0.0, scale=0.0)

    def sampling(self, *streams: Modality) -> DataConfig:
        """How models see clips: as many frames as a temporal crop has, of a stream or of both."""
        data = replace(self.features(streams[-1]), frames=self.frames)
        return data if len(streams) == 1 else replace(data, modality="both")

    def settings(self, model: str, *streams: Modality) -> Settings:
        """All settings of a model on the features of a stream, or of both."""
        run = "-".join((model, *streams)) if len(streams) == 1 else model
        return complete(
            Settings(self.model_config(model), self.sampling(*streams), self.training_of(run))
        )

    def training_of(self, run: str) -> TrainConfig:
        """The training settings of a run, such as `convlstm-rgb` or `motion`."""
        return replace(
            self.training, epochs=self.epochs.get(run, self.training.epochs), features=True
        )

    def model_config(self, model: str) -> ModelConfig:
        """The settings of a model."""
        name = f"{PREFIX}{model}" if self.published and model != "convnet" else model
        dropout = self.lstm_dropout if model in ("lstm", "alstm") else self.dropout
        # a softmax on the features
        units = 0 if self.published and model == "convnet" else self.head_units
        return ModelConfig(
            name,
            self.encoder,
            self.pretrained,
            hidden=self.hidden,
            head_units=units,
            dropout=dropout,
        )


BUDGETS = {
    "quick": OfficialBudget(
        "quick: a few clips of five classes, to see that everything runs",
        TrainConfig(epochs=2, batch=8, label_smoothing=0.0, patience=0),
        crops=5,
        classes=5,
        clips=4,
        complete=False,
    ),
    "standard": OfficialBudget(
        "standard: 20 epochs", TrainConfig(epochs=20, batch=32, label_smoothing=0.0, patience=0)
    ),
    # The authors' code: no schedule and no gradient clipping.
    "full": OfficialBudget(
        "full: the settings of the authors' code, 200 to 400 epochs",
        TrainConfig(
            epochs=200,
            batch=128,
            lr=1e-3,
            optimizer="rmsprop",
            grad_clip=0.0,
            label_smoothing=0.0,
            patience=0,
        ),
        epochs=EPOCHS,
        published=True,
        # Steps this small preserve the ImageNet filters of a VGG-16 without normalization layers.
        fine_tuning=TrainConfig(epochs=8, batch=16, lr=1e-4),
    ),
}
