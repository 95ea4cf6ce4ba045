"""Pictures in a notebook: what Jupyter shows below a cell that ends in one."""

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
    """A picture or a plot, shown where a notebook's cell ends in it.

    Pixels become a JPEG, for a notebook keeps what it shows, and frames of videos as PNG would fill it.

    Args:
        picture: `H W 3`, uint8 RGB, or a figure as `pictures.curves` draws them.
        quality: of the JPEG, 1 to 95.

    Raises:
        ValueError: an array that is no picture, or a quality that there is not.
    """

    def __init__(self, picture: "NDArray[np.uint8] | Figure", quality: int = 80) -> None:
        if isinstance(picture, np.ndarray) and (
            picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8 or not picture.size
        ):
            raise ValueError(f"the picture is {picture.dtype} {picture.shape}, expected uint8 H W 3")
        if not 1 <= quality <= 95:
            raise ValueError(f"quality is {quality}, expected 1 to 95")
        self.picture, self.quality = picture, quality

    def __repr__(self) -> str:
        if isinstance(self.picture, np.ndarray):
            return f"<picture of {self.picture.shape[1]} by {self.picture.shape[0]} pixels>"
        return "<plot>"

    def _repr_jpeg_(self) -> bytes | None:
        if not isinstance(self.picture, np.ndarray):
            return None
        stream = io.BytesIO()
        Image.fromarray(self.picture).save(stream, "JPEG", quality=self.quality)
        return stream.getvalue()

    def _repr_png_(self) -> bytes | None:
        return None if isinstance(self.picture, np.ndarray) else to_png(self.picture, dpi=80)
