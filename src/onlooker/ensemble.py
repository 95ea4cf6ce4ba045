"""Several trained models that answer together (late fusion)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import onlooker
from onlooker.data.samples import read_sample
from onlooker.drawing.clip import write_drawn
from onlooker.files import read_json, write_json
from onlooker.localization import localize
from onlooker.recognizer import FUSED_FILE, Recognizer, load
from onlooker.structures import Prediction

__all__ = ["Fused", "fuse_scores", "is_fused"]


class Fused:
    """Several recognizers that answer together: their probabilities, weighed and added (late fusion).

    The two-stream models are two of them, one that sees the picture and one that sees the flow (Simonyan & Zisserman
    2014, Li et al. 2016); `experiments.fuse` chooses the weights on validation clips.

    Args:
        members: that know the same classes and look at equally many frames.
        weights: of each member, none negative, together 1.

    Raises:
        ValueError: members or weights that do not fit.
    """

    def __init__(self, members: Sequence[Recognizer], weights: Sequence[float]) -> None:
        if len(members) < 2 or len(weights) != len(members):
            raise ValueError(
                f"{len(members)} members and {len(weights)} weights, expected a weight each for two or more"
            )
        if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
            raise ValueError(f"weights are {', '.join(map(str, weights))}, expected none below 0 and a sum of 1")
        for name, values in (
            ("classes", [member.classes for member in members]),
            ("frames", [member.data.frames for member in members]),
            ("windows", [member.data.windows for member in members]),
        ):
            if len(set(values)) > 1:
                raise ValueError(f"members have other {name}: {' and '.join(map(str, values))}; fuse those that agree")
        self.members, self.weights, self.classes = tuple(members), tuple(weights), members[0].classes

    def predict(self, path: Path | str) -> Prediction:
        """What happens in a clip; where it looked is what the heaviest member that looks somewhere says.

        Raises:
            ClipError: the clip cannot be read.
        """
        samples = [read_sample(Path(path), member.data) for member in self.members]
        seen = [member.predict_sample(of, path) for member, of in zip(self.members, samples, strict=True)]
        heaviest = sorted(range(len(seen)), key=lambda i: -self.weights[i])
        looking = [i for i in heaviest if seen[i].attention is not None or seen[i].glimpses is not None]
        shown = (looking or [0])[0]
        frame_scores = fuse_scores([each.frame_scores for each in seen], self.weights)
        scores = fuse_scores([each.scores for each in seen], self.weights)
        fused = replace(seen[shown], frame_scores=frame_scores, scores=scores)
        return localize(fused, samples[shown].frames, self.members[shown].localization)

    def overlay(self, path: Path | str, out: Path | str, prediction: Prediction | None = None) -> Path:
        """Write the whole clip to `out`, as `Recognizer.overlay`."""
        seen = prediction or self.predict(path)
        flows = (member.display_flow(path, seen.indices) for member in self.members)
        return write_drawn(path, out, seen, next((moved for moved in flows if moved is not None), None))

    def save(self, folder: Path | str) -> Path:
        """Write `fused.json`, and every member into a folder of its own."""
        folder = Path(folder)
        for number, member in enumerate(self.members):
            member.save(folder / f"member-{number}")
        write_json(folder / FUSED_FILE, {"onlooker": onlooker.__version__, "weights": list(self.weights)})
        return folder

    @classmethod
    def load(cls, run: Path | str, device: str = "auto") -> "Fused":
        """What `save` wrote, from JSON and safetensors alone.

        Raises:
            FileNotFoundError: nothing fused is there.
            ValueError: files that do not fit each other.
        """
        folder = Path(run)
        if not is_fused(folder):
            raise FileNotFoundError(f"{run}: no {FUSED_FILE}; expected a folder that `onlooker fuse` has written")
        weights = read_json(folder / FUSED_FILE)["weights"]
        return cls([load(folder / f"member-{number}", device) for number in range(len(weights))], weights)


def is_fused(run: Path) -> bool:
    """Whether a folder holds fused models."""
    return (run / FUSED_FILE).exists()


def fuse_scores(scores: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """Arrays of probabilities, weighed and added."""
    return sum(np.float32(weight) * each for weight, each in zip(weights, scores, strict=True))  # type: ignore[return-value]
