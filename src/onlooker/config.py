"""Every setting of a run, once: the sentence beside a field is its documentation and its command line help."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Self

# The names in `video.flow.FLOWS`, which this floor cannot see.
FLOWS = ("dis", "farneback", "tvl1", "raft", "raft:large")


def setting(default: Any, help: str) -> Any:
    """A dataclass field with the sentence that explains it."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class _Config:
    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Made from plain values, as they lie in a JSON file; a name that is not a setting is an error."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"{cls.__name__} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class DataConfig(_Config):
    """How a video becomes a sample."""

    frames: int = setting(30, "Frames taken from each clip, equally spaced; a shorter clip repeats its last frame.")
    windows: int = setting(
        0,
        "Windows of consecutive frames that are averaged at test, 25 in VideoLSTM; training draws one. 0: none.",
    )
    size: int = setting(64, "Height and width in pixels that each whole frame is resized to.")
    channels: int = setting(3, "3 for color, 1 for gray.")
    motion_crop: float = setting(
        0.0,
        "Instead of whole frames, see a window that follows what moves: its side, as a share of the frame's shorter "
        "one. For a camera that stands still and a small thing. 0: whole frames.",
    )
    modality: str = setting("rgb", "What the model sees: rgb (the picture), flow (optical flow), or both.")
    flow: str = setting("dis", "Optical flow by dis, farneback, tvl1, raft or raft:large.")
    flow_length: int = setting(1, "Fields of flow stacked at each frame, from it on; two-stream papers take 10.")
    normalization: str = setting("auto", "half, imagenet, mnist, or auto: imagenet for pretrained encoders, else half.")
    translate: float = setting(0.1, "Augmentation: largest shift of a training clip, as a share of its side.")
    scale: float = setting(0.1, "Augmentation: largest change of scale of a training clip.")
    degrees: float = setting(0.0, "Augmentation: largest turn of a training clip, in degrees to either side.")
    speed: float = setting(
        0.0, "Augmentation: largest change of speed of a training clip: 0.2 is up to a fifth faster or slower."
    )
    hflip: bool = setting(False, "Augmentation: mirror half of the training clips (wrong where left and right differ).")

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}, expected at least 1")
        if self.windows < 0:
            raise ValueError(f"windows is {self.windows}, expected 0 (equally spaced frames) or more")
        if self.size < 8:
            raise ValueError(f"size is {self.size}, expected at least 8 pixels")
        if not 0 <= self.motion_crop <= 1:
            raise ValueError(
                f"motion_crop is {self.motion_crop}, expected a share of the frame from 0 (whole frames) to 1"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}, expected 1 (gray) or 3 (color)")
        if self.modality not in ("rgb", "flow", "both"):
            raise ValueError(f"modality is {self.modality!r}, expected rgb, flow or both")
        if self.flow not in FLOWS:
            raise ValueError(f"flow is {self.flow!r}, expected one of {', '.join(FLOWS)}")
        if self.flow_length < 1:
            raise ValueError(f"flow_length is {self.flow_length}, expected at least 1")
        if not (0 <= self.translate < 1 and 0 <= self.scale < 1):
            raise ValueError(
                f"translate is {self.translate} and scale is {self.scale}, expected at least 0 and below 1"
            )
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees is {self.degrees}, expected degrees from 0 (none) to 180")
        if not 0 <= self.speed < 1:
            raise ValueError(f"speed is {self.speed}, expected a share from 0 (none), below 1")

    @property
    def flow_limit(self) -> float:
        """Where displacements are clipped, in pixels of a sample: 20 in a frame of 256, as two-stream papers do."""
        return 20 * self.size / 256 / (self.motion_crop or 1)

    @property
    def flow_channels(self) -> int:
        """How many of a sample's channels, the last, are optical flow: x and y of each field."""
        return 0 if self.modality == "rgb" else 2 * self.flow_length

    @property
    def picture_channels(self) -> int:
        """How many of a sample's channels, the first, show where things are: the picture's, or all if it has none."""
        return self.flow_channels if self.modality == "flow" else self.channels

    @property
    def in_channels(self) -> int:
        """All channels of a sample (C): those of the picture, unless only flow is seen, then those of the flow."""
        return (0 if self.modality == "flow" else self.channels) + self.flow_channels


