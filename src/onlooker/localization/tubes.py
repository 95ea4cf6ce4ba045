"""Boxes linked over time to tubes: by the best path through a clip, or greedily frame by frame in a stream."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


def link(candidates: Sequence[Candidates], parameters: LocalizationParameters) -> tuple[Track, ...]:
    """Tracks through a clip, highest total concentration first.

    The best path maximizes Σ_t s(R_t) + λ Σ_t IoU(R_t, R_(t+1)) over one box per frame, by dynamic programming; its
    boxes are removed and the search repeats until no box is left (Gkioxari & Malik, *Finding action tubes*, 2015, eq. 3
    to 5). Up to `gap` consecutive frames without a box are filled by interpolation.

    Args:
        parameters: `overlap_weight` (λ), `gap` and `min_length` are used; if `causal`, boxes are linked by
            `update_tracks`.
    """
    tracks = _link_online(candidates, parameters) if parameters.causal else _link_offline(candidates, parameters)
    long = [track for track in tracks if len(track) >= parameters.min_length]
    return tuple(sorted(long, key=lambda track: -float(track.concentration.sum())))


def _link_offline(candidates: Sequence[Candidates], parameters: LocalizationParameters) -> list[Track]:
    remaining = [list(range(len(boxes))) for boxes in candidates]
    tracks = []
    while any(remaining):
        occupied = [t for t, boxes in enumerate(remaining) if boxes]
        cuts = 1 + np.flatnonzero(np.diff(occupied) > parameters.gap + 1)
        for run in np.split(np.array(occupied), cuts):
            path = _best_path([(int(t), remaining[t]) for t in run], candidates, parameters.overlap_weight)
            for t, i in path:
                remaining[t].remove(i)
            tracks.append(_to_track(path, candidates))
    return tracks


def _best_path(
    run: Sequence[tuple[int, list[int]]], candidates: Sequence[Candidates], weight: float
) -> list[tuple[int, int]]:
    """Viterbi algorithm: from frames with the indices of their boxes to one box per frame."""
    t, boxes = run[0]
    best = candidates[t].concentration[boxes].astype(np.float64)
    backpointers = []
    for (last_t, last_boxes), (t, boxes) in itertools.pairwise(run):
        overlap = box_iou(candidates[last_t].corners[last_boxes][:, None], candidates[t].corners[boxes][None])
        totals = best[:, None] + weight * overlap
        backpointers.append(totals.argmax(axis=0))
        best = totals.max(axis=0) + candidates[t].concentration[boxes]
    i = int(best.argmax())
    path = [(run[-1][0], run[-1][1][i])]
    for (t, boxes), pointers in zip(reversed(run[:-1]), reversed(backpointers), strict=True):
        i = int(pointers[i])
        path.append((t, boxes[i]))
    return path[::-1]


def _to_track(path: Sequence[tuple[int, int]], candidates: Sequence[Candidates]) -> Track:
    known = [t for t, _ in path]
    corners = np.stack([candidates[t].corners[i] for t, i in path])
    concentration = np.array([candidates[t].concentration[i] for t, i in path])
    frames = np.arange(known[0], known[-1] + 1)
    filled = np.interp(frames, known, concentration).astype(np.float32)
    return Track(known[0], interpolate(frames, known, corners), filled)


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

    Tracks choose boxes in the order of their mean concentration, highest first. Each takes the most concentrated box
    that overlaps its last one. A track without a box for more than `gap` frames ends; a box without a track starts one.

    Args:
        tracks: of the previous frame; `OnlineTracks()` at the first.
        parameters: `gap` is used.
    """
    free = list(range(len(boxes)))
    active = []
    for track in sorted(tracks.active, key=lambda track: -track.mean):
        iou = box_iou(track.corners, boxes.corners)
        overlapping = [i for i in free if iou[i] >= _MIN_IOU]
        if overlapping:
            taken = max(overlapping, key=lambda i: boxes.concentration[i])
            free.remove(taken)
            concentration, count = float(boxes.concentration[taken]), track.boxes + 1
            mean = track.mean + (concentration - track.mean) / count
            active.append(OnlineTrack(track.number, boxes.corners[taken], concentration, track.age + 1, 0, mean, count))
        elif track.missed < parameters.gap:
            active.append(replace(track, age=track.age + 1, missed=track.missed + 1))
    for number, i in enumerate(free, tracks.count):
        concentration = float(boxes.concentration[i])
        active.append(OnlineTrack(number, boxes.corners[i], concentration, 1, 0, concentration, 1))
    return OnlineTracks(tuple(active), tracks.count + len(free))


