"""Patches on canvases and boxes around ink, against NumPy; elastic fields, against a plain convolution."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from onlooker.data.canvas import elastic_fields, elastic_noise, ink_boxes, paste, smooth


@pytest.mark.parametrize(("canvas", "side"), [(12, 5), (9, 9), (9, 1)])
@pytest.mark.parametrize("still", [False, True])
def test_patches_are_joined_by_the_maximum(canvas: int, side: int, still: bool) -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, canvas - side + 1, (2, 3, 4, 2))
    corners[0, 0, 0], corners[0, 1, 0] = 0, canvas - side
    patches = random.integers(0, 256, (2, 3, 1 if still else 4, side, side)).astype(np.int32)
    expected = np.zeros((2, 4, canvas, canvas), np.int64)
    for n, k, t in np.ndindex(2, 3, 4):
        x, y = corners[n, k, t]
        part = expected[n, t, y : y + side, x : x + side]
        np.maximum(part, patches[n, k, 0 if still else t], out=part)
    video = torch.full((2, 4, canvas, canvas), 7, dtype=torch.uint8)
    paste(torch.from_numpy(patches), torch.from_numpy(corners), video)
    np.testing.assert_array_equal(video, expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_boxes_hold_all_ink_and_no_more(dtype: torch.dtype) -> None:
    random = np.random.default_rng(1)
    layers = (random.random((4, 60, 11, 11)) < 0.03) * random.integers(1, 256, (4, 60, 11, 11))
    layers[0, 0] = 0
    layers[0, 1] = 255
    found = ink_boxes(torch.from_numpy(layers).to(dtype))
    assert found.shape == (4, 60, 4)
    for layer, box in zip(layers.reshape(-1, 11, 11), found.view(-1, 4), strict=True):
        rows, columns = np.nonzero(layer)
        if len(rows):
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        else:
            assert box.isnan().all()


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
