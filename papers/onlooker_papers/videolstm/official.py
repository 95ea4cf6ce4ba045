"""`onlooker reproduce videolstm --ucf101` and `--hmdb51`: the published models on the published data sets."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.torch import load_file, save
from torch import nn

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.feature_store import FeatureStore
from onlooker.data.split import Split
from onlooker.experiments.memo import fingerprint, memo
from onlooker.files import write_bytes, write_json
from onlooker.models.encoders import build_encoder
from onlooker.models.registry import resolve
from onlooker.runs.ensemble import ensemble
from onlooker.runs.features import StoreSettings, make_features
from onlooker.runs.train import train_run
from onlooker.structures import ClipError
from onlooker.training.reading import read_clips
from onlooker.video.flow import flow as estimate_flow
from onlooker_papers.memo import memo_of_training
from onlooker_papers.results import WHOLE, About, Row, command_line, write_rows
from onlooker_papers.videolstm.fine_tune import fine_tune, first_layers
from onlooker_papers.videolstm.init_from import init_from
from onlooker_papers.videolstm.official_budget import (
    BUDGETS,
    FINE_TUNING_FRAMES,
    FUSED,
    MOTION,
    MOTION_BEGINS,
    SETS,
    SINGLE,
    STREAMS,
    Budget,
)
from onlooker_papers.videolstm.official_page import write_page
from onlooker_papers.videolstm.real_places import score_places, with_boxes
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, find_boxes, ucf101_24

_KEPT = ("accuracy", "accuracy_interval", "frame_accuracy", "videos")


def reproduce(
    run: Path,
    name: str,
    root: Path,
    lists: Path | None = None,
    split: int = 1,
    budget: str = "standard",
    results: Path | None = None,
    quiet: bool = False,
    pretrained: bool = True,
    boxes: Path | None = None,
) -> Path:
    """Encode the clips, train what is missing, combine streams, and write `report.html`.

    Args:
        run: the folder for everything, resumable: features in `features`, runs in `split1`, …; features of encoders
            that are trained on a split are in its folder.
        name: one of `SETS`.
        root: the folder of the set, as distributed.
        lists: the folder of its split files; None: `root`.
        split: 1, 2 or 3.
        budget: one of `BUDGETS`.
        results: a folder for `videolstm-NAME.json`.
        quiet: no progress bars.
        pretrained: use ImageNet weights; random ones are only a test that everything runs.
        boxes: `finalAnnots.mat` of UCF101-24, or its folder, to score localization.

    Raises:
        ClipError: the set is not as published, no clip can be read, or no test clip has boxes.
        ValueError: an unknown budget or split, or a run made with other settings.
        DiskFullError: no space for the features.
        RuntimeError: the ImageNet weights cannot be loaded, or the method of flow is not installed.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    official, chosen = SETS[name], BUDGETS[budget]
    chosen = replace(chosen, pretrained=chosen.pretrained and pretrained)
    estimate_flow(np.zeros((2, 32, 32, 3), np.uint8), chosen.flow)  # a method that is not installed is an error now
    annotated = ucf101_24(boxes) if boxes else {}
    clips = _limited(official.published.split(root, lists, split, complete=chosen.complete), chosen, annotated)
    if boxes and not with_boxes(clips.test, annotated):
        found = f"no boxes of any of the {len(clips.test)} test clips"
        raise ClipError(boxes, found, "UCF101-24 has those of UCF101 (--ucf101); leave out --boxes")
    folder = run / f"split{split}"
    features = (folder if chosen.fine_tuning else run) / "features"
    left_out = _encode(features, clips, chosen, quiet)
    clips = clips.without({error.path for error in left_out})
    runs = _Runs(folder, root, clips, features, chosen, name, split, quiet)
    figures = runs.figures()
    if boxes:
        figures["places"] = runs.places(find_boxes(boxes), annotated)
    figures["left_out"] = [
        {"clip": error.path.relative_to(root).as_posix(), "found": error.found, "remedy": error.remedy}
        for error in left_out
    ]
    write_json(folder / "figures.json", figures)
    options = {
        f"--{name}": official.published.title, "--split": split, "--splits": lists and "SPLITS",
        "--boxes": boxes and "BOXES", "--no-pretrained": not pretrained, f"--{budget}": budget in ("quick", "full"),
    }  # fmt: skip
    command = command_line("videolstm", options)
    if results is not None:
        what = f"{official.published.title}, split {split}: accuracy of the models of VideoLSTM on test clips"
        about = About(what, f"{command} --results results", [chosen.training.seed])
        row = Row({"split": split, "budget": asdict(chosen), **figures}, asdict(chosen))
        write_rows(results, f"videolstm-{name}", about, {WHOLE: row})
    return write_page(folder, official, split, chosen, figures, command)


def _limited(split: Split, budget: Budget, annotated: Mapping[str, AnnotatedClip]) -> Split:
    """The classes and clips of a budget; if classes are limited, those with boxes first."""
    first = {name.split("/")[0] for name in annotated}
    every = sorted({clip.label for clip in split.training}, key=lambda label: (label not in first, label))
    labels = sorted(every[: budget.classes or None])
    parts = (
        tuple(clip for label in labels for clip in [c for c in side if c.label == label][: budget.clips or None])
        for side in (split.training, split.validation, split.test)
    )
    return Split(*parts)


def _encode(folder: Path, clips: Split, budget: Budget, quiet: bool) -> tuple[ClipError, ...]:
    """Store features of every frame of every clip, one store per stream; returns the clips that cannot be read."""
    paths = [clip.path for clip in clips.clips]
    failed: dict[Path, ClipError] = {}
    for name, (encoder, streams) in budget.stores.items():
        settings = StoreSettings(
            encoder, budget.features(streams), budget.pretrained, every=True, seed=budget.training.seed
        )
        net = _fine_tuned(folder.parent, clips, name, budget, quiet) if budget.fine_tuning else None
        made = make_features(paths, folder / name, settings, quiet=quiet, encoder=net)
        failed = {error.path: error for error in made.failed} | failed
    return tuple(failed.values())


