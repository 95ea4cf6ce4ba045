"""Foregrounds of a square that moves over a static background: the square and nothing else."""

import numpy as np
import pytest

from onlooker_papers.videolstm.boxes import FOREGROUNDS, background, contrast, motion


def passing(T: int = 9, side: int = 4, step: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A bright square that moves over a static textured background, and its mask."""
    still = np.random.default_rng(0).integers(0, 60, (12, 60, 3))
    frames = np.tile(still, (T, 1, 1, 1))
    mask = np.zeros((T, 12, 60), bool)
    for t in range(T):
        mask[t, 3 : 3 + side, step * t : step * t + side] = True
    frames[mask] = 250
    return frames.astype(np.uint8), mask


@pytest.mark.parametrize("name", ["motion", "background"])
def test_foregrounds_cover_the_moving_square_only(name: str) -> None:
    frames, mask = passing()
    found = FOREGROUNDS[name](frames)  # type: ignore[misc]
    assert (found.shape, found.dtype) == (mask.shape, np.float32)
    # at its ends a clip has two frames, not three
    inner = slice(1, -1) if name == "motion" else slice(None)
    assert np.array_equal(found[inner] > 0.5, mask[inner])
    assert found[inner][~mask[inner]].max() == 0


def test_contrast_needs_no_motion() -> None:
    frames, mask = passing(T=1)
    found = contrast(frames)
    assert np.array_equal(found > 0.5, mask)
    assert not motion(frames).any()
    assert not background(frames).any()


def test_color_counts_as_much_as_brightness() -> None:
    frames = np.zeros((1, 4, 4, 3), np.uint8)
    frames[0, 1, 1, 2] = 255
    assert contrast(frames)[0, 1, 1] == 1
