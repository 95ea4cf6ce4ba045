"""The interface of a model: class scores at every frame of a video, plain arguments, saved files
without code.
"""

import hashlib
import inspect
import json
import math
import os
import reprlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self, cast

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from onlooker.base.files import RECORD, check_digest, check_regular, read_json, reading
from onlooker.base.settings import check_type
from onlooker.base.text import format_bytes
from onlooker.models.cells import CELLS
from onlooker.models.cells.attentive import ATTENTIONS
from onlooker.models.encoders import ENCODERS, Encoder, encoder_terms
from onlooker.models.encoders.engine import encode
from onlooker.models.encoders.graph import weights_digest
from onlooker.models.heads import OF_PICTURES, STATES_BY, Heads

__all__ = ["NO_OTHERS", "Others", "Output", "VideoModel", "count_parameters", "make_head"]

# A forked process lacks the threads that OpenMP has started in its parent, and would wait for them
# forever; with one thread, PyTorch asks for no others.
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

WEIGHTS = "model.safetensors"
# Sizes above which weights may fill the memory. Each feature of an eye has one weight for each
# class.
_LARGE = 511
NO_EVENT = -30.0  # `Windows.whole` of a window that is not complete, or unlike training
Others = Mapping[str, Tensor]  # features of the eyes besides pictures, by name
NO_OTHERS: Others = MappingProxyType({})
_MANY_FEATURES = 1 << 14


class Windows(NamedTuple):
    """Scores before softmax and sigmoid of the `L` windows that end at a frame
    (`LinearClassifier.lengths`).

    Args:
        whole: that a window is one whole event, `B T L`, or `B L` of a step.
        logits: class scores, `B T L K` or `B L K`.
    """

    whole: Tensor
    logits: Tensor

    @property
    def possible(self) -> Tensor:
        """Whether a window can be an event: it is complete, and not unlike training, `… L`."""
        return self.whole > NO_EVENT

    @property
    def scores(self) -> Tensor:
        """The probability that a window is one whole event, of each class: `… L K`."""
        return self.whole.float().sigmoid()[..., None] * self.logits.float().softmax(-1)

    def where(self, rows: Tensor, other: "Windows") -> "Windows":
        """These windows for the streams where `rows`, `B`, is true, and `other` for the rest."""
        return Windows(
            self.whole.where(rows[:, None], other.whole),
            self.logits.where(rows[:, None, None], other.logits),
        )


class Output(NamedTuple):
    """What every model returns, for whole videos and for steps.

    Args:
        logits: class scores before the softmax, `B T K`; of a step, `B K`.
        attention: `B T h w` or `B h w`, sums to one over `h w`; None for a model without attention.
            With several views, `B T V h w` or `B V h w`, sums to one over `V h w`.
        windows: None for a model without heads of events.
        states: what the windows that end at a frame say of the states in their middle, to be added up
            (`SemiMarkovSegmenter`): `B T L R` or `B L R`; None for a model without a head of states.
        attended: class scores from the attended features alone, `B T K`, for an auxiliary loss; None
            for a model without one, and of a step.
        distance: how far the frames so far are from the training clips, `B T` or `B`
            (`LinearLayer.distances`). None for a model that does not know.
        low_rate: as `windows`, by heads for streams that lack frames; None for a model without them,
            and of a whole video.
    """

    logits: Tensor
    attention: Tensor | None = None
    windows: Windows | None = None
    attended: Tensor | None = None
    states: Tensor | None = None
    distance: Tensor | None = None
    low_rate: Windows | None = None


