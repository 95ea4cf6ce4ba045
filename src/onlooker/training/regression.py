"""Linear layers on standardized statistics: logistic regression and linear discriminant analysis."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from onlooker.report.metrics import balancing_weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistics = NDArray[np.floating]

EQUAL = 1e-12  # variance up to which the clips of a class count as equal
_TEMPERATURES = tuple(2.0**i for i in range(-2, 8))  # at which methods are compared
_ABSENT = 20.0  # how far the logit of a class without training clips is below all others


class Method(NamedTuple):
    """How a layer is fitted, to clips that are vectors of unit length on average.

    Args:
        name: "logistic", multinomial logistic regression with an L2 penalty; or "discriminant",
            linear discriminant analysis: normal distributions with a mean for each class and a
            covariance for all.
        setting: C of scikit-learn for "logistic", from nearly constant to nearly separating. For
            "discriminant" the share, 0 to 1, of the multiple of the identity towards which the
            covariance is shrunk (Friedman 1989).
    """

    name: str
    setting: float

    def __str__(self) -> str:
        if self.name == "logistic":
            return f"logistic regression with C = {self.setting:g}"
        return f"discriminant analysis with shrinkage {self.setting:g}"


# The shares are close to 1 because there are many more statistics than clips: in most dimensions, Σ
# is zero. With 20 to 100 clips they weigh tr(Σ)/M as .1 to .6 would weigh the mean over the
# dimensions in which clips differ.
METHODS = tuple(Method("logistic", C) for C in (0.1, 1.0, 10.0, 100.0, 1000.0)) + tuple(
    Method("discriminant", share) for share in (0.1, 0.6, 0.9, 0.97, 0.99)
)


class LinearLayer(NamedTuple):
    """A linear layer on standardized statistics: center and scale `M`, weight `K M`, bias `K`."""

    center: Floats
    scale: Floats
    weight: Floats
    bias: Floats

    def logits(self, x: Statistics) -> Floats:
        """Statistics `… M` to `… K`."""
        return (x - self.center) / self.scale @ self.weight.T + self.bias

    @property
    def standardizes(self) -> NDArray[np.bool_]:
        """Which statistics count for `distances`, `M`: those that the layer uses, and others that
        have a center.
        """
        return cast(NDArray[np.bool_], self.weight.any(0) | (self.center != 0))

    def distances(self, x: Floats) -> Floats:
        """How far statistics `… M` are from those that the layer was fitted to, `…`: the sum of
        their squares when standardized. That of those which the layer uses is 1 on average over the
        training.
        """
        squares = np.square((x - self.center) / self.scale)
        return cast(Floats, squares @ self.standardizes)

    def scaled(self, factor: float) -> "LinearLayer":
        """The same layer with its logits multiplied by a factor."""
        return self._replace(weight=self.weight * factor, bias=self.bias * factor)

    def shifted(self, logits: Floats) -> "LinearLayer":
        """The same layer with something added to its logits."""
        return self._replace(bias=self.bias + logits)

    def with_unit(self, unit: float) -> "LinearLayer":
        """The same logits, with distances divided by the square of a unit."""
        return self._replace(scale=self.scale * unit, weight=self.weight * unit)

    def embedded_in(self, columns: Ints, M: int) -> "LinearLayer":
        """The same layer on M statistics, of which it uses those in `columns`."""
        center = np.zeros(M)
        scale = np.ones(M)
        weight = np.zeros((len(self.weight), M))
        center[columns] = self.center
        scale[columns] = self.scale
        weight[:, columns] = self.weight
        return LinearLayer(center, scale, weight, bias=self.bias)


def regress(
    x: Floats,
    y: Ints,
    num_classes: int,
    *,
    methods: Sequence[Method] = METHODS,
    balanced: bool = False,
    one_scale: bool = False,
) -> list[LinearLayer]:
    """Fit a layer by each method to the statistics `B M` and classes `B` of clips; with `balanced`,
    classes weigh equally.

    `one_scale`: all statistics have one scale, so that the layers do not depend on the basis in
    which they are given; else each is standardized by its own.
    """
    present, targets = np.unique(y, return_inverse=True)
    center = x.mean(0)
    scale = standard_scale(center, x.std(0))
    if one_scale:
        scale = np.full_like(scale, np.sqrt(x.var(0).sum()) or 1.0)
    x = (x - center) / scale
    # The weights of both methods lie in the space that the clips span, which is much smaller with
    # few clips.
    basis, z = np.linalg.qr(x.T) if x.shape[1] > len(x) else (np.eye(x.shape[1]), x.T)
    layers = []
    for rows, biases in _rows(z.T, targets, M=x.shape[1], methods=methods, balanced=balanced):
        weight, bias = with_absent_classes(rows @ basis.T, biases, present, num_classes=num_classes)
        layers.append(LinearLayer(center, scale, weight, bias=bias))
    return layers


def with_absent_classes(
    rows: Floats, biases: Floats, present: Ints, *, num_classes: int
) -> tuple[Floats, Floats]:
    """Weights `K M` and biases `K` from those of the classes that are `present`; the others are
    never predicted.
    """
    weight = np.zeros((num_classes, rows.shape[1]))
    bias = np.full(num_classes, biases.min() - _ABSENT)
    weight[present] = rows
    bias[present] = biases
    return weight, bias


class MethodResult(NamedTuple):
    """A method in cross-validation, at the temperature with its lowest log loss.

    Args:
        logits: `B K`, of each clip by a layer that was fitted without it; zero for clips that were
            not tested.
    """

    method: Method
    temperature: float
    loss: float
    logits: Floats


def best_temperature(logits: Floats, y: Ints, balanced: bool = False) -> tuple[float, float]:
    """The temperature among `_TEMPERATURES` with the lowest log loss of logits `B K`, and this loss."""
    weights = balancing_weights(y) if balanced else np.ones(len(y))
    losses = {T: _log_loss(logits / T, y, weights) for T in _TEMPERATURES}
    best = min(losses, key=lambda T: losses[T])
    return best, losses[best]


def cross_validate(
    x: Floats,
    y: Ints,
    num_classes: int,
    *,
    parts: Iterable[tuple[Floats, Ints, Ints]],
    methods: Sequence[Method] = METHODS,
    balanced: bool = False,
    one_scale: bool = False,
) -> MethodResult:
    """The method and the temperature with the lowest log loss on clips that layers are not fitted
    to; `x`, `y`, `balanced` and `one_scale` as in `regress`. Discriminants are not compared where a
    layer is fitted to one row of each class: with more of them, it would have another scale.

    Args:
        parts: for each, the statistics and classes that layers are fitted to, and the positions of
            the clips that they are tested on.
    """
    logits = {method: np.zeros((len(y), num_classes)) for method in methods}
    tests = list[Ints]()
    is_known = True  # how clips of one class differ, which the scale of a discriminant depends on
    for fit_x, fit_y, test in parts:
        is_known &= len(np.unique(fit_y)) < len(fit_y)
        layers = regress(
            fit_x, fit_y, num_classes, methods=methods, balanced=balanced, one_scale=one_scale
        )
        for method, layer in zip(methods, layers, strict=True):
            logits[method][test] = layer.logits(x[test])
        tests.append(test)
    tested = np.concatenate(tests)
    compared = [method for method in methods if is_known or method.name == "logistic"] or methods
    results = (
        MethodResult(
            method, *best_temperature(logits[method][tested], y[tested], balanced), logits[method]
        )
        for method in compared
    )
    return min(results, key=lambda result: result.loss)


def _log_loss(logits: Floats, y: Ints, weights: Floats) -> float:
    """The weighted mean log loss with one more clip that is correct and one that is wrong, as in
    `fit_temperature`: without them, a few clips that are all correct would favor the most confident
    method.
    """
    scores = softmax(logits, 1).clip(1e-30)
    confidence = scores.max(axis=1).mean().clip(0, 1 - 1e-12)
    loss = -(weights * np.log(scores[np.arange(len(y)), y])).sum()
    return float((loss - np.log(confidence) - np.log1p(-confidence)) / len(y))


def standard_scale(mean: Floats, deviation: Floats, count: int | None = None) -> Floats:
    """The scale of statistics with these means and standard deviations, `… M`: the deviation times
    √M, so that vectors have unit length; √M where it is almost zero, because statistics differ by
    rounding errors only there. `count`: in place of M.
    """
    rounding = np.maximum(1e-6 * np.abs(mean), 1e-5 * deviation.max(-1, keepdims=True))
    return np.where(deviation > rounding, deviation, 1) * np.sqrt(count or deviation.shape[-1])


def _rows(
    z: Floats, y: Ints, *, M: int, methods: Sequence[Method], balanced: bool
) -> Iterator[tuple[Floats, Floats]]:
    """Weights `K R` and biases `K` for each method, from clips z, `B R`, of classes 0 to K - 1,
    which all have clips.

    `M`: the number of statistics, of which z are R dimensions.
    """
    from sklearn.linear_model import LogisticRegression

    weights = "balanced" if balanced else None
    solver = LogisticRegression(tol=1e-6, max_iter=1000, warm_start=True, class_weight=weights)
    discriminant = _Discriminant(z, y, M=M, balanced=balanced)
    for name, setting in methods:
        if name == "discriminant":
            yield discriminant.rows(setting)
            continue
        with warnings.catch_warnings():
            # about steps of the solver, and about fewer than two clips per class
            warnings.simplefilter("ignore")
            solver.set_params(C=setting).fit(z, y)
        rows = solver.coef_
        biases = solver.intercept_
        if len(rows) == 1:  # of two classes: the logit of the second minus that of the first
            rows = np.concatenate([-rows, rows]) / 2
            biases = np.concatenate([-biases, biases]) / 2
        yield rows, biases


class _Discriminant:
    """Linear discriminant analysis of clips with classes `B`, whose covariance is decomposed once.

    With class means μ_k, shares π_k (equal if `balanced`) and the covariance Σ within classes,
    shrunk by a share s,

        logit_k(z) = μ_k · Σ_s⁻¹ z - μ_k · Σ_s⁻¹ μ_k / 2 + log π_k,   Σ_s = (1 - s) Σ + s tr(Σ)/M I

    The clips z, `B R`, are given in a basis of the R dimensions of `M` in which they differ: in the
    others, Σ is zero.
    """

    def __init__(self, z: Floats, y: Ints, *, M: int, balanced: bool = False) -> None:
        counts = np.bincount(y)
        self.means = np.stack([z[y == k].mean(0) for k in range(len(counts))])
        within = z - self.means[y]
        values, self.vectors = np.linalg.eigh(within.T @ within / len(z))
        self.values = np.maximum(values, 0)
        trace = float(values.sum())
        self.average = trace / M if trace > EQUAL else 1.0
        self.priors = np.zeros(len(counts)) if balanced else np.log(counts / len(z))

    def rows(self, share: float) -> tuple[Floats, Floats]:
        inverse = self.vectors / ((1 - share) * self.values + share * self.average) @ self.vectors.T
        rows = self.means @ inverse
        return rows, self.priors - (rows * self.means).sum(1) / 2
