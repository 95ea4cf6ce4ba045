"""When it happens: where a class's score over time is high for this clip."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.maps import smooth
from onlooker.localization.parameters import LocalizationParameters
from onlooker.structures import Segment


def runs_above(
    scores: NDArray[np.floating], onset: float, causal: bool = False, usual: float = 0.5
) -> list[tuple[int, int]]:
    """First and last frame of each stretch in which scores are at least `onset` times the highest one.

    Relative to the clip, for a model is rarely equally sure of two clips, and a rise within one says more.

    Args:
        scores: `T`, probabilities of a class.
        onset: a share.
        causal: the highest is that of the frames so far.
        usual: what frames are at least compared with, where causal. Among the first ones the highest would often be one
            of them; a class counts from the moment on when it is more probable than not.
    """
    highest = np.maximum.accumulate(scores).clip(min=usual) if causal else scores.max()
    high = np.concatenate(([False], scores >= onset * highest, [False]))
    changes = np.flatnonzero(np.diff(high))
    return [(int(first), int(after) - 1) for first, after in changes.reshape(-1, 2)]


def happening(
    scores: NDArray[np.floating], evidence: NDArray[np.floating], parameters: LocalizationParameters
) -> NDArray[np.float32]:
    """Classes at every frame, `T K`, of a model that weighs frames: p_k exp(e_t - max e).

    A class that a memory goes on naming ends here where no frame tells it any more.

    Args:
        scores: `K`, probabilities of the clip.
        evidence: `T`, the logarithm of each frame's weight, up to a number that is the same for all (`MILCell`).
        parameters: where `causal`, the maximum is that of the frames so far and of `level`: until something has
            happened, frames of a stream are not to be compared with each other alone. What is below `onset` of it is 0
            then, for the clip's highest share, which others are compared with, may come later.

    Raises:
        ValueError: no frames, or evidence that is not finite.
    """
    told = np.asarray(evidence, dtype=np.float64)
    if told.ndim != 1 or not len(told) or not np.isfinite(told).all():
        raise ValueError(f"evidence of shape {told.shape}, expected T finite numbers, at least one")
    if parameters.causal:
        share = np.exp(told - np.maximum.accumulate(told).clip(min=parameters.level))
        share[share < parameters.onset] = 0
    else:
        share = np.exp(told - told.max())
    return (share[:, None] * np.asarray(scores)).astype(np.float32)


def lasts(evidence: NDArray[np.floating], parameters: LocalizationParameters) -> NDArray[np.bool_]:
    """In which of `T` frames something happens: where the smoothed evidence is at least `onset` times the highest.

    Where `causal`, a frame is judged by itself and those before it alone, as `live.lasts_next` does in a stream: shares
    of the highest evidence so far (`happening`) are smoothed and compared with `onset` itself.
    """
    scores = happening(np.ones(1), evidence, parameters)
    told = smooth(scores, parameters.score_smoothing, parameters.causal)[:, 0]
    highest = 1.0 if parameters.causal else told.max()  # the highest of the clip may come later
    return (told >= parameters.onset * highest) & (told > 0)


def find_segments(
    frame_scores: NDArray[np.floating],
    times: NDArray[np.floating],
    classes: Sequence[str],
    parameters: LocalizationParameters,
    usual: ArrayLike = 0.5,
    least: float = 0.01,
) -> tuple[Segment, ...]:
    """The segments of every class, the surest first; a segment's score is the mean probability of its class in it.

    A frame speaks for the time from half way to the frame before it to half way to the one after.

    Args:
        frame_scores: `T K`, probabilities.
        times: `T`, when each frame is shown, in seconds, never descending; frames of equal times (of a short clip that
            was padded) count as one.
        classes: the `K` class names.
        parameters: `score_smoothing`, `onset`, `shortest` and `causal` are used.
        usual: what each class is at least compared with where causal (`runs_above`), one for all or `K`.
        least: classes whose probability stays below this are left out.

    Raises:
        ValueError: shapes that do not fit, or times that descend.
    """
    if frame_scores.shape != (len(times), len(classes)) or not len(times):
        raise ValueError(
            f"frame_scores have shape {frame_scores.shape} for {len(times)} times and {len(classes)} classes, "
            "expected T K with T at least 1"
        )
    if not (np.diff(times) >= 0).all():
        raise ValueError("times descend, expected seconds in the order of the frames")
    apart, first_of = np.unique(np.asarray(times, dtype=np.float64), return_index=True)
    if len(apart) < 2:
        return ()  # a single picture has no duration
    middles = (apart[1:] + apart[:-1]) / 2
    ends = np.concatenate(([max(0.0, 2 * apart[0] - middles[0])], middles, [2 * apart[-1] - middles[-1]]))
    scores = smooth(frame_scores[first_of], parameters.score_smoothing, parameters.causal)
    floors = np.broadcast_to(np.asarray(usual, dtype=np.float64), len(classes))
    found = [
        Segment(name, float(ends[first]), float(ends[last + 1]), float(scores[first : last + 1, k].mean()))
        for k, name in enumerate(classes)
        if scores[:, k].max() >= least
        for first, last in runs_above(scores[:, k], parameters.onset, parameters.causal, floors[k])
        if last - first + 1 >= parameters.shortest
    ]
    return tuple(sorted(found, key=lambda segment: -segment.score))
