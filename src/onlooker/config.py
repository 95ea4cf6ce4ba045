"""The settings of a run: one dataclass per group of options. A field's sentence is its documentation and its help text,
its type and bounds are its validation."""

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin

from onlooker.files import format_bytes

__all__ = [
    "Aggregation", "Config", "DataConfig", "FlowMethod", "Glimpse", "Loss", "Modality", "ModelConfig",
    "Normalization", "Precision", "SetConfig", "SharedConfig", "StreamConfig", "TrainConfig", "choices", "setting",
    "suggestion",
]  # fmt: skip

Modality = Literal["rgb", "flow", "both"]
FlowMethod = Literal["dis", "farneback", "tvl1", "raft", "raft:large"]
Normalization = Literal["auto", "half", "imagenet", "kinetics", "mnist", "mvit"]
Glimpse = Literal["auto", "product", "scaled", "sum"]
Loss = Literal["auto", "every", "last"]
Aggregation = Literal["auto", "mean", "product", "last"]
Precision = Literal["auto", "32", "bf16"]

# Settings that older runs and results do not have. They are left out if they are off, so that older files stay valid.
_ADDED = {"mixup", "ema"}
_SAMPLE = 1 << 32  # maximum bytes of one sample in uint8; float32 takes four times as many

# Headings of `--help` for options that few people need first.
INPUT, FLOW, AUGMENTATION = "Model input", "Optical flow", "Augmentation of training clips"
MODEL, TRAINING, CLIPS, CONNECTION = "Model", "Training", "Clips and splits", "Cameras and live addresses"


def setting(default: Any, help: str, group: str | None = None, **bounds: float) -> Any:
    """A dataclass field with the sentence that explains it.

    Args:
        group: its heading in `--help`; None: among the options that people need first.
        bounds: of a number: `minimum` or `above`, and `maximum` or `below`.
    """
    return field(default=default, metadata={"help": help, "group": group, "bounds": bounds})


def suggestion(name: str, known: Sequence[str]) -> str:
    """For an error about an unknown name: all known names, after the closest ones."""
    close = difflib.get_close_matches(name, known, 2)
    return (f"did you mean {' or '.join(close)}? There are " if close else "there are ") + ", ".join(known)


def choices(kind: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, or of one that may be None; none for any other type."""
    if len(inner := get_args(kind)) == 2 and inner[1] is type(None):
        return get_args(inner[0])
    return inner


def check_type(name: str, value: Any, kind: Any) -> None:
    """Raise a ValueError unless a value that came from a file is of a type, such as `list[str]` or a `Literal`."""
    if not _has_type(value, kind):
        raise ValueError(f"{name} is {reprlib.repr(value)}, expected {_in_words(kind)}")


def field_of(values: dict[str, Any], name: str, kind: Any) -> Any:
    """A value of a file, of a type; a KeyError if there is none, a ValueError for another type."""
    check_type(name, values[name], kind)
    return values[name]


def _has_type(value: Any, kind: Any) -> bool:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin in (Union, UnionType):
        return any(_has_type(value, each) for each in args)
    if origin is list:
        return isinstance(value, list) and all(_has_type(each, args[0]) for each in value)
    if kind in (int, float):  # a bool is a number in Python
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return (origin or kind) not in _WORDS or isinstance(value, origin or kind)


def _in_words(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"{', '.join(args[:-1])} or {args[-1]}"
    if args and origin is not list:
        return " or ".join(map(_in_words, args))
    return _WORDS.get(kind, str(kind))


@dataclass(frozen=True)
class Config:
    """A group of options: values of other types, or outside of their choices or bounds, raise a ValueError."""

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value, bounds = getattr(self, each.name), each.metadata["bounds"]
            if not _has_type(value, each.type):
                expected = _in_words(each.type)
            elif bounds and value is not None and not _within(value, **bounds):
                expected = _interval(**bounds)
            else:
                continue
            raise ValueError(f"{each.name} is {reprlib.repr(value)}, expected {expected}. {each.metadata['help']}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A config from plain values; a ValueError for an unknown setting, or one out of its range."""
        known = {f.name for f in dataclasses.fields(cls)}
        for unknown in sorted(set(values) - known):
            raise ValueError(f"{cls.__name__} has no setting {unknown}; {suggestion(unknown, sorted(known))}")
        return cls(**values)

    @classmethod
    def from_field(cls, values: dict[str, Any], name: str) -> Self:
        """A config from a field of a JSON file; a ValueError if a setting other than `_ADDED` is missing or invalid."""
        stored = field_of(values, name, dict)
        if missing := sorted({f.name for f in dataclasses.fields(cls)} - {*stored, *_ADDED}):
            raise ValueError(f"{name} has no {', '.join(missing)}")
        return cls.from_dict(stored)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name not in _ADDED}


