"""Images and plots in a notebook: pixels as a small JPEG, plots as PNG."""

import io

import numpy as np
import pytest
from PIL import Image

from onlooker.drawing.notebook import Inline
from onlooker.drawing.plots import timeline


def test_pixels_are_a_jpeg_that_looks_like_them() -> None:
    picture = np.full((40, 60, 3), (200, 40, 90), np.uint8)
    shown = Inline(picture)
    content = shown._repr_jpeg_()
    assert content is not None
    assert np.abs(np.asarray(Image.open(io.BytesIO(content))).astype(int) - picture).max() < 8
    assert shown._repr_png_() is None
    assert repr(shown) == "<image of 60 by 40 pixels>"
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    low, high = (Inline(noise, quality)._repr_jpeg_() for quality in (20, 90))
    assert low is not None
    assert high is not None
    assert len(low) < len(high)


def test_a_plot_is_a_png() -> None:
    shown = Inline(timeline([0.0, 1.0], [[0.4, 0.6], [0.1, 0.9]], ("jump", "wave")))
    content = shown._repr_png_()
    assert content is not None
    assert content.startswith(b"\x89PNG")
    assert shown._repr_jpeg_() is None
    assert repr(shown) == "<plot>"


@pytest.mark.parametrize(
    ("picture", "quality", "message"),
    [
        (np.zeros((4, 4), np.uint8), 80, r"the image is uint8 \(4, 4\), expected uint8 H W 3"),
        (np.zeros((4, 4, 3), np.float32), 80, r"the image is float32"),
        (np.zeros((4, 4, 3), np.uint8), 0, "quality is 0, expected 1 to 95"),
    ],
)
def test_what_is_not_an_image(picture: np.ndarray, quality: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inline(picture, quality)
