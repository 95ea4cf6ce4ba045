"""The settings of a run: one dataclass per group of options."""

import csv
import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from onlooker.base.settings import Config, setting
from onlooker.base.text import format_bytes

__all__ = ["DataConfig", "FitConfig", "ModelConfig", "Settings", "StreamConfig", "TrainConfig"]

Modality = Literal["rgb", "flow", "both"]
Eyes = Literal[
    "auto", "pictures", "motion", "actor", "both", "pictures+actor", "actor+motion", "all"
]
LayerEyes = Literal["auto", "pictures", "motion", "both"]  # motion counts, or the pictures, or both
View = Literal["pictures", "actor"]  # the whole frame, and a crop around what acts
Normalization = Literal["auto", "half", "imagenet", "lite0", "mnist"]
Loss = Literal["auto", "every", "last"]
ClipAggregation = Literal["mean", "product", "last"]
Aggregation = Literal["auto", ClipAggregation]
Precision = Literal["auto", "32", "bf16"]
ClassWeights = Literal["auto", "none", "balanced"]
When = Literal["auto", "states", "events"]

AUTO_ENCODER = "auto"
_SAMPLE = 1 << 32  # maximum bytes of one sample in uint8; float32 takes four times as many

# What an encoder sees, and what counts, for each setting of the eyes.
VIEWS: dict[Eyes, tuple[tuple[View, ...], LayerEyes]] = {
    "auto": (("pictures",), "auto"),
    "pictures": (("pictures",), "pictures"),
    "motion": (("pictures",), "motion"),
    "both": (("pictures",), "both"),
    "actor": (("actor",), "pictures"),
    "actor+motion": (("actor",), "both"),
    "pictures+actor": (("pictures", "actor"), "pictures"),
    "all": (("pictures", "actor"), "both"),
}

# Headings of `--help-all`, for options that few people need.
INPUT = "Model input"
MODEL = "Model"
TRAINING = "Training"
# settings of models that are trained by gradient descent
GRADIENT_MODEL = "Models trained by gradient descent (lstm, convalstm, ...)"
GRADIENT = "Gradient descent"
AUGMENTATION = "Gradient descent: augmentation of training clips"
CLIPS = "Clips and splits"
CONNECTION = "Cameras and live addresses"
ALERTS = "Pictures of events, and which events are sent"
_DAY = 24 * 60  # minutes
_TIME = r"((?:[01]?\d|2[0-3]):[0-5]\d|24:00)"
_QUIET = re.compile(rf"{_TIME}-{_TIME}", re.ASCII)