def _fine_tuned(folder: Path, clips: Split, name: str, budget: Budget, quiet: bool) -> nn.Module:
    """The encoder of a store, trained on the training clips of the split; that of maps is a part of that of vectors.

    After training, it is stored in `NAME-encoder.safetensors` of the folder.
    """
    encoder, streams = budget.stores[name]
    config = ModelConfig("convnet", encoder, pretrained=budget.pretrained)
    _, data, how = resolve(config, budget.features(streams), cast(TrainConfig, budget.fine_tuning))
    net = cast(nn.Module, build_encoder(encoder, data.in_channels, data.size, pretrained=False))
    if budget.vector and encoder != budget.vector:
        return first_layers(net, _fine_tuned(folder, clips, f"{name}-vector", budget, quiet))
    file = folder / f"{name}-encoder.safetensors"
    if not file.exists():
        data = replace(data, frames=min(FINE_TUNING_FRAMES, data.frames))
        classes = sorted({clip.label for clip in clips.training})
        samples, left_out = read_clips((*clips.training, *clips.validation), classes, data, quiet=quiet)
        readable = clips.without({error.path for error in left_out})
        training, validation = samples.only(readable.training), samples.only(readable.validation)
        run = folder / f"{name}-encoder"
        trained = fine_tune(encoder, training, validation, data, run, how, budget.pretrained, quiet)
        write_bytes(file, save({key: tensor.contiguous() for key, tensor in trained.state_dict().items()}))
    net.load_state_dict(load_file(file))
    return net


@dataclass(frozen=True)
class _Runs:
    """The trainings of one split, each in a folder with its cell next to it."""

    folder: Path
    root: Path
    clips: Split
    features: Path
    budget: Budget
    name: str
    split: int
    quiet: bool

    def figures(self) -> dict[str, Any]:
        """All figures; the missing ones are computed."""
        models = {f"{model}-{streams}": self._learn(model, (streams,)) for streams in STREAMS for model in SINGLE}
        models[MOTION] = self._learn(MOTION, STREAMS)
        counts = {split: len(getattr(self.clips, split)) for split in ("training", "validation", "test")}
        together = {words: self._fuse(members) for words, members in FUSED.items()}
        classes = len({clip.label for clip in self.clips.training})
        return {"classes": classes, "clips": counts, "models": models, "fused": together}

    def places(self, boxes: Path, annotated: Mapping[str, AnnotatedClip]) -> dict[str, Any]:
        """The localization figures of VideoLSTM, by the boxes of this file."""
        run = self.folder / MOTION
        labels = {name.split("/")[0] for name in annotated}
        validation = [clip for clip in self.clips.validation if clip.label in labels]
        test = with_boxes(self.clips.test, annotated)
        stores = [self.features / each for each in STREAMS]
        made_of = {
            "boxes": hashlib.sha256(boxes.read_bytes()).hexdigest()[:32],
            "choose_on": self.budget.choose_on,
            "weights": fingerprint(run),
        }
        return memo(
            self.folder / f"{MOTION}-places.json",
            self._settings() | made_of,
            lambda: score_places(run, validation, test, annotated, stores, self.budget.choose_on),
        )

    def _learn(self, model: str, streams: tuple[str, ...]) -> dict[str, Any]:
        budget = self.budget
        run = self.folder / (model if len(streams) > 1 else f"{model}-{streams[0]}")
        stores = [self.features / budget.store(model, each) for each in streams]
        config = budget.model_config(model)
        data = DataConfig(frames=budget.frames, size=64, temporal_crops=budget.windows)
        rgb, flow = (self.folder / name for name in MOTION_BEGINS)
        begins = {"init_from": {each.name: fingerprint(each) for each in (rgb, flow)}} if model == MOTION else {}
        start = init_from(rgb, flow) if model == MOTION else None
        training = budget.training_of(run.name)

        def compute() -> dict[str, Any]:
            # If a run was killed before its settings were written, it has no trained weights yet.
            if not (run / "config.json").exists():
                shutil.rmtree(run, ignore_errors=True)
            settings = (config, data, training, self.clips)
            return train_run(self.root, run, *settings, True, quiet=self.quiet, features=stores, initialize=start)

        return self._cell(run, {"model": config.to_dict(), "training": training.to_dict(), **begins}, compute)

    def _fuse(self, members: tuple[str, ...]) -> dict[str, Any]:
        run = self.folder / "+".join(members)
        of = {member: fingerprint(self.folder / member) for member in members}

        def compute() -> dict[str, Any]:
            shutil.rmtree(run, ignore_errors=True)
            return ensemble([self.folder / member for member in members], run)

        return self._cell(run, {"members": of}, compute)

    def _cell(self, run: Path, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def kept() -> dict[str, Any]:
            measured = compute()
            return {name: measured[name] for name in (*_KEPT, "weights") if name in measured}

        return memo_of_training(run, self._settings() | settings, kept)

    def _settings(self) -> dict[str, Any]:
        """The settings on which all cells depend."""
        names = json.dumps(self.clips.to_dict(self.root), sort_keys=True)
        return {
            "set": self.name,
            "split": self.split,
            "clips": hashlib.sha256(names.encode()).hexdigest()[:32],
            "features": {
                name: FeatureStore.open(self.features / name).settings.to_dict() for name in self.budget.stores
            },
            "windows": [self.budget.frames, self.budget.windows],
            "training": self.budget.training.to_dict(),
        }
