"""`onlooker reproduce hmdb10`: the report's attention and its baseline on stored features, and one
page.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.base.files import write_bytes, write_json
from onlooker.base.records import Curves
from onlooker.data.clips import ClipFrames
from onlooker.data.lists import check_classes
from onlooker.data.samples import sample_rate
from onlooker.data.sets import read_set
from onlooker.data.split import Split, group_of
from onlooker.models.registry import resolve
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.recognizer import Recognizer
from onlooker.report.metrics import measure
from onlooker.report.overlay import caption, enlarge, full_strength, overlay
from onlooker.report.page import percent
from onlooker.run.features import encoded_clips
from onlooker.run.preparation import build
from onlooker.training.checkpoint import load_checkpoint
from onlooker.training.fit import fit
from onlooker.video.reader import read
from onlooker.video.sampling import equally_spaced
from onlooker_papers.apportion import apportion
from onlooker_papers.hmdb10.classes import (
    ATTENTION,
    BASELINE,
    FIRST_TEN,
    PUBLISHED_ACCURACY,
    REPORT_CLIPS,
    hmdb10,
)
from onlooker_papers.hmdb10.page import write_page
from onlooker_papers.memo import memo_of_training
from onlooker_papers.results import About, Row, command_line, write_rows
from onlooker_papers.sets import few_of_each, set_name, set_path
from onlooker_papers.sheet import sheet

HMDB51 = "HMDB-51"
FILE = "hmdb10"  # of results
SAMPLING = DataConfig(frames=30, size=224, translate=0.0, scale=0.0)
TRAINING = TrainConfig(epochs=10, batch=15, label_smoothing=0.0, patience=0)
_SHOWN = 12  # clips on the sheet, each of a different class
_COLUMNS = 8


@dataclass(frozen=True)
class Budget:
    """Which experiments are computed, and their sizes.

    The report does not state hidden channels, optimizer, learning-rate schedule and dropout; these
    are ours. It does not state which epoch is tested either; here, it is the last.

    Args:
        encoder: makes the features; it is frozen.
        pretrained: use ImageNet weights, as published; else random ones.
        hidden: channels of the ConvLSTM.
        data: frames per clip, and their size.
        training: training settings.
        complete: require HMDB-51's number of clips per class; a reduced copy in the same layout
        needs False.
        clips: maximum per class; 0: all.
    """

    encoder: str = "vgg16"
    pretrained: bool = True
    hidden: int = 64
    data: DataConfig = SAMPLING
    training: TrainConfig = TRAINING
    complete: bool = True
    clips: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values: all settings of a run except its clips."""
        own = {"encoder": self.encoder, "pretrained": self.pretrained, "hidden": self.hidden}
        # Only if there is a limit: older runs do not have this setting.
        limit = {"clips_a_class": self.clips} if self.clips else {}
        return {
            **own,
            **limit,
            "tested": "last epoch",
            **self.data.to_dict(),
            **self.training.to_dict(),
        }


PUBLISHED = Budget()
QUICK = replace(PUBLISHED, pretrained=False, data=replace(SAMPLING, frames=8), clips=10)


def reproduce(
    run: Path,
    hmdb51: Path | None = None,
    clips: Path | None = None,
    classes: Sequence[str] = (),
    budget: Budget = PUBLISHED,
    results: Path | None = None,
) -> Path:
    """Compute what is missing of Teja & Akunuri 2020, and write `report.html`.

    The arguments are the options of the command. Other `clips` are also divided in the report's
    proportions; with a `recordings.csv` next to the classes, each recording is in one split.

    Returns:
        The report's path.

    Raises:
        ValueError: both `hmdb51` and `clips`, or neither; an unknown class; or a run with other
        settings.
        ClipError: clips are missing, or none can be read.
        RuntimeError: the ImageNet weights cannot be downloaded.
    """
    if hmdb51 is not None and clips is None:
        name = HMDB51
        folder = hmdb51
        seed = budget.training.seed
        split = hmdb10(hmdb51, sorted(classes) or FIRST_TEN, seed, budget.complete, budget.clips)
    elif clips is not None and hmdb51 is None:
        name = f"{set_name(clips)}/"
        folder = clips
        split = _other(clips, sorted(classes), budget)
    else:
        raise ValueError("give either --hmdb51 DIR (HMDB-51 itself) or --clips DIR (other clips)")
    labels = sorted({clip.label for clip in split.training})
    digest = hashlib.sha256(json.dumps(split.to_dict(folder)).encode()).hexdigest()[:16]
    settings = {"set": name, "classes": labels, "clips": digest, **budget.to_dict()}
    models = {
        model: memo_of_training(
            run / "models" / model,
            {"model": model, **settings},
            partial(_compute, run, split, model, budget),
        )
        for model in (ATTENTION, BASELINE)
    }
    figures = {"set": name, "classes": labels, "models": models}
    write_json(run / "figures.json", figures)
    usual = QUICK if budget.clips else PUBLISHED
    options = {
        "--classes": ",".join(classes) or None,
        "--quick": bool(budget.clips),
        "--pretrained" if budget.pretrained else "--no-pretrained": budget.pretrained
        != usual.pretrained,
    }
    if results is not None:
        recorded = {
            "--hmdb51" if hmdb51 else "--clips": set_path(folder),
            "--results": Path("results"),
            **options,
        }
        _write_results(results, figures, settings, budget, command_line("hmdb10", recorded))
    given = {"--hmdb51": hmdb51, "--clips": clips, "--run": run, "--results": results, **options}
    return write_page(run, figures, settings, name == HMDB51, command_line("hmdb10", given))


