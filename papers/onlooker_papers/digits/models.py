"""The digit models, trained end to end or in two stages, and the weights that they start from."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from onlooker import create_model, load
from onlooker.base.config import DataConfig
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker_papers.digits.pretraining import pretraining_of
from onlooker_papers.digits.registry import TRACKS
from onlooker_papers.digits.track_classifier import TrackClassifier
from onlooker_papers.memo import fingerprint

SINGLE = "single digits"
CEILING = "ceiling"
_TRUST = "pool.weight.weight"
STAGES = {1: "end-to-end", 2: "two-stage"}


@dataclass(frozen=True)
class DigitModel:
    """A model and the settings of its training.

    Args:
        encoder: the name of its encoder; for the model `tracks`, which has its own encoder,
        `tracks:G` for G objects.
        stages: 2: the encoder is pre-trained on single digits and frozen, as published; 1:
        everything is trained.
        model: its recipe in `MODELS`.
        hidden: units of the recurrent layer.
        head_units: width of a tanh layer before the classes; 0: none.
        lr: highest learning rate.
        recipe: recipe by which the encoder was pre-trained on single digits; None: random weights.
        after: the variant of the moving digits on which the whole model was trained before; or
            `SINGLE`: training continues from the ceiling of `tracks`, trained on single digits in
            videos of the same variant; None: random weights.
        aggregation: how the scores of frames become the score of a clip (`Decision.aggregate`).
        batch, frames: videos in a batch, and frames in each video.
        frames_per_setting: frames that share a rotation and a scale. For a model without memory, it
            is better if every frame has its own, because the model then sees five times as many.
    """

    encoder: str
    stages: int = 1
    model: str = "lstm"
    hidden: int = 128
    head_units: int = 0
    lr: float = 1e-3
    recipe: str | None = None
    after: str | None = None
    aggregation: Literal["mean", "product", "last"] = "mean"
    batch: int = 16
    frames: int = 10
    frames_per_setting: int = 5

    @property
    def name(self) -> str:
        """The name of its folder and cell."""
        parts = self.encoder.split(":")
        return "-".join(
            (*parts, *([] if self.model == parts[0] else [self.model]), STAGES[self.stages])
        )

    @property
    def begins_from(self) -> str:
        """The name of the model that it continues from."""
        return f"{CEILING}-{TRACKS}" if self.after == SINGLE else self.name

    @property
    def looks(self) -> dict[str, Any]:
        """Arguments of its model that select the encoder."""
        kind, _, count = self.encoder.partition(":")
        return (
            {"things": int(count), "head": "each-glimpse"}
            if kind == TRACKS
            else {"encoder": self.encoder}
        )

    @property
    def loss(self) -> Literal["every", "last"]:
        """`every` frame has a loss; only the `last` one if the aggregation is `last`."""
        return "last" if self.aggregation == "last" else "every"


def prepare(
    spec: DigitModel, num_classes: int, data: DataConfig, *, folder: Path, encoders: Path, seed: int
) -> tuple[VideoModel, int]:
    """The model with the initial weights of its training, its encoder frozen or not; and its number
    of parameters.
    """
    torch.manual_seed(seed)
    model = build(spec, num_classes, data)
    encoder = cast(nn.Module, model.encoder)
    if (start := start_of(spec, folder, encoders)) is not None:
        known = load(start, device="cpu").model
        if spec.after:
            begin_from(model, known)  # the same weights for one object and for several
        else:
            encoder.load_state_dict(cast(nn.Module, known.encoder).state_dict())
    parameters = count_parameters(model)
    if spec.stages == 2:
        encoder.requires_grad_(False)
    return model, parameters


def build(spec: DigitModel, num_classes: int, data: DataConfig) -> VideoModel:
    """The model with random weights."""
    settings = {**spec.looks, "hidden": spec.hidden, "head_units": spec.head_units, "dropout": 0.0}
    return create_model(
        spec.model, num_classes, in_channels=data.channels, size=data.size, **settings
    )


def start_of(spec: DigitModel, folder: Path, encoders: Path) -> Path | None:
    """The folder of the training from whose weights a model continues; None: it starts from random
    weights.
    """
    if spec.after:
        return (
            folder.parent if spec.after == SINGLE else folder.parents[1] / spec.after
        ) / spec.begins_from
    return pretraining_of(encoders, spec.encoder, spec.recipe) if spec.recipe else None


def settings_of(spec: DigitModel, folder: Path, encoders: Path) -> dict[str, Any]:
    """All settings of a model that a cell depends on, including its initial weights; see
    `start_of`.
    """
    start = start_of(spec, folder, encoders)
    return {**asdict(spec), "begins_with": None if start is None else fingerprint(start)}


def begin_from(model: nn.Module, start: nn.Module) -> None:
    """Give a model the weights of another.

    If the other model tracks fewer objects, the weights that predict the trust in a group of frames
    are averaged over the objects.

    Raises:
        RuntimeError: weights that do not fit.
    """
    weights = start.state_dict()
    if isinstance(model, TrackClassifier) and isinstance(start, TrackClassifier):
        more = model.tracks.things // start.tracks.things
        weights = {**weights, _TRUST: weights[_TRUST].repeat(1, more) / more}
    model.load_state_dict(weights)
