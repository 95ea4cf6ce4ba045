"""The default command on real clips, compared with the best of all models, and the calibration of
its confidence.

The default is computed from stored features, with the same result as `onlooker train CLIPS`
(`test_own_clips.py` compares them). Nothing is chosen on test clips: statistics, method and
temperature come from cross-validation on the training clips.
"""

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.special import softmax

from onlooker.base.files import read_json
from onlooker.data.split import Split, group_of
from onlooker.models.encoders.lite0 import LITE0
from onlooker.models.encoders.pose import POSE
from onlooker.report.metrics import (
    accuracy_interval,
    calibration_error,
    fit_temperature,
    perfect_calibration_error,
)
from onlooker.run.encoders import compared, large_enough
from onlooker.training.linear import Clips, choose, clearly_better
from onlooker_papers.intervals import as_text, correct_of, over_recordings
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

FILE = "own-clips"
CALIBRATION = "calibration"
ENCODERS = (LITE0, POSE, "auto")  # kinds of answers that need the extras imagenet and pose
BODIES = ("weizmann", "jhmdb")  # sets of one person who moves, on which landmarks are measured
COMMAND = "python -m onlooker_papers.real_clips.own_clips"
WHAT = "test clips classified correctly: default command, also with small-free and random weights, and other models"
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
    "expected calibration error, 5 bins of equal mass, of cross-validated predictions"
)
# The recipes of `real-clips.json` on the same test clips.
SAME_CLIPS = {
    "hand_gestures": ("hand_gestures", "hand_gestures_ablation", "hand_gestures_followed")
}
_MANY = 700  # clips; larger sets are calibrated on one split

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def measure(
    name: str, run: Path, results: Path, stored: bool = False, encoders: bool = False
) -> dict[str, Any]:
    """The figures of one set; writes its rows of `own-clips.json` and `calibration.json`, next to
    `real-clips.json`.

    Args:
        stored: only new figures, from the answers on test clips that the set's row has; some may
        lack the last splits.
        encoders: the same, with answers by `lite0`, and by the encoder that `onlooker train`
            chooses.
    """
    splits = splits_of(name)
    row = read_rows(results, FILE)[name,] if stored or encoders else {}
    if row:
        memos = row["memos"]
        settings = row["settings"]
        minutes = row["figures"]["minutes"]
        if encoders:
            memos = _with_encoders(name, run, splits, memos)
    else:
        memos = {number: {} for number in splits}
        for number, kind in itertools.product(splits, KINDS):
            memos[number][kind] = as_text(
                right_answers(encode(name, run, **KINDS[kind]), splits[number])
            )
        trained = encode(name, run)
        settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "weights": trained.weights}
        calibrated = Row(_calibration(trained, next(iter(splits.values()))), settings)
        minutes = trained.minutes
        write_rows(
            results, CALIBRATION, About(WHAT_CALIBRATION, COMMAND, [0]), {(name,): calibrated}
        )
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
    figures = {
        "default": default,
        "before": BEFORE.get(name),
        "interval": accuracy_interval(correct_of(texts["default"]), recordings),
        "recordings": len({*recordings}),
        "best": best,
        "best_row": best_row,
        "majority": max(labels.values()) / len(tests),
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
    only = "--encoders" if encoders else "--stored" if stored else ""
    write_rows(results, FILE, about, {(name,): Row(figures, settings, memos)}, only)
    return figures


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
    """The calibration of the predictions in cross-validation on all clips; for large sets, on the
    training clips.
    """
    chosen = np.arange(len(encoded.clips.y))
    if len(chosen) > _MANY:
        chosen = encoded.positions((*split.training, *split.validation))
    clips = encoded.clips.only(chosen)
    choice = choose(clips)
    logits = np.log(np.maximum(choice.scores, 1e-12)) * choice.temperature
    before = softmax(logits, 1)
    after = _tempered(clips, logits)
    known = np.isfinite(choice.scores).all(1) & np.isfinite(after).all(1)
    before = before[known]
    after = after[known]
    y = clips.y[known]
    correct = after.argmax(1) == y
    perfect, high = perfect_calibration_error(after.max(1))
    return {
        "error": calibration_error(after.max(1), correct),
        "perfect": perfect,
        "perfect_95": high,
        "before": calibration_error(before.max(1), before.argmax(1) == y),
        "clips": len(y),
        "accuracy": float(correct.mean()),
        "temperature": choice.temperature,
    }


def _tempered(clips: Clips, logits: Floats) -> Floats:
    """Probabilities `B K`; the temperature for each clip is fitted without its fold."""
    scores = np.full_like(logits, np.nan)
    for fit, test in clips.folds(5):
        kept = fit[np.isfinite(logits[fit]).all(1)]
        temperature = fit_temperature([*softmax(logits[kept], 1)[:, None]], clips.y[kept], "last")
        scores[test] = softmax(logits[test] / temperature, 1)
    return scores


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")
    ] = None,
    stored: Annotated[
        bool, typer.Option(help="Only the figures, from the answers in the results.")
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