@dataclass(frozen=True)
class ModelConfig(_Config):
    """Which model."""

    name: str = setting("convalstm", "The model, by its name in `onlooker models`.")
    encoder: str = setting("conv4", "conv4, lenet, stn, dcn, any timm network such as vgg16, or NAME:vector.")
    hidden: int = setting(64, "Units or channels of the recurrent part.")
    head_units: int = setting(0, "Width of a tanh layer before the classes; 0: none.")
    dropout: float = setting(0.5, "Dropout before the classes.")
    init: str = setting("zeros", "State before the first frame: zeros, first-frame, or clip-mean (looks ahead).")
    attention_loss: bool = setting(False, "In training, what is attended must tell the class by itself: steadier maps.")
    pretrained: bool = setting(False, "Start the encoder from ImageNet weights (timm networks).")
    cell: str = setting("auto", "The memory: separable (cheaper than convlstm), lstm, ...; auto: the model's own.")
    glimpse: str = setting(
        "auto",
        "What the memory sees of an attended frame: product (attention × features, as published), scaled (× the number "
        "of places), sum (one vector); auto: the model's own.",
    )

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.head_units < 0:
            raise ValueError(f"hidden is {self.hidden} and head_units is {self.head_units}, expected positive numbers")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, expected at least 0 and below 1")

    def settings(self) -> dict[str, Any]:
        """All but the name: the arguments of `create_model` that differ from the named recipe."""
        values = self.to_dict()
        del values["name"]
        return {name: value for name, value in values.items() if name not in OWN or value != "auto"}


# What a model is made of by its name, unless it is said.
OWN = ("cell", "glimpse")


@dataclass(frozen=True)
class SharedConfig(ModelConfig):
    """The models of a comparison, and what they share."""

    name: str = setting(
        "convnet,lstm,alstm,convalstm",
        "Names of models, with commas; NAME:flow (rgb, both) sees other streams than --modality; fused: motion and "
        "convlstm:flow together, or fused=NAME+NAME.",
    )


