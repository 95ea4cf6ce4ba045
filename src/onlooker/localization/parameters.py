"""How attention becomes places and times, and how that is chosen without a single true box."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.foreground import FOREGROUNDS
from onlooker.localization.maps import UPSAMPLINGS


@dataclass(frozen=True)
class LocalizationParameters:
    """Everything that stands between attention and scores on one side, and boxes, tubes and segments on the other.

    Args:
        smoothing: of attention over time, in frames; see `smooth`.
        upsampling: how a map is brought to the size of the frame, one of `UPSAMPLINGS`.
        foreground: which pixels may belong to the thing, one of `FOREGROUNDS`.
        extent: what a box is around: `attention`, the heavy part of map × foreground, or `thing`, the whole piece of
            the foreground that the attention is on.
        threshold: a pixel is in a box from this share of the map's (for `thing`: the foreground's) highest value on.
        closing: gaps up to this share of the frame's shorter side are closed before pixels are joined to a thing.
        most: boxes in a frame at most.
        overlap_weight: of boxes' IoU against their scores in linking; λ of Gkioxari & Malik 2015.
        gap: frames in a row without a box that a tube goes on over.
        shortest: frames that a tube or a segment has at least.
        score_smoothing: of class scores over time, and of evidence, in frames; see `smooth`. Where `causal`, it is a
            delay, too (`live.lasts_next`).
        onset: a tube or a segment lasts where the class's score, or the evidence of frames that have some, is at least
            this share of its highest, where `causal` of the highest so far (for class scores: of one half at least);
            0: a tube is not trimmed.
        level: the least evidence that the frames so far are compared with, where `causal`: what the surest frame of a
            clip usually has.
        causal: nothing is taken from later frames, as in a stream.

    Raises:
        ValueError: a value out of its range.
    """

    smoothing: float = 0.0
    upsampling: str = "bilinear"
    foreground: str = "none"
    extent: str = "attention"
    threshold: float = 0.35
    closing: float = 0.05
    most: int = 1
    overlap_weight: float = 1.0
    gap: int = 5
    shortest: int = 1
    score_smoothing: float = 0.0
    onset: float = 0.5
    level: float = 0.0
    causal: bool = False

    def __post_init__(self) -> None:
        for name, table in (("upsampling", UPSAMPLINGS), ("foreground", FOREGROUNDS)):
            if getattr(self, name) not in table:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(table)}")
        if self.extent not in ("attention", "thing"):
            raise ValueError(f"extent is {self.extent!r}, expected attention or thing")
        if self.extent == "thing" and self.foreground == "none":
            raise ValueError("extent is 'thing', and foreground is 'none': there are no things without one")
        if self.causal and self.foreground in ("motion", "background"):
            raise ValueError(f"foreground {self.foreground!r} looks at later frames; for causal take 'motion so far'")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}, expected a share of the highest value, above 0, below 1")
        for name, highest in (("closing", 0.5), ("onset", 1.0)):
            if not 0 <= getattr(self, name) <= highest:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a share from 0 to {highest}")
        for name in ("smoothing", "score_smoothing", "overlap_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if not math.isfinite(self.level):
            raise ValueError(f"level is {self.level}, expected a finite number")
        for name, least in (("most", 1), ("gap", 0), ("shortest", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")


def choose_parameters(
    candidates: Iterable[LocalizationParameters], criterion: Callable[[LocalizationParameters], float]
) -> LocalizationParameters:
    """The candidate with the lowest criterion, the first of equal ones; one whose criterion is NaN is never chosen.

    A criterion that looked at true boxes would make localization learned from labels into something else. Honest is
    what can be computed from clips and their labels, such as the mean `explanation_cost` over validation clips.

    Raises:
        ValueError: no candidate with a criterion.
    """
    found = [(criterion(each), each) for each in candidates]
    fit = [(value, each) for value, each in found if not math.isnan(value)]
    if not fit:
        raise ValueError(f"{len(found)} candidates, and none has a criterion; expected at least one")
    return min(fit, key=lambda one: one[0])[1]


def explanation_cost(area: ArrayLike, kept: ArrayLike, deleted: ArrayLike) -> NDArray[np.float64]:
    """How badly a region explains a class: area + (1 - kept) + deleted, low is good.

    The smallest region that is enough for the class to be seen, and without which it is not: the preservation and the
    deletion game of Fong & Vedaldi, *Interpretable explanations of black boxes by meaningful perturbation*, 2017, with
    a share of the frame weighing as much as a share of the probability. Each term holds off one failure: `area` a box
    that is too large, `kept` one in the wrong place, `deleted` one around a part of the thing, whose rest still tells
    the class. The measure of Dabkowski & Gal (*Real time image saliency for black box classifiers*, 2017), log(area) -
    log(kept), rewards parts: a digit is known from a piece.

    Args:
        area: the region's share of the frame.
        kept: probability of the true class when nothing but the region is seen.
        deleted: that when everything but the region is seen.

    Raises:
        ValueError: values that are no shares.
    """
    terms = [np.asarray(each, dtype=np.float64) for each in (area, kept, deleted)]
    for name, values in zip(("area", "kept", "deleted"), terms, strict=True):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} is not within 0 and 1: from {values.min()} to {values.max()}")
    return terms[0] + (1 - terms[1]) + terms[2]
