"""Boxes and tubes of a model's clips against true tubes, compared with boxes without attention.

Also what `onlooker reproduce videolstm --ucf101 --boxes` scores, on UCF101-24: boxes and tubes from class labels alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.data.clips import ClipCrops
from onlooker.data.samples import Sample, read_sample
from onlooker.localization.boxes import Candidates, cut_boxes, find_boxes
from onlooker.localization.maps import motion
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import label_tubes, link
from onlooker.recognizer import Recognizer, load
from onlooker.runs.features import open_stores, stored_clips
from onlooker.structures import Box, Clip, Tube
from onlooker.tuning import choose_spatial_parameters
from onlooker_papers.detection import at_thresholds, frame_map, video_map
from onlooker_papers.pointing import peak_in_box
from onlooker_papers.videolstm.places import always
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, clip_name

ATTENTION = "attention"
CENTER = np.array([0.25, 0.25, 0.75, 0.75], np.float32)  # a box in shares of the frame
_MIN_CLIPS = 8  # for the choice of localization parameters


@dataclass(frozen=True, eq=False)
class Seen:
    """The prediction of a model for a test clip.

    Args:
        name: the name in the annotations.
        sample: its frames.
        scores: `T K`.
        maps: attention, and Grad-CAM of the predicted class, `T h w` each.
        truth: its tubes, in pixels of the video.
    """

    name: str
    sample: Sample
    scores: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    truth: Sequence[Tube]


def candidates(seen: Seen, method: str, parameters: LocalizationParameters) -> Sequence[Candidates]:
    """The boxes of a method in every frame of the sample, in its pixels."""
    frames = seen.sample.pixels
    if method == "center":
        return always(CENTER * np.array([*frames.shape[2:0:-1]] * 2, np.float32), len(frames))
    if method == "motion":
        return cut_boxes(motion(frames), parameters)
    return find_boxes(seen.maps[method], frames, parameters)


def figures_of(
    clips: Sequence[Seen], method: str, classes: Sequence[str], parameters: LocalizationParameters
) -> dict[str, float]:
    """frame- and video-mAP of a method's tubes, and the share of frames in which its point is in a true box."""
    labels = {tube.label for seen in clips for tube in seen.truth}
    found: dict[str, list[Tube]] = {}
    inside: list[NDArray[np.float64]] = []
    peaks: list[NDArray[np.float64]] = []
    for seen in clips:
        boxes = candidates(seen, method, parameters)
        tracks = link(boxes, parameters)
        (height, width), (H, W) = seen.sample.size, seen.sample.pixels.shape[1:3]
        scale = np.array([width / W, height / H] * 2, np.float32)
        tubes = label_tubes(tracks, seen.scores, seen.sample.indices, classes, parameters)
        found[seen.name] = [replace(tube, boxes=tube.boxes * scale) for tube in tubes if tube.label in labels]
        true = true_boxes(seen)
        points = np.stack([each.point for each in boxes]) * scale[:2]
        inside.append(point_in_box(points, true))
        if method in seen.maps:
            peaks.append(peak_in_box(seen.maps[method][None], true[None], seen.sample.size)[0])
    true_tubes = {seen.name: list(seen.truth) for seen in clips}
    peak = {"peak_in_box": float(np.nanmean(np.concatenate(peaks)))} if peaks else {}
    return {
        "point_in_box": float(np.nanmean(np.concatenate(inside))),
        **peak,
        **at_thresholds("frame_map", frame_map(_boxes(found), _boxes(true_tubes))),
        **at_thresholds("video_map", video_map(found, true_tubes)),
    }


def true_boxes(seen: Seen) -> NDArray[np.float32]:
    """The boxes at the frames of the sample, `T n 4` in pixels of the video; NaN where a tube has none."""
    boxes = np.full((len(seen.sample.indices), len(seen.truth), 4), np.nan, np.float32)
    for n, tube in enumerate(seen.truth):
        _, here, there = np.intersect1d(seen.sample.indices, tube.frames, return_indices=True)
        boxes[here, n] = tube.boxes[there]
    return boxes