class VideoModel(nn.Module, PyTorchModelHubMixin):
    """`forward(video: B T C H W) -> Output`, with logits at every frame.

    All arguments of a model are plain values, which `save_pretrained` writes to config.json.
    Attributes say what a model can do:

    - `attends`: its outputs have attention.
    - `streams`: `step` works.
    - `heads`: of the linear model; they say whether there are events (`Output.windows`),
      states (`Output.states`), or attention to what stands in the frame (`static_scene`).
    - `lengths`: numbers of frames of the windows of events or states; empty: neither.
    - `window_novelty_limit`: the distance from training above which a window is no event; None:
      unknown.
    - `encodes_frames`: it encodes single frames; `encode`, `encode_video` and `forward_features`
      work.
    - `eyes`: its inputs besides pictures, such as `motion`, the motion words, and the numbers of their
      features (`base.fisher`).
    - `views`: how many pictures of each frame its channels show, side by side; all have one encoder.
    - `explains`: `evidence` works, and `motion_directions` with motion words.

    The methods of a capability raise a ValueError in models without it.

    Args:
        num_classes: K.
        in_channels: C of the frames.
        size: height and width of the frames.

    Raises:
        ValueError: fewer than one class or channel.
    """

    package = "onlooker"  # the distribution with the class, for the error if it is not installed
    attends = False
    explains = False
    streams = True
    lengths: tuple[int, ...] = ()
    encoder: Encoder | None  # of single frames, if there is one
    grid: tuple[int, int]  # (h, w) of its features
    heads: Heads
    head: nn.Module
    num_features: int  # feature dimension of the head (D)
    views = 1

    def __init__(self, num_classes: int, in_channels: int, size: int) -> None:
        super().__init__()
        counts = {"num_classes": num_classes, "in_channels": in_channels, "size": size}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} is {count}, expected at least 1")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.size = size
        self.encoder = None
        self.heads = Heads()

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        encoder = cast("nn.Module | None", self.encoder)
        if encoder is not None and not any(weight.requires_grad for weight in encoder.parameters()):
            encoder.eval()
        return self

    @property
    def window_novelty_limit(self) -> float | None:
        return self.heads["window"].limit if "window" in self.heads else None

    @property
    def eyes(self) -> dict[str, int]:
        return {
            name: self.heads[name].weight.shape[1]
            for name in sorted(self.heads)
            if name not in ("clip", *OF_PICTURES) and not name.startswith(STATES_BY)
        }

    @property
    def stream_eyes(self) -> tuple[str, ...]:
        """The eyes that streams need: for segments, or for clips if the model finds no segments."""
        has_states = "state" in self.heads
        return tuple(name for name in self.eyes if not has_states or STATES_BY + name in self.heads)

    @property
    def packages(self) -> list[str]:
        """The distributions, without onlooker, with its class, encoder, cell and attention."""
        settings = cast(dict[str, Any], self._hub_mixin_config)
        encoder = ENCODERS.get(settings.get("encoder", ""))
        cell = CELLS.get(settings.get("cell", ""))
        attention = ATTENTIONS.get(settings.get("attention", ""))
        packages = {self.package, *(part.package for part in (encoder, cell, attention) if part)}
        return sorted(package for package in packages if package not in (None, "onlooker"))

    @property
    def digest(self) -> str:
        """A hash of its settings, weights and statistics."""
        settings = json.dumps(self._hub_mixin_config, sort_keys=True)
        return hashlib.sha256((settings + weights_digest(self)).encode()).hexdigest()[:32]

    @property
    def encodes_frames(self) -> bool:
        """Whether it has an encoder of single frames."""
        return self.encoder is not None

    def encode(self, frames: Tensor) -> Tensor:
        """The encoder alone, `N C H W -> N D h w`; of several views, their features one after another."""
        if self.encoder is None:
            raise ValueError(
                "this model has no encoder of single frames; use one that has, such as lstm or convlstm"
            )
        self.check_frames(frames.shape[1:])
        encoder = cast(nn.Module, self.encoder)
        if self.views == 1:
            return encode(encoder, frames)
        views = frames.unflatten(1, (self.views, -1))
        if torch.compiler.is_compiling():
            return encode(encoder, views.flatten(0, 1)).unflatten(0, views.shape[:2]).flatten(1, 2)
        first = views[:, :1].expand_as(views)
        is_other = (views != first).flatten(2).any(2)  # what is the same is encoded once
        is_other[:, 0] = True
        distinct = encode(encoder, views[is_other])
        places = (is_other.flatten().cumsum(0) - 1).unflatten(0, is_other.shape)
        places = places.where(is_other, places[:, :1])
        return distinct[places].flatten(1, 2)

    @property
    def encoded_features(self) -> int:
        """D of the features of a frame, of all views."""
        return self.views * cast(Encoder, self.encoder).num_features

    def encode_video(self, video: Tensor) -> Tensor:
        """`B T C H W -> B T D h w`."""
        B, T = self.check_video(video)
        return self.encode(video.flatten(0, 1)).unflatten(0, (B, T))

    def forward_features(self, features: Tensor, others: Others = NO_OTHERS) -> Output:
        """The model after its encoder.

        Args:
            features: feature maps of the pictures, `B T D h w`.
            others: features of the other eyes, `B T 1+F` each: how many things were seen since the
                frame before, and the sums of their features. Of an eye that is left out: nothing.
        """
        raise ValueError(
            "this model takes frames, not stored features; train on clips, or use one with an encoder"
        )

    def evidence(self, features: Tensor, weights: Tensor) -> Tensor:
        """What each place of each frame of a clip adds to a weighted sum of its logits: features
        `T D h w` and weights `K` to `T h w`.
        """
        raise ValueError("this model is no sum over places; use the default, linear")

    def motion_directions(self, motion: Tensor, eye: str = "motion") -> Tensor:
        """Weights `K F` for a clip with motion words `T 1+F`: their product with a block's words is
        the share of the block in the logits. Likewise for the rows of another eye, by its name.
        """
        raise ValueError("this model has no second input, motion words; leave them out")

    def forward(self, video: Tensor, others: Others = NO_OTHERS) -> Output:
        return self.forward_features(self.encode_video(video), others)

    def step(
        self,
        frame: Tensor,
        state: Any = None,  # noqa: ANN401 - each model has its own state
        others: Others = NO_OTHERS,
    ) -> tuple[Output, Any]:
        """One frame `B C H W` of a stream; the same numbers as `forward`, in constant memory.

        Begin with `state=None`, then pass the returned state.
        """
        memory = self.initial_state(len(frame)) if state is None else state
        return self.step_features(self.encode(frame), memory, others)

    def step_features(
        self,
        features: Tensor,
        state: Any,  # noqa: ANN401 - each model has its own state
        others: Others = NO_OTHERS,
    ) -> tuple[Output, Any]:
        """`step` after the encoder: takes features of a frame, `B D h w`, the state before it, and
        features of the other eyes, `B 1+F` (`forward_features`).
        """
        raise ValueError("this model has no step on features; use one that encodes single frames")

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:  # noqa: ANN401 - each model has its own state
        """The state before the first frame of `batch_size` videos or streams."""

    def check_video(self, video: Tensor) -> tuple[int, int]:
        """B and T of a video `B T C H W`.

        Raises:
            ValueError: it is empty, or its frames have another shape than the model was built for.
        """
        B, T = video.shape[:2]
        if not B * T:
            raise ValueError(
                f"the video has {B} clips of {T} frames, expected at least one of each (B T C H W)"
            )
        self.check_frames(video.shape[2:])
        return B, T

    def check_features(self, features: Tensor) -> None:
        """Raise a ValueError unless features are `B T D h w`, with the D, h and w of the model's
        encoder.
        """
        expected = (self.encoded_features, *self.grid)
        if features.ndim != 5 or tuple(features.shape[2:]) != expected:
            raise ValueError(
                f"features are {tuple(features.shape)}, expected B T and then {expected} (D h w)"
            )

    def check_others(self, others: Others, dimensions: Sequence[int]) -> None:
        """Raise a ValueError for features of eyes that the model does not have, or that do not have
        these dimensions, and then 1+F.
        """
        for name, rows in others.items():
            count = self.eyes.get(name, 0)
            expected = (*dimensions, 1 + count)
            if not count or tuple(rows.shape) != expected:
                raise ValueError(
                    f"{name} words are {tuple(rows.shape)}, expected {expected} for a model with "
                    f"{count} features of {name}"
                )

    def check_frames(self, shape: tuple[int, ...]) -> None:
        """Raise a ValueError unless `shape` is the `C H W` that the model was built for."""
        expected = (self.in_channels, self.size, self.size)
        if tuple(shape) != expected:
            raise ValueError(
                f"frames are {tuple(shape)}, this model was built for {expected} (C H W)"
            )

    @classmethod
    def current_settings(cls, saved: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a saved model, which an earlier version may have written."""
        return saved

    @classmethod
    def rebuild(cls, settings: dict[str, Any]) -> Self:
        """A model with random weights, to be replaced by saved ones, from all its arguments, as in
        config.json.

        Raises:
            ValueError: a setting that does not fit.
            TypeError: settings of another class.
        """
        if not settings.get("pretrained"):
            return cls(**settings)
        model = cls(**{**settings, "pretrained": False})  # nothing is downloaded
        cast(dict[str, Any], model._hub_mixin_config)["pretrained"] = True
        return model

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """The README.md of a saved model, without a license, but with the terms of its encoder's
        pretrained weights.
        """
        settings = cast(dict[str, Any], self._hub_mixin_config)
        terms = encoder_terms(settings.get("encoder", "")) if settings.get("pretrained") else None
        return ModelCard(
            "---\nlibrary_name: onlooker\npipeline_tag: video-classification\ntags: [visual-attention]\n---\n\n"
            f"# A video classifier\n\nA `{type(self).__name__}` of {self.num_classes} classes, saved by onlooker. A "
            "folder with `recognizer.json` is loaded by `onlooker.load(folder)`, the model alone by "
            f"`{type(self).__name__}.from_pretrained(folder)`.\n"
            + (f"\nPretrained weights of its encoder: {terms}.\n" if terms else "")
            + "".join(f"\nIt needs a package: `pip install {name}`.\n" for name in self.packages)
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        # safetensors writes files that only their owner may read.
        (save_directory / WEIGHTS).chmod(save_directory.stat().st_mode & 0o666)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:  # type: ignore[override]
        """The model that `save_pretrained` wrote into a folder, on the CPU and in evaluation mode.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: files that are damaged, of another class, or do not match each other.
        """
        # Not as the hub's, which ignores missing weights by default, and would also load a pickle,
        # which can run code.
        config = Path(folder, "config.json")
        weights = Path(folder, WEIGHTS)
        check_regular(weights)
        with reading(config):
            settings = cls.current_settings(read_json(config))
            size = weights.stat().st_size
            # weights used in several places are stored once
            if (planned := cls._planned_bytes(settings)) > 2 * size:
                sizes = f"{format_bytes(size)}, and {format_bytes(planned)} by these settings"
                raise ValueError(
                    f"{weights.name}: these are not the weights of this model ({sizes})"
                )
            model = cls.rebuild(settings)
        load_weights(model, weights)
        return model.eval()

    @classmethod
    def _planned_bytes(cls, settings: dict[str, Any]) -> int:
        """The size in bytes of a saved model's weights, from its settings and without allocating
        them.

        Returns:
            0 if it is unknown, or the settings are of a small model: PyTorch imports shape
            functions for this, which takes longer than loading a small model.

        Raises:
            KeyError, ValueError: a setting is missing, or of another type.
        """
        large = settings.get("encoder", "small") not in [*ENCODERS]
        # without self
        for name, parameter in [*inspect.signature(cls.__init__).parameters.items()][1:]:
            check_type(name, value := settings[name], parameter.annotation)
            sizes = value.values() if isinstance(value, dict) else [value]
            # more would overflow where sizes are multiplied
            if any(isinstance(size, int) and not 0 <= size < 1 << 20 for size in sizes):
                raise ValueError(
                    f"{name} is {reprlib.repr(value)}, expected a size below a million"
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}, expected a finite number")
            limit = _MANY_FEATURES if name == "motion_features" else _LARGE
            large |= any(isinstance(size, int) and size > limit for size in sizes)
        if not large:
            return 0
        try:
            with torch.device("meta"):
                weights = cls.rebuild(settings).state_dict().values()
        # a network that needs numbers while it is built
        except (NotImplementedError, RuntimeError):
            return 0
        return sum(weight.numel() * weight.element_size() for weight in weights)


def load_weights(model: VideoModel, path: Path) -> None:
    """Load the weights of a saved model from a safetensors file; the record next to it may state
    their digest.

    Raises:
        ValueError: weights of another model, damaged ones, or values that are not finite.
    """
    record = path.with_name(RECORD)
    try:
        load_model(model, path)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{path}: these are not the weights of this model ({error}); train again"
        ) from error
    if record.exists():
        with reading(record):
            digest = read_json(record).get("weights")
            check_type("weights", digest, str | None)
        check_digest(path, digest, record)
    for name, values in model.state_dict().items():
        if not values.isfinite().all():
            raise ValueError(
                f"{path}: {name} has values that are not finite; copy the folder again, or train again"
            )


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """A device by its name in PyTorch; `auto`: a GPU (such as cuda or mps) if there is one, else
    the CPU.
    """
    if name != "auto":
        return torch.device(name)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def make_head(width: int, *, head_units: int, dropout: float, num_classes: int) -> nn.Sequential:
    """Features `N D` to logits `N K`: a tanh layer of `head_units` (0: none), dropout, a linear
    layer.
    """
    layers: list[nn.Module] = [nn.Linear(width, head_units), nn.Tanh()] if head_units else []
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(head_units or width, num_classes))


def count_parameters(module: nn.Module) -> int:
    """The number of trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
