"""Boxes linked over time to tubes: through a clip, or frame by frame in a stream."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.localization.boxes import Candidates
from onlooker.localization.maps import smooth
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import MIN_SCORE, check_scores, runs_above
from onlooker.structures import Tube

__all__ = ["box_iou", "label_tubes", "link"]

Floats = NDArray[np.float32]
_MIN_IOU = 0.1  # of consecutive boxes of a stream


@dataclass(frozen=True, eq=False)
class Track:
    """Linked boxes before they have a class, with gaps filled.

    Args:
        first: the position of its first frame in the sample.
        corners: `n 4`, of n consecutive frames of the sample.
        concentration: `n`.
    """

    first: int
    corners: Floats
    concentration: Floats

    def __len__(self) -> int:
        return len(self.corners)


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes `… 4`, broadcast against each other; 0 if both are empty."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(min=0).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - intersection
    iou: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def link(boxes: Sequence[Candidates], parameters: LocalizationParameters) -> tuple[Track, ...]:
    """Tracks through a clip, highest total concentration first: the first boxes of consecutive frames.

    Up to `gap` consecutive frames without a box are filled by interpolation; after more of them another track begins.

    Args:
        boxes: of each frame.
        parameters: `gap` is used.
    """
    occupied = np.flatnonzero([len(of_frame) for of_frame in boxes])
    tracks = []
    for known in (
        np.split(occupied, 1 + np.flatnonzero(np.diff(occupied) > parameters.gap + 1)) if len(occupied) else ()
    ):
        corners = np.stack([boxes[t].corners[0] for t in known])
        frames = np.arange(known[0], known[-1] + 1)
        filled = np.interp(frames, known, [boxes[t].concentration[0] for t in known]).astype(np.float32)
        tracks.append(Track(int(known[0]), interpolate(frames, known, corners), filled))
    return tuple(sorted(tracks, key=lambda track: -float(track.concentration.sum())))


def interpolate(frames: NDArray[Any], known: Sequence[int] | NDArray[Any], corners: NDArray[np.floating]) -> Floats:
    """Boxes `n 4` at `n` frames, linear between the boxes of the known frames, `m 4`, and constant outside of them."""
    return np.stack([np.interp(frames, known, side) for side in corners.T], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class OnlineTrack:
    """A track of a stream, of constant size.

    Args:
        corners: `4`, the last box.
        concentration: of the last box.
        age: frames since its start, the first one included.
        missed: frames since its last box.
        mean: mean concentration of its boxes.
        boxes: number of boxes so far.
    """

    number: int
    corners: Floats
    concentration: float
    age: int
    missed: int
    mean: float
    boxes: int


@dataclass(frozen=True)
class OnlineTracks:
    """The tracks of a stream that have not ended, as of its last frame; and how many there have been so far."""

    active: tuple[OnlineTrack, ...] = ()
    count: int = 0


def update_tracks(tracks: OnlineTracks, boxes: Candidates, parameters: LocalizationParameters) -> OnlineTracks:
    """One frame of greedy online linking (Singh et al., *Online real-time multiple spatiotemporal action localization
    and prediction*, 2017, section 3.3).

    The box continues the track with the highest mean concentration whose last box it overlaps; without one it starts a
    track. A track without a box for more than `gap` frames ends.

    Args:
        tracks: of the previous frame; `OnlineTracks()` at the first.
        boxes: one or none.
        parameters: `gap` is used.
    """
    free, active = len(boxes) > 0, []
    for track in sorted(tracks.active, key=lambda track: -track.mean):
        if free and box_iou(track.corners, boxes.corners[0]) >= _MIN_IOU:
            free, concentration, count = False, float(boxes.concentration[0]), track.boxes + 1
            mean = track.mean + (concentration - track.mean) / count
            active.append(OnlineTrack(track.number, boxes.corners[0], concentration, track.age + 1, 0, mean, count))
        elif track.missed < parameters.gap:
            active.append(replace(track, age=track.age + 1, missed=track.missed + 1))
    if free:
        concentration = float(boxes.concentration[0])
        active.append(OnlineTrack(tracks.count, boxes.corners[0], concentration, 1, 0, concentration, 1))
    return OnlineTracks(tuple(active), tracks.count + free)


def label_tubes(
    tracks: Sequence[Track],
    frame_scores: NDArray[np.floating],
    indices: NDArray[np.integer],
    classes: Sequence[str],
    parameters: LocalizationParameters,
) -> tuple[Tube, ...]:
    """Each track once per class, trimmed to the run of frames with high scores of the class, highest scores first.

    Of several runs the one with the largest sum of scores becomes the tube. A tube's score is the mean over its frames
    of probability × concentration. It has a box at every frame of the video from its first to its last, also at those
    outside of the sample.

    Args:
        tracks: through the `T` frames of the sample.
        frame_scores: `T K`, probabilities.
        indices: `T`, frame indices in the video, never descending.
        classes: the `K` class names.
        parameters: as for `find_segments`.

    Raises:
        ValueError: shapes that do not match, or a track that ends after the sample.
    """
    check_scores(frame_scores, len(indices), len(classes))
    scores = smooth(frame_scores, parameters.score_smoothing)
    tubes = []
    for track in tracks:
        after = track.first + len(track)
        if after > len(indices):
            raise ValueError(f"a track ends at frame {after - 1} of {len(indices)}")
        for k, name in enumerate(classes):
            in_track = scores[track.first : after, k]
            if in_track.max() < MIN_SCORE:
                continue
            runs = runs_above(in_track, parameters.onset)
            first, last = max(runs, key=lambda run: in_track[run[0] : run[1] + 1].sum())
            span = slice(first, last + 1)
            score = float((in_track[span] * track.concentration[span]).mean())
            tubes.append(_to_tube(name, indices[track.first : after][span], track.corners[span], score))
    return tuple(sorted(tubes, key=lambda tube: -tube.score))


def _to_tube(label: str, indices: NDArray[np.integer], corners: Floats, score: float) -> Tube:
    """Boxes `n 4` at frames `n` of the video, where padding repeats the last one, as a tube without gaps."""
    known, first_of = np.unique(indices, return_index=True)
    frames = np.arange(known[0], known[-1] + 1)
    return Tube(label, frames, interpolate(frames, known, corners[first_of]), score)