def point_in_box(points: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Whether points `T 2` lie in one of the boxes `T n 4`, `T`; NaN in frames without a box."""
    inside = ((boxes[..., :2] <= points[:, None]) & (points[:, None] <= boxes[..., 2:])).all(-1).any(-1)
    return np.where(np.isfinite(boxes).all(-1).any(-1), inside.astype(float), np.nan)


def _boxes(tubes: Mapping[str, Sequence[Tube]]) -> dict[str, list[Box]]:
    """The boxes of tubes at each frame, by the name of the clip; a box has the score of its tube."""
    return {
        name: [
            Box(tube.label, int(frame), tuple(box.tolist()), tube.score)
            for tube in of_clip
            for frame, box in zip(tube.frames, tube.boxes, strict=True)
        ]
        for name, of_clip in tubes.items()
    }


def with_boxes(clips: Sequence[Clip], annotated: Mapping[str, AnnotatedClip]) -> list[Clip]:
    """The clips of UCF101 whose tubes are known; for the test clips of split 1, these are the 910 of UCF101-24."""
    return [clip for clip in clips if clip_name(clip) in annotated]


def score_places(
    run: Path,
    validation: Sequence[Clip],
    test: Sequence[Clip],
    annotated: Mapping[str, AnnotatedClip],
    stores: Sequence[Path],
    choose_on: int,
) -> dict[str, Any]:
    """The figures of a trained model on UCF101-24, from stored features, at the frames of all temporal crops.

    Args:
        run: the run of the model.
        validation: clips of the annotated classes, for the choice of localization parameters by their labels alone.
        test: clips with known tubes.
        annotated: the known tubes, by clip.
        stores: the features of every frame on which the model was trained.
        choose_on: number of validation clips; with fewer than 8, the defaults are used.

    Returns:
        `clips`, `classes`; the figures of `figures_of`; `baselines`: the same for `center` and `motion`; `chosen_on`:
        the number of clips; `localization`: the chosen parameters.
    """
    recognizer = load(run)
    parameters = choose_from_files(recognizer, validation, choose_on)
    opened = open_stores(stores)
    samples, _ = stored_clips(test, recognizer.classes, opened, recognizer.model, recognizer.data, quiet=True)
    assert isinstance(samples, ClipCrops)
    clips = [look(recognizer, samples, index, annotated) for index in range(len(samples.clips))]
    found = {
        method: figures_of(clips, method, recognizer.classes, parameters) for method in (ATTENTION, "center", "motion")
    }
    return {
        "clips": len(clips),
        "classes": len({tube.label for seen in clips for tube in seen.truth}),
        **found.pop(ATTENTION),
        "baselines": found,
        "chosen_on": min(choose_on, len(validation)),
        "localization": {name: getattr(parameters, name) for name in ("foreground", "extent", "threshold")},
    }


def look(recognizer: Recognizer, samples: ClipCrops, index: int, annotated: Mapping[str, AnnotatedClip]) -> Seen:
    """The prediction of a model with attention for a clip of stored features, over all its temporal crops."""
    clip = samples.clips[index]
    frame_scores, _, attention, _ = recognizer.classify_crops(*samples.every_crop(index))
    assert attention is not None
    sample = read_sample(clip.path, replace(recognizer.data, modality="rgb"))
    name = clip_name(clip)
    return Seen(name, sample, frame_scores, {ATTENTION: attention}, annotated[name].tubes)


def choose_from_files(recognizer: Recognizer, clips: Sequence[Clip], count: int) -> LocalizationParameters:
    """`choose_spatial_parameters` on a temporal crop of each of `count` clips, for a model trained on stored features.

    Each clip goes through the encoder twice for every candidate. Fewer than 8 clips: the recognizer's parameters.

    Raises:
        ClipError: a clip cannot be read.
    """
    if min(count, len(clips)) < _MIN_CLIPS:
        return recognizer.localization
    data = replace(recognizer.data, temporal_crops=min(1, recognizer.data.temporal_crops))
    chosen = [clips[i] for i in np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int)]
    samples = [(sample := read_sample(clip.path, data)).at(sample.temporal_crops[0]) for clip in chosen]
    pixels = torch.from_numpy(np.stack([sample.pixels for sample in samples]))
    targets = [recognizer.classes.index(clip.label) for clip in chosen]
    return choose_spatial_parameters(recognizer, pixels, [sample.frames for sample in samples], targets)
