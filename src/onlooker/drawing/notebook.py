"""Images and plots in a notebook."""

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlooker.drawing.plots import to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Inline"]


class Inline:
    """An image or a plot that a notebook displays.

    Images are displayed as JPEG, because a notebook stores its output, and video frames as PNG are large.

    Args:
        image: `H W 3`, uint8 RGB, or a figure as `drawing.plots` draws them.
        quality: of the JPEG, 1 to 95.

    Raises:
        ValueError: an array that is not an image, or an invalid quality.
    """

    def __init__(self, image: "NDArray[np.uint8] | Figure", quality: int = 80) -> None:
        if isinstance(image, np.ndarray) and (
            image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or not image.size
        ):
            raise ValueError(f"the image is {image.dtype} {image.shape}, expected uint8 H W 3")
        if not 1 <= quality <= 95:
            raise ValueError(f"quality is {quality}, expected 1 to 95")
        self.image, self.quality = image, quality

    def __repr__(self) -> str:
        if isinstance(self.image, np.ndarray):
            return f"<image of {self.image.shape[1]} by {self.image.shape[0]} pixels>"
        return "<plot>"

    def _repr_jpeg_(self) -> bytes | None:
        if not isinstance(self.image, np.ndarray):
            return None
        stream = io.BytesIO()
        Image.fromarray(self.image).save(stream, "JPEG", quality=self.quality)
        return stream.getvalue()

    def _repr_png_(self) -> bytes | None:
        return None if isinstance(self.image, np.ndarray) else to_png(self.image, dpi=80)
