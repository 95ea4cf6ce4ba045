"""Linear layers on standardized statistics: logistic regression and linear discriminant analysis.

Layers are fitted to batches. Few clips are held together, in double precision and in the space that
they span; many clips never are: they are standardized in single precision, batch by batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import softmax

from onlooker.base.parallel import map_ahead
from onlooker.measure.held_out import HeldOut
from onlooker.training.search import Trial

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistics = NDArray[np.floating]
Batch = tuple[Statistics, Ints]  # statistics `b M` and classes `b`
Batches = Callable[[], Iterable[Batch]]  # once more for each call
Tempered = tuple[Floats, float]  # logits `B K` at a temperature, and this temperature

EQUAL = 1e-12  # maximum variance of clips of a class that count as equal
_TEMPERATURES = tuple(2.0**i for i in range(-2, 8))  # for comparing methods
# maximum number of clips that are held in memory together, and that layers are chosen with: more
# clips do not change the choice
MANY = 2000
_STEPS = 40  # of the solver for many clips, at most
_FEW_STEPS = 1000
_ABSENT = 20.0  # how far the logit of a class without training clips is below all others


class Method(NamedTuple):
    """How a layer is fitted, to clips that are vectors of unit length on average.

    Args:
        name: "logistic", multinomial logistic regression with an L2 penalty; or "discriminant",
            linear discriminant analysis: normal distributions with a mean for each class and a
            covariance for all.
        setting: C of scikit-learn for "logistic", from nearly constant to nearly separating. For
            "discriminant", how far the covariance is shrunk towards a multiple of the identity, 0
            to 1 (Friedman 1989).
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
METHODS = tuple(Method("logistic", C) for C in (0.1, 1.0, 10.0, 100.0)) + tuple(
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
        """Which statistics count for `distances`, `M`: used by the layer, or with a center."""
        return cast(NDArray[np.bool_], self.weight.any(0) | (self.center != 0))

    def distances(self, x: Floats) -> Floats:
        """Squared distances `…` of statistics `… M` from the training data: sums of squares of the
        standardized statistics. For statistics that the layer uses, 1 on average in training.
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
        """The same layer on M statistics, using only `columns`."""
        center = np.zeros(M)
        scale = np.ones(M)
        weight = np.zeros((len(self.weight), M))
        center[columns] = self.center
        scale[columns] = self.scale
        weight[:, columns] = self.weight
        return LinearLayer(center, scale, weight, bias=self.bias)


def one_batch(x: Statistics, y: Ints) -> Batches:
    """All rows in one batch."""
    return lambda: [(x, y)]


def mean_and_std(batches: Batches) -> tuple[Floats, Floats]:
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


def standard_scale(mean: Floats, deviation: Floats, count: int | None = None) -> Floats:
    """The scale of statistics with these means and standard deviations, `… M`: the deviation times
    √M, so that vectors have unit length; √M where it is almost zero, because statistics differ by
    rounding errors only there. `count`: in place of M.
    """
    rounding = np.maximum(1e-6 * np.abs(mean), 1e-5 * deviation.max(-1, keepdims=True))
    return np.where(deviation > rounding, deviation, 1) * np.sqrt(count or deviation.shape[-1])


def regress(
    batches: Batches,
    num_classes: int,
    *,
    methods: Sequence[Method] = METHODS,
    balanced: bool = False,
    one_scale: bool = False,
) -> list[LinearLayer]:
    """Fit a layer by each method to batches of clips; with `balanced`, classes weigh equally.

    `one_scale`: all statistics have one scale, so that the layers do not depend on the basis in
    which they are given; else each is standardized by its own.
    """
    center, deviation = mean_and_std(batches)
    scale = standard_scale(center, deviation)
    if one_scale:
        scale = np.full_like(scale, np.linalg.norm(deviation) or 1.0)
    counts = sum(np.bincount(y, minlength=num_classes) for _, y in batches())
    present = np.flatnonzero(counts)
    M = len(center)
    rows: Batches = partial(_standardized, batches, center, scale, present=present)
    basis = None
    if np.sum(counts) <= MANY:
        pieces = _standardized(batches, center, scale, present=present, precision=np.float64)
        z, y = map(np.concatenate, zip(*pieces, strict=True))
        z = np.ascontiguousarray(z)
        if len(z) < M:  # weights lie in the space that the clips span
            basis, z = np.linalg.qr(z.T)
            z = np.ascontiguousarray(z.T)
        rows = one_batch(z, y)
    fitted = _fitted(rows, len(present), methods=methods, M=M, balanced=balanced)
    outputs = (
        with_absent_classes(
            weight if basis is None else weight @ basis.T, bias, present, num_classes=num_classes
        )
        for weight, bias in fitted
    )
    return [LinearLayer(center, scale, *output) for output in outputs]


def _standardized(
    batches: Batches,
    center: Floats,
    scale: Floats,
    *,
    present: Ints,
    precision: type[np.floating] = np.float32,
) -> Iterator[Batch]:
    """Batches with a mean of zero and unit length on average, and positions of their classes in
    `present`.
    """
    for x, y in batches():
        rows = np.subtract(x, center.astype(precision), dtype=precision)
        rows *= (1 / scale).astype(precision)
        yield rows, np.searchsorted(present, y)


def with_absent_classes(
    rows: Floats, biases: Floats, present: Ints, *, num_classes: int
) -> tuple[Floats, Floats]:
    """Weights `K M` and biases `K`, from the rows of the classes that are `present`; the others are
    never predicted.
    """
    weight = np.zeros((num_classes, rows.shape[1]))
    bias = np.full(num_classes, biases.min() - _ABSENT)
    weight[present] = rows
    bias[present] = biases
    return weight, bias


def _fitted(
    batches: Batches, K: int, *, methods: Sequence[Method], M: int, balanced: bool
) -> Iterator[tuple[Floats, Floats]]:
    """Weights `K R` and biases `K` by each method, from standardized batches `b R` of classes that
    all have clips; logistic regression begins with the weights of the method before.

    `M`: the number of statistics; rows are R dimensions of them.
    """
    discriminant = None
    layer = None
    for name, setting in methods:
        if name == "discriminant":
            discriminant = discriminant or _discriminant(batches, K, M=M, balanced=balanced)
            yield discriminant(setting)
        else:
            layer = logistic(batches, K, C=setting, balanced=balanced, start=layer)
            yield layer


def _discriminant(
    batches: Batches, K: int, *, M: int, balanced: bool
) -> Callable[[float], tuple[Floats, Floats]]:
    """Linear discriminant analysis of standardized clips of K classes, from two passes: weights
    `K R` and biases `K` for a share s.

    With class means μ_k, shares π_k (equal if `balanced`) and the covariance Σ within classes,
    shrunk by a share s,

        logit_k(z) = μ_k · Σ_s⁻¹ z - μ_k · Σ_s⁻¹ μ_k / 2 + log π_k,   Σ_s = (1 - s) Σ + s tr(Σ)/M I

    The clips, `B R`, are given in a basis of the R dimensions of `M` in which they differ: in the
    others, Σ is zero.
    """
    counts = np.zeros(K)
    sums: Floats | float = 0.0
    for rows, y in batches():
        members = (y == np.arange(K)[:, None]).astype(rows.dtype)
        counts += members.sum(1)
        sums = sums + (members @ rows).astype(np.float64)
    means = sums / counts[:, None]
    within = np.zeros((means.shape[1], means.shape[1]))
    for rows, y in batches():
        differences = rows - means.astype(rows.dtype)[y]
        within += differences.T @ differences
    within /= counts.sum()
    trace = float(np.trace(within))
    average = trace / M if trace > EQUAL else 1.0
    priors = np.zeros(K) if balanced else np.log(counts / counts.sum())

    def layer(share: float) -> tuple[Floats, Floats]:
        shrunk = (1 - share) * within
        shrunk[np.diag_indices(len(shrunk))] += share * average
        # a transposed matrix is overwritten instead of copied
        factor = cho_factor(shrunk.T, overwrite_a=True, check_finite=False)
        weight = cho_solve(factor, means.T, check_finite=False).T
        return weight, priors - (weight * means).sum(1) / 2

    return layer


def logistic(
    batches: Batches,
    K: int,
    *,
    C: float,
    balanced: bool = False,
    start: tuple[Floats, Floats] | None = None,
    tolerance: float = 1e-6,
) -> tuple[Floats, Floats]:
    """Weights `K R` and biases `K` of multinomial logistic regression, by L-BFGS; each step is a pass
    over the batches, on all cores if there are several.

    Args:
        batches: rows `b R` of classes 0 to K - 1, which all have some.
        C: of scikit-learn.
        start: weights and biases to begin with.
        tolerance: of the gradient of the mean loss.
    """
    blocks = [(len(y), x.shape[1], np.bincount(y, minlength=K)) for x, y in batches()]
    R = blocks[0][1]
    counts = np.sum([block[2] for block in blocks], 0)
    count = counts.sum()
    weights = count / (K * counts) if balanced else np.ones(K)
    # of two classes, scikit-learn fits the weights of one, and there the penalty counts half
    penalty = (2 if K == 2 else 1) / C

    def loss(parameters: Floats) -> tuple[float, Floats]:
        layer = parameters.reshape(K, R + 1)
        value = penalty / 2 * np.square(layer[:, :R]).sum()
        gradient = penalty * layer
        gradient[:, R] = 0
        batch_loss = partial(_batch_loss, layer, weights)
        compute = map if len(blocks) == 1 else map_ahead
        for batch_value, batch_gradient in compute(batch_loss, batches()):
            value += batch_value
            gradient += batch_gradient
        return float(value / count), gradient.ravel() / count

    begin = np.zeros((K, R + 1)) if start is None else np.column_stack(start)
    # of many clips, further steps change the log loss of held-out clips by less than 1 %
    steps = _FEW_STEPS if len(blocks) == 1 else _STEPS
    options: dict[str, Any] = {"maxiter": steps, "gtol": tolerance}
    options["ftol"] = 64 * np.finfo(float).eps if len(blocks) == 1 else 2.2e-9
    layer = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options).x
    return layer.reshape(K, R + 1)[:, :R], layer.reshape(K, R + 1)[:, R]


def _batch_loss(layer: Floats, weights: Floats, batch: Batch) -> tuple[float, Floats]:
    """The loss of a batch with these weights of classes, and its gradient, `K R+1`."""
    rows, y = batch
    R = rows.shape[1]
    logits = (rows @ layer[:, :R].T.astype(rows.dtype)).astype(np.float64) + layer[:, R]
    logits -= logits.max(1, keepdims=True)
    logs = logits - np.log(
        np.exp(logits).sum(1, keepdims=True)
    )  # SciPy's takes three times as long
    places = np.arange(len(y))
    errors = np.exp(logs)
    errors[places, y] -= 1
    errors *= weights[y][:, None]
    gradient = np.empty(layer.shape)
    gradient[:, :R] = errors.T.astype(rows.dtype) @ rows
    gradient[:, R] = errors.sum(0)
    return float(-weights[y] @ logs[places, y]), gradient


def best_temperature(logits: Floats, y: Ints, balanced: bool = False) -> float:
    """The temperature among `_TEMPERATURES` with the lowest log loss of logits `B K` (`Trial`)."""
    groups = np.zeros(len(y), str)  # which do not count here

    def loss(temperature: float) -> float:
        held_out = HeldOut(softmax(logits / temperature, 1), y, groups)
        return Trial.of(held_out, balanced=balanced).loss

    return min(_TEMPERATURES, key=loss)


def held_out_logits(
    x: Statistics,
    y: Ints,
    num_classes: int,
    *,
    folds: Iterable[tuple[Batches, Ints]],
    methods: Sequence[Method] = METHODS,
    balanced: bool = False,
    one_scale: bool = False,
) -> dict[Method, Tempered]:
    """The logits `B K` of clips by layers of each method that are fitted without them, at the best
    temperature of the method; NaN for clips that are not tested. The other arguments are explained
    in `regress`.

    Args:
        folds: batches that layers are fitted to, and the positions of the clips that are tested.
    """
    logits = {method: np.full((len(y), num_classes), np.nan) for method in methods}
    for batches, test_rows in folds:
        layers = regress(
            batches, num_classes, methods=methods, balanced=balanced, one_scale=one_scale
        )
        for method, layer in zip(methods, layers, strict=True):
            logits[method][test_rows] = layer.logits(x[test_rows])
    tempered = dict[Method, Tempered]()
    for method, values in logits.items():
        tested = np.isfinite(values).all(1)
        temperature = best_temperature(values[tested], y[tested], balanced)
        tempered[method] = values / temperature, temperature
    return tempered
