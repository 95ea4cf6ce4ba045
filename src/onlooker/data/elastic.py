"""Elastic deformation: random displacements of every pixel, smooth enough to look drawn by another hand."""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["elastic_fields"]


def elastic_fields(
    count: int, canvas: int, generator: torch.Generator, alpha: float = 300.0, sigma: float = 10.0, window: int = 7
) -> Tensor:
    """Random smooth displacements (Simard, Steinkraus, Platt 2003).

    Noise, uniform in [-1, 1], is convolved with a Gaussian density cut to `window` × `window` pixels, zero beyond the
    canvas, and multiplied by `alpha`. The density is not raised to sum to one over the window: with the paper's figures
    (the defaults) displacements have a standard deviation of 1.8 pixels; normalized it would be 25, and digits dust.

    Returns:
        `count 2 H W`, float32, pixels, on the CPU.
    """
    return smooth(elastic_noise(count, canvas, generator), alpha, sigma, window)


def elastic_noise(count: int, canvas: int, generator: torch.Generator) -> Tensor:
    """What `smooth` makes fields of: `count 2 H W`, uniform in [-1, 1]."""
    return torch.empty(count, 2, canvas, canvas).uniform_(-1, 1, generator=generator)


def smooth(noise: Tensor, alpha: float, sigma: float, window: int) -> Tensor:
    """The convolution of `elastic_fields`, for noise of the same shape."""
    half = window // 2
    offset = np.arange(-half, half + 1)
    density = (np.exp(-(offset**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)).astype(np.float32)
    # All planes one below the other are a single picture to filter; rows of zeros keep them apart.
    rows = F.pad(noise, (0, 0, 0, half))
    picture = rows.view(-1, rows.shape[-1]).numpy()
    fields = cv2.sepFilter2D(picture, cv2.CV_32F, density, alpha * density, borderType=cv2.BORDER_CONSTANT)
    return torch.from_numpy(fields).view(rows.shape)[:, :, : noise.shape[2]]
