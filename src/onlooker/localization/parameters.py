"""How attention and scores become boxes, tubes and segments, and how this is chosen without any true box."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.maps import FOREGROUNDS, UPSAMPLINGS

__all__ = ["LocalizationParameters"]


@dataclass(frozen=True)
class LocalizationParameters:
    """Settings of localization.

    Args:
        smoothing: of attention over time, in frames; see `smooth`.
        upsampling: how maps are brought to the size of the frame, one of `UPSAMPLINGS`.
        foreground: which pixels may belong to an object, one of `FOREGROUNDS`.
        extent: what a box encloses: `attention`, the high values of map × foreground; or `object`, the whole connected
            component of the foreground that the attention is on.
        threshold: share of the highest value of the map (for `object`: of the foreground) from which on a pixel counts.
        closing: gaps up to this share of the frame's shorter side are closed before pixels are connected.
        max_boxes: maximum number of boxes per frame.
        overlap_weight: weight of the IoU of consecutive boxes in linking; λ of Gkioxari & Malik 2015.
        gap: maximum number of consecutive frames without a box inside a tube.
        min_length: minimum number of frames of a tube or a segment.
        score_smoothing: of class scores and of evidence over time, in frames; see `smooth`. If causal, it delays events
            (`online.update_event`).
        onset: a tube or a segment lasts where the class score (the evidence, if the model has it) is at least this
            share of its maximum; if causal, of the maximum so far, and for class scores of at least one half. 0: tubes
            are not trimmed.
        level: if causal, the minimum of the evidence that frames are compared with: the usual maximum of a clip.
        causal: use no later frames, as in a stream.

    Raises:
        ValueError: a value out of its range.
    """

    smoothing: float = 0.0
    upsampling: str = "bilinear"
    foreground: str = "none"
    extent: str = "attention"
    threshold: float = 0.35
    closing: float = 0.05
    max_boxes: int = 1
    overlap_weight: float = 1.0
    gap: int = 5
    min_length: int = 1
    score_smoothing: float = 0.0
    onset: float = 0.5
    level: float = 0.0
    causal: bool = False

    def __post_init__(self) -> None:
        for name, table in (("upsampling", UPSAMPLINGS), ("foreground", FOREGROUNDS)):
            if getattr(self, name) not in table:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(table)}")
        if self.extent not in ("attention", "object"):
            raise ValueError(f"extent is {self.extent!r}, expected attention or object")
        if self.extent == "object" and self.foreground == "none":
            raise ValueError("extent is 'object' and foreground is 'none': objects are parts of a foreground; name one")
        if self.causal and self.foreground in ("motion", "background"):
            raise ValueError(f"foreground {self.foreground!r} needs later frames; use 'causal-motion' with causal")
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
        for name, minimum in (("max_boxes", 1), ("gap", 0), ("min_length", 1)):
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {minimum}")


def choose_parameters(
    candidates: Iterable[LocalizationParameters], criterion: Callable[[LocalizationParameters], float]
) -> LocalizationParameters:
    """The candidate with the lowest criterion, the first of equal ones; a criterion of NaN excludes a candidate.

    To learn localization from labels alone, the criterion must not use true boxes: for example the mean
    `explanation_cost` over validation clips.

    Raises:
        ValueError: no candidate has a criterion.
    """
    pairs = [(criterion(candidate), candidate) for candidate in candidates]
    valid = [(value, candidate) for value, candidate in pairs if not math.isnan(value)]
    if not valid:
        raise ValueError(f"none of {len(pairs)} candidates has a criterion; expected at least one")
    return min(valid, key=lambda pair: pair[0])[1]


def explanation_cost(area: ArrayLike, kept: ArrayLike, deleted: ArrayLike) -> NDArray[np.float64]:
    """How badly a region explains a class: area + (1 - kept) + deleted; lower is better.

    The best region is the smallest one that suffices for the class and that the class needs: the preservation and the
    deletion game of Fong & Vedaldi, *Interpretable explanations of black boxes by meaningful perturbation*, 2017, with
    the area on the scale of a probability. `area` penalizes boxes that are too large, `kept` boxes in the wrong place,
    `deleted` boxes around a part of the object, where the rest still shows the class. The measure of Dabkowski & Gal
    (*Real time image saliency for black box classifiers*, 2017), log(area) - log(kept), prefers such parts.

    Args:
        area: share of the frame that the region covers.
        kept: probability of the true class with only the region visible.
        deleted: probability of the true class with the region removed.

    Raises:
        ValueError: a value outside 0 to 1.
    """
    terms = {"area": area, "kept": kept, "deleted": deleted}
    values = {name: np.asarray(term, dtype=np.float64) for name, term in terms.items()}
    for name, each in values.items():
        if not ((each >= 0) & (each <= 1)).all():
            raise ValueError(f"{name} is not within 0 and 1: from {each.min()} to {each.max()}")
    return values["area"] + (1 - values["kept"]) + values["deleted"]