def _within(value: float, minimum: float = -math.inf, maximum: float = math.inf, **strict: float) -> bool:
    above, below = strict.get("above", -math.inf), strict.get("below", math.inf)
    return minimum <= value <= maximum and above < value < below


def _interval(**bounds: float) -> str:
    words = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}
    return " and ".join(f"{words[name]} {limit}" for name, limit in bounds.items())


_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "none", dict: "{…}"}
_WORDS |= {list[str]: "a list of texts", list[float]: "a list of numbers", list[dict[str, Any]]: "a list of {…}"}


@dataclass(frozen=True)
class DataConfig(Config):
    """How a video becomes a sample."""

    frames: int = setting(
        16, "Equally spaced frames of each clip; a shorter clip repeats its last frame.", minimum=1, maximum=10_000
    )
    size: int = setting(112, "Height and width in pixels to which frames are resized.", minimum=8, maximum=4096)
    modality: Modality = setting("rgb", "Model input: RGB frames, optical flow, or both.")
    channels: int = setting(3, "3 for RGB frames, 1 for grayscale.", INPUT)
    temporal_crops: int = setting(
        0,
        "Temporal crops of consecutive frames: training takes a random one, testing averages this number of them "
        "(VideoLSTM: 25); 0: frames from the whole clip.",
        INPUT,
        minimum=0,
        maximum=10_000,
    )
    motion_crop: float = setting(
        0.0,
        "Crop a square that follows the motion, for a fixed camera and small objects: its side as a fraction of the "
        "frame's shorter side; 0: whole frames.",
        INPUT,
        minimum=0,
        maximum=1,
    )
    normalization: Normalization = setting("auto", "Pixel values; auto: that of pretrained weights, else half.", INPUT)
    flow: FlowMethod = setting("dis", "Method that computes optical flow.", FLOW)
    flow_length: int = setting(
        1, "Flow fields stacked at each frame; 10 in two-stream networks.", FLOW, minimum=1, maximum=100
    )
    translate: float = setting(0.1, "Maximum shift, as a fraction of the frame size.", AUGMENTATION, minimum=0, below=1)
    scale: float = setting(0.1, "Maximum change of scale: 0.1 is from 90 % to 110 %.", AUGMENTATION, minimum=0, below=1)
    degrees: float = setting(
        0.0, "Maximum rotation in degrees, in either direction.", AUGMENTATION, minimum=0, maximum=180
    )
    speed: float = setting(0.0, "Maximum change of speed: 0.2 is ±20 %.", AUGMENTATION, minimum=0, below=1)
    hflip: bool = setting(False, "Mirror half of the clips (wrong where left and right differ).", AUGMENTATION)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}, expected 1 (grayscale) or 3 (RGB)")
        if (needed := self.frames * self.size**2 * self.in_channels) > _SAMPLE:
            given = f"frames is {self.frames}, size is {self.size}, with {self.in_channels} channels"
            sizes = f"a sample of {format_bytes(needed)}, at most {format_bytes(_SAMPLE)}"
            raise ValueError(f"{given}: {sizes}; use fewer frames, or smaller ones")

    @property
    def flow_limit(self) -> float:
        """Where displacements are clipped, in pixels of a sample: 20 in a frame of 256, as in two-stream papers."""
        return 20 * self.size / 256 / (self.motion_crop or 1)

    @property
    def flow_channels(self) -> int:
        """How many of a sample's last channels are optical flow: x and y of each field."""
        return 0 if self.modality == "rgb" else 2 * self.flow_length

    @property
    def image_channels(self) -> int:
        """How many of a sample's first channels show the scene: the RGB or gray ones, or the flow if there are none."""
        return self.flow_channels if self.modality == "flow" else self.channels

    @property
    def in_channels(self) -> int:
        """All channels of a sample (C): RGB or gray unless the modality is flow, then the flow if there is any."""
        return (0 if self.modality == "flow" else self.channels) + self.flow_channels


