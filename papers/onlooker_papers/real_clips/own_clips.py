"""The default command on real clips, compared with the best of all models, and the calibration of its confidence.

The default is computed from stored features, with the same result as `onlooker train CLIPS` (`test_own_clips.py`
compares them). Nothing is chosen on test clips: statistics, method and temperature come from cross-validation on the
training clips.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.special import softmax

from onlooker.data.split import Split
from onlooker.evaluation.calibration import calibration_error, fit_temperature, perfect_calibration_error
from onlooker.evaluation.metrics import wilson_interval
from onlooker.files import read_json
from onlooker.training.linear import Choice, Clips
from onlooker_papers.real_clips.frozen import DATA, MODEL, SETS, Encoded, encode, fitted_logits, splits_of
from onlooker_papers.results import About, Row, write_rows

FILE, CALIBRATION = "own-clips", "calibration"
COMMAND = "python -m onlooker_papers.real_clips.own_clips"
FIRST_ONLY = {"ucf101_18"}  # sets whose main figure is that of the first official split
_Z = 1.959964
_MANY = 700  # clips; larger sets are calibrated on one split

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def measure(name: str, run: Path, results: Path, quick: bool = False) -> dict[str, Any]:
    """Measure one set, and write its rows of `own-clips.json` and `calibration.json`.

    Args:
        name: one of `SETS`.
        run: folder of the features.
        results: folder of the results files, which has `real-clips.json`.
        quick: only the first split, without random weights.

    Returns:
        The figures of `own-clips`.
    """
    splits = dict([*splits_of(name).items()][: 1 if quick and SETS[name].official else None])
    trained = encode(name, run)
    answers, choices = _answers(trained, splits)
    untrained = {} if quick else _answers(encode(name, run, pretrained=False), _counted(name, splits))[0]
    figures = _figures(name, trained, splits, answers, untrained, _others(name, results))
    settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "weights": trained.weights}
    memos = {split: {"default": _text(right)} for split, right in answers.items()}
    for split, right in untrained.items():
        memos[split]["linear"] = _text(right)
    what = (
        "test clips classified correctly: default command, linear on random weights, best of all models, majority class"
    )
    write_rows(results, FILE, About(what, COMMAND, [0]), {(name,): Row(figures, settings, memos)})
    first = next(iter(splits))
    calibration = _calibration(trained, splits[first], choices[first])
    what = "expected calibration error, 5 bins of equal mass, pooled cross-validated predictions of the default command"
    about = About(what, COMMAND, [0])
    write_rows(results, CALIBRATION, about, {(name,): Row(calibration, settings)})
    return figures


def _answers(encoded: Encoded, splits: Mapping[str, Split]) -> tuple[dict[str, Bools], dict[str, Choice]]:
    """For each split, which of its test clips are classified correctly, and what cross-validation chose."""
    answers, choices = {}, {}
    for name, split in splits.items():
        fit, test = (encoded.positions(clips) for clips in ((*split.training, *split.validation), split.test))
        choices[name] = encoded.choice(fit)
        logits = fitted_logits(encoded.clips.only(fit), choices[name], encoded.clips.x[test])
        answers[name] = logits.argmax(1) == encoded.clips.y[test]
    return answers, choices


def _counted(name: str, splits: Mapping[str, Split]) -> dict[str, Split]:
    """The splits on which the main figure of a set is computed."""
    return dict([*splits.items()][:1] if name in FIRST_ONLY else splits)


def _figures(
    name: str,
    encoded: Encoded,
    splits: Mapping[str, Split],
    answers: Mapping[str, Bools],
    untrained: Mapping[str, Bools],
    others: Mapping[str, float],
) -> dict[str, Any]:
    counted = _counted(name, splits)
    right = np.concatenate([answers[split] for split in counted])
    targets = np.concatenate([encoded.clips.y[encoded.positions(split.test)] for split in counted.values()])
    default = float(right.mean())
    rows = {**others, "default": default}
    best = max(rows, key=lambda row: rows[row])
    figures: dict[str, Any] = {
        "default": default,
        "interval": list(wilson_interval(int(right.sum()), len(right))),
        "best": rows[best],
        "best_row": best,
        "below_best": difference(rows[best], default, len(right)) if best != "default" else [0.0, 0.0, 0.0],
        "majority": float(np.bincount(targets).max() / len(targets)),
        "test_clips": len(right),
        "training_clips": [len(split.training) + len(split.validation) for split in counted.values()],
        "classes": len(encoded.classes),
        "splits": {split: float(of.mean()) for split, of in answers.items()},
        "minutes": encoded.minutes,
    }
    if untrained:
        random = np.concatenate([*untrained.values()])
        figures |= {"linear": float(random.mean()), "above_linear": paired(right, random)}
    return figures


def _others(name: str, results: Path) -> dict[str, float]:
    """The rows of `real-clips.json` on the same test clips, means over seeds."""
    same = {"hand_gestures": ("hand_gestures", "hand_gestures_ablation", "hand_gestures_followed")}
    path = results / "real-clips.json"
    sets = read_json(path)["figures"] if path.exists() else {}
    return {
        model if of == name else f"{model} ({of})": accuracy
        for of in same.get(name, (name,))
        for model, accuracy in sets.get(of, {}).get("accuracy", {}).items()
    }


def paired(first: Bools, second: Bools) -> list[float]:
    """The difference of two accuracies on the same clips, and its 95 % interval (normal, of paired proportions)."""
    apart = first.astype(float) - second.astype(float)
    half = _Z * float(apart.std()) / len(apart) ** 0.5
    mean = float(apart.mean())
    return [mean, mean - half, mean + half]


def difference(first: float, second: float, total: int) -> list[float]:
    """The difference of two accuracies on equally many clips if single predictions are unknown, and its 95 % interval
    (Newcombe 1998, method 10), which is wider than for paired predictions."""
    (l1, u1), (l2, u2) = (wilson_interval(round(share * total), total) for share in (first, second))
    lower = ((first - l1) ** 2 + (u2 - second) ** 2) ** 0.5
    upper = ((u1 - first) ** 2 + (second - l2) ** 2) ** 0.5
    return [first - second, first - second - lower, first - second + upper]


def _calibration(encoded: Encoded, split: Split, choice: Choice) -> dict[str, Any]:
    """The calibration of the predictions in cross-validation on all clips; for large sets, on the training clips of a
    split, for which `choice` is known already."""
    clips = encoded.clips
    if len(clips.y) > _MANY:
        clips = clips.only(encoded.positions((*split.training, *split.validation)))
    else:
        choice = encoded.choice(np.arange(len(clips.y)))
    known = np.isfinite(choice.scores).all(1)
    logits = np.log(np.maximum(choice.scores, 1e-12)) * choice.temperature
    before, after = softmax(logits, 1), _tempered(clips, logits)
    known &= np.isfinite(after).all(1)
    before, after, y = before[known], after[known], clips.y[known]
    perfect, high = perfect_calibration_error(after)
    return {
        "error": calibration_error(after, y),
        "perfect": perfect,
        "perfect_95": high,
        "before": calibration_error(before, y),
        "clips": len(y),
        "accuracy": float((after.argmax(1) == y).mean()),
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


def _text(right: Bools) -> str:
    """One character per test clip, in the order of the split: 1 if the predicted class is correct."""
    return "".join("01"[int(each)] for each in right)


def main(
    sets: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")] = None,
    quick: Annotated[bool, typer.Option(help="Only the first official split, without random weights.")] = False,
) -> None:
    """Measure the default command on sets of clips."""
    run, results = Path("runs/real-clips/features"), Path("results")
    for name in sets or SETS:
        found = measure(name, run, results, quick)
        print(f"{name}: {found['default']:.1%}; best {found['best_row']} {found['best']:.1%}")


if __name__ == "__main__":
    typer.run(main)
