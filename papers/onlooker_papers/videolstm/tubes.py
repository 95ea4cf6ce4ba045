"""The boxes of a clip linked over time to tubes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Tube
from onlooker.localization import interpolate
from onlooker_papers.videolstm.boxes import Floats, Found

MIN_SCORE = 0.01  # of a class, to have a tube
GAP = 5  # maximum number of consecutive frames without a box inside a tube


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
