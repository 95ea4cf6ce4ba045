"""Localization of the moving digit: boxes and tubes from attention, learned from labels, and simple
baselines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.base.records import Box, Tube
from onlooker.localization import interpolate
from onlooker.recognizer import Recognizer
from onlooker_papers.detection import (
    at_thresholds,
    cor_loc,
    frame_map,
    video_map,
)
from onlooker_papers.pointing import peak_in_box
from onlooker_papers.videolstm.blanking import choose_spatial_parameters
from onlooker_papers.videolstm.boxes import (
    BoxParameters,
    Floats,
    Found,
    cut_boxes,
    find_boxes,
    motion,
)
from onlooker_papers.videolstm.moving_target import CLASSES, SIZE, TargetClips

Scores = NDArray[np.float32]

# Names of the baselines: boxes without attention, or from attention alone.
BASELINES = {"motion": "the largest moving region", "map": "the map without a foreground"}
MIN_SCORE = 0.01  # of a class, to have a tube
GAP = 5  # maximum number of consecutive frames without a box inside a tube
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
    return localization_figures(scores, attention, test, parameters)


def choose_for(
    recognizer: Recognizer, clips: TargetClips, count: int = _CHOOSE_ON
) -> BoxParameters:
    """`choose_spatial_parameters`, on the first clips of a set."""
    count = min(count, len(clips))
    samples = torch.stack([clips[index][0] for index in range(count)])
    targets = clips.batch.targets[:count].tolist()
    return choose_spatial_parameters(recognizer, samples, list(clips.images[:count]), targets)


def localization_figures(
    scores: Scores, attention: NDArray[np.float32], clips: TargetClips, parameters: BoxParameters
) -> dict[str, Any]:
    """How well the digit is localized, compared with baselines without attention but with the same
    classes.

    Args:
        scores: `B T K`, probabilities at every frame.
        attention: `B T h w`.
        clips: the `B` clips.
        parameters: how boxes are cut, chosen without these clips.

    Returns:
        `pointing`, the share of frames in which the center of the map's highest cell is in the box;
        `point`, the same for the most attended pixel (`Candidate.point`); `cor_loc`,
        `frame_map_20`, `frame_map_50`, `frame_map_50_95`, `video_map_20`, `video_map_50`,
        `video_map_50_95`; `localization`: the chosen parameters; and under `baselines` the same of
        `motion` (the largest moving region, cut by the same threshold) and `map` (the attention
        without a foreground).
    """

    def cut(how: BoxParameters) -> list[Found]:
        return [
            find_boxes(of_clip, pixels, how)
            for of_clip, pixels in zip(attention, clips.images, strict=True)
        ]

    guesses: dict[str, list[Found]] = {
        "motion": [cut_boxes(motion(pixels), parameters) for pixels in clips.images],
        "map": cut(BoxParameters()),
    }
    return {
        "pointing": float(peak_in_box(attention, clips.boxes, (SIZE, SIZE)).mean()),
        **_figures(cut(parameters), scores, clips),
        "localization": {
            name: getattr(parameters, name) for name in ("foreground", "extent", "threshold")
        },
        "baselines": {name: _figures(guess, scores, clips) for name, guess in guesses.items()},
    }


def _figures(candidates: Sequence[Found], scores: Scores, clips: TargetClips) -> dict[str, float]:
    indices = np.arange(scores.shape[1])
    truth = clips.boxes
    boxes = {}
    tubes = {}
    true_boxes = {}
    true_tubes = {}
    for b, (found, of_frames) in enumerate(zip(candidates, scores, strict=True)):
        name = str(b)
        label = CLASSES[int(clips.batch.targets[b])]
        boxes[name] = label_boxes(found, of_frames, CLASSES)
        # One score per clip: the uncertain first frames would lower the score of a tube.
        tubes[name] = label_tubes(link(found), of_frames.mean(axis=0), CLASSES)
        true_boxes[name] = [Box(label, int(t), tuple(truth[b, t].tolist())) for t in indices]
        true_tubes[name] = [Tube(label, indices, truth[b])]
    points = np.array(
        [[here.point if here else (np.nan, np.nan) for here in found] for found in candidates]
    )
    inside = np.all((truth[..., :2] <= points) & (points <= truth[..., 2:]), axis=-1)
    return {
        "point": float(inside.mean()),
        "cor_loc": cor_loc(boxes, true_boxes),
        **at_thresholds("frame_map", frame_map(boxes, true_boxes)),
        **at_thresholds("video_map", video_map(tubes, true_tubes)),
    }


def label_boxes(
    found: Found, frame_scores: NDArray[np.floating], classes: Sequence[str]
) -> list[Box]:
    """Each box once per class of at least .01; its score is the probability of the class at that
    frame × the concentration.

    All classes share the attention map, so location and class are treated as independent.

    Args:
        found: of `T` frames.
        frame_scores: `T K`, probabilities.
        classes: the `K` class names.
    """
    return [
        Box(classes[k], t, tuple(box.corners.tolist()), float(scores[k]) * box.concentration)
        for t, (box, scores) in enumerate(zip(found, frame_scores, strict=True))
        if box is not None
        for k in np.flatnonzero(scores >= MIN_SCORE).tolist()
    ]


class Track(NamedTuple):
    """Linked boxes before they have a class, with gaps filled.

    Attributes:
        frames: `n` consecutive frames of the clip.
        corners: `n 4`.
        concentration: `n`.
    """

    frames: NDArray[np.int64]
    corners: Floats
    concentration: Floats


def link(boxes: Found) -> list[Track]:
    """Tracks through a clip: up to `GAP` consecutive frames without a box are filled by
    interpolation; after more of them another track begins.
    """
    found = {t: box for t, box in enumerate(boxes) if box is not None}
    occupied = np.array([*found], np.int64)
    tracks = []
    for known in np.split(occupied, 1 + np.flatnonzero(np.diff(occupied) > GAP + 1)):
        if not len(known):
            continue
        corners = np.stack([found[t].corners for t in known])
        frames = np.arange(known[0], known[-1] + 1)
        filled = np.interp(frames, known, [found[t].concentration for t in known])
        track = Track(frames, interpolate(frames, known, corners), filled.astype(np.float32))
        tracks.append(track)
    return tracks


def label_tubes(
    tracks: Sequence[Track], scores: NDArray[np.floating], classes: Sequence[str]
) -> list[Tube]:
    """Each track once per class; its score is the mean over its frames of probability ×
    concentration.

    Args:
        tracks: through the clip.
        scores: `K`, the probabilities of the classes.
        classes: their names.
    """
    return [
        Tube(
            classes[k], track.frames, track.corners, float((scores[k] * track.concentration).mean())
        )
        for track in tracks
        for k in np.flatnonzero(scores >= MIN_SCORE).tolist()
    ]
