"""The cells of VideoLSTM's ablation on real video: models of Li et al. 2016 on the same stored
features.

`onlooker_papers.videolstm.real_video` computes the cells and writes the results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from onlooker import Decision, Recognizer, create_model, load
from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.files import write_bytes
from onlooker.data.clips import ClipFrames, read_clips
from onlooker.data.split import Split
from onlooker.measure.metrics import measure
from onlooker.models.encoders import build_encoder
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.run.features import encoded_clips, weights_digest
from onlooker.training.fit import fit
from onlooker_papers.fusion import average_scores, choose_weights
from onlooker_papers.intervals import as_text
from onlooker_papers.memo import fingerprint, memo, memo_of_training
from onlooker_papers.sets import counts_of
from onlooker_papers.videolstm import Modality
from onlooker_papers.videolstm.crops import ClipCrops, evaluate_crops
from onlooker_papers.videolstm.fine_tune import fine_tune
from onlooker_papers.videolstm.official_budget import MOTION, MOTION_BEGINS, SINGLE, STREAMS
from onlooker_papers.videolstm.published import initialize_motion
from onlooker_papers.videolstm.reduced import (
    FINE_TUNING,
    SMALL,
    WIDTH,
    Reduced,
    reduced,
    sampling,
    saved_encoder,
)

TRAINING = TrainConfig(epochs=12, batch=16, lr=2e-3, label_smoothing=0.0)
# Units of an LSTM, channels of a ConvLSTM; each of the two has about a hundred thousand weights.
UNITS = 128
CHANNELS = 32
MODELS = (*(f"{name}-{of}" for of in STREAMS for name in SINGLE), MOTION)


@dataclass(frozen=True)
class RealSet:
    """A split of a real set, its encoders and its trainings.

    Args:
        run: the folder of the split; existing figures are not computed again.
        name: name of the set, as in `real_clips`.
        split: which clips are used for what.
        training: training settings of every model.
        fine_tuning: training settings of the encoder of flow.
        rgb_encoder: the encoder of RGB.
    """

    run: Path
    name: str
    split: Split
    training: TrainConfig = TRAINING
    fine_tuning: TrainConfig = FINE_TUNING
    rgb_encoder: str = SMALL

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({clip.label for clip in self.split.training}))

    def encoder(self, modality: Modality) -> Reduced:
        """The encoder of RGB or flow, which is made from the training clips if there is none yet."""
        file = self.run / f"{modality}-encoder.safetensors"
        data = self.sampling(modality)
        if not file.exists():
            samples, _ = read_clips(self.split.clips, self.classes, data, strict=True)
            if modality == "flow":
                folder = self.run / "flow-encoder"
                inner = fine_tune(
                    SMALL, samples, self.split, data=data, folder=folder, how=self.fine_tuning
                )
            else:
                inner = cast(
                    nn.Module,
                    build_encoder(self.rgb_encoder, data.in_channels, data.size, pretrained=True),
                )
            training = samples.subset(self.split.training)
            made = reduced(self.rgb_encoder, inner, training=training, data=data).state_dict()
            write_bytes(file, save({name: weights.contiguous() for name, weights in made.items()}))
        return saved_encoder(file, self.rgb_encoder, data.in_channels)

    def sampling(self, modality: Modality) -> DataConfig:
        """How clips are sampled for a modality."""
        return sampling(modality, self.rgb_encoder)

    def features(self, modality: Modality) -> ClipFrames:
        """The features of all clips; those of RGB and flow, whose frames may differ in size, are
        joined.
        """
        if modality == "both":
            rgb, flow = (self.features(of) for of in STREAMS)
            files = [
                (*of_rgb, *of_flow) for of_rgb, of_flow in zip(rgb.files, flow.files, strict=True)
            ]
            return ClipFrames(rgb.clips, files, rgb.classes, sampling=rgb.sampling)
        net = Cell(self, f"convnet-{modality}", 0).build()
        return encoded_clips(
            self.split.clips, self.classes, net, data=self.sampling(modality), strict=True
        )[0]

    def settings(self) -> dict[str, Any]:
        """The settings on which all cells of the split depend."""
        return {
            "set": self.name,
            "clips": counts_of(self.split),
            "features": {of: weights_digest(self.encoder(of)) for of in STREAMS},
            "training": self.training.to_dict(),
        }


@dataclass(frozen=True)
class Cell:
    """One training of one model.

    Args:
        of: the set.
        name: one of `MODELS`.
        seed: seed of weights and order.
    """

    of: RealSet
    name: str
    seed: int

    @property
    def folder(self) -> Path:
        """The folder of the training; the memo is next to it."""
        return self.of.run / f"seed{self.seed}" / self.name

    @property
    def modality(self) -> Modality:
        """The modality of the model."""
        return next((of for of in STREAMS if self.name.endswith(f"-{of}")), "both")

    @property
    def model(self) -> str:
        """Its name in the registry."""
        return self.name.partition("-")[0]

    def figures(self) -> dict[str, Any]:
        """Accuracy on test clips, parameters, and for every test clip whether it is classified
        correctly.
        """
        settings = {
            **self.of.settings(),
            "model": self.name,
            "seed": self.seed,
            "hidden": self._hidden,
        }
        training = replace(self.of.training, seed=self.seed)
        data = self.of.sampling(self.modality)
        return trained(
            self.folder, settings, self._prepared, split=self.of.split, data=data, training=training
        )

    def _prepared(self) -> tuple[VideoModel, ClipFrames]:
        return self.build(), self.of.features(self.modality)

    @property
    def _hidden(self) -> int:
        return UNITS if self.model in ("lstm", "alstm") else CHANNELS

    def build(self) -> VideoModel:
        """The model, with the frozen encoders of the set."""
        data = self.of.sampling(self.modality)
        flow_channels = data.flow_channels if self.modality == "both" else 0
        torch.manual_seed(self.seed)
        settings: dict[str, Any] = {
            "encoder": f"{self.of.rgb_encoder}-{WIDTH}",
            "in_channels": data.in_channels,
            "size": data.size,
            "hidden": self._hidden,
            "flow_channels": flow_channels,
        }
        net = create_model(self.model, len(self.of.classes), **settings)
        encoder: Any = net.encoder
        parts: dict[Modality, nn.Module] = {self.modality: encoder}
        if flow_channels:
            parts = {"rgb": encoder.rgb, "flow": encoder.flow}
        for modality, part in parts.items():
            part.load_state_dict(self.of.encoder(modality).state_dict())
        encoder.requires_grad_(False)
        return net


def trained(
    folder: Path,
    settings: Mapping[str, Any],
    prepare: Callable[[], tuple[VideoModel, ClipFrames]],
    *,
    split: Split,
    data: DataConfig,
    training: TrainConfig,
) -> dict[str, Any]:
    """The figures of `learn`, memoized next to the folder of the training. `motion` starts from the
    trained streams in the same folder (`initialize_motion`).

    Args:
        folder: its name is that of the model.
        settings: what the figures depend on.
        prepare: makes the model, and the samples of all clips.
        split, data, training: as for `learn`.
    """
    starts = [folder.with_name(name) for name in MOTION_BEGINS] if folder.name == MOTION else []

    def compute() -> dict[str, Any]:
        net, samples = prepare()
        if starts:
            initialize_motion(net, *(load(start, device="cpu").model for start in starts))
        return learn(folder, net, samples, split=split, data=data, training=training)

    if starts:
        settings = {**settings, "init_from": {each.name: fingerprint(each) for each in starts}}
    return memo_of_training(folder, settings, compute)


def learn(
    folder: Path,
    net: VideoModel,
    samples: ClipFrames,
    *,
    split: Split,
    data: DataConfig,
    training: TrainConfig,
) -> dict[str, Any]:
    """Train a model on the stored features of a split, save it, and keep the scores of its clips in
    `scores.npz`.

    Returns:
        Figures of the test clips, and for each of them whether it is classified correctly; the
        epoch; parameters.
    """
    fitted, validation, test = map(samples.subset, (split.training, split.validation, split.test))
    if isinstance(fitted, ClipCrops):
        fitted = fitted.random(training.seed)
    curves = fit(
        net, fitted, validation, data=data, train=training, folder=folder, title=folder.name
    )
    recognizer = Recognizer(
        net, data, Decision(samples.classes, aggregation=training.resolved_aggregation)
    )
    recognizer.save(folder / "model")
    chosen, tested = (
        evaluate_crops(recognizer, part)
        if isinstance(part, ClipCrops)
        else recognizer.evaluate(part)
        for part in (validation, test)
    )
    np.savez(folder / "scores.npz", validation=chosen.scores, test=tested.scores)
    figures = measure(tested)
    losses = curves["validation"]["loss"]
    return {
        "accuracy": figures.accuracy,
        "frame_accuracy": figures.frame_accuracy,
        "videos": figures.videos,
        "right": as_text(tested.scores.argmax(1) == tested.targets),
        "epoch": losses.index(min(losses)) + 1,
        "parameters": count_parameters(net) - count_parameters(cast(nn.Module, net.encoder)),
    }


def fuse(
    members: Sequence[Path], split: Split, *, file: Path, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Late fusion of models that `learn` has trained, with weights chosen on validation clips;
    memoized in a file.
    """
    classes = sorted({clip.label for clip in split.training})

    def compute() -> dict[str, Any]:
        scores = [np.load(member / "scores.npz") for member in members]
        chosen, tested = (
            np.array([classes.index(clip.label) for clip in of])
            for of in (split.validation, split.test)
        )
        weights = choose_weights([each["validation"] for each in scores], chosen)
        right = average_scores([each["test"] for each in scores], weights).argmax(1) == tested
        return {"accuracy": float(right.mean()), "weights": list(weights), "right": as_text(right)}

    return memo(
        file, {**settings, "members": {each.name: fingerprint(each) for each in members}}, compute
    )
