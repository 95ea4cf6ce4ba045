"""Boxes of many frames linked to tubes: the best path through a clip, or frame by frame in a stream."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.boxes import Candidates
from onlooker.localization.maps import smooth
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import runs_above
from onlooker.structures import Tube

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Track:
    """Linked boxes before anything is said of their class, gaps filled.

    Args:
        first: the position of its first frame among those that were looked at.
        corners: `n 4`, of n frames in a row.
        concentration: `n`.
    """

    first: int
    corners: Floats
    concentration: Floats

    def __len__(self) -> int:
        return len(self.corners)


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes `… 4`, broadcast against each other; 0 where both are empty."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = sides.clip(min=0).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - both
    iou: NDArray[np.float64] = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return iou


def link(candidates: Sequence[Candidates], parameters: LocalizationParameters) -> tuple[Track, ...]:
    """Tracks through a clip, the best first.

    The best path maximizes Σ_t s(R_t) + λ Σ_t IoU(R_t, R_(t+1)) over one box a frame, by dynamic programming; its boxes
    are taken out, and the next one is looked for until none is left (Gkioxari & Malik, *Finding action tubes*, 2015,
    eq. 3 to 5). Frames without a box are stepped over, up to `gap` in a row, and filled by interpolation.

    Args:
        candidates: of every frame.
        parameters: `overlap_weight` (λ), `gap` and `shortest` are used; `causal` links by `follow` instead.
    """
    if parameters.causal:
        return _link_online(candidates, parameters)
    left = [list(range(len(here))) for here in candidates]
    tracks = []
    while any(left):
        occupied = [t for t, here in enumerate(left) if here]
        cuts = 1 + np.flatnonzero(np.diff(occupied) > parameters.gap + 1)
        for run in np.split(np.array(occupied), cuts):
            chosen = _best_path([(int(t), left[t]) for t in run], candidates, parameters.overlap_weight)
            for t, i in chosen:
                left[t].remove(i)
            tracks.append(_filled(chosen, candidates))
    return _worth_it(tracks, parameters)


def _best_path(
    run: Sequence[tuple[int, list[int]]], candidates: Sequence[Candidates], weight: float
) -> list[tuple[int, int]]:
    """Viterbi: frames with the numbers of their boxes to a box for each frame."""
    t, numbers = run[0]
    best = candidates[t].concentration[numbers].astype(np.float64)
    came_from = []
    for (before, old), (now, new) in itertools.pairwise(run):
        overlap = box_iou(candidates[before].corners[old][:, None], candidates[now].corners[new][None])
        reached = best[:, None] + weight * overlap
        came_from.append(reached.argmax(axis=0))
        best = reached.max(axis=0) + candidates[now].concentration[new]
    at = int(best.argmax())
    path = [(run[-1][0], run[-1][1][at])]
    for (t, numbers), back in zip(reversed(run[:-1]), reversed(came_from), strict=True):
        at = int(back[at])
        path.append((t, numbers[at]))
    return path[::-1]


def _filled(path: Sequence[tuple[int, int]], candidates: Sequence[Candidates]) -> Track:
    places = [t for t, _ in path]
    corners = np.stack([candidates[t].corners[i] for t, i in path])
    shares = np.array([candidates[t].concentration[i] for t, i in path])
    every = np.arange(places[0], places[-1] + 1)
    return Track(places[0], interpolate(every, places, corners), np.interp(every, places, shares).astype(np.float32))


def interpolate(frames: NDArray[Any], known: Sequence[int] | NDArray[Any], corners: NDArray[np.floating]) -> Floats:
    """Boxes `n 4` at `n` frames, on straight lines between those at the known ones, `m 4`; beyond them as the last."""
    return np.stack([np.interp(frames, known, side) for side in corners.T], axis=1).astype(np.float32)


def _worth_it(tracks: Sequence[Track], parameters: LocalizationParameters) -> tuple[Track, ...]:
    long = [track for track in tracks if len(track) >= parameters.shortest]
    return tuple(sorted(long, key=lambda track: -float(track.concentration.sum())))


@dataclass(frozen=True, eq=False)
class LiveTrack:
    """A track of a stream, as it is now; nothing grows with its age.

    Args:
        number: its own in the stream.
        corners: `4`, the last box.
        concentration: of the last box.
        age: frames since its first one, that one included.
        missed: frames since its last box.
        mean: concentration, over all its boxes.
        boxes: how many it has had.
    """

    number: int
    corners: Floats
    concentration: float
    age: int
    missed: int
    mean: float
    boxes: int


@dataclass(frozen=True)
class Followed:
    """What a stream carries from frame to frame.

    Args:
        tracks: that are alive.
        numbered: how many there have been.
    """

    tracks: tuple[LiveTrack, ...] = ()
    numbered: int = 0


def follow(state: Followed, here: Candidates, parameters: LocalizationParameters, overlap: float = 0.1) -> Followed:
    """One frame of greedy online linking (Singh et al., *Online real-time multiple spatiotemporal action localization
    and prediction*, 2017, section 3.3).

    The surest track takes the surest box that overlaps its last one, then the next track does. A track without a box
    for more than `gap` frames ends; a box without a track begins one.

    Args:
        state: from the frame before; `Followed()` at the first.
        here: the boxes of this frame.
        parameters: `gap` is used.
        overlap: the least IoU from a box to the next.
    """
    free = list(range(len(here)))
    tracks = []
    for track in sorted(state.tracks, key=lambda each: -each.mean):
        overlaps = box_iou(track.corners, here.corners)
        near = [i for i in free if overlaps[i] >= overlap]
        if near:
            taken = max(near, key=lambda i: here.concentration[i])
            free.remove(taken)
            share, count = float(here.concentration[taken]), track.boxes + 1
            mean = track.mean + (share - track.mean) / count
            tracks.append(LiveTrack(track.number, here.corners[taken], share, track.age + 1, 0, mean, count))
        elif track.missed < parameters.gap:
            tracks.append(replace(track, age=track.age + 1, missed=track.missed + 1))
    for number, i in enumerate(free, state.numbered):
        share = float(here.concentration[i])
        tracks.append(LiveTrack(number, here.corners[i], share, 1, 0, share, 1))
    return Followed(tuple(tracks), state.numbered + len(free))


def _link_online(candidates: Sequence[Candidates], parameters: LocalizationParameters) -> tuple[Track, ...]:
    """The same as a stream would see it; in a gap, which later frames alone could fill, the last box stays."""
    state = Followed()
    seen: dict[int, list[tuple[int, LiveTrack]]] = {}
    for t, here in enumerate(candidates):
        state = follow(state, here, parameters)
        for track in state.tracks:
            seen.setdefault(track.number, []).append((t, track))
    tracks = []
    for each in seen.values():
        # Whether it went on is not known while it is missed; at the end of the clip it is.
        last = max(n for n, (_, track) in enumerate(each) if not track.missed)
        kept = [track for _, track in each[: last + 1]]
        shares = np.array([track.concentration for track in kept], np.float32)
        tracks.append(Track(each[0][0], np.stack([track.corners for track in kept]), shares))
    return _worth_it(tracks, parameters)


def label_tubes(
    tracks: Sequence[Track],
    frame_scores: NDArray[np.floating],
    indices: NDArray[np.integer],
    classes: Sequence[str],
    parameters: LocalizationParameters,
    usual: ArrayLike = 0.5,
    least: float = 0.01,
) -> tuple[Tube, ...]:
    """Each track once for each class, trimmed to where the class's score is high, the surest first.

    Of several such stretches the tube is the one that tells most; where `causal`, each is a tube, for which of them
    tells most is known at the end alone.

    A tube's score is the mean over its frames of probability × concentration. It has a box at every frame of the video
    from its first to its last, also where the model skipped frames.

    Args:
        tracks: through the `T` frames that were looked at.
        frame_scores: `T K`, probabilities.
        indices: `T`, which frame of the video each is, never descending.
        classes: the `K` class names.
        parameters: `score_smoothing`, `onset`, `shortest` and `causal` are used.
        usual: what each class is at least compared with where causal (`runs_above`), one for all or `K`.
        least: classes whose probability stays below this are left out.

    Raises:
        ValueError: shapes that do not fit, or a track that ends after the frames.
    """
    if frame_scores.shape != (len(indices), len(classes)):
        raise ValueError(
            f"frame_scores have shape {frame_scores.shape} for {len(indices)} frames and {len(classes)} classes, "
            "expected T K"
        )
    scores = smooth(frame_scores, parameters.score_smoothing, parameters.causal)
    floors = np.broadcast_to(np.asarray(usual, dtype=np.float64), len(classes))
    found = []
    for track in tracks:
        after = track.first + len(track)
        if after > len(indices):
            raise ValueError(f"a track until frame {after - 1} of {len(indices)}")
        for k, name in enumerate(classes):
            here = scores[track.first : after, k]
            if here.max() < least:
                continue
            runs = runs_above(here, parameters.onset, parameters.causal, floors[k])
            if not parameters.causal:
                runs = [max(runs, key=lambda run: here[run[0] : run[1] + 1].sum())]
            for first, last in runs:
                if last - first + 1 < parameters.shortest:
                    continue
                part = slice(first, last + 1)
                # A short clip that was padded shows its last frame several times.
                known, which = np.unique(indices[track.first : after][part], return_index=True)
                every = np.arange(known[0], known[-1] + 1)
                score = float((here[part] * track.concentration[part]).mean())
                found.append(Tube(name, every, interpolate(every, known, track.corners[part][which]), score))
    return tuple(sorted(found, key=lambda tube: -tube.score))
