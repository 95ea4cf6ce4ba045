"""The default command on real clips: what it prints, also with other encoders, and the calibration
of its confidence.

Every figure is read from what `onlooker train` wrote into its run: the figures of one run are those
of its `evaluation.json`. Where splits are official, there is one run for each, and their test clips
count together: shares and intervals are those of all answers in `scores.csv`, and errors of
calibration are means over the runs. Runs that are finished are not repeated.
"""

import csv
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import onlooker
from onlooker import Figures
from onlooker.base.config import Settings
from onlooker.base.files import write_bytes
from onlooker.data.split import Split, group_of
from onlooker.measure.metrics import accuracy_interval
from onlooker.run.record import RunRecord
from onlooker_papers.intervals import as_text, over_recordings
from onlooker_papers.real_clips.frozen import SETS, splits_of
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.sets import data_folder

FILE = "own-clips"
CALIBRATION = "calibration"
_SECONDS = "cpu_seconds.txt"  # in the folder of a run
COMMAND = "python -m onlooker_papers.real_clips.own_clips"
WHAT = "clips classified correctly by the default command, as it writes, and with other encoders"
WHAT_CALIBRATION = (
    "expected calibration error, 5 bins of equal mass, that the default command writes"
)
KINDS: dict[str, dict[str, Any]] = {"default": {}}
# The same command with random weights, and with other encoders than the one that it chooses.
ENCODERS: dict[str, dict[str, Any]] = {
    "small": {"encoder": "small"},
    "linear": {"encoder": "small", "pretrained": False},
    "free": {"encoder": "small-free"},
    "lite0": {"encoder": "lite0"},
}
# Figures that `onlooker train` prints.
_PRINTED = ("accuracy", "accuracy_interval", "recordings", "majority_share", "videos")


@dataclass(frozen=True)
class Answers:
    """What a run of the command wrote about the clips that test it.

    Args:
        figures: of `evaluation.json`.
        settings: of `config.json`, with the chosen encoder if one is chosen.
        correct: by the path of each clip, whether it is classified correctly.
        recordings: of the clips, by their path.
        cpu_seconds: of the command, whose frames no other run had decoded if it is the first.
    """

    figures: Figures
    settings: Settings
    correct: Mapping[Path, bool]
    recordings: Mapping[Path, str]
    cpu_seconds: float

    @classmethod
    def read(cls, run: Path) -> "Answers":
        """What is in the folder of a run that is finished."""
        record = RunRecord.read(run)
        trained = onlooker.TrainedRun.read(run)
        figures = trained.figures
        if figures is None:
            raise FileNotFoundError(f"{run}: no figures; the training is not finished")
        split = record.split.without({error.path for error in record.skipped})
        clips = split.clips if figures.cross_validated else split.test
        answers = zip(clips, trained.predictions, strict=True)
        correct = {clip.path: answer.correct for clip, answer in answers}
        recordings = {clip.path: group_of(clip) for clip in clips}
        seconds = float((run / _SECONDS).read_text(encoding="utf-8"))
        return cls(figures, record.settings, correct, recordings, seconds)


def train(clips: Path, run: Path, settings: Mapping[str, Any]) -> Answers:
    """`onlooker train CLIPS`, continued if it was interrupted; what it wrote."""
    if not onlooker.TrainedRun.read(run).figures:
        began = time.process_time()
        onlooker.train(clips, run, resume=run.exists(), quiet=True, **settings)
        write_bytes(run / _SECONDS, f"{time.process_time() - began:.1f}".encode())
    return Answers.read(run)


def lists_of(name: str, folder: Path) -> dict[str, Path]:
    """What the command is given for a set: its folder, or a list for each official split, written
    to `folder`.
    """
    if not SETS[name].official:
        return {"split": data_folder() / "clips" / SETS[name].folder}
    lists = {}
    for number, split in splits_of(name).items():
        lists[number] = folder / f"{name}-{number}.csv"
        write_bytes(lists[number], as_list(split))
    return lists


def as_list(split: Split) -> bytes:
    """The CSV list of the clips of a split."""
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(("path", "label", "split", "recording"))
    for part, clips in vars(split).items():
        for clip in clips:
            rows.writerow((clip.path.resolve(), clip.label, part, clip.recording or ""))
    return text.getvalue().encode()