@dataclass(frozen=True)
class ModelConfig(Config):
    """Which model."""

    name: str = setting("linear", "The model; `onlooker models` lists them.")
    encoder: str = setting(
        "small",
        "Image encoder: small, conv4, or any timm network such as vgg16; NAME:vector: pooled to one vector.",
    )
    pretrained: bool | None = setting(
        None,
        "Start the encoder from pretrained weights; default: if they are installed (small). For timm networks these "
        "are ImageNet weights, which are downloaded.",
    )
    frozen: bool | None = setting(
        None,
        "Freeze the encoder's weights; default: if they are pretrained and the input is RGB frames. Fine-tuning "
        "(--no-frozen) takes several times as long, and needs more clips.",
        MODEL,
    )
    hidden: int = setting(64, "Units or channels of the recurrent cell.", MODEL, minimum=1, maximum=16_384)
    head_units: int = setting(
        0, "Units of a tanh layer before the output layer; 0: none.", MODEL, minimum=0, maximum=65_536
    )
    dropout: float = setting(0.5, "Dropout before the output layer.", MODEL, minimum=0, below=1)
    init: Literal["zeros", "first-frame", "clip-mean"] = setting(
        "zeros", "Initial state: zeros, or from the first frame or all frames (clip-mean).", MODEL
    )
    attention_loss: bool = setting(False, "Auxiliary loss: attended features alone must predict the class.", MODEL)
    cell: str = setting("auto", "Recurrent cell, such as lstm, convlstm, separable; auto: the model's default.", MODEL)
    glimpse: Glimpse = setting(
        "auto",
        "Input of the cell: product (attention × features, as published), scaled (× number of locations), or sum (one "
        "vector); auto: the model's default.",
        MODEL,
    )

    def settings(self) -> dict[str, Any]:
        """Arguments of `create_model`: all settings but the name and those that are left open (auto, None)."""
        values = self.to_dict()
        del values["name"], values["frozen"]
        return {
            name: value
            for name, value in values.items()
            if value is not None and (name not in RECIPE_SETTINGS or value != "auto")
        }


# Settings that a model's recipe decides unless they are given.
RECIPE_SETTINGS = ("cell", "glimpse")


