"""Where it is now, and whether, in a stream: frame after frame, nothing from later ones, and nothing that grows."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.boxes import find_boxes
from onlooker.localization.maps import smooth_step
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import happening
from onlooker.localization.tubes import Followed, LiveTrack, follow

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Places:
    """What a stream carries from frame to frame.

    Args:
        steady: the smoothed map, `h w`; None before the first frame.
        picture: the frame before, `H W C`.
        followed: the tracks that are alive.
        point: x and y of the pixel of `picture` that is attended to most; NaN where attention is even.
    """

    steady: Floats | None = None
    picture: Pixels | None = None
    followed: Followed = field(default_factory=Followed)
    point: Floats = field(default_factory=lambda: np.full(2, np.nan, np.float32))

    @property
    def surest(self) -> LiveTrack | None:
        """The track with a box in this frame whose boxes have been the most concentrated; None if there is none."""
        here = [track for track in self.followed.tracks if not track.missed]
        return max(here, key=lambda track: track.mean, default=None)


def causal(parameters: LocalizationParameters) -> LocalizationParameters:
    """The same for a stream: motion so far takes the part of what needs the next frame, or the clip's median."""
    ahead = parameters.foreground in ("motion", "background")
    return replace(parameters, causal=True, foreground="motion so far" if ahead else parameters.foreground)


def locate_next(before: Places, attention: ArrayLike, picture: Pixels, parameters: LocalizationParameters) -> Places:
    """One frame.

    With `smoothing` of n frames the map of a thing that leaps needs n frames to arrive; without, there is no delay.

    Args:
        before: of the frame before; `Places()` at the first.
        attention: `h w`, sums to one.
        picture: `H W C`, uint8; boxes are in its pixels.
        parameters: `causal` ones.

    Raises:
        ValueError: parameters that look at later frames, or maps and pictures that do not fit.
    """
    _check(parameters)
    steady = smooth_step(before.steady, attention, parameters.smoothing)
    # Two frames are what motion so far needs; the boxes of the first were found before.
    frames = np.stack((picture if before.picture is None else before.picture, picture))
    found = find_boxes(np.stack((steady, steady)), frames, replace(parameters, smoothing=0.0))
    return Places(steady, picture, follow(before.followed, found[-1], parameters), found[-1].point)


@dataclass(frozen=True, eq=False)
class Lasting:
    """What a stream carries from frame to frame of a model that weighs frames.

    Args:
        highest: the evidence of the surest frame so far; -inf before the first.
        share: `1`, smoothed, of the frame's weight in the highest so far; None before the first frame.
        happens: whether the event is going on.
    """

    highest: float = -math.inf
    share: Floats | None = None
    happens: bool = False


def lasts_next(before: Lasting, evidence: float, parameters: LocalizationParameters) -> Lasting:
    """One frame: whether the event is going on, as `segments.lasts` says of a clip that is read causally.

    There is no delay without `score_smoothing`. With one of n frames, an event as sure as the surest so far begins
    n ln(1 / (1 - onset)) frames late, a less sure one later, and it ends at most n ln(1 / onset) frames late.

    Args:
        before: of the frame before; `Lasting()` at the first.
        evidence: the logarithm of the frame's weight, up to a number that is the same for all.
        parameters: `causal` ones, of which `score_smoothing`, `onset` and `level` are used.

    Raises:
        ValueError: parameters that look at later frames, or evidence that is not finite.
    """
    _check(parameters)
    # What a frame of a clip is compared with, of those before it, is a level to this one.
    so_far = replace(parameters, level=max(before.highest, parameters.level))
    share = happening(np.ones(1), np.array([evidence]), so_far)[0]
    steady = smooth_step(before.share, share, parameters.score_smoothing)
    happens = bool(steady[0] >= parameters.onset and steady[0] > 0)
    return Lasting(max(before.highest, evidence), steady, happens)


def _check(parameters: LocalizationParameters) -> None:
    if not parameters.causal:
        raise ValueError("these parameters look at later frames; give those of `causal(parameters)`")