def together(runs: Sequence[Answers]) -> dict[str, Any]:
    """The figures that the command prints, for the test clips of all runs together, and the CPU
    seconds of the first run.
    """
    seconds = runs[0].cpu_seconds
    if len(runs) == 1:
        figures = runs[0].figures
        which = "all, cross-validated" if figures.cross_validated else "test clips of its split"
        printed = {name: getattr(figures, name) for name in _PRINTED}
        return {**printed, "which": which, "cpu_seconds": seconds}
    correct = np.concatenate([[*run.correct.values()] for run in runs])
    recordings = [recording for run in runs for recording in run.recordings.values()]
    labels = Counter[str]()
    for run in runs:
        counts = np.sum(run.figures.confusion, 1).tolist()
        labels.update(dict(zip(run.figures.classes, counts, strict=True)))
    return {
        "accuracy": float(correct.mean()),
        "accuracy_interval": accuracy_interval(correct, recordings),
        "recordings": len({*recordings}),
        "majority_share": max(labels.values()) / len(correct),
        "videos": len(correct),
        "which": "test clips of three official splits",
        "cpu_seconds": seconds,
    }


def calibration(runs: Sequence[Answers]) -> dict[str, Any]:
    """The calibration of the command's answers, means over runs."""
    perfect = np.mean([run.figures.perfect_calibration_error for run in runs], 0)
    return {
        "error": float(np.mean([run.figures.calibration_error for run in runs])),
        "perfect": float(perfect[0]),
        "perfect_95": float(perfect[1]),
        "clips": sum(run.figures.videos for run in runs),
    }


def measure(name: str, run: Path, results: Path, *, encoders: bool = False) -> dict[str, Any]:
    """The figures of one set; writes its rows of `own-clips.json` and `calibration.json`.

    Args:
        run: the folder of the runs.
        encoders: also of the command with random weights, and with other encoders.
    """
    kinds = {**KINDS, **(ENCODERS if encoders else {})}
    lists = lists_of(name, run)
    answers = {
        kind: [
            train(clips, run / name / kind / number, settings) for number, clips in lists.items()
        ]
        for kind, settings in kinds.items()
    }
    default = answers["default"]
    printed = together(default)
    figures: dict[str, Any] = {
        "default": printed["accuracy"],
        "printed": printed,
        "classes": len(default[0].figures.classes),
        "splits": {number: of.figures.accuracy for number, of in zip(lists, default, strict=True)},
        "encoders": {
            number: of.settings.model.encoder for number, of in zip(lists, default, strict=True)
        },
        **{kind: together(runs)["accuracy"] for kind, runs in answers.items() if kind != "default"},
    }
    if encoders:
        figures["above_small"] = _difference(default, answers["small"])
    memos = {
        number: {kind: _text(runs[place], default[place]) for kind, runs in answers.items()}
        for place, number in enumerate(lists)
    }
    settings = default[0].settings.to_dict()
    row = Row(figures, {**settings, "kinds": kinds}, memos)
    only = "--encoders" if encoders else ""
    write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows={(name,): row}, only=only)
    calibrated = Row(calibration(default), settings)
    about = About(WHAT_CALIBRATION, COMMAND, [0])
    write_rows(results, CALIBRATION, about=about, rows={(name,): calibrated}, only=only)
    return figures


def _text(run: Answers, other: Answers) -> str:
    """The answers of a run as a text of `as_text`, in the order of those of another one.

    Raises:
        ValueError: other clips test the run.
    """
    if run.correct.keys() != other.correct.keys():
        raise ValueError("two encoders are tested by different clips, and cannot be compared")
    return as_text(np.array([run.correct[path] for path in other.correct]))


def _difference(runs: Sequence[Answers], others: Sequence[Answers]) -> list[float]:
    """How much more clips are correct than by other runs, with its interval."""
    later = "".join(_text(*pair) for pair in zip(runs, others, strict=True))
    first = "".join(_text(run, run) for run in others)
    recordings = [name for run in others for name in run.recordings.values()]
    return [0, 0, 0] if later == first else over_recordings([later], [first], recordings)


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")
    ] = None,
    encoders: Annotated[bool, typer.Option(help="Also with other encoders.")] = False,
) -> None:
    """Measure the default command on sets of clips."""
    for name in sets or SETS:
        runs = Path("runs/real-clips/own-clips")
        os.environ["ONLOOKER_CACHE"] = str(runs / "cache")  # so that times include decoding
        found = measure(name, runs, Path("results"), encoders=encoders)
        print(f"{name}: {found['default']:.1%}")


if __name__ == "__main__":
    typer.run(main)
