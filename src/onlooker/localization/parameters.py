"""Settings by which attention and scores become boxes, tubes and segments, chosen without ground-truth boxes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.maps import Foreground
from onlooker.settings import Config, setting

__all__ = ["LocalizationParameters", "explanation_cost"]


@dataclass(frozen=True)
class LocalizationParameters(Config):
    """Settings of localization; each is checked when it is set."""

    foreground: Foreground = setting("none", "Which pixels may belong to an object; see `maps.FOREGROUNDS`.")
    extent: Literal["attention", "object", "window"] = setting(
        "attention",
        "What a box encloses: the high values of map × foreground; the whole connected component of the foreground "
        "that the attention is on; or a window that follows the foreground, or the component in it if both agree.",
    )
    threshold: float = setting(
        0.35,
        "Share of the highest value of the map (with extent object: of the foreground) that a pixel must reach.",
        above=0,
        below=1,
    )
    closing: float = setting(
        0.05,
        "Gaps up to this share of the frame's shorter side are closed before pixels are connected.",
        minimum=0,
        maximum=0.5,
    )
    gap: int = setting(5, "Maximum number of consecutive frames without a box inside a tube.", minimum=0)
    onset: float = setting(
        0.5,
        "A tube or a segment lasts where the class score (the evidence, if the model has it) is at least this share of "
        "its maximum; in a stream, of the maximum so far. 0: tubes are not trimmed.",
        minimum=0,
        maximum=1,
    )
    level: float = setting(
        0.0, "In a stream, the lower bound of the maximum that evidence is compared with: the usual one of a clip."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extent != "attention" and self.foreground == "none":
            raise ValueError(
                f"extent is {self.extent!r} and foreground is 'none': objects are parts of a foreground; name one"
            )


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
    """
    area, kept, deleted = (np.asarray(term, dtype=np.float64) for term in (area, kept, deleted))
    return area + (1 - kept) + deleted
