"""What an evaluation means in words: its first line, what to do next, and which labels may be wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from onlooker.evaluation.metrics import MIN_RECORDINGS
from onlooker.evaluation.report.table import percent
from onlooker.files import printable
from onlooker.structures import Evaluation

__all__ = ["advice", "first_line", "interval_of", "labels_to_check", "over", "share_of"]

Measured = Mapping[str, Any]

_FEW = 200  # clips, below which a percentage has no decimals
_SHOWN = 50  # labels to check
_LOST = 3  # classes in a sentence
_UNSURE = 0.9  # accuracy, below which another encoder may help
_ANY = (0.0, 1.0)  # where there is no interval


def share_of(count: int, total: int) -> str:
    """`7 of 18 (39 %)`."""
    return f"{count} of {total} ({percent(count / total, 0 if total < _FEW else 1)})"


def interval_of(measured: Measured) -> str:
    """`95 % interval 67 to 97 %, over 12 recordings`; without their number in figures of earlier versions."""
    if not (ends := measured.get("accuracy_interval")):
        return over(measured.get("recordings", 1), measured["videos"])
    low, high = (percent(end, 0 if measured["videos"] < _FEW else 1) for end in ends)
    interval = f"95 % interval {low[:-2]} to {high}"
    unit = "scenes" if "scenes" in measured else "recordings"
    if "recordings" in measured:
        return f"{interval}, {over(measured['recordings'], measured['videos'], unit)}"
    return interval


def over(recordings: int, videos: int, unit: str = "recordings") -> str:
    """What an interval is over, such as `over 12 recordings`; or why there is none."""
    unit = "clips" if recordings == videos else unit
    if recordings < MIN_RECORDINGS:
        of = "one recording" if recordings == 1 else f"{recordings} {unit}"
        return f"no interval can be given: all test clips come from {of}"
    return f"over {recordings} {unit}"


def first_line(measured: Measured) -> str:
    """The accuracy with its interval, after the majority-class baseline if it is not better than that, and scenes.

    Args:
        measured: what `runs.evaluate.write_report` returns.
    """
    return f"{_accuracy_line(measured)}{_scenes_line(measured)}"


def _scenes_line(measured: Measured) -> str:
    """The accuracy with clips of one scene on both sides, and that without; and how many clips show known scenes."""
    digits, line = 0 if measured["videos"] < _FEW else 1, ""
    for unit, unseen in (("scenes", "on scenes it has not seen"), ("copies", "without copies")):
        if figures := measured.get(unit):
            line += f"; {percent(figures['mixed'], digits)} if {unit} may be on both sides, "
            line += f"{percent(figures['unseen'], digits)} {unseen}"
    if count := measured.get("known_scenes"):
        line += f"; {count} of {measured['videos']} clips show a scene that it was trained on"
    return line


def _accuracy_line(measured: Measured) -> str:
    total, low = measured["videos"], _lower_end(measured)
    correct, digits = round(measured["accuracy"] * total), 0 if total < _FEW else 1
    accuracy = f"accuracy {share_of(correct, total)[:-1]}, {interval_of(measured)})"
    if not _has_classes(measured):
        return accuracy
    most, share = measured["classes"][int(np.sum(measured["confusion"], axis=1).argmax())], measured["majority_share"]
    always = f"always predicting “{printable(most)}”"
    if low > share:
        return f"{accuracy}; {always} gives {percent(share, digits)}"
    doubt = f" as far as {total} clips can tell" if measured["accuracy"] > share else ""
    return f"not better than {always} ({percent(share, digits)}){doubt}: {accuracy}"


def _lower_end(measured: Measured) -> float:
    """The lower end of the interval; the accuracy, if a single recording gives no interval."""
    return float(measured.get("accuracy_interval", (measured["accuracy"],))[0])


def _has_classes(measured: Measured) -> bool:
    """Whether the clips are of several classes; otherwise always predicting one of them is no baseline."""
    return bool(np.count_nonzero(np.sum(measured["confusion"], axis=1)) > 1)


def advice(measured: Measured) -> list[str]:
    """What to do next, most important first, in sentences; empty for a perfect result on many clips.

    Args:
        measured: as for `first_line`.
    """
    total, (low, high) = measured["videos"], measured.get("accuracy_interval", _ANY)
    names, steps = [printable(name) for name in measured["classes"]], []
    at_chance = _has_classes(measured) and _lower_end(measured) <= measured["majority_share"]
    if at_chance:
        steps.append(
            "Check the clips: `onlooker check CLIPS` finds near-duplicates, unbalanced classes, dark and too short "
            "clips. The label must be visible in the frames that the model receives."
        )
    counts = np.asarray(measured["confusion"])
    both = np.triu(counts + counts.T, 1)
    i, j = np.unravel_index(both.argmax(), both.shape)
    if both[i, j] > 1:
        steps.append(
            f"Most confused: “{names[i]}” and “{names[j]}” ({both[i, j]} of {total} clips). Check their labels, add "
            "clips that show the difference, or merge them."
        )
    accuracies = measured.get("class_accuracy", {})
    if lost := [printable(name) for name, share in accuracies.items() if share == 0]:
        steps.append(
            f"No clip of “{'” and “'.join(lost[:_LOST])}” is recognized: add clips of it, or let classes weigh equally "
            "(`onlooker train CLIPS --class-weights balanced`)."
        )
    if measured.get("imagenet") and measured["accuracy"] < _UNSURE:
        steps.append(
            "An encoder that was trained on photographs may see more in clips of this size: "
            '`pip install "onlooker[imagenet]"`, and train again, which compares both.'
        )
    if high - low > 0.2 and (measured["accuracy"] < 1 or (low, high) == _ANY):
        steps.append("Add clips, of as many people, places and cameras as possible.")
    if high - low > 0.2 and not measured.get("cross_validated"):
        few = f"{total} test clips leave an interval of {100 * (high - low):.0f} points"
        few = "The test clips come from too few recordings" if (low, high) == _ANY else few
        steps.append(f"{few}: test more clips (`onlooker train CLIPS --folds 5` tests all that it trains on).")
    return steps


def labels_to_check(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Clips whose labels may be wrong, most likely first: `name`, `label`, `predicted` and its `score`, for JSON.

    The answer is not the label; sorted by the probability of the label, the self-confidence of Kuan & Mueller
    (2022). Of ten labels planted in sets of real clips, it has more among the first than confident learning, whose
    threshold for each class and normalized margin leave out the errors in classes that are often confused.

    Args:
        evaluation: by models that were not trained on the clip, as in a cross-validation.
    """
    targets, answers, names = evaluation.targets, evaluation.answers, evaluation.answer_names
    confidence, scores = evaluation.scores[np.arange(len(targets)), targets], evaluation.answer_scores
    return [
        {
            "name": evaluation.names[i],
            "label": names[targets[i]],
            "predicted": names[answers[i]],
            "score": float(scores[i]),
        }
        for i in np.argsort(confidence, kind="stable").tolist()
        if answers[i] != targets[i]
    ][:_SHOWN]
