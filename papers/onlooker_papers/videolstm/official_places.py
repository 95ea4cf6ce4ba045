"""Localization by VideoLSTM on UCF101-24: boxes and tubes from class labels alone, scored by the true ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onlooker.data.clips import ClipCrops
from onlooker.data.samples import read_sample
from onlooker.localization import localize
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import label_tubes, link
from onlooker.recognizer import Recognizer, load
from onlooker.runs.features import open_stores, stored_clips
from onlooker.runs.tune_localization import choose_spatial_parameters
from onlooker.structures import Clip, Prediction, Tube
from onlooker_papers.videolstm.places import always, tube_figures
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, clip_name

Tubes = dict[str, list[Tube]]  # by clip

# Baselines with the same classes and fixed boxes without attention: x1 y1 x2 y2 in shares of the frame.
GUESSES = {"center": (0.25, 0.25, 0.75, 0.75), "frame": (0.0, 0.0, 1.0, 1.0)}
_MIN_CLIPS = 8  # for the choice of localization parameters


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
    """The frame- and video-mAP of a trained model.

    Attention is computed from the stored features, at the frames of all crops; the frames themselves are read again,
    for the foreground. Between crops, boxes are interpolated.

    Args:
        run: the run of the model.
        validation: clips of the annotated classes, for the choice of localization parameters by their labels alone.
        test: clips with known tubes.
        annotated: the known tubes, by clip.
        stores: the features of every frame on which the model was trained.
        choose_on: number of validation clips; with fewer than 8, the defaults are used.

    Returns:
        `clips`, `classes`; `frame_map_20`, `frame_map_50`, `frame_map_50_95`, `video_map_20`, `video_map_50`,
        `video_map_50_95`; `baselines`: the same for `GUESSES`; `chosen_on`: the number of clips;
        `localization`: the chosen parameters.
    """
    recognizer = load(run)
    recognizer.localization = choose_from_files(recognizer, validation, choose_on)
    opened = open_stores(stores)
    samples, _ = stored_clips(test, recognizer.classes, opened, recognizer.model, recognizer.data, quiet=True)
    assert isinstance(samples, ClipCrops)
    labels = {tube.label for clip in test for tube in annotated[clip_name(clip)].tubes}
    true: Tubes = {clip_name(clip): list(annotated[clip_name(clip)].tubes) for clip in samples.clips}
    found: Tubes = {}
    guessed: dict[str, Tubes] = {name: {} for name in GUESSES}
    for index, clip in enumerate(samples.clips):
        seen = look(recognizer, samples, index)
        found[clip_name(clip)] = [tube for tube in seen.tubes if tube.label in labels]
        for guess, share in GUESSES.items():
            guessed[guess][clip_name(clip)] = [tube for tube in _guess(recognizer, seen, share) if tube.label in labels]
    parameters = recognizer.localization
    return {
        "clips": len(true),
        "classes": len(labels),
        **tube_figures(found, true),
        "baselines": {guess: tube_figures(tubes, true) for guess, tubes in guessed.items()},
        "chosen_on": min(choose_on, len(validation)),
        "localization": {name: getattr(parameters, name) for name in ("foreground", "extent", "threshold")},
    }


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


def look(recognizer: Recognizer, samples: ClipCrops, index: int) -> Prediction:
    """The prediction of the model for a clip of stored features, with tubes in pixels of the video."""
    clip = samples.clips[index]
    frame_scores, scores, attention, evidence = recognizer.classify_crops(*samples.every_crop(index))
    sample = read_sample(clip.path, replace(recognizer.data, modality="rgb"))
    seen = Prediction(
        path=clip.path,
        classes=recognizer.classes,
        frame_scores=frame_scores,
        scores=scores,
        times=sample.times,
        indices=sample.indices,
        attention=attention,
        size=sample.size,
        evidence=evidence,
    )
    return localize(seen, sample.frames, recognizer.localization)


def _guess(recognizer: Recognizer, seen: Prediction, share: Sequence[float]) -> tuple[Tube, ...]:
    assert seen.size is not None
    corners = np.array(share, np.float32) * np.array([seen.size[1], seen.size[0]] * 2, np.float32)
    tracks = link(always(corners, len(seen.times)), recognizer.localization)
    return label_tubes(tracks, seen.frame_scores, seen.indices, seen.classes, recognizer.localization)
