"""Where the digit that moves is, from attention learned from labels: boxes and tubes, scored beside simple guesses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.evaluation.detection import (
    at_thresholds,
    cor_loc,
    frame_map,
    pointing_game,
    video_map,
)
from saccade.experiments import localize
from saccade.experiments.localize import Scores, frame_answers
from saccade.experiments.videolstm.target_clips import CLASSES, SIZE, TargetClips
from saccade.localization.boxes import Candidates, cut_boxes, find_boxes, label_boxes
from saccade.localization.foreground import motion
from saccade.localization.parameters import LocalizationParameters
from saccade.localization.tubes import label_tubes, link
from saccade.recognizer import Recognizer
from saccade.structures import Box, Tube

# Onset 0: the target is known to move in all of a clip, so tubes are not trimmed.
CANDIDATES = tuple(replace(each, onset=0.0) for each in localize.CANDIDATES)
# Boxes that need no attention, or nothing but it, in words.
BASELINES = {
    "centre": "a box in the middle",
    "frame": "the whole frame",
    "motion": "the largest thing that moves",
    "map": "the map without a foreground",
}
_CHOOSE_ON = 40  # validation clips: each is classified twice for every candidate


def localized(recognizer: Recognizer, validation: TargetClips, test: TargetClips) -> dict[str, Any]:
    """Choose how to localise on validation clips by their labels, and score it on test clips by their boxes.

    Args:
        recognizer: a trained model.
        validation, test: clips, seen as the model sees them.

    Returns:
        The figures of `localization_figures`; nothing for a model that does not attend.
    """
    scores, attention = frame_answers(recognizer, test.frames())
    if attention is None:
        return {}
    return localization_figures(scores, attention, test, choose_for(recognizer, validation))


def choose_for(recognizer: Recognizer, clips: TargetClips, count: int = _CHOOSE_ON) -> LocalizationParameters:
    """`localize.choose`, on the first clips of a set, with tubes as long as the clip."""
    count = min(count, len(clips))
    samples = torch.stack([clips[index][0] for index in range(count)])
    targets = clips.batch.targets[:count].tolist()
    flow = samples.shape[-1] if clips.streams == "flow" else recognizer.data.flow_channels
    return localize.choose(recognizer, samples, list(clips.pictures[:count]), targets, flow, CANDIDATES)


def localization_figures(
    scores: Scores, attention: NDArray[np.float32], clips: TargetClips, parameters: LocalizationParameters
) -> dict[str, Any]:
    """How well the target is found, and how well guesses without attention find it, with the same classes.

    Args:
        scores: `B T K`, probabilities at every frame.
        attention: `B T h w`.
        clips: the `B` clips, with their boxes.
        parameters: how boxes are cut and linked; chosen without these clips.

    Returns:
        `pointing`; `cor_loc`, `frame_map_20`, `frame_map_50`, `frame_map_50_95`, `video_map_20`, `video_map_50`,
        `video_map_50_95`; `localization`: what was chosen; and under `baselines` the same of `centre` (a quarter of the
        frame, in its middle), `frame` (all of it), `motion` (the largest thing that moves, cut by the same threshold),
        and `map` (the attention without a foreground).
    """
    whole = np.array([0, 0, SIZE, SIZE], np.float32)
    centre = np.array([SIZE / 4, SIZE / 4, SIZE * 3 / 4, SIZE * 3 / 4], np.float32)
    plain = LocalizationParameters(onset=parameters.onset)
    frames = scores.shape[1]
    guesses = {
        "centre": [_always(centre, frames)] * len(scores),
        "frame": [_always(whole, frames)] * len(scores),
        "motion": [cut_boxes(motion(pixels), parameters) for pixels in clips.pictures],
        "map": [find_boxes(maps, pixels, plain) for maps, pixels in zip(attention, clips.pictures, strict=True)],
    }
    found = [find_boxes(maps, pixels, parameters) for maps, pixels in zip(attention, clips.pictures, strict=True)]
    true = clips.batch.boxes[:, :, :1].numpy()
    return {
        "pointing": pointing_game(attention, true, (SIZE, SIZE)),
        **_figures(found, scores, clips, parameters),
        "localization": {"foreground": parameters.foreground, "threshold": parameters.threshold},
        "baselines": {name: _figures(guess, scores, clips, parameters) for name, guess in guesses.items()},
    }


def _always(corners: NDArray[np.float32], frames: int) -> tuple[Candidates, ...]:
    # The same score everywhere, so that the class alone ranks these.
    return (Candidates(corners[None], np.ones(1, np.float32)),) * frames


def _figures(
    candidates: Sequence[Sequence[Candidates]], scores: Scores, clips: TargetClips, parameters: LocalizationParameters
) -> dict[str, float]:
    corners, indices = clips.batch.boxes[:, :, 0].numpy(), np.arange(scores.shape[1])
    boxes, tubes, true_boxes, true_tubes = {}, {}, {}, {}
    for b, (found, of_frames) in enumerate(zip(candidates, scores, strict=True)):
        name, label = str(b), CLASSES[int(clips.batch.targets[b])]
        boxes[name] = label_boxes(found, of_frames, indices, CLASSES)
        # One verdict a clip: what the first frames do not know yet is no reason for a tube to begin later.
        verdict = np.broadcast_to(of_frames.mean(axis=0), of_frames.shape)
        tubes[name] = label_tubes(link(found, parameters), verdict, indices, CLASSES, parameters)
        true_boxes[name] = [Box(label, t, tuple(here)) for t, here in enumerate(corners[b].tolist())]
        true_tubes[name] = [Tube(label, indices, corners[b])]
    return {
        "cor_loc": cor_loc(boxes, true_boxes),
        **at_thresholds("frame_map", frame_map(boxes, true_boxes)),
        **at_thresholds("video_map", video_map(tubes, true_tubes)),
    }
