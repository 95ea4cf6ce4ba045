"""The figures of an evaluation and of a cross-validation: records that are saved as JSON files of a
run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from onlooker.base.files import read_json, reading
from onlooker.base.records import ClipError, Segment
from onlooker.base.settings import Config
from onlooker.measure.timeline import Pair, Timeline


@dataclass(frozen=True, kw_only=True)
class Leakage(Config):
    """How much a test is inflated by similar clips in training and test.

    Args:
        mixed: the accuracy if similar clips are both trained on and tested.
        unseen: the accuracy if they are kept together.
    """

    mixed: float
    unseen: float


@dataclass(frozen=True, kw_only=True)
class DoubtfulLabel(Config):
    """A clip whose label may be wrong; `predicted` is the answer of a model that was not trained on
    it, and `score` its probability.
    """

    name: str
    label: str
    predicted: str
    score: float


@dataclass(frozen=True, kw_only=True)
class TriedCandidate(Config):
    """A candidate of a search (`training.search`).

    Args:
        choice: what was chosen, such as the encoder.
        candidate: its name.
        loss: the mean loss on recordings that it was not fitted to; None: it was not tested.
        measure: what the loss is.
        accuracy: None: nothing was classified.
        outcome: begins with "chosen", or says why not.
    """

    choice: str
    candidate: str
    loss: float | None = None
    measure: str = "log loss"
    accuracy: float | None = None
    outcome: str

    @property
    def is_chosen(self) -> bool:
        """Whether the search chose it."""
        return self.outcome.startswith("chosen")

    def __str__(self) -> str:
        # not the accuracy, which is that of the best of several: too high for other recordings
        if self.loss is None:
            return self.candidate
        return f"{self.candidate} ({self.measure} {self.loss:.2f})"


@dataclass(frozen=True, kw_only=True)
class HeldOutStates(Config):
    """The states of recordings that a model was not fitted to, in the cross-validation that chose it.

    Args:
        sentence: how good they are.
        classes: the names of the states.
        recordings: `saved_pairs`.
        overlap: states of several tiers go on at a time: a clip that is named by another tier is not
            named wrong.
    """

    sentence: str
    classes: Sequence[str]
    recordings: Sequence[dict[str, Any]]
    overlap: bool = False

    @property
    def pairs(self) -> dict[str, Pair]:
        """The labels and the states of each recording, by its name."""
        pairs = dict[str, Pair]()
        for recording in self.recordings:
            true, predicted = (
                Timeline.of([Segment(*bout) for bout in recording[row]], recording["seconds"])
                for row in ("labeled", "found")
            )
            pairs[recording["name"]] = true, predicted
        return pairs


def saved_pairs(pairs: Mapping[str, Pair]) -> list[dict[str, Any]]:
    """Recordings as plain values, sorted by their names: `name`, `seconds`, and the `labeled` and
    `found` bouts, each with label, start and end.
    """
    return [
        {
            "name": name,
            "seconds": true.seconds,
            "labeled": [[bout.label, bout.start, bout.end] for bout in true.segments],
            "found": [[bout.label, bout.start, bout.end] for bout in predicted.segments],
        }
        for name, (true, predicted) in sorted(pairs.items())
    ]


@dataclass(frozen=True, kw_only=True)
class CrossValidationFigures(Config):
    """The results of the cross-validation that chose a model: `cross_validation.json`. Its fields
    are explained in `Figures`.
    """

    chosen: str | None = None
    tried: Sequence[TriedCandidate] | None = None
    states: HeldOutStates | None = None
    scenes: Leakage | None = None
    copies: Leakage | None = None
    cross_validated: bool = False
    labels_to_check: Sequence[DoubtfulLabel] | None = None

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The figures in a JSON file; None if there is no such file. A ValueError if it is damaged."""
        if not file.exists():
            return None
        with reading(file):
            return cls.from_dict(read_json(file))

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON, without what is unknown or false."""
        plain = super().to_dict()
        return {
            name: value for name, value in plain.items() if value is not None and value is not False
        }


@dataclass(frozen=True, kw_only=True)
class _EvaluationFigures(Config):
    """What is measured in an evaluation; the fields are explained in `Figures`."""

    videos: int
    frames: int | None = None
    classes: Sequence[str]
    recordings: int | None = None
    accuracy: float
    accuracy_interval: Sequence[float] | None = None
    frame_accuracy: float | None = None
    class_accuracy: dict[str, float | None]
    log_loss: float
    calibration_error: float
    perfect_calibration_error: Sequence[float]
    majority_share: float
    confusion: Sequence[Sequence[int]]
    skipped: Sequence[ClipError]
    known_scenes: int | None = None
    unusual: int | None = None
    unusual_correct: int | None = None
    mean_confidence: float | None = None
    balanced: bool = False


@dataclass(frozen=True, kw_only=True)
class Figures(CrossValidationFigures, _EvaluationFigures):
    """The figures of an evaluation of `videos` videos of `K` classes: `evaluation.json`.

    All but `log_loss` are computed from the answers (`Evaluation.answers`), as `predict` gives
    them. None, or false: unknown, or not so. `figures["accuracy"]` is `figures.accuracy` as in
    JSON.

    Args:
        videos: number of videos.
        frames: number of their frames; None without scores at frames.
        classes: names of the classes, in rows and columns of `confusion`; the last
            one is nothing if that is an answer, but not a class.
        recordings: number of recordings; None in runs of earlier versions.
        accuracy: share of videos classified correctly.
        accuracy_interval: its 95 % interval over recordings; None for one or two of them.
        frame_accuracy: share of frames classified correctly.
        class_accuracy: share of the videos of each class; None for a class without videos.
        log_loss: in nats.
        calibration_error: with five bins of equal mass.
        perfect_calibration_error: of a perfectly calibrated model with so few videos: mean,
            95th percentile.
        majority_share: the majority-class baseline.
        confusion: `K K`, counts of videos; rows: true class, columns: predicted class.
        skipped: clips that could not be used.
        known_scenes: how many of the clips show a scene of clips that the model was fitted to.
        unusual: how many of the videos are unlike all clips of training (`Prediction.unusual`).
        unusual_correct: how many of these are classified correctly.
        mean_confidence: the mean probability of the answers; as high as the accuracy if they hold.
        balanced: classes weighed equally in training because that was asked for.
        chosen: what the searches of the training chose, in a line.
        tried: their candidates, each with its loss and why it was chosen or not.
        states: of recordings, for a model of states. If they overlap, the figures of clips
            say little: answers are compared with labels of other groups, too.
        scenes: the accuracy if clips of one scene were both trained on and tested.
        copies: the same for copies of a clip.
        cross_validated: each video was predicted by a model that was fitted without it and its
            recording.
        labels_to_check: clips whose labels may be wrong, most likely first; each has `name`,
            `label`, `predicted` and its `score`.
        checked: `onlooker check` found no problems in the clips of the run.
        events: what to expect of events in recordings, in a sentence (`AlarmCurve.sentence`).
        missing: which footage is missing to choose their threshold (`AlarmCurve.missing`).
        other_clips: the videos are not from the run; it was tested with other ones.
    """

    # JSON has the fields of the last base, then of the other one, and then these.
    checked: bool = False
    events: str | None = None
    missing: str | None = None
    other_clips: bool = False

    def __eq__(self, other: object) -> bool:
        # Errors are not equal by their values.
        return isinstance(other, Figures) and self.to_dict() == other.to_dict()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - as in JSON
        # Figures were a dict in earlier versions.
        return self.to_dict()[name]

    @property
    def judges_clips(self) -> bool:
        """Whether another class than the label of a clip is wrong: not of states that overlap."""
        return not (self.states and self.states.overlap)

    @property
    def correct(self) -> int:
        """Number of videos classified correctly."""
        return round(self.accuracy * self.videos)

    @property
    def beats_majority(self) -> bool:
        """Whether the model is better than always predicting the most frequent class, as far as its
        videos can tell.
        """
        low = self.accuracy_interval[0] if self.accuracy_interval else self.accuracy
        return low > self.majority_share

    @property
    def has_several_classes(self) -> bool:
        """Whether the videos are of several classes; otherwise always predicting one of them is no
        baseline.
        """
        return bool(np.count_nonzero(np.sum(self.confusion, axis=1)) > 1)
