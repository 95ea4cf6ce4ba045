"""Multinomial logistic regression with an L2 penalty, by L-BFGS."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDING = 64 * float(np.finfo(np.float64).eps)  # relative changes of the loss that end the solver


def fit_logistic(
    x: Floats,
    y: Ints,
    *,
    C: float,
    tolerance: float,
    steps: int,
    balanced: bool = False,
    start: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Weights `K M` and biases `K` of statistics `B M` and classes `B`, 0 to K - 1, which all have
    clips; a ValueError if there is one class only.

    They are those of scikit-learn's LogisticRegression, whose checks and wrappers take two thirds
    of its time with few clips, of which cross-validation fits thousands of layers.

    Args:
        C: as in scikit-learn: the inverse of the penalty.
        tolerance: the largest absolute value of the gradient of the mean loss at the end.
        steps: of the solver, at most.
        balanced: classes weigh equally.
        start: weights and biases to start from, in place of zeros.
    """
    counts = np.bincount(y)
    K = len(counts)
    if K < 2:
        raise ValueError(f"all {len(y)} clips are of one class, expected two classes or more")
    B, M = x.shape
    # Of two classes, the second one alone has weights: those of its logit minus that of the first.
    free = slice(1, 2) if K == 2 else slice(0, K)
    weights = (B / (K * counts) if balanced else np.ones(K))[y]
    clips = np.arange(B)
    logits = np.zeros((B, K))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        layer = parameters.reshape(M + 1, -1)
        logits[:] = 0
        logits[:, free] = x @ layer[:M] + layer[M]
        shifted = logits - logits.max(1, keepdims=True)
        odds = np.exp(shifted)
        sums = odds.sum(1)
        errors = odds / sums[:, None]
        errors[clips, y] -= 1
        errors *= weights[:, None]
        gradient = np.empty_like(layer)
        gradient[:M] = x.T @ errors[:, free] + layer[:M] / C
        gradient[M] = errors[:, free].sum(0)
        value = weights @ (np.log(sums) - shifted[clips, y]) + np.vdot(layer[:M], layer[:M]) / C / 2
        return float(value / B), gradient.ravel() / B

    first = np.zeros((M + 1, K))
    if start is not None:
        first[:M] = start[0].T
        first[M] = start[1]
    if K == 2:
        first -= first[:, :1]
    options: dict[str, Any] = {"maxiter": steps, "maxls": 50, "gtol": tolerance, "ftol": _ROUNDING}
    solved = minimize(loss, first[:, free].ravel(), jac=True, method="L-BFGS-B", options=options)
    layer = np.zeros((M + 1, K))
    layer[:, free] = solved.x.reshape(M + 1, -1)
    if K == 2:
        layer -= layer.mean(1, keepdims=True)
    return np.ascontiguousarray(layer[:M].T), layer[M]