@dataclass(frozen=True)
class DataConfig(Config):
    """How a video becomes a sample."""

    frames: int = setting(
        16,
        "Equally spaced frames of each clip; a shorter clip repeats its last frame.",
        minimum=1,
        maximum=10_000,
    )
    size: int = setting(
        112,
        "Height and width in pixels to which frames are resized; default with lite0: 224.",
        minimum=8,
        maximum=4096,
    )
    modality: Modality = setting("rgb", "Model input: RGB frames, optical flow, or both.")
    eyes: Eyes = setting(
        "pictures",
        "What linear recognizes clips by: pictures (the sampled frames), motion (how things move between all frames), "
        "both of these, actor (the frames, cropped to what acts), pictures+actor, actor+motion, or all. auto, the "
        "default of linear: pictures, unless another one is clearly better in cross-validation.",
        added=True,
    )
    channels: int = setting(3, "3 for RGB frames, 1 for grayscale.", INPUT)
    normalization: Normalization = setting(
        "auto", "Pixel values; auto: that of pretrained weights, else half.", INPUT
    )
    translate: float = setting(
        0.1, "Maximum shift, as a fraction of the frame size.", AUGMENTATION, minimum=0, below=1
    )
    scale: float = setting(
        0.1,
        "Maximum change of scale: 0.1 shows 90 % to 110 % of a side.",
        AUGMENTATION,
        minimum=0,
        below=1,
    )
    degrees: float = setting(
        0.0, "Maximum rotation in degrees, either way.", AUGMENTATION, minimum=0, maximum=180
    )
    hflip: bool = setting(
        False, "Mirror half of the clips (wrong where left and right differ).", AUGMENTATION
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}, expected 1 (grayscale) or 3 (RGB)")
        if (needed := self.frames * self.size**2 * self.in_channels) > _SAMPLE:
            sizes = f"{format_bytes(needed)}, at most {format_bytes(_SAMPLE)} are possible"
            raise ValueError(
                f"frames is {self.frames}, size is {self.size}: {sizes}; use fewer frames, or smaller ones"
            )

    @property
    def views(self) -> tuple[View, ...]:
        """What a sample shows of each frame, in its channels."""
        return VIEWS[self.eyes][0] if self.modality == "rgb" else ("pictures",)

    @property
    def layer_eyes(self) -> LayerEyes:
        """Whether motion counts beside the views, or alone."""
        return VIEWS[self.eyes][1]

    def with_eyes(self, views: tuple[View, ...], layers: LayerEyes) -> "DataConfig":
        """With the eyes of these views and layers."""
        names = [name for name, eyes in VIEWS.items() if eyes == (views, layers)]
        return replace(self, eyes=names[0])

    @property
    def flow_limit(self) -> float:
        """Where displacements are clipped, in pixels of a sample: 20 in a frame of 256, as in
        two-stream papers.
        """
        return 20 * self.size / 256

    @property
    def flow_channels(self) -> int:
        """How many of a sample's last channels are optical flow: x and y."""
        return 0 if self.modality == "rgb" else 2

    @property
    def image_channels(self) -> int:
        """How many of a sample's first channels show the scene: the RGB or gray ones, or the flow
        if there are none.
        """
        return self.flow_channels if self.modality == "flow" else self.channels

    @property
    def in_channels(self) -> int:
        """All channels of a sample (C): RGB or gray of each view unless the modality is flow, then
        the flow if there is any.
        """
        return (
            0 if self.modality == "flow" else self.channels * len(self.views)
        ) + self.flow_channels


# Settings that augment the frames of training clips; stored features are not augmented.
AUGMENTING = frozenset(f.name for f in fields(DataConfig) if f.metadata["group"] == AUGMENTATION)


@dataclass(frozen=True)
class ModelConfig(Config):
    """Which model."""

    name: str = setting("linear", "The model; `onlooker models` lists them.")
    encoder: str = setting(
        "small",
        "Image encoder: lite0, small, conv4, or any timm network; NAME:vector pools its features to one vector. auto, "
        "the default of linear: lite0 for clips of 120 pixels or more, else small.",
    )
    pretrained: bool | None = setting(
        None,
        "Start the encoder from pretrained weights; default: if they are installed (lite0, small). Those "
        "of timm (ImageNet) are downloaded.",
    )
    weights: str = setting(
        "",
        "A .safetensors or .pth file of the weights of a timm network, in place of a download.",
        MODEL,
    )
    frozen: bool | None = setting(
        None,
        "Keep the encoder's weights; default: if they are pretrained and the input is RGB frames. Fine-tuning them "
        "(--no-frozen) takes several times as long, and needs more clips.",
        GRADIENT_MODEL,
    )
    hidden: int = setting(
        64, "Units or channels of the recurrent cell.", GRADIENT_MODEL, minimum=1, maximum=16_384
    )
    head_units: int = setting(
        0,
        "Units of a tanh layer before the output; 0: none.",
        GRADIENT_MODEL,
        minimum=0,
        maximum=65_536,
    )
    dropout: float = setting(
        0.5, "Dropout before the output layer.", GRADIENT_MODEL, minimum=0, below=1
    )
    attention_loss: bool = setting(
        False, "Auxiliary loss: the attended features alone must predict the class.", GRADIENT_MODEL
    )

    def settings(self) -> dict[str, Any]:
        """Arguments of `create_model`: all settings but the name and open choices (auto, None)."""
        given = {
            name: value for name, value in self.to_dict().items() if value not in (None, "auto")
        }
        own = {
            name: value
            for name, value in given.items()
            if name not in ("name", "frozen", "weights")
        }
        return own | ({"pretrained": self.weights} if self.weights else {})


