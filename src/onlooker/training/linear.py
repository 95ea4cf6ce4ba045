"""Fit the linear model: statistics of every clip once, then multinomial logistic regression."""

import warnings
from collections.abc import Sized
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_features, to_video
from onlooker.models.linear import LinearClassifier
from onlooker.models.video_model import VideoModel, choose_device

__all__ = ["STRENGTHS", "fit_linear"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# C of scikit-learn, for clips that are vectors of unit length on average: from nearly constant to nearly separating.
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
_CLIPS, _FRAMES = 8, 32  # read together, encoded together
_NEVER = 20.0  # how far the logit of a class without training clips is below all others


def fit_linear(
    model: VideoModel,
    training: Dataset[Any],
    validation: Dataset[Any],
    data: DataConfig,
    train: TrainConfig,
    folder: Path,
    title: str | None = "training",
) -> float:
    """Fit a `LinearClassifier` by logistic regression with an L2 penalty, the same in every call.

    Each statistic is standardized over the training clips. Every clip counts once, as in training by gradient descent.

    Args:
        model: fitted in place; its encoder stays as it is.
        training, validation: samples as for `fit`. Of `STRENGTHS`, the one with the lowest log loss on the validation
            clips is chosen.
        data: normalization; frames are not augmented.
        train, folder: not used.
        title: of the progress bar; None: no bar.

    Returns:
        The chosen strength.

    Raises:
        ValueError: training clips of a single class, or features that are not finite.
    """
    net = cast(LinearClassifier, model).to(choose_device()).eval()
    x, y = _summaries(net, ConcatDataset([training, validation]), data, title)
    fitted = slice(len(cast(Sized, training)))
    center, scale = x[fitted].mean(0), x[fitted].std(0)
    scale = np.where(scale > 1e-6 * np.abs(center), scale, 1) * np.sqrt(x.shape[1])
    x, chosen = (x - center) / scale, slice(fitted.stop, None)
    fits = zip(STRENGTHS, regress(x[fitted], y[fitted], net.num_classes), strict=True)
    strength, (weight, bias) = min(fits, key=lambda fit: _log_loss(x[chosen] @ fit[1][0].T + fit[1][1], y[chosen]))
    values = {"center": center, "scale": scale, "head.weight": weight, "head.bias": bias}
    net.load_state_dict({**net.state_dict(), **{name: torch.from_numpy(value) for name, value in values.items()}})
    return strength


def regress(x: Floats, y: Ints, num_classes: int) -> list[tuple[Floats, Floats]]:
    """Weights `K M` and biases `K` for each of `STRENGTHS`, from clips `B M` and their classes `B`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(present := np.unique(y)) < 2:
        raise ValueError(f"all {len(y)} training clips are of one class, expected two classes or more")
    # The penalty keeps the weights in the space that the clips span: with few clips it is much smaller, and as exact.
    basis, z = np.linalg.qr(x.T) if x.shape[1] > len(x) else (np.eye(x.shape[1]), x.T)
    solver, fits = LogisticRegression(tol=1e-6, max_iter=1000, warm_start=True), []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver.set_params(C=strength).fit(z.T, y)
        rows, biases = solver.coef_ @ basis.T, solver.intercept_
        if len(present) == 2:  # one row: the logit of the second class minus that of the first
            rows, biases = np.concatenate([-rows, rows]) / 2, np.concatenate([-biases, biases]) / 2
        weight, bias = np.zeros((num_classes, x.shape[1])), np.full(num_classes, biases.min() - _NEVER)
        weight[present], bias[present] = rows, biases
        fits.append((weight, bias))
    return fits


@torch.inference_mode()
def _summaries(net: LinearClassifier, clips: Dataset[Any], data: DataConfig, title: str | None) -> tuple[Floats, Ints]:
    """The statistics of all clips, `B M`, and their classes, `B`."""
    rows: list[Tensor] = []
    targets: list[Tensor] = []
    for samples, of_batch, _ in track(DataLoader(clips, _CLIPS), title or "", disable=title is None):
        rows.append(net.summarize(_features(net, samples, data)).double().cpu())
        targets.append(of_batch)
    x = torch.cat(rows).numpy()
    if not np.isfinite(x).all():
        raise ValueError("features of the training clips are not finite; use another encoder or --normalization")
    return x, torch.cat(targets).numpy()


def _features(net: LinearClassifier, samples: Tensor, data: DataConfig) -> Tensor:
    """Frames `B T H W C` uint8, or stored features `B T h w D` float16, to `B T D h w`."""
    samples = samples.to(net.pooling.device)
    if samples.dtype == torch.float16:
        return to_features(samples)
    frames = to_video(samples, data.normalization, data.flow_channels).flatten(0, 1)
    return torch.cat([net.encode(part) for part in frames.split(_FRAMES)]).unflatten(0, samples.shape[:2])


def _log_loss(logits: Floats, y: Ints) -> float:
    from scipy.special import log_softmax

    return float(-log_softmax(logits, 1)[np.arange(len(y)), y].mean())