def _link_online(candidates: Sequence[Candidates], parameters: LocalizationParameters) -> list[Track]:
    """Tracks as in a stream: gaps keep the last box, because only later frames could fill them."""
    state = OnlineTracks()
    history: dict[int, list[tuple[int, OnlineTrack]]] = {}
    for t, boxes in enumerate(candidates):
        state = update_tracks(state, boxes, parameters)
        for track in state.active:
            history.setdefault(track.number, []).append((t, track))
    tracks = []
    for steps in history.values():
        last = max(n for n, (_, track) in enumerate(steps) if not track.missed)  # without a gap at the end
        corners = np.stack([track.corners for _, track in steps[: last + 1]])
        concentration = np.array([track.concentration for _, track in steps[: last + 1]], np.float32)
        tracks.append(Track(steps[0][0], corners, concentration))
    return tracks


def label_tubes(
    tracks: Sequence[Track],
    frame_scores: NDArray[np.floating],
    indices: NDArray[np.integer],
    classes: Sequence[str],
    parameters: LocalizationParameters,
    reference: ArrayLike = 0.5,
) -> tuple[Tube, ...]:
    """Each track once per class, trimmed to the run of frames with high scores of the class, highest scores first.

    Of several runs the one with the largest sum of scores becomes the tube; if `causal`, every run does, because the
    largest is known only at the end. A tube's score is the mean over its frames of probability × concentration. It has
    a box at every frame of the video from its first to its last, also at those outside of the sample.

    Args:
        tracks: through the `T` frames of the sample.
        frame_scores: `T K`, probabilities.
        indices: `T`, frame indices in the video, never descending.
        classes: the `K` class names.
        parameters, reference: as for `find_segments`.

    Raises:
        ValueError: shapes that do not match, or a track that ends after the sample.
    """
    check_scores(frame_scores, len(indices), len(classes))
    scores = smooth(frame_scores, parameters.score_smoothing, parameters.causal)
    references = np.broadcast_to(np.asarray(reference, dtype=np.float64), len(classes))
    tubes = []
    for track in tracks:
        after = track.first + len(track)
        if after > len(indices):
            raise ValueError(f"a track ends at frame {after - 1} of {len(indices)}")
        for k, name in enumerate(classes):
            in_track = scores[track.first : after, k]
            if in_track.max() < MIN_SCORE:
                continue
            runs = runs_above(in_track, parameters.onset, parameters.causal, references[k])
            if not parameters.causal:
                runs = [max(runs, key=lambda run: in_track[run[0] : run[1] + 1].sum())]
            for first, last in runs:
                if last - first + 1 >= parameters.min_length:
                    span = slice(first, last + 1)
                    score = float((in_track[span] * track.concentration[span]).mean())
                    tubes.append(_to_tube(name, indices[track.first : after][span], track.corners[span], score))
    return tuple(sorted(tubes, key=lambda tube: -tube.score))


def _to_tube(label: str, indices: NDArray[np.integer], corners: Floats, score: float) -> Tube:
    """Boxes `n 4` at frames `n` of the video, where padding repeats the last one, as a tube without gaps."""
    known, first_of = np.unique(indices, return_index=True)
    frames = np.arange(known[0], known[-1] + 1)
    return Tube(label, frames, interpolate(frames, known, corners[first_of]), score)
