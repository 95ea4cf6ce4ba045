"""`onlooker reproduce hmdb10`: the report's attention and single frames on features of HMDB-51's ten
classes, one split, and one page.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.base.files import write_json
from onlooker.data.lists import check_classes
from onlooker.data.sets import read_set
from onlooker.data.split import Split
from onlooker.models.registry import resolve
from onlooker.models.video_model import count_parameters
from onlooker.recognizer import load
from onlooker.report.metrics import measure
from onlooker.run.features import encoded_clips
from onlooker.run.preparation import build
from onlooker_papers.hmdb10 import tables
from onlooker_papers.hmdb10.classes import ATTENTION, BASELINE, FIRST_TEN, hmdb51_clips
from onlooker_papers.hmdb10.draws import divide, train_all_epochs, write_page
from onlooker_papers.memo import memo_of_training
from onlooker_papers.results import About, Row, command_line, write_rows
from onlooker_papers.sets import counts_of, few_of_each

HMDB51 = "HMDB-51"
FILE = "hmdb10"  # of results
WHAT = "the HMDB-51 report's attention compared with single frames, one split of each set"
SAMPLING = DataConfig(frames=30, size=224, translate=0.0, scale=0.0)
TRAINING = TrainConfig(epochs=10, batch=15, label_smoothing=0.0, patience=0)
_READING = (
    "The report names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 clips, fewer than any ten "
    "whole classes with these two have. Which clips were left out, and how they were divided, is not known; here each "
    "source video is in one split. It gives no equation for its attention, no hidden channels and no optimizer."
)
_RANDOM = " **The encoder has random weights**, not ImageNet's as published: this only shows that all runs."
_COLUMNS = ("accuracy", "frame_accuracy", "log_loss", "frame_accuracy_by_index", "parameters")


@dataclass(frozen=True)
class Budget:
    """The size of the experiments.

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

    def settings(self) -> dict[str, Any]:
        """All settings of a run except its clips."""
        own = {"encoder": self.encoder, "pretrained": self.pretrained, "hidden": self.hidden}
        return {
            **self.data.to_dict(),
            **self.training.to_dict(),
            **own,
            "clips_per_class": self.clips,
            "tested": "last epoch",
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
        ClipError: clips are missing, or one cannot be read.
        RuntimeError: the ImageNet weights cannot be downloaded.
    """
    if hmdb51 is not None and clips is None:
        name = HMDB51
        folder = hmdb51
        found = hmdb51_clips(hmdb51, sorted(classes) or FIRST_TEN, budget.complete)
    elif clips is not None and hmdb51 is None:
        name = f"{clips.name}/"
        folder = clips
        found = list(read_set(clips).clips)
        known = sorted({clip.label for clip in found})
        chosen = check_classes(sorted(classes), known, clips.name)
        found = [clip for clip in found if clip.label in chosen]
    else:
        raise ValueError("give either --hmdb51 DIR (HMDB-51 itself) or --clips DIR (other clips)")
    split = divide(few_of_each(found, budget.clips), budget.training.seed)
    labels = sorted({clip.label for clip in split.training})
    digest = hashlib.sha256(json.dumps(split.to_dict(folder)).encode()).hexdigest()[:16]
    settings = {"set": name, "classes": labels, "clips": digest, **budget.settings()}
    models = {
        model: memo_of_training(
            run / "models" / model,
            {"model": model, **settings},
            partial(_compute, run / "models" / model, split, labels, budget),
        )
        for model in (ATTENTION, BASELINE)
    }
    write_json(run / "figures.json", {"set": name, "classes": labels, "models": models})
    if results is not None:
        options = {
            "--hmdb51" if hmdb51 else "--clips": folder.name,
            "--classes": ",".join(classes) or None,
            "--quick": bool(budget.clips),
            "--results": "results",
        }
        command = command_line("hmdb10", options)
        first = models[ATTENTION]
        row = {
            "command": command,
            **{
                column: {model: of[column] for model, of in models.items()}
                for column in (*_COLUMNS, "curves")
            },
            **{key: first[key] for key in ("majority_share", "sides")},
            "classes": labels,
            "epochs": budget.training.epochs,
            "frames": budget.data.frames,
        }
        about = About(WHAT, command, [budget.training.seed])
        write_rows(results, FILE, about, {(name,): Row(row, settings)}, made_by=command)
    recognizer = load(run / "models" / ATTENTION, device="cpu")
    samples, _ = encoded_clips(split.test, labels, recognizer.model, recognizer.data, strict=True)
    return write_page(
        run,
        f"Teja & Akunuri 2020, reproduced · {name}",
        _READING if budget.pretrained else _READING + _RANDOM,
        tables.of_split(models, name == HMDB51),
        {model: [of["curves"]] for model, of in models.items()},
        recognizer,
        samples,
    )


def _compute(folder: Path, split: Split, classes: list[str], budget: Budget) -> dict[str, Any]:
    config = ModelConfig(folder.name, budget.encoder, budget.pretrained, hidden=budget.hidden)
    settings = resolve(config, budget.data, replace(budget.training, features=True))
    net = build(*settings, classes)
    samples, _ = encoded_clips(split.clips, classes, net, settings.data, strict=True)
    parts = {side: samples.only(clips) for side, clips in vars(split).items()}
    recognizer, curves = train_all_epochs(folder, net, parts, settings.data, settings.training)
    evaluation = recognizer.evaluate(parts["test"])
    right = np.stack(evaluation.frame_scores).argmax(2) == evaluation.targets[:, None]  # B T
    encoder: Any = net.encoder
    return {
        **measure(evaluation),
        "frame_accuracy_by_index": right.mean(0).tolist(),
        "curves": curves,
        "sides": counts_of(split),
        "parameters": count_parameters(net) - count_parameters(encoder),
    }
