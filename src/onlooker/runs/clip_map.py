"""A map of the clips of a run: similar clips are close together, and clips that do not fit their class stand out."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import load
from onlooker.runs.evaluate import read_clips
from onlooker.runs.folder import RunRecord
from onlooker.training.linear import statistics_of

__all__ = ["Place", "clip_map", "find_outliers", "principal_components"]

Floats = NDArray[np.float64]

_FAR, _FACTOR = 4.0, 1.5  # an outlier is this many deviations above the median distance, and this many times it
_MIN_CLIPS = 4  # in a class, to look for outliers in it


class Place(NamedTuple):
    """Where a clip is, from -1 to 1, and whether it is far from the other clips of its class."""

    x: float
    y: float
    outlier: bool


def clip_map(run: Path) -> dict[str, Place]:
    """The places of a run's clips by their names: the first two principal components of the statistics that its linear
    model gets. Other models have no map: empty."""
    recognizer, record = load(run), RunRecord.read(run)
    if not isinstance(recognizer.model, LinearClassifier):
        return {}
    samples, _ = read_clips(record.split.clips, record.classes, record.data, quiet=True)
    clips, _ = statistics_of(recognizer.model, samples, [""] * len(samples), record.data)
    outliers, places = find_outliers(clips.x, clips.y).tolist(), principal_components(clips.x).tolist()
    return {name: Place(x, y, far) for name, (x, y), far in zip(samples.names, places, outliers, strict=True)}


def principal_components(x: Floats) -> Floats:
    """Standardize the statistics of clips, `B M`, and project them to `B 2`; coordinates are from -1 to 1."""
    z = _standardized(x)
    places = np.zeros((len(z), 2))
    vectors, values, _ = np.linalg.svd(z, full_matrices=False)
    count = min(2, len(values))
    places[:, :count] = vectors[:, :count] * values[:count]
    return np.round(places / max(np.abs(places).max(), 1e-9), 4)


def find_outliers(x: Floats, y: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which clips are much farther from the mean of the others of their class than is usual there: `B M` to `B`."""
    z, far = _standardized(x), np.zeros(len(y), bool)
    for k in np.unique(y):
        of = np.flatnonzero(y == k)
        if len(of) < _MIN_CLIPS:
            continue
        others = (z[of].sum(0) - z[of]) / (len(of) - 1)
        distances = np.linalg.norm(z[of] - others, axis=1)
        median = np.median(distances)
        deviation = 1.4826 * np.median(np.abs(distances - median))  # the standard deviation, if distances are normal
        far[of] = (distances > median + _FAR * deviation) & (distances > _FACTOR * median)
    return far


def _standardized(x: Floats) -> Floats:
    spread = x.std(0)
    return np.asarray((x - x.mean(0)) / np.where(spread > 1e-9, spread, 1))
