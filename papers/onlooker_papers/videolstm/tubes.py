"""The boxes of a clip linked over time to tubes that are trimmed to the frames of their class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Tube
from onlooker.localization import interpolate
from onlooker_papers.videolstm.boxes import BoxParameters, Candidates

__all__ = ["label_tubes", "link"]

Floats = NDArray[np.float32]

MIN_SCORE = 0.01  # of a class in a track, to have a tube


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


def link(boxes: Sequence[Candidates], parameters: BoxParameters) -> tuple[Track, ...]:
    """Tracks through a clip, highest total concentration first: the first boxes of consecutive
    frames.

    Up to `gap` consecutive frames without a box are filled by interpolation; after more of them
    another track begins.

    Args:
        boxes: of each frame.
        parameters: `gap` is used.
    """
    occupied = np.flatnonzero([len(of_frame) for of_frame in boxes])
    tracks = []
    for known in (
        np.split(occupied, 1 + np.flatnonzero(np.diff(occupied) > parameters.gap + 1))
        if len(occupied)
        else ()
    ):
        corners = np.stack([boxes[t].corners[0] for t in known])
        frames = np.arange(known[0], known[-1] + 1)
        filled = np.interp(frames, known, [boxes[t].concentration[0] for t in known]).astype(
            np.float32
        )
        tracks.append(Track(int(known[0]), interpolate(frames, known, corners), filled))
    return tuple(sorted(tracks, key=lambda track: -float(track.concentration.sum())))


def label_tubes(
    tracks: Sequence[Track],
    frame_scores: NDArray[np.floating],
    indices: NDArray[np.integer],
    classes: Sequence[str],
    parameters: BoxParameters,
) -> tuple[Tube, ...]:
    """Each track once per class, trimmed to the run of frames with high scores of the class,
    highest scores first.

    Of several runs the one with the largest sum of scores becomes the tube. A tube's score is the
    mean over its frames of probability × concentration. It has a box at every frame of the video
    from its first to its last, also at those outside of the sample.

    Args:
        tracks: through the `T` frames of the sample.
        frame_scores: `T K`, probabilities.
        indices: `T`, frame indices in the video, never descending.
        classes: the `K` class names.
        parameters: `onset` is the share of the highest score of a class from which on frames belong
            to a run.
    """
    tubes = []
    for track in tracks:
        after = track.first + len(track)
        for k, name in enumerate(classes):
            in_track = frame_scores[track.first : after, k]
            if in_track.max() < MIN_SCORE:
                continue
            runs = runs_above(in_track, parameters.onset)
            first, last = max(runs, key=lambda run: in_track[run[0] : run[1] + 1].sum())
            span = slice(first, last + 1)
            score = float((in_track[span] * track.concentration[span]).mean())
            tubes.append(
                _to_tube(name, indices[track.first : after][span], track.corners[span], score)
            )
    return tuple(sorted(tubes, key=lambda tube: -tube.score))


def runs_above(scores: NDArray[np.floating], onset: float) -> list[tuple[int, int]]:
    """First and last frame of each run of scores that are at least `onset` times the maximum."""
    high = np.concatenate(([False], scores >= onset * scores.max(), [False]))
    changes = np.flatnonzero(np.diff(high))
    return [(int(first), int(after) - 1) for first, after in changes.reshape(-1, 2)]


def _to_tube(label: str, indices: NDArray[np.integer], corners: Floats, score: float) -> Tube:
    """Boxes `n 4` at frames `n` of the video, where padding repeats the last one, as a tube without
    gaps.
    """
    known, first_of = np.unique(indices, return_index=True)
    frames = np.arange(known[0], known[-1] + 1)
    return Tube(label, frames, interpolate(frames, known, corners[first_of]), score)
