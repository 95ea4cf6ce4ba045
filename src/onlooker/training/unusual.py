"""The distance above which clips and windows are unlike training: another place, another camera,
things that were never seen.

Where training is from one or a few recordings, these say little about others. So what an encoder
sees is also compared with everyday pictures (`models.everyday`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit  # scipy.stats takes half a second to import
from torch import Tensor

from onlooker.base.fisher import PARTS
from onlooker.models.everyday import Everyday
from onlooker.models.linear import UNORDERED
from onlooker.training.linear import FOLDS, Candidate, ClipStatistics
from onlooker.training.regression import Floats, Ints, mean_and_std, standard_scale

_SHARE = 0.99  # of new recordings whose clips are all usual
# prior spread of the log distances, about as in training recordings of Weizmann, UCF101-18 and
# surveillance, and the number of recordings that it counts as. If distances spread more, the bound
# from a few recordings is exceeded more often than stated.
_SPREAD = 0.6
_PRIOR = 10
_EQUAL = 1e-6  # mean squared distance up to which what an eye sees counts as equal


def usual_distance(clips: ClipStatistics, candidate: Candidate) -> float | None:
    """The distance (`Output.distance`, by pictures) that no clip of a new recording exceeds
    (`upper_bound`), by leaving recordings out; None for clips that cannot be divided.
    """
    used = clips.columns(candidate.statistics)
    columns = np.union1d(used, clips.columns(UNORDERED))

    def distances(train_rows: Ints, test_rows: Ints) -> Floats:
        batches = partial(clips.batches, train_rows, columns, candidate.copies)
        center, deviation = mean_and_std(batches)
        scale = standard_scale(center, deviation, len(used))
        return np.concatenate(
            [(((x - center) / scale) ** 2).sum(1) for x, _ in clips.batches(test_rows, columns)]
        )

    return _usual(clips, distances)


def everyday_ratio(clips: ClipStatistics, everyday: Everyday) -> float:
    """The ratio (`Everyday`) that no clip of a new recording exceeds, at most 1: such a clip is nearer
    to everyday pictures than to training, and that needs no second recording to be told.
    """
    means = everyday_means(clips, everyday)

    def ratios(train_rows: Ints, test_rows: Ints) -> Floats:
        trained = everyday.with_clips(means[train_rows])
        return trained(means[test_rows]).double().numpy()

    return min(1.0, _usual(clips, ratios) or 1.0)


def everyday_means(clips: ClipStatistics, everyday: Everyday) -> Tensor:
    """The mean features of clips in their first view, `B D`."""
    return torch.from_numpy(clips.x[:, : len(everyday.center)]).float()


class Spread(NamedTuple):
    """The mean `R` of the Fisher vectors of clips, in the basis of `EyeVectors`, and their mean
    squared distance from it.

    The squared norm of a Fisher vector is the number of its parts, also where the basis does not
    span all of it.
    """

    center: Floats
    square: float

    @classmethod
    def of(cls, x: Floats) -> "Spread":
        """The spread of vectors `B R` of clips in which something is seen."""
        center = x.sum(0) / max(1, x.any(1).sum())
        square = PARTS - float(center @ center)
        return cls(center, square if square > _EQUAL else 1.0)

    def distances(self, x: Floats) -> Floats:
        """Squared distances of vectors `B R` in multiples of `square`; zero where nothing is seen."""
        squares = PARTS - 2 * x @ self.center + self.center @ self.center
        return squares.clip(0) / self.square * x.any(1)

    def factor(self, usual: float | None, usual_seen: float | None) -> float:
        """Factor that brings squared distances of an eye to the scale of pictures, with `usual` as
        the limit of both; 0: they do not count, because one of these limits is not known.

        `usual_seen`: the limit of the eye, in multiples of `square`.
        """
        if usual is None or usual_seen is None:
            return 0.0
        return usual / (usual_seen * self.square)


def usual_seen(clips: ClipStatistics, eye: str) -> float | None:
    """As `usual_distance`, of what another eye sees (`Spread.distances`)."""
    x = clips.eyes[eye].x
    return _usual(clips, lambda train, test: Spread.of(x[train]).distances(x[test]))


def _usual(clips: ClipStatistics, distances: Callable[[Ints, Ints], Floats]) -> float | None:
    """`usual_limit` of recordings that are left out.

    `distances`: of test clips from training clips, from the positions of both.
    """
    return usual_limit(
        (distances(train_rows, test_rows), clips.groups[test_rows])
        for train_rows, test_rows in clips.folds(FOLDS)
    )


def usual_limit(tested: Iterable[tuple[Floats, NDArray[np.str_]]]) -> float | None:
    """`upper_bound` of recordings that are left out.

    `tested`: distances of clips or windows from training, and the recording of each.
    """
    farthest = defaultdict[str, float](float)
    for distances, groups in tested:
        for distance, group in zip(distances.tolist(), groups.tolist(), strict=True):
            farthest[group] = max(farthest[group], distance)
    return upper_bound([*farthest.values()])


def upper_bound(farthest: Sequence[float]) -> float | None:
    """The distance that a new recording does not exceed in 99 of 100 cases; None for fewer than two
    positive distances.

    It is the upper bound of a prediction interval for the log distance of one further recording
    (Student's t, with a prior of the spread, which a few recordings hardly determine), or the 99 %
    quantile of the given distances if that is higher.

    `farthest`: the distance of the farthest clip of each recording that was left out.
    """
    positive = np.array([distance for distance in farthest if distance > 0])
    count = len(positive)
    if count < 2:
        return None
    logs = np.log(positive)
    freedom = np.array([count - 1, count - 1 + _PRIOR])
    square = (count - 1) * logs.var(ddof=1)
    spreads = np.sqrt(np.array([square, square + _PRIOR * _SPREAD**2]) / freedom)
    width = (stdtrit(freedom, _SHARE) * spreads).min() * np.sqrt(1 + 1 / count)
    return float(max(np.exp(logs.mean() + width), np.quantile(positive, _SHARE)))
