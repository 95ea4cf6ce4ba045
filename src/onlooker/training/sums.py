"""Linear layers of many clips, from sums over batches of them: without a copy of their statistics.

Batches are standardized in single precision, and their sums have double precision. A discriminant
needs the class means and one pass for the products of statistics. Logistic regression needs a pass
for each step of its solver, on all cores.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import logsumexp

from onlooker.base.parallel import map_ahead
from onlooker.training.regression import (
    EQUAL,
    Floats,
    Ints,
    LinearLayer,
    Method,
    Statistics,
    standard_scale,
    with_absent_classes,
)

# statistics `b M` and classes `b` of batches of clips, once more for each call
Batches = Callable[[], Iterable[tuple[Statistics, Ints]]]

# of the solver, at most: on generated clips, further ones change the log loss of held-out clips by
# less than 1 %
_STEPS = 40


class _Standardized(NamedTuple):
    """Batches whose statistics have a mean of zero and unit length on average.

    Args:
        batches: as they are given.
        center, scale: `M`.
        present: the classes that have clips.
        means: of these classes, standardized, `K M`.
        counts: of their clips, `K`.
    """

    batches: Batches
    center: Floats
    scale: Floats
    present: Ints
    means: Floats
    counts: Ints

    def rows(self) -> Iterator[tuple[NDArray[np.float32], Ints]]:
        """Standardized statistics `b M`, and positions `b` in `present`, of each batch."""
        return map(self.standardized, self.batches())

    def standardized(self, batch: tuple[Statistics, Ints]) -> tuple[NDArray[np.float32], Ints]:
        """The rows of a batch."""
        x, y = batch
        rows = np.subtract(x, self.center.astype(np.float32), dtype=np.float32)
        rows *= (1 / self.scale).astype(np.float32)
        return rows, np.searchsorted(self.present, y)


def regress_batches(
    batches: Batches,
    num_classes: int,
    *,
    method: Method,
    balanced: bool = False,
    one_scale: bool = False,
) -> LinearLayer:
    """Fit a layer by a method to batches of clips: that of `regression.regress` up to rounding, and
    for logistic regression up to the steps that are left out; `balanced` and `one_scale` as there.
    """
    standardized = _standardized(batches, num_classes, one_scale)
    fit = _discriminant if method.name == "discriminant" else _logistic
    rows, biases = fit(standardized, method.setting, balanced)
    weight, bias = with_absent_classes(rows, biases, standardized.present, num_classes=num_classes)
    return LinearLayer(standardized.center, standardized.scale, weight, bias=bias)


def moments(batches: Batches) -> tuple[Floats, Floats]:
    """The mean and the standard deviation of statistics, `M` each."""
    sums: Floats | float = 0.0
    squares: Floats | float = 0.0
    count = 0
    for x, _ in batches():
        sums = sums + x.sum(0, dtype=np.float64)
        count += len(x)
    mean = cast(Floats, sums / count)
    for x, _ in batches():
        squares = squares + np.square(x - mean).sum(0)
    return mean, np.sqrt(squares / count)


def _standardized(batches: Batches, num_classes: int, one_scale: bool) -> _Standardized:
    center, deviation = moments(batches)
    scale = standard_scale(center, deviation)
    if one_scale:
        scale = np.full_like(scale, np.linalg.norm(deviation) or 1.0)
    counts = np.zeros(num_classes, np.int64)
    sums = np.zeros((num_classes, len(center)))
    for x, y in batches():
        counts += np.bincount(y, minlength=num_classes)
        for label in np.unique(y):
            sums[label] += x[y == label].sum(0, dtype=np.float64)
    present = np.flatnonzero(counts)
    counts = counts[present]
    means = (sums[present] / counts[:, None] - center) / scale
    return _Standardized(batches, center, scale, present=present, means=means, counts=counts)


def _discriminant(clips: _Standardized, share: float, balanced: bool) -> tuple[Floats, Floats]:
    """Weights `K M` and biases `K` as those of `regression._Discriminant`, with Cholesky's
    decomposition instead of eigenvectors.
    """
    M = len(clips.center)
    count = clips.counts.sum()
    means = clips.means.astype(np.float32)
    covariance = np.zeros((M, M))
    for rows, y in clips.rows():
        rows -= means[y]
        covariance += rows.T @ rows
    covariance /= count
    trace = float(np.trace(covariance))
    covariance *= 1 - share
    covariance[np.diag_indices(M)] += share * (trace / M if trace > EQUAL else 1.0)
    # a transposed matrix is overwritten instead of copied
    factor = cho_factor(covariance.T, overwrite_a=True, check_finite=False)
    weight = cho_solve(factor, clips.means.T, check_finite=False).T
    priors = np.zeros(len(means)) if balanced else np.log(clips.counts / count)
    return weight, priors - (weight * clips.means).sum(1) / 2


def _logistic(clips: _Standardized, C: float, balanced: bool) -> tuple[Floats, Floats]:
    """Weights `K M` and biases `K` of multinomial logistic regression, by L-BFGS."""
    K, M = clips.means.shape
    count = clips.counts.sum()
    weights = count / (K * clips.counts) if balanced else np.ones(K)
    # of two classes, scikit-learn fits the weights of one, and there the penalty counts half
    penalty = (2 if K == 2 else 1) / C

    def batch_loss(
        layer: Floats, batch: tuple[Statistics, Ints]
    ) -> tuple[float, NDArray[np.float32], Floats]:
        """The loss of a batch, and its gradient by weights `K M` and biases `K`."""
        rows, y = clips.standardized(batch)
        logits = (rows @ layer[:, :M].T.astype(np.float32)).astype(np.float64) + layer[:, M]
        logits -= logsumexp(logits, 1, keepdims=True)
        places = np.arange(len(y))
        errors = np.exp(logits)
        errors[places, y] -= 1
        errors *= weights[y][:, None]
        value = float(-weights[y] @ logits[places, y])
        gradient = cast(NDArray[np.float32], errors.T.astype(np.float32) @ rows)
        return value, gradient, errors.sum(0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        layer = parameters.reshape(K, M + 1)
        value = penalty / 2 * np.square(layer[:, :M]).sum()
        gradient = penalty * layer
        gradient[:, M] = 0
        for batch_value, by_weight, by_bias in map_ahead(
            partial(batch_loss, layer), clips.batches()
        ):
            value += batch_value
            gradient[:, :M] += by_weight
            gradient[:, M] += by_bias
        return float(value / count), gradient.ravel() / count

    options: dict[str, Any] = {"maxiter": _STEPS, "gtol": 1e-6}
    start = np.zeros(K * (M + 1))
    layer = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x.reshape(K, M + 1)
    return layer[:, :M], layer[:, M]
