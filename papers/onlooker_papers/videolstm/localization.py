"""Localization of the moving digit: boxes and tubes from attention, learned from labels, and simple
baselines.
"""

from typing import Any

import torch

from onlooker.recognizer import Recognizer
from onlooker_papers.videolstm.blanking import choose_spatial_parameters
from onlooker_papers.videolstm.boxes import BoxParameters
from onlooker_papers.videolstm.places import localization_figures
from onlooker_papers.videolstm.target_clips import TargetClips

_CHOOSE_ON = 40  # validation clips: each is classified twice for every candidate


def localized(recognizer: Recognizer, validation: TargetClips, test: TargetClips) -> dict[str, Any]:
    """Choose localization parameters on validation clips by their labels, and score them on test
    clips by their boxes.

    Args:
        recognizer: a trained model.
        validation, test: clips with the model's modality.

    Returns:
        The figures of `localization_figures`; nothing for a model that does not attend.
    """
    scores, attention, _ = recognizer.classify(test.frames())
    if attention is None:
        return {}
    parameters = choose_for(recognizer, validation)
    return localization_figures(scores, attention, test.truth, parameters)


def choose_for(
    recognizer: Recognizer, clips: TargetClips, count: int = _CHOOSE_ON
) -> BoxParameters:
    """`choose_spatial_parameters`, on the first clips of a set."""
    count = min(count, len(clips))
    samples = torch.stack([clips[index][0] for index in range(count)])
    targets = clips.batch.targets[:count].tolist()
    return choose_spatial_parameters(recognizer, samples, list(clips.images[:count]), targets)
