"""Choose when an event happens from clips and their labels alone: no true time is used."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.data.clips import ClipFrames
from onlooker.localization.parameters import LocalizationParameters, explanation_cost
from onlooker.localization.segments import event_frames
from onlooker.recognizer import Recognizer

__all__ = ["ONSETS", "choose_temporal_parameters", "tune_times"]

ONSETS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_CLIPS_ENCODED = 4  # at once; few enough for large encoders
_MIN_CLIPS, _MAX_CLIPS = 8, 40


def choose_temporal_parameters(
    recognizer: Recognizer, samples: torch.Tensor, targets: Sequence[int]
) -> LocalizationParameters:
    """Choose `onset`, the share of the maximum evidence from which on a frame belongs to the event.

    `explanation_cost` over time is the criterion: the event should have few frames, which suffice for the label, while
    the other frames do not. For streams, `level` is set to the median over clips of the maximum evidence.

    Args:
        recognizer: a trained model with evidence; its `localization` has the other parameters.
        samples: clips that were not used in training, as for `Recognizer.classify`.
        targets: the true class of each clip.

    Raises:
        ValueError: a model without evidence.
    """
    parts = [recognizer.frame_evidence(part) for part in samples.split(_CLIPS_ENCODED)]
    evidence, attended = (torch.cat(part) for part in zip(*parts, strict=True))

    def label_probability(event: NDArray[np.bool_]) -> NDArray[np.float64]:
        with torch.inference_mode():
            masked = evidence.masked_fill(~torch.from_numpy(event).to(evidence.device), -torch.inf)
            logits = recognizer.model.pool_evidence(masked, attended).double() / recognizer.temperature
            scores = logits.softmax(1).cpu().numpy()
        return scores[np.arange(len(samples)), list(targets)].clip(0, 1)

    def criterion(parameters: LocalizationParameters) -> float:
        event = np.stack([event_frames(of_clip, parameters) for of_clip in evidence.cpu().numpy()])
        return float(explanation_cost(event.mean(1), label_probability(event), label_probability(~event)).mean())

    chosen = min((replace(recognizer.localization, onset=onset) for onset in ONSETS), key=criterion)
    return replace(chosen, level=float(evidence.amax(1).median()))


def tune_times(recognizer: Recognizer, validation: ClipFrames) -> tuple[LocalizationParameters, str]:
    """The parameters of a recognizer, with an onset that is chosen on validation clips if its model weighs frames.

    Returns:
        The parameters; and how they were chosen, in words, empty for a model without evidence.
    """
    if not recognizer.model.has_evidence:
        return recognizer.localization, ""
    if (total := len(validation)) < _MIN_CLIPS:
        return recognizer.localization, f"when: not tuned, {total} validation clips are fewer than {_MIN_CLIPS}"
    chosen = [validation[i] for i in np.linspace(0, total - 1, min(_MAX_CLIPS, total)).astype(int).tolist()]
    samples, targets = torch.stack([frames for frames, _, _ in chosen]), [target for _, target, _ in chosen]
    return choose_temporal_parameters(recognizer, samples, targets), f"when: tuned on {len(targets)} validation clips"
