"""Contact sheets: one row of frames per clip."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

from onlooker.drawing.text import INK, line_height, shortened, text_width, write
from onlooker.files import write_bytes
from onlooker.video.sampling import equally_spaced

__all__ = ["sheet", "write_png"]

Pixels = NDArray[np.uint8]
GRAY = (110, 116, 124)


def sheet(rows: Sequence[tuple[str, Pixels]], columns: int = 8, height: int = 128) -> Pixels:
    """A contact sheet: one row per clip, with a caption and frames from `equally_spaced`.

    Args:
        rows: the caption (first line in bold; long lines are broken) and the frames `T H W 3`, uint8 RGB, of each
            clip. Clips may differ in size and length.
        columns: maximum number of frames per clip.
        height: of each frame in the sheet, in pixels.

    Returns:
        `H W 3`, uint8.
    """
    if not rows or columns < 1:
        raise ValueError(f"{len(rows)} clips in {columns} columns, expected at least one of each")
    for name, frames in rows:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
            raise ValueError(f"{name}: frames are {frames.dtype} {frames.shape}, expected uint8 T H W 3, at least one")
    letters = max(11, round(height / 9))
    gap = max(3, round(height / 32))
    width = max(max(1, min(round(height * frames.shape[2] / frames.shape[1]), 2 * height)) for _, frames in rows)
    longest = max(text_width(line, letters, bold=True) for name, _ in rows for line in name.split("\n"))
    margin = min(longest, 2 * height) + 4 * gap if longest else gap
    shown = min(columns, max(len(frames) for _, frames in rows))
    image = np.full((len(rows) * (height + gap) + gap, margin + shown * (width + gap), 3), 255, dtype=np.uint8)
    for row, (name, frames) in enumerate(rows):
        top = gap + row * (height + gap)
        _label(image, name, top, margin - 4 * gap, letters, height, gap)
        method = Resampling.NEAREST if frames.shape[1] < min(height, 100) else Resampling.BICUBIC
        for column, index in enumerate(equally_spaced(len(frames), min(len(frames), columns))):
            cell = _scaled(frames[index], width, height, method)
            y, x = top + round((height - len(cell)) / 2), margin + column * (width + gap)
            x += round((width - cell.shape[1]) / 2)
            image[y : y + len(cell), x : x + cell.shape[1]] = cell
    return image


def _scaled(frame: Pixels, width: int, height: int, method: Resampling) -> Pixels:
    """A frame scaled to fit into this width and height, at least one pixel wide and high."""
    H, W = frame.shape[:2]
    scale = min(width / W, height / H)
    size = max(1, round(W * scale)), max(1, round(H * scale))
    return np.asarray(Image.fromarray(frame).resize(size, method))


def write_png(path: Path, image: Pixels) -> Path:
    """Write an image `H W 3` to a temporary file, then rename it to `path`, which is returned."""
    written, content = cv2.imencode(".png", image[..., ::-1])
    if not written:
        raise ValueError(f"{path}: an image of shape {image.shape} cannot be written as PNG")
    write_bytes(path, content.tobytes())
    return path


def _label(image: Pixels, name: str, top: int, width: int, letters: int, height: int, gap: int) -> None:
    first, *rest = name.split("\n")
    lines = [(line, True) for line in wrapped(first, letters, width, bold=True)]
    lines += [(line, False) for text in rest for line in wrapped(text, letters, width)]
    lines = lines[: max(1, height // line_height(letters))]
    y = top + (height - len(lines) * line_height(letters)) // 2
    for line, bold in lines:
        write(image, line, (2 * gap, y), letters, INK if bold else GRAY, bold=bold, outline=None)
        y += line_height(letters)


def wrapped(text: str, height: int, width: int, bold: bool = False) -> list[str]:
    """`text` broken at spaces into lines of at most `width` pixels; longer words are truncated with …."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and text_width(longer, height, bold) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return [shortened(line, height, width, bold) for line in lines]