@dataclass(frozen=True)
class SharedConfig(ModelConfig):
    """The models of a comparison, and the settings they share."""

    name: str = setting(
        "convnet,lstm,alstm,convalstm",
        "Comma-separated model names. NAME:flow (rgb, both): another modality than --modality; NAME:hidden=32: another "
        "setting; ensemble: motion and convlstm:flow together, or ensemble=NAME+NAME.",
    )


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a model is trained."""

    epochs: int = setting(40, "Maximum number of epochs.", minimum=1, maximum=1_000_000)
    batch: int | None = setting(
        None, "Batch size in clips; default: 16, or less so that an epoch has at least 8 batches.", minimum=1
    )
    lr: float = setting(1e-3, "Learning rate: the maximum of the schedule.", above=0)
    patience: int = setting(
        0, "Early-stopping patience, in epochs; 0: no early stopping, as a schedule ends with small steps.", minimum=0
    )
    seed: int = setting(0, "Random seed of weights, clip order and augmentation.", minimum=0, maximum=2**32 - 1)
    optimizer: Literal["adamw", "rmsprop", "rmsprop-inside", "adadelta"] = setting(
        "adamw",
        "Optimizer; papers of 2016 use rmsprop or adadelta. rmsprop-inside: with epsilon inside the root.",
        TRAINING,
    )
    schedule: Literal["auto", "one-cycle", "cosine", "constant"] = setting(
        "auto",
        "Learning-rate schedule: one-cycle (up, then a cosine to zero), cosine or constant; auto: one-cycle for adamw, "
        "else constant.",
        TRAINING,
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", TRAINING, minimum=0)
    grad_clip: float = setting(1.0, "Gradient-norm clipping; 0: none.", TRAINING, minimum=0)
    label_smoothing: float = setting(0.1, "Label smoothing.", TRAINING, minimum=0, below=1)
    mixup: float = setting(
        0.0, "Alpha of mixup, which mixes pairs of clips and their losses; 0: none.", TRAINING, minimum=0, maximum=1000
    )
    ema: float = setting(
        0.0,
        "Decay of an exponential moving average of the weights, which becomes the model; 0: none.",
        TRAINING,
        minimum=0,
        below=1,
    )
    loss: Loss = setting(
        "auto", "Cross entropy at every frame, or at the last frame only; auto: the model's default.", TRAINING
    )
    aggregation: Aggregation = setting(
        "auto",
        "Class probabilities of a clip: mean or normalized product over its frames, or those of the last frame; auto: "
        "last with --loss last, else mean.",
        TRAINING,
    )
    attention_regularization: float = setting(
        0.0, "Weight of the doubly stochastic attention penalty: attention sums to 1 over time.", TRAINING, minimum=0
    )
    precision: Precision = setting("auto", "Floating-point precision; auto: bf16 where the hardware has it.", TRAINING)
    workers: int = setting(
        0, "Worker processes that load clips; 0: load in the main process.", TRAINING, minimum=0, maximum=1024
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "last" and self.aggregation in ("mean", "product"):
            raise ValueError(
                f"aggregation is {self.aggregation!r} and loss is 'last': only the last frame is trained to predict "
                "the class; use loss every, or aggregation auto"
            )
        if self.mixup and self.batch == 1:
            raise ValueError(f"mixup is {self.mixup}, and batch is 1: it mixes the clips of a batch; use at least 2")

    @property
    def resolved_aggregation(self) -> Literal["mean", "product", "last"]:
        """The aggregation, with `auto` resolved."""
        if self.aggregation != "auto":
            return self.aggregation
        return "last" if self.loss == "last" else "mean"


@dataclass(frozen=True)
class StreamConfig(Config):
    """How frames are read from a camera, an address or a file as they arrive, and when an event is reported."""

    rate: float | None = setting(
        None,
        "Frames per second that the model receives; default: as in training; 0: every frame.",
        minimum=0,
    )
    drop: Literal["latest", "none"] = setting(
        "latest",
        "If a live source is faster than the model: latest skips to the newest frame, none processes every frame with "
        "a delay. Recordings are always processed in full.",
        CONNECTION,
    )
    timeout: float = setting(10.0, "Seconds without data before the connection counts as lost.", CONNECTION, above=0)
    attempts: int = setting(
        5, "Consecutive attempts to reconnect to a source that was lost; -1: without limit.", CONNECTION, minimum=-1
    )
    wait: float = setting(
        0.5,
        "Seconds before the first attempt to reconnect; doubled for each further one, up to 30.",
        CONNECTION,
        minimum=0,
    )
    threshold: float | None = setting(
        None,
        "Minimum probability of an event; below it the answer is nothing. Default: the threshold of the run, which has "
        "one if one of its classes is none, nothing or background.",
        minimum=0,
        maximum=1,
    )
    agreement: int = setting(
        3, "With a threshold: consecutive frames in which an event must reach it to be reported.", minimum=1
    )
    wait_for_source: bool = setting(
        False, "Wait for a camera or address that does not answer at the start, as for one that was lost.", CONNECTION
    )


@dataclass(frozen=True)
class SetConfig(Config):
    """Which clips of a folder or list; or a published data set in its own layout."""

    set: Literal["hmdb51", "jhmdb", "ucf101"] | None = setting(None, "A published data set, in its own layout.", CLIPS)
    split: int = setting(1, "Its official split: 1, 2 or 3.", CLIPS)
    lists: str = setting("", "Folder of its official split files, if they are elsewhere.", CLIPS)
    classes: str = setting("", "Classes to use, separated by commas; default: all.", CLIPS)
    complete: bool = setting(True, "Require all published clips; --no-complete allows a partial copy.", CLIPS)

    def __post_init__(self) -> None:
        super().__post_init__()
        unused = [name for name in ("split", "lists", "complete") if getattr(self, name) != getattr(SetConfig, name)]
        if unused and not self.set:
            raise ValueError(f"{' and '.join(unused)} without a published set; give --set, or leave it out")

    @property
    def class_names(self) -> list[str]:
        """`classes` as a list."""
        return [name.strip() for name in self.classes.split(",") if name.strip()]