@dataclass(frozen=True)
class SharedConfig(ModelConfig):
    """The models of a comparison, and the settings they share."""

    name: str = setting(
        "convnet,lstm,alstm,convalstm",
        "Comma-separated model names. NAME:flow (rgb, both): another modality than --modality.",
    )


@dataclass(frozen=True)
class FitConfig(Config):
    """How a model is fitted: the settings that all fitters have."""

    seed: int = setting(
        0, "Random seed of weights, clip order and augmentation.", minimum=0, maximum=2**32 - 1
    )
    class_weights: ClassWeights = setting(
        "auto",
        "balanced: classes weigh equally in the loss; none: by their clips; auto: none, but linear tries both if the "
        "largest class has more than five times the clips of the smallest.",
    )
    nothing: str | None = setting(
        None,
        "The class that is never reported as an event; default: the one named nothing, none, background, no_gesture, "
        "idle, ... '': no class is.",
    )
    features: bool = setting(
        False,
        "Train on stored features: the frozen encoder encodes each clip once for all trainings; no augmentation.",
        TRAINING,
    )
    precision: Precision = setting(
        "auto", "Floating-point precision; auto: bf16 where the hardware has it.", TRAINING
    )


@dataclass(frozen=True)
class TrainConfig(FitConfig):
    """How a model is trained by gradient descent."""

    epochs: int = setting(40, "Maximum number of epochs.", GRADIENT, minimum=1, maximum=1_000_000)
    batch: int | None = setting(
        None,
        "Batch size in clips; default: 16, or less so that an epoch has at least 8 batches.",
        GRADIENT,
        minimum=1,
    )
    lr: float = setting(1e-3, "Maximum learning rate.", GRADIENT, above=0)
    patience: int = setting(
        0, "Early-stopping patience, in epochs; 0: no early stopping.", GRADIENT, minimum=0
    )
    optimizer: Literal["adamw", "rmsprop"] = setting(
        "adamw",
        "adamw with a one-cycle learning rate (up, then along a cosine to zero); rmsprop: constant.",
        GRADIENT,
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", GRADIENT, minimum=0)
    grad_clip: float = setting(1.0, "Gradient-norm clipping; 0: none.", GRADIENT, minimum=0)
    label_smoothing: float = setting(0.1, "Label smoothing.", GRADIENT, minimum=0, below=1)
    loss: Loss = setting(
        "auto",
        "Cross entropy at every frame, or at the last frame only; auto: the model's default.",
        GRADIENT,
    )
    aggregation: Aggregation = setting(
        "auto",
        "Class probabilities of a clip: mean or normalized product over its frames, or those of the last one; auto: "
        "last with --loss last, else mean.",
        GRADIENT,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "last" and self.aggregation in ("mean", "product"):
            raise ValueError(
                f"aggregation is {self.aggregation!r} and loss is 'last': only the last frame is trained to predict "
                "the class; use loss every, or aggregation auto"
            )

    @property
    def resolved_aggregation(self) -> ClipAggregation:
        """The aggregation, with `auto` resolved."""
        if self.aggregation != "auto":
            return self.aggregation
        return "last" if self.loss == "last" else "mean"


class Settings(NamedTuple):
    """All settings of a training; `training` is of the class that its fitter names
    (`training.fitters`).
    """

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: FitConfig = TrainConfig()

    @property
    def with_defaults(self) -> "Settings":
        """The settings with `auto` replaced: by the default encoder, and by pictures and motion."""
        model, data, _ = self
        if model.encoder == AUTO_ENCODER:
            model = replace(model, encoder=ModelConfig.encoder)
        if data.eyes == "auto":
            data = replace(data, eyes="both")
        return self._replace(model=model, data=data)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values by group, for JSON."""
        return {
            "model": self.model.to_dict(),
            "data": self.data.to_dict(),
            "training": self.training.to_dict(),
        }


@dataclass(frozen=True)
class StreamConfig(Config):
    """How frames are read from a camera, an address or a file as they arrive, when an event is
    reported, and what is kept and sent of it.
    """

    rate: float | None = setting(
        None,
        "Frames per second that the model receives; default: as in training; 0: every frame.",
        minimum=0,
    )
    frame_rate: float | None = setting(
        None,
        "Frames per second of a source whose frames have no times: raw video (also by a pipe or a network), images.",
        CONNECTION,
        minimum=0.1,
        maximum=1000,
    )
    drop: Literal["latest", "none"] = setting(
        "latest",
        "If a live source is faster than the model: latest skips to the newest frame, none skips no frame.",
        CONNECTION,
    )
    timeout: float = setting(
        10.0, "Seconds without data before the connection counts as lost.", CONNECTION, above=0
    )
    attempts: int = setting(
        5,
        "Attempts to reconnect to a source that was lost; -1: no limit, not even at the start.",
        CONNECTION,
        minimum=-1,
    )
    wait: float = setting(
        0.5,
        "Seconds before the first attempt to reconnect; doubled for each further one, up to 30.",
        CONNECTION,
        minimum=0,
    )
    alarms_per_hour: float = setting(
        6.0,
        "Accepted false alarms per hour, by the streams of training; it determines the score of reported events.",
        minimum=0,
    )
    snapshots: str = setting(
        "",
        "A folder for a picture and a clip of each event, which its messages name; see --help-all.",
    )
    snapshot_days: float = setting(
        14.0, "Days after which pictures and clips of --snapshots are removed.", ALERTS, above=0
    )
    snapshot_gb: float = setting(2.0, "Gigabytes of them; the oldest are removed.", ALERTS, above=0)
    alert_classes: str = setting(
        "",
        "Comma-separated classes whose events are sent to https and mqtt addresses; files have all. Default: all.",
        ALERTS,
    )
    alert_pause: float = setting(
        0.0,
        "Seconds after the start of an event that was sent in which no other of its class and source is sent.",
        ALERTS,
        minimum=0,
    )
    quiet_hours: str = setting(
        "",
        "Local time in which no event is sent, such as 22:00-7:00; several with commas.",
        ALERTS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.is_quiet(0)

    def is_quiet(self, minute: int) -> bool:
        """Whether a minute of the day, 0 to 1439, is in the quiet hours."""
        for text in names_of(self.quiet_hours):
            parts = _QUIET.fullmatch(text)
            if parts is None:
                raise ValueError(
                    f"quiet_hours is {text!r}, expected times of the day as in 22:00-7:00"
                )
            start, end = (_minute(time) for time in parts.groups())
            if (minute - start) % _DAY < ((end - start) % _DAY or _DAY):
                return True
        return False


def _minute(time: str) -> int:
    """The minute of the day of a time such as 22:00."""
    hours, minutes = time.split(":")
    return 60 * int(hours) + int(minutes)


@dataclass(frozen=True)
class SetConfig(Config):
    """Which clips of a folder or list."""

    classes: str = setting(
        "",
        "Comma-separated classes to use, a name with a comma in double quotes; default: all.",
        CLIPS,
    )
    subject: str = setting(
        "",
        "Comma-separated subjects of a list to use, such as one of two animals; default: all.",
        CLIPS,
    )
    tier: str = setting(
        "",
        "Comma-separated tiers of a list to use, such as posture of posture and action; default: all.",
        CLIPS,
    )
    fill: str | None = setting(
        None,
        "Class of examples from the gaps in a list with times; '': none. Default: nothing, in training, unless another "
        "class means that nothing happens.",
        CLIPS,
    )
    divide: bool = setting(
        False,
        "If a class has a single recording, divide it by time; its test says nothing about others.",
        CLIPS,
    )
    when: When = setting(
        "auto",
        "What a list with times is fitted for, by the model linear: states, of which one goes on at every moment, or "
        "events with pauses between them; auto: states if its intervals cover 30 % of at least three recordings.",
        CLIPS,
    )
    scenes: bool = setting(
        True,
        "Clips of one scene without a recording are one recording; --no-scenes: they are independent.",
        CLIPS,
    )


def names_of(text: str) -> list[str]:
    """The names in a setting such as `SetConfig.classes`: separated by commas, those with a comma in double quotes."""
    names = next(csv.reader([text], skipinitialspace=True), [])
    return [name.strip() for name in names if name.strip()]
