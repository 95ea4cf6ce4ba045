"""Settings by which scores become segments, chosen without true times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.settings import Config, setting

__all__ = ["LocalizationParameters", "explanation_cost"]


@dataclass(frozen=True)
class LocalizationParameters(Config):
    """Settings of localization; each is checked when it is set."""

    onset: float = setting(
        0.5,
        "A segment lasts where the class score (the evidence, if the model has it) is at least this share of its "
        "maximum; in a stream, of the maximum so far.",
        minimum=0,
        maximum=1,
    )
    level: float = setting(
        0.0, "In a stream, the lower bound of the maximum that evidence is compared with: the usual one of a clip."
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