@dataclass(frozen=True)
class TrainConfig(_Config):
    """How a model is fitted."""

    epochs: int = setting(40, "Times that training goes through all clips, at most.")
    batch: int = setting(16, "Clips in a batch.")
    optimizer: str = setting("adamw", "adamw; or, as papers of 2016 have it, rmsprop or adadelta.")
    lr: float = setting(1e-3, "Learning rate, the highest of its schedule.")
    schedule: str = setting(
        "auto",
        "one-cycle (up, then by a cosine to zero), cosine, constant; auto: one-cycle for adamw, else constant.",
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW.")
    grad_clip: float = setting(1.0, "Largest norm of the gradient, which is shortened to it; 0: any.")
    label_smoothing: float = setting(0.1, "Label smoothing.")
    patience: int = setting(15, "Epochs without a better validation loss after which training stops; 0: never.")
    loss: str = setting("every", "Cross entropy at every frame, or at the last one alone: every or last.")
    aggregation: str = setting(
        "auto",
        "A clip's probabilities: the mean of its frames', their product (for frames judged each by itself), or the "
        "last; auto: last where the loss is, else mean.",
    )
    attention_regularization: float = setting(
        0.0, "Weight of the doubly stochastic penalty: every place is to be looked at once."
    )
    seed: int = setting(0, "Seed of the weights, the order of the clips, and the augmentation.")
    precision: str = setting("auto", "32, bf16, or auto: bf16 where the hardware computes in it.")
    workers: int = setting(0, "Processes that read clips beside the training; 0: none.")

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"epochs is {self.epochs} and batch is {self.batch}, expected at least 1 of each")
        if self.lr <= 0:
            raise ValueError(f"lr is {self.lr}, expected a positive number")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing is {self.label_smoothing}, expected at least 0 and below 1")
        if min(self.weight_decay, self.grad_clip, self.patience, self.workers, self.seed) < 0:
            raise ValueError(
                f"weight_decay is {self.weight_decay}, grad_clip {self.grad_clip}, patience {self.patience}, workers "
                f"{self.workers} and seed {self.seed}, expected none of them negative"
            )
        if self.loss not in ("every", "last"):
            raise ValueError(f"loss is {self.loss!r}, expected every or last")
        if self.aggregation not in ("auto", "mean", "product", "last"):
            raise ValueError(f"aggregation is {self.aggregation!r}, expected auto, mean, product or last")
        if self.loss == "last" and self.aggregation in ("mean", "product"):
            raise ValueError(
                f"aggregation is {self.aggregation!r} and loss is 'last': only the last frame learned to answer; use "
                "loss every, or aggregation auto"
            )
        if self.attention_regularization < 0:
            raise ValueError(f"attention_regularization is {self.attention_regularization}, expected 0 (none) or more")
        if self.optimizer not in ("adamw", "rmsprop", "adadelta"):
            raise ValueError(f"optimizer is {self.optimizer!r}, expected adamw, rmsprop or adadelta")
        if self.schedule not in ("auto", "one-cycle", "cosine", "constant"):
            raise ValueError(f"schedule is {self.schedule!r}, expected auto, one-cycle, cosine or constant")
        if self.precision not in ("auto", "32", "bf16"):
            raise ValueError(f"precision is {self.precision!r}, expected auto, 32 or bf16")

    @property
    def judged_by(self) -> str:
        """The aggregation, with `auto` decided."""
        if self.aggregation != "auto":
            return self.aggregation
        return "last" if self.loss == "last" else "mean"


@dataclass(frozen=True)
class StreamConfig(_Config):
    """How frames are taken from a camera, an address or a file while they come."""

    rate: float = setting(0.0, "Frames a second that the model sees; 0: every frame that comes.")
    drop: str = setting(
        "latest",
        "When cameras and live addresses are faster than the model: latest (it sees the newest frame), none (all of "
        "them, late). Of recordings it always sees all.",
    )
    timeout: float = setting(10.0, "Seconds without an answer after which an address counts as lost.")
    attempts: int = setting(5, "New connections in a row, without a frame, to what had sent frames before it was lost.")
    wait: float = setting(0.5, "Seconds before the first new connection; each further wait is twice as long, up to 30.")

    def __post_init__(self) -> None:
        if not (self.rate >= 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate is {self.rate}, expected frames a second, or 0 for every frame")
        if self.drop not in ("latest", "none"):
            raise ValueError(f"drop is {self.drop!r}, expected latest or none")
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"timeout is {self.timeout}, expected a positive number of seconds")
        if self.attempts < 0 or not self.wait >= 0:
            raise ValueError(f"attempts is {self.attempts} and wait is {self.wait}, expected none of them negative")


@dataclass(frozen=True)
class SetConfig(_Config):
    """A published data set in its own layout, and which part of it."""

    set: str = setting("", "The clips are a published set in its own layout: hmdb51, ucf101 or kinetics.")
    split: int = setting(1, "With --set: which of its official splits, 1, 2 or 3; Kinetics has one.")
    lists: str = setting("", "With --set: the folder of its split files, where they are not in the set's own.")
    classes: str = setting("", "With --set: names of classes, with commas, where not all are wanted.")
    complete: bool = setting(True, "With --set: insist on as many clips as were published; a cut-down copy has fewer.")

    def __post_init__(self) -> None:
        idle = [f.name for f in dataclasses.fields(self)[1:] if getattr(self, f.name) != f.default]
        if idle and not self.set:
            raise ValueError(f"{' and '.join(idle)} without a published set; say which (--set), or leave it out")

    @property
    def class_names(self) -> list[str]:
        """`classes`, one by one."""
        return [name.strip() for name in self.classes.split(",") if name.strip()]