def _other(folder: Path, classes: Sequence[str], budget: Budget) -> Split:
    found = read_set(folder).clips
    chosen = check_classes(classes, sorted({clip.label for clip in found}), set_name(folder))
    kept = few_of_each([clip for clip in found if clip.label in chosen], budget.clips)
    return Split(
        **apportion(kept, [group_of(clip) for clip in kept], REPORT_CLIPS, budget.training.seed)
    )


def _compute(run: Path, split: Split, name: str, budget: Budget) -> dict[str, Any]:
    classes = sorted({clip.label for clip in split.training})
    config = ModelConfig(name, budget.encoder, budget.pretrained, hidden=budget.hidden)
    settings = resolve(config, budget.data, replace(budget.training, features=True))
    net = build(*settings, classes)
    samples, skipped = encoded_clips(split.clips, classes, net, settings.data)
    split = split.without({error.path for error in skipped})
    folder = run / "models" / name
    recognizer, curves = train_all_epochs(
        folder, net, samples, split, settings.data, settings.training
    )
    samples = samples.only(split.test)
    if net.attends:
        write_bytes(run / "attention.png", sheet(attention_rows(recognizer, samples), _COLUMNS))
    evaluation = recognizer.evaluate(samples, skipped=skipped)
    right = np.stack(evaluation.frame_scores).argmax(2) == evaluation.targets[:, None]  # B T
    encoder: Any = net.encoder
    return {
        **measure(evaluation),
        "frame_accuracy_by_index": right.mean(0).tolist(),
        "curves": curves,
        "sides": {side: len(getattr(split, side)) for side in REPORT_CLIPS},
        "grid": [encoder.num_features, *net.grid],
        "parameters": count_parameters(net) - count_parameters(encoder),
    }


def train_all_epochs(
    folder: Path,
    net: VideoModel,
    samples: ClipFrames,
    split: Split,
    data: DataConfig,
    training: TrainConfig,
) -> tuple[Recognizer, Curves]:
    """Train a model on the features of a split, and save it with the weights of its last epoch, not
    of the best one.
    """
    curves = fit(
        net,
        samples.only(split.training),
        samples.only(split.validation),
        data,
        training,
        folder,
        folder.name,
    )
    state = load_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]
    net.load_state_dict(
        {**net.state_dict(), **{name.removeprefix("model."): of for name, of in state.items()}}
    )
    rate = sample_rate([clip.path for clip in split.training], data)
    recognizer = Recognizer(
        net, samples.classes, data, training.resolved_aggregation, frame_rate=rate
    )
    recognizer.save(folder / "model")
    return recognizer, curves


def attention_rows(recognizer: Recognizer, samples: ClipFrames) -> list[tuple[str, Any]]:
    """A test clip of each class, drawn at random: attention over frames, and the true class's
    probability.
    """
    rows: dict[str, tuple[str, Any]] = {}
    for index in random.Random(0).sample(range(len(samples)), len(samples)):
        clip = samples.clips[index]
        if clip.label in rows or len(rows) == _SHOWN:
            continue
        features, target, _ = samples[index]
        scores, attention, _ = recognizer.classify(features[None])
        assert attention is not None
        maps = attention[0]
        of_frames = scores[0]
        shown = equally_spaced(len(maps), min(len(maps), _COLUMNS))
        pixels = read(clip.path, len(maps)).pixels
        scale = full_strength(maps)
        drawn = np.stack(
            [
                caption(
                    overlay(enlarge(pixels[t]), maps[t], scale), [percent(of_frames[t, target], 0)]
                )
                for t in shown
            ]
        )
        of_clip = recognizer.aggregate(of_frames)
        said = recognizer.classes[int(of_clip.argmax())]
        rows[clip.label] = (f"{clip.label}\nsaid {said}, {100 * of_clip.max():.0f} %", drawn)
    return [rows[label] for label in sorted(rows)]


def _write_results(
    results: Path,
    figures: Mapping[str, Any],
    settings: Mapping[str, Any],
    budget: Budget,
    command: str,
) -> None:
    """Write one set's row to `hmdb10.json`, next to those of other sets."""
    models = figures["models"]
    name = figures["set"]
    columns = (
        "accuracy",
        "accuracy_interval",
        "frame_accuracy",
        "log_loss",
        "frame_accuracy_by_index",
        "parameters",
    )
    published = {"published_frame_accuracy": PUBLISHED_ACCURACY} if name == HMDB51 else {}
    row = {
        "command": command,
        **published,
        **{
            column: {model: of.get(column) for model, of in models.items()}
            for column in (*columns, "curves")
        },
        **{key: models[ATTENTION][key] for key in ("majority_share", "sides")},
        "classes": figures["classes"],
        "epochs": budget.training.epochs,
        "frames": budget.data.frames,
        "encoder": f"{budget.encoder}, {'ImageNet' if budget.pretrained else 'random'} weights, frozen",
    }
    what = "the HMDB-51 report's attention compared with single frames, one split of each set"
    about = About(what, command, [budget.training.seed])
    write_rows(results, FILE, about, {(name,): Row(row, settings)}, made_by=command)
