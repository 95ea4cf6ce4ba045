"""The default command on real clips: what it prints, other encoders on the test clips of a split,
and the calibration of its confidence.

A set without official splits is trained by `onlooker train CLIPS`. Answers on test clips are
computed from stored features, with the same result as the command has on that split
(`test_own_clips.py` compares them). Nothing is chosen on test clips: statistics, method and
temperature come from cross-validation on the training clips, for calibration of those of each fold.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

import onlooker
from onlooker.base.files import read_json
from onlooker.data.split import Split, group_of
from onlooker.models.encoders.lite0 import LITE0
from onlooker.models.encoders.pose import POSE
from onlooker.report.metrics import (
    accuracy_interval,
    calibration_error,
    perfect_calibration_error,
)
from onlooker.run.encoders import compared, large_enough
from onlooker.training.linear import choose, clearly_better, cross_validated
from onlooker_papers.intervals import as_text, correct_of, over_recordings
from onlooker_papers.real_clips import frozen
from onlooker_papers.real_clips.frozen import (
    DATA,
    MODEL,
    SETS,
    Encoded,
    encode,
    fitted_logits,
    splits_of,
)
from onlooker_papers.results import About, Row, read_rows, write_rows
from onlooker_papers.sets import data_folder

FILE = "own-clips"
CALIBRATION = "calibration"
ENCODERS = (LITE0, POSE, "auto")  # kinds of answers that need the extras imagenet and pose
BODIES = ("weizmann", "jhmdb")  # sets of one person who moves, on which landmarks are measured
COMMAND = "python -m onlooker_papers.real_clips.own_clips"
WHAT = "clips classified correctly by the default command; on test clips also with other encoders and by other models"
# The default command before it had statistics of order, on the same test clips (commit 4e09763f).
BEFORE = {
    "surveillance": 28 / 31,
    "weizmann": 85 / 93,
    "basketball": 30 / 57,
    "hand_gestures": 74 / 123,
    "jhmdb": 340 / 803,
    "ucf101_18": 1436 / 1971,
}
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "linear": {"pretrained": False},
    "free": {"encoder": "small-free"},
}
WHAT_CALIBRATION = (
    "expected calibration error, 5 bins of equal mass, of predictions in nested cross-validation"
)
# The recipes of `real-clips.json` on the same test clips.
SAME_CLIPS = {
    "hand_gestures": ("hand_gestures", "hand_gestures_ablation", "hand_gestures_followed")
}
_MANY = 700  # clips; larger sets are calibrated on one split
# Figures of `onlooker train`, as in `metrics.measure`.
_PRINTED = ("accuracy", "accuracy_interval", "recordings", "majority_share", "videos")

Bools = NDArray[np.bool_]


def measure(
    name: str, run: Path, results: Path, stored: bool = False, encoders: bool = False
) -> dict[str, Any]:
    """The figures of one set; writes its rows of `own-clips.json` and `calibration.json`, next to
    `real-clips.json`.

    Args:
        stored: only calibration and what the command prints; answers on test clips are those of the
        set's row.
        encoders: the same, with answers by `lite0`, and by the encoder that `onlooker train`
            chooses.
    """
    splits = splits_of(name)
    only = "--encoders" if encoders else "--stored" if stored else ""
    row = read_rows(results, FILE)[name,] if only else {}
    if row:
        memos = row["memos"]
        settings = row["settings"]
        minutes = row["figures"]["minutes"]
        printed = row["figures"].get("printed")
    else:
        memos = _answers(name, run, splits)
        trained = encode(name, run)
        settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "weights": trained.weights}
        minutes = trained.minutes
        printed = None
    if encoders:
        memos = _with_encoders(name, run, splits, memos)
    elif not SETS[name].official:
        printed = _printed(name, run.parent / "default" / name)
    texts = {kind: "".join(of.get(kind, "") for of in memos.values()) for kind in KINDS}
    default, random, free = (float(correct_of(text).mean()) for text in texts.values())
    both = len(texts["linear"])
    tests = [clip for split in splits.values() for clip in split.test]
    recordings = [*map(group_of, tests)]
    labels = Counter(clip.label for clip in tests)
    best, best_row = max(
        (of, row) for row, of in {"default": default, **others(name, results)}.items()
    )
    others_of = {kind: "".join(of.get(kind, "") for of in memos.values()) for kind in ENCODERS}
    interval = accuracy_interval(correct_of(texts["default"]), recordings)
    majority = max(labels.values()) / len(tests)
    official = (default, interval, len({*recordings}), majority, len(tests))
    printed = printed or {
        **dict(zip(_PRINTED, official, strict=True)),
        "which": "test clips of three official splits",
    }
    figures = {
        "default": printed["accuracy"],
        "printed": printed,
        "on_split": default,
        "before": BEFORE.get(name),
        "interval": interval,
        "recordings": len({*recordings}),
        "best": best,
        "best_row": best_row,
        "majority": majority,
        "test_clips": len(tests),
        "training_clips": [
            len(split.training) + len(split.validation) for split in splits.values()
        ],
        "classes": len(labels),
        "splits": {number: float(correct_of(of["default"]).mean()) for number, of in memos.items()},
        "minutes": minutes,
        "linear": random,
        "above_linear": over_recordings(
            [texts["default"][:both]], [texts["linear"]], recordings[:both]
        ),
        "free": free,
        **{kind: float(correct_of(text).mean()) for kind, text in others_of.items() if text},
    }
    if text := others_of[POSE]:
        figures["pose_above_lite0"] = over_recordings([text], [others_of[LITE0]], recordings)
    if text := others_of["auto"]:
        same = text == texts["default"]
        figures["above_default"] = (
            [0, 0, 0] if same else over_recordings([text], [texts["default"]], recordings)
        )
        figures["encoders"] = {number: of["encoder"] for number, of in memos.items()}
    about = About(WHAT, COMMAND, [0])
    write_rows(results, FILE, about, {(name,): Row(figures, settings, memos)}, only)
    if not encoders:
        calibrated = Row(_calibration(encode(name, run), next(iter(splits.values()))), settings)
        about = About(WHAT_CALIBRATION, COMMAND, [0])
        write_rows(results, CALIBRATION, about, {(name,): calibrated})
    return figures


def _printed(name: str, run: Path) -> dict[str, Any]:
    """The figures of `onlooker train CLIPS`, in a run that is made unless it is there."""
    if not (run / "evaluation.json").exists():
        shape: dict[str, Any] = {"frames": frozen.DATA.frames, "size": frozen.DATA.size}
        clips = data_folder() / "clips" / SETS[name].folder
        onlooker.train(clips, run, quiet=True, encoder=frozen.MODEL.encoder, **shape)
    figures = read_json(run / "evaluation.json")
    which = "all, cross-validated" if figures.get("cross_validated") else "test clips of its split"
    return {**{name: figures.get(name) for name in _PRINTED}, "which": which}


def _answers(name: str, run: Path, splits: Mapping[str, Split]) -> dict[str, dict[str, str]]:
    """Which test clips of each split are classified correctly, by each of `KINDS`."""
    return {
        number: {
            kind: as_text(right_answers(encode(name, run, **given), split))
            for kind, given in KINDS.items()
        }
        for number, split in splits.items()
    }


def _with_encoders(
    name: str, run: Path, splits: Mapping[str, Split], memos: Mapping[str, dict[str, str]]
) -> dict[str, dict[str, str]]:
    """Answers of each split with `lite0`, with `pose` on some sets, with the encoder that is chosen
    (`auto`), and which one that is.
    """
    encoded = {kind: encode(name, run, encoder=kind) for kind in (MODEL.encoder, LITE0)}
    bodies = encode(name, run, encoder=POSE) if name in BODIES else None
    found = {}
    for number, split in splits.items():
        training = [*split.training, *split.validation]
        chosen = MODEL.encoder
        if large_enough(training):
            some = compared(training)
            clips = [of.clips.only(of.positions(some)) for of in encoded.values()]
            small, lite0 = map(choose, clips)
            chosen = LITE0 if clearly_better(lite0, small, clips[0]) else chosen
        texts = {kind: as_text(right_answers(of, split)) for kind, of in encoded.items()}
        found[number] = {
            **memos[number],
            LITE0: texts[LITE0],
            "auto": texts[chosen],
            "encoder": chosen,
        }
        if bodies is not None:
            found[number][POSE] = as_text(right_answers(bodies, split))
    return found


def right_answers(encoded: Encoded, split: Split) -> Bools:
    """Which test clips of a split the default command classifies correctly."""
    fit, test = (
        encoded.positions(clips) for clips in ((*split.training, *split.validation), split.test)
    )
    training = encoded.clips.only(fit)
    logits = fitted_logits(training, choose(training), encoded.clips.x[test])
    return np.asarray(logits.argmax(1) == encoded.clips.y[test])


def others(name: str, results: Path) -> dict[str, float]:
    """The rows of `real-clips.json` on the same test clips, means over seeds."""
    path = results / "real-clips.json"
    sets = read_json(path)["figures"] if path.exists() else {}
    return {
        model if of == name else f"{model} ({of})": accuracy
        for of in SAME_CLIPS.get(name, (name,))
        for model, accuracy in sets.get(of, {}).get("accuracy", {}).items()
    }


def _calibration(encoded: Encoded, split: Split) -> dict[str, Any]:
    """The calibration of the predictions in cross-validation on all clips, chosen and fitted without
    the fold; for large sets, on the training clips.
    """
    chosen = np.arange(len(encoded.clips.y))
    if len(chosen) > _MANY:
        chosen = encoded.positions((*split.training, *split.validation))
    clips = encoded.clips.only(chosen)
    scores, _ = cross_validated(clips)
    known = np.isfinite(scores).all(1)
    confidence = scores[known].max(1)
    correct = scores[known].argmax(1) == clips.y[known]
    perfect, high = perfect_calibration_error(confidence)
    return {
        "error": calibration_error(confidence, correct),
        "perfect": perfect,
        "perfect_95": high,
        "clips": len(correct),
        "accuracy": float(correct.mean()),
    }


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")
    ] = None,
    stored: Annotated[
        bool, typer.Option(help="Only calibration and what the command prints.")
    ] = False,
    encoders: Annotated[
        bool, typer.Option(help="Only lite0 and the chosen encoder; needs the extra imagenet.")
    ] = False,
) -> None:
    """Measure the default command on sets of clips."""
    for name in sets or SETS:
        found = measure(name, Path("runs/real-clips/features"), Path("results"), stored, encoders)
        print(f"{name}: {found['default']:.1%}; best {found['best_row']} {found['best']:.1%}")


if __name__ == "__main__":
    typer.run(main)
