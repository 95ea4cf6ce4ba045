"""Several trained models combined by late fusion."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import onlooker
from onlooker.data.samples import Sample
from onlooker.drawing.clip import write_drawn
from onlooker.files import read_json, reading, write_json
from onlooker.localization import localize
from onlooker.recognizer import ENSEMBLE_FILE, Recognizer, load
from onlooker.settings import field_of
from onlooker.structures import Prediction

__all__ = ["Ensemble", "average_scores", "choose_weights", "is_ensemble", "load_any"]

_STEPS = 20  # of a weight between 0 and 1


class Ensemble:
    """The weighted average of the probabilities of several recognizers (late fusion).

    Two-stream models are ensembles of an RGB model and a flow model (Simonyan & Zisserman 2014, Li et al. 2016);
    `choose_weights` chooses the weights on validation clips.

    Args:
        members: recognizers with the same classes and number of frames.
        weights: one per member, not negative, with sum 1.

    Raises:
        ValueError: members or weights that do not fit.
    """

    def __init__(self, members: Sequence[Recognizer], weights: Sequence[float]) -> None:
        if len(members) < 2 or len(weights) != len(members):
            raise ValueError(
                f"{len(members)} members and {len(weights)} weights, expected a weight each for two or more"
            )
        if not (min(weights) >= 0 and abs(sum(weights) - 1) <= 1e-6):
            raise ValueError(f"weights are {', '.join(map(str, weights))}, expected none below 0 and a sum of 1")
        for name, values in (
            ("classes", [member.classes for member in members]),
            ("frames", [member.data.frames for member in members]),
            ("temporal_crops", [member.data.temporal_crops for member in members]),
        ):
            if len(set(values)) > 1:
                raise ValueError(
                    f"members have other {name}: {' and '.join(map(str, values))}; combine runs that agree"
                )
        self.members, self.weights, self.classes = tuple(members), tuple(weights), members[0].classes

    def read(self, path: Path | str) -> tuple[Sample, ...]:
        """What each member sees of a clip; a ClipError if it cannot be read."""
        return tuple(sample for member in self.members for sample in member.read(path))

    def predict(self, path: Path | str, samples: Sequence[Sample] = ()) -> Prediction:
        """Predict a clip. Attention and boxes are those of the attending member with the highest weight.

        `samples` is what `read` returned for the clip, if it was read ahead.

        Raises:
            ClipError: the clip cannot be read.
        """
        samples = samples or self.read(path)
        predictions = [member.predict_sample(of, path) for member, of in zip(self.members, samples, strict=True)]
        attending = [i for i, one in enumerate(predictions) if one.attention is not None]
        shown = max(attending, key=lambda i: self.weights[i], default=0)
        frame_scores = average_scores([each.frame_scores for each in predictions], self.weights)
        scores = average_scores([each.scores for each in predictions], self.weights)
        combined = replace(predictions[shown], frame_scores=frame_scores, scores=scores, threshold=None)
        return localize(combined, samples[shown].frames, self.members[shown].localization)

    def overlay(self, path: Path | str, out: Path | str, prediction: Prediction | None = None) -> Path:
        """Write the whole clip to `out`, as `Recognizer.overlay`."""
        return write_drawn(path, out, prediction or self.predict(path))

    def save(self, folder: Path | str) -> Path:
        """Write `ensemble.json` and one sub-folder per member."""
        folder = Path(folder)
        for number, member in enumerate(self.members):
            member.save(folder / f"member-{number}")
        write_json(folder / ENSEMBLE_FILE, {"onlooker": onlooker.__version__, "weights": list(self.weights)})
        return folder

    @classmethod
    def load(cls, run: Path | str, device: str = "auto") -> "Ensemble":
        """Read what `save` wrote; only JSON and safetensors are read.

        Raises:
            FileNotFoundError: no ensemble in the folder.
            ValueError: files that do not fit each other.
        """
        folder = Path(run)
        if not is_ensemble(folder):
            raise FileNotFoundError(
                f"{run}: no {ENSEMBLE_FILE}; expected a folder that `onlooker ensemble` has written"
            )
        with reading(folder / ENSEMBLE_FILE):
            weights = field_of(read_json(folder / ENSEMBLE_FILE), "weights", list[float])
        members = [load(folder / f"member-{number}", device) for number in range(len(weights))]
        with reading(folder / ENSEMBLE_FILE):
            return cls(members, weights)


def is_ensemble(run: Path) -> bool:
    """Whether a folder holds an ensemble."""
    return (run / ENSEMBLE_FILE).exists()


def load_any(run: Path, device: str = "auto") -> Recognizer | Ensemble:
    """The recognizer of a run, or the ensemble in the folder."""
    return Ensemble.load(run, device) if is_ensemble(run) else load(run, device)


def average_scores(scores: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """The weighted sum of arrays of probabilities."""
    return sum(np.float32(weight) * each for weight, each in zip(weights, scores, strict=True))  # type: ignore[return-value]


def choose_weights(scores: Sequence[NDArray[np.float32]], targets: NDArray[np.int64]) -> tuple[float, ...]:
    """The weights with the lowest log loss; of equally good ones the most even.

    Args:
        scores: of each member, `B K` probabilities.
        targets: `B`.
    """
    rows = np.arange(len(targets))

    def cost(weights: tuple[float, ...]) -> tuple[float, float]:
        of_targets = average_scores(scores, weights)[rows, targets]
        return round(float(-np.log(np.maximum(of_targets, 1e-12)).mean()), 9), sum(weight**2 for weight in weights)

    steps = itertools.product(range(_STEPS + 1), repeat=len(scores) - 1)
    candidates = [(*first, _STEPS - sum(first)) for first in steps if sum(first) <= _STEPS]
    return min((tuple(part / _STEPS for part in parts) for parts in candidates), key=cost)
