"""Text on images, outlined or plain, at any size, in any alphabet of DejaVu Sans."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from onlooker.files import printable
from onlooker.video.resize import Pixels

__all__ = ["INK", "line_height", "shortened", "text_width", "write"]

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
INK: Color = (28, 32, 38)


@lru_cache(maxsize=64)
def _font(height: int, bold: bool) -> ImageFont.FreeTypeFont:
    # matplotlib includes DejaVu Sans, so text looks the same on every system, and class names need not be ASCII.
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), height)


def text_width(text: str, height: int, bold: bool = False) -> int:
    """The width of `text` in pixels in a font of `height` pixels."""
    return int(np.ceil(_font(height, bold).getlength(printable(text))))


def shortened(text: str, height: int, width: int, bold: bool = False) -> str:
    """`text`, truncated with … if it is wider than `width` pixels."""
    if text_width(text, height, bold) <= width:
        return text
    while text and text_width(text + "…", height, bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def write(
    image: Pixels,
    text: str,
    at: tuple[int, int],
    height: int,
    color: Color = WHITE,
    bold: bool = False,
    outline: Color | None = BLACK,
) -> None:
    """Write one line of text into `image`, in place; parts outside of the image are not drawn.

    Args:
        image: `H W 3`, uint8.
        at: x and y in pixels of the upper left corner of the line.
        height: of the font, in pixels.
        outline: color of an outline that keeps text readable on any image; None: none.
    """
    font, rim = _font(height, bold), max(1, round(height / 9)) if outline else 0
    top = max(0, at[1] - rim)
    strip = image[top : max(top, at[1] + sum(font.getmetrics()) + rim)]
    if strip.size:
        drawn = Image.fromarray(strip)
        place = at[0], at[1] - top
        ImageDraw.Draw(drawn).text(place, printable(text), color, font, stroke_width=rim, stroke_fill=outline)
        strip[:] = np.asarray(drawn)


def line_height(height: int) -> int:
    """Pixels from one line of text to the next."""
    return round(height * 1.3)
