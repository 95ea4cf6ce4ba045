"""Random displacements, against a plain convolution."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from onlooker.data.elastic import elastic_fields, elastic_noise, smooth


@pytest.mark.parametrize("window", [5, 61])
def test_fields_equal_a_plain_convolution(window: int) -> None:
    fields = elastic_fields(3, 20, torch.Generator().manual_seed(1), alpha=50, sigma=4, window=window)
    noise = torch.rand(3, 2, 20, 20, generator=torch.Generator().manual_seed(1)).double().numpy() * 2 - 1
    half = window // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    density = np.exp(-(x**2 + y**2) / (2 * 4**2)) / (2 * math.pi * 4**2)
    expected = [[50 * convolve2d(plane, density, mode="same") for plane in pair] for pair in noise]
    np.testing.assert_allclose(fields.numpy(), expected, atol=1e-5)


def test_displacements_are_as_large_as_said() -> None:
    fields = elastic_fields(50, 64, torch.Generator().manual_seed(0))
    assert 1.7 < fields[..., 8:-8, 8:-8].std() < 1.9


def test_a_window_of_one_pixel_leaves_noise_as_it_is() -> None:
    noise = elastic_noise(2, 9, torch.Generator().manual_seed(3))
    assert -1 <= noise.min() < -0.9 < 0.9 < noise.max() < 1
    fields = smooth(noise, alpha=2 * math.pi * 5**2, sigma=5, window=1)
    np.testing.assert_allclose(fields.numpy(), noise.numpy(), atol=1e-6)
