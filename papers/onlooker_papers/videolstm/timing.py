"""When does the digit move? Segments learned from labels alone, on clips in which it moves for a part of the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.config import TrainConfig
from onlooker.evaluation.detection import segment_map
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import evidence_scores, find_segments
from onlooker.recognizer import Recognizer
from onlooker.structures import Segment
from onlooker.tuning import ONSETS, choose_temporal_parameters
from onlooker_papers.detection import at_thresholds, segment_iou
from onlooker_papers.videolstm.ablation import ModelSpec, Trial
from onlooker_papers.videolstm.target_clips import CLASSES, ClipsOf, TargetClips

FRAMES = 16
EVENT = (0.3, 0.6)  # shortest and longest duration of the motion, as a share of the clip
MODEL = "mil"
SPEC = ModelSpec(MODEL, "both", label=MODEL)
# Names of the baselines without evidence of single frames.
GUESSES = {"class": "the class, from all frames so far", "whole": "the whole clip", "motion": "amount of motion"}


@dataclass(frozen=True)
class Timing:
    """The size of the experiment: numbers of training, `validation` and `test` clips, and of epochs."""

    clips: int
    counts: Mapping[str, int]
    training: TrainConfig


class TimedTrial(Trial):
    """One training of the model that predicts the time of the event; its figures are those of `timed`."""

    def measure(self, recognizer: Recognizer) -> dict[str, Any]:
        """The figures of `timed`."""
        return timed(recognizer, self.samples("validation"), self.samples("test"))

    def settings(self) -> dict[str, Any]:
        """The settings on which the figures depend, including the duration of the event."""
        return {**super().settings(), "frames": self.clips_of.frames, "event": list(self.clips_of.event)}


def timed_trial(run: Path, timing: Timing, seed: int, mnist: Path | None = None) -> TimedTrial:
    """A trial of the model that predicts the time of the event.

    The loss is that of the prediction at the last frame, because the label cannot be known before the event.
    """
    how = replace(timing.training, loss="last")
    return TimedTrial(run, SPEC, timing.clips, seed, ClipsOf(mnist, FRAMES, EVENT), timing.counts, how)


def timed(recognizer: Recognizer, validation: TargetClips, test: TargetClips) -> dict[str, Any]:
    """Choose the onset on validation clips by their labels, and score segments of test clips by the true times.

    Args:
        recognizer: a trained model with evidence.
        validation, test: clips with the model's modality.

    Returns:
        `accuracy`, of whole clips, and the figures of `timing_figures`.
    """
    chosen = choose_temporal_parameters(recognizer, validation.frames(), validation.batch.targets.tolist())
    answer = recognizer.classify(test.frames())
    assert answer.evidence is not None
    frame_scores = answer.scores.numpy()
    scores = recognizer.aggregate(frame_scores)
    return {
        "accuracy": float((scores.argmax(1) == test.batch.targets.numpy()).mean()),
        **timing_figures(scores, answer.evidence.numpy(), frame_scores, test, chosen),
    }


def timing_figures(
    scores: NDArray[np.float32],
    evidence: NDArray[np.float32],
    frame_scores: NDArray[np.float32],
    clips: TargetClips,
    parameters: LocalizationParameters,
) -> dict[str, Any]:
    """How well the time of the event is found, compared with baselines without evidence but with the same classes.

    Args:
        scores: `B K`, probabilities of clips.
        evidence: `B T`.
        frame_scores: `B T K`, probabilities at every frame.
        clips: the `B` clips, with their true times.
        parameters: onset and level, chosen without these clips.

    Returns:
        `segment_map_20`, `segment_map_50`, `segment_map_50_95`; `iou`, the mean over clips of the IoU of the segment
        with the highest score, regardless of its class; `onset`; under `causal`, the same using only each frame and
        those before it; and under `baselines`, the same for `class` (the probability at each frame), `whole` (the whole
        clip) and `motion` (mean motion of the pixels). For the baselines, no onset is chosen on validation clips; each
        has the one of `ONSETS` that is best on these clips, in hindsight.
    """
    moved = np.abs(clips.flow.astype(np.float64) - 127.5).mean(axis=(2, 3, 4))  # B T
    moved -= moved.min()
    guesses = {
        "class": frame_scores,
        "whole": np.broadcast_to(scores[:, None], frame_scores.shape),
        "motion": scores[:, None] * (moved / moved.max(1, keepdims=True))[:, :, None],
    }

    def hindsight(guess: NDArray[np.floating]) -> dict[str, float]:
        return max((_figures(guess, clips, each) for each in ONSETS), key=lambda found: found["segment_map_50"])

    onset, parts = parameters.onset, [evidence_scores(*of_clip) for of_clip in zip(scores, evidence, strict=True)]
    # As `update_event`: shares of the maximum so far, and 0 for those below the onset.
    so_far = np.maximum.accumulate(evidence.astype(np.float64), 1).clip(min=parameters.level)
    share = np.exp(evidence - so_far)
    causal = (np.where(share < onset, 0, share)[:, :, None] * scores[:, None]).astype(np.float32)
    return {
        **_figures(np.stack(parts), clips, onset),
        "causal": _figures(causal, clips, onset),
        "baselines": {name: hindsight(guess) for name, guess in guesses.items()},
    }


def _figures(frame_scores: NDArray[np.floating], clips: TargetClips, onset: float) -> dict[str, float]:
    parameters, times = LocalizationParameters(onset=onset), np.arange(frame_scores.shape[1], dtype=np.float64)
    found: dict[str, Sequence[Segment]] = {}
    true: dict[str, Sequence[Segment]] = {}
    overlaps = []
    for b, of_frames in enumerate(frame_scores):
        event = clips.batch.moving[b].nonzero().flatten()
        label = CLASSES[int(clips.batch.targets[b])]
        # A frame represents the time up to halfway to its neighbors; the first and the last one extend to the ends.
        end = min(float(event[-1]) + 0.5, times[-1] + 0.5)
        true[str(b)] = [Segment(label, max(0.0, float(event[0]) - 0.5), end)]
        found[str(b)] = find_segments(of_frames, times, CLASSES, parameters)
        overlaps.append(segment_iou(found[str(b)][0], true[str(b)][0]) if found[str(b)] else 0.0)
    return {**at_thresholds("segment_map", segment_map(found, true)), "iou": float(np.mean(overlaps)), "onset": onset}
