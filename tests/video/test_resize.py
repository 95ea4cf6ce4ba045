"""Resizing compared with plain averages, and grayscale by BT.601."""

import numpy as np

from onlooker.video.resize import resize


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks() -> None:
    pixels = noise(3, 32, 48, 3)
    expected = pixels.reshape(3, 8, 4, 8, 6, 3).mean((2, 4))
    assert np.abs(resize(pixels, 8, 3) - expected).max() <= 0.5 + 1e-6


def test_the_whole_frame_is_kept() -> None:
    pixels = np.zeros((1, 40, 80, 3), np.uint8)
    pixels[:, :, -10:] = 255  # the right border of a wide frame
    small = resize(pixels, 8, 3)
    assert (small[:, :, -1] == 255).all()
    assert (small[:, :, :-1] == 0).all()


def test_growing_is_linear() -> None:
    pixels = np.zeros((1, 1, 2, 3), np.uint8)
    pixels[0, 0, 1] = 200
    assert resize(pixels, 4, 3)[0, 0, :, 0].tolist() == [0, 50, 150, 200]


def test_gray_is_bt601() -> None:
    pixels = noise(2, 16, 16, 3)
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    gray = resize(pixels, 16, 1)
    assert gray.shape == (2, 16, 16, 1)
    assert np.abs(gray[..., 0] - expected).max() <= 0.51


def test_a_frame_alone_equals_the_frame_in_a_clip() -> None:
    pixels = noise(4, 37, 51, 3)
    together = resize(pixels, 20, 1)
    assert all((resize(pixels[i : i + 1], 20, 1)[0] == together[i]).all() for i in range(4))
