"""Patches on canvases and boxes around ink, against NumPy."""

import numpy as np
import pytest
import torch

from onlooker_papers.digits.data.canvas import ink_boxes, paste


@pytest.mark.parametrize(("canvas", "side"), [(12, 5), (9, 9), (9, 1)])
@pytest.mark.parametrize("still", [False, True])
def test_patches_are_joined_by_the_maximum(canvas: int, side: int, still: bool) -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, canvas - side + 1, (2, 3, 4, 2))
    corners[0, 0, 0] = 0
    corners[0, 1, 0] = canvas - side
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
def test_boxes_contain_all_ink_tightly(dtype: torch.dtype) -> None:
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
