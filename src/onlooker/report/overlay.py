"""Predictions drawn on the frames of their clips: attention, boxes, points, class, probability and
time.

Each annotator draws one thing on a copy of a frame `H W 3`, such as attention or boxes; they can be
chained.

Coordinates are in pixels of a frame of `size` (height, width); None: of the frame itself. NaN ones
are not drawn.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from onlooker.base.intervals import file_of, resolved
from onlooker.base.records import Prediction
from onlooker.base.text import printable
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels
from onlooker.video.write import DRAWN, FAST, is_drawn, write

__all__ = ["boxes", "caption", "draw_clip", "enlarge", "overlays"]

Size = tuple[int, int]
TimedFrames = Iterable[tuple[int, float, Pixels]]  # index, seconds, `H W 3`
Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
# Colors of outlines that are visible on any frame: vermilion, sky, green, orange, pink (Okabe & Ito
# 2008).
BOX_COLORS: tuple[Color, ...] = (
    (213, 94, 0),
    (86, 180, 233),
    (0, 158, 115),
    (230, 159, 0),
    (204, 121, 167),
)
# A map is shown at full strength from this multiple of the uniform weight on, so that nearly
# uniform maps stay pale.
CONTRAST_FLOOR = 4.0
_LONGER_SIDE = 4096  # pixels, of enlarged frames
_OPACITY = 0.6  # of the color at the peak of a map
_INSIDE = 0.6  # of that, inside of boxes: what they mark can be seen
# Colors of maps from 0 to 1, as on the page (serve/static/overlay.js): Turbo (Mikhailov 2019)
# without its ends, near black and dark red, which would hide what is attended.
RAMP = (
    (0, 70, 97, 214),
    (0.14, 56, 165, 251),
    (0.29, 25, 226, 187),
    (0.43, 101, 253, 105),
    (0.57, 193, 243, 52),
    (0.71, 246, 195, 58),
    (0.86, 249, 120, 30),
    (1, 212, 51, 5),
)


def _copy(frame: Pixels) -> Pixels:
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
        raise ValueError(f"the image is {frame.dtype} {frame.shape}, expected uint8 H W 3")
    return frame.copy()


def full_strength(attention: ArrayLike) -> float:
    """The weight of maps `T h w` that `overlay` shows at full strength: max(99th percentile of all
    weights, 4/(h w)).

    One scale per clip makes the colors of its frames comparable. It is a percentile, because one
    sharp peak would make the rest pale. It has a floor of four times the uniform weight, so that
    the noise of a uniform map is not amplified.
    """
    maps = np.asarray(attention, dtype=np.float32)
    return float(max(np.quantile(maps, 0.99), CONTRAST_FLOOR / (maps.shape[1] * maps.shape[2])))


@cache
def _colors() -> tuple[Pixels, Pixels]:
    """For 256 levels of attention: the weight of the frame's pixels (of 255), `256 1`, and the
    color that is added, `256 1 3`.
    """
    levels = np.linspace(0, 1, 256)
    stops, *channels = np.array(RAMP).T
    palette = np.stack([np.interp(levels, stops, channel) for channel in channels], -1)[:, None]
    alpha = _OPACITY * levels[:, None]
    keep = np.rint(255 * (1 - alpha)).astype(np.uint8)
    return keep, np.rint(alpha[..., None] * palette).astype(np.uint8)


def _blended(frame: Pixels, keep: MatLike, add: MatLike) -> Pixels:
    """A frame `H W 3`, times `keep` / 255 (`H W`), plus `add` (`H W 3`)."""
    # One array is written over: memory for new ones costs as much as the arithmetic.
    blended = cv2.merge([keep] * 3)
    cv2.multiply(frame, blended, blended, scale=1 / 255)
    return cv2.add(blended, add, blended).astype(np.uint8, copy=False)


def overlay(frame: Pixels, attention: ArrayLike, scale: float | None = None) -> Pixels:
    """Attention as colors over a frame, as in Teja & Akunuri 2020.

    The map is enlarged with cubic interpolation; its opacity is proportional to how much more there
    is than in an even map, which is drawn as nothing.

    Args:
        frame: `H W 3`, uint8 RGB.
        attention: `h w`, sums to one.
        scale: the weight shown at full strength; None: `full_strength` of this map.
    """
    drawn = _copy(frame)
    weights = np.asarray(attention, dtype=np.float32)
    full = full_strength(weights[None]) if scale is None else scale
    even = 1 / weights.size
    keep, add = _colors()
    above = (weights - even) / (full - even)
    smooth = cv2.resize(above, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    # Cubic interpolation undershoots next to a peak; from 1 on, levels are 255.
    levels = cv2.convertScaleAbs(np.maximum(smooth, 0, out=smooth), alpha=255)
    left, top, width, height = cv2.boundingRect(levels)  # no more is drawn
    if width:
        area = np.s_[top : top + height, left : left + width]
        level = levels[area]
        drawn[area] = _blended(frame[area], cv2.LUT(level, keep), cv2.applyColorMap(level, add))
    return drawn


def overlays(frames: Iterable[Pixels], attention: NDArray[np.floating]) -> list[Pixels]:
    """`overlay` on the frames of a clip, on one scale for all its maps `T h w`."""
    scale = full_strength(attention)
    return [overlay(frame, maps, scale) for frame, maps in zip(frames, attention, strict=True)]


def enlarge(frame: Pixels) -> Pixels:
    """A frame whose shorter side is at least 256 pixels, so that captions are readable; a large one
    unchanged.

    A frame so thin that its longer side would exceed 4096 pixels is stretched to 4096x256.
    """
    H, W, _ = frame.shape
    factor = 256 / min(H, W)
    if factor <= 1:
        return frame
    # Video encoders need even sizes.
    size = [2 * round(min(side * factor, _LONGER_SIDE) / 2) for side in (W, H)]
    return cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _letter_height(size: Size) -> int:
    """The font size of captions in pixels for a frame of this size: 9 at 64 pixels, 14 at 256, 47
    at 1080.
    """
    return max(9, round(min(size) / 25 + 4))


@cache
def _font(height: int, bold: bool) -> ImageFont.FreeTypeFont:
    # matplotlib includes DejaVu Sans, so text looks the same on every system, and class names need
    # not be ASCII.
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), height
    )


def caption(frame: Pixels, lines: Sequence[str]) -> Pixels:
    """Outlined lines of text in the upper left corner; the first one is bold. Lines that are too
    long end in ….
    """
    drawn = _copy(frame)
    keep, add = _lettering(drawn.shape[:2], tuple(lines))
    area = np.s_[: len(keep)]
    drawn[area] = _blended(drawn[area], keep, cv2.merge([add] * 3))
    return drawn


@lru_cache(4)  # the text of an event is drawn on many frames
def _lettering(size: Size, lines: tuple[str, ...]) -> tuple[Pixels, Pixels]:
    """A caption for frames of this size, in their upper part, `h W`: the weight of the frame's
    pixels (of 255), and the white that is added.
    """
    H, W = size
    height = _letter_height(size)
    margin = height // 2
    spacing = round(1.3 * height)
    edge = max(1, round(height / 9))
    shape = W, min(H, margin + len(lines) * spacing + height)
    on_black = Image.new("L", shape, 0)
    on_white = Image.new("L", shape, 255)
    for row, line in enumerate(lines):
        font = _font(height, bold=row == 0)
        text = printable(line)
        if font.getlength(text) > (width := W - 2 * margin):
            while text and font.getlength(text + "…") > width:
                text = text[:-1]
            text += "…"
        at = margin, margin + row * spacing
        for image in (on_black, on_white):
            ImageDraw.Draw(image).text(at, text, 255, font, stroke_width=edge, stroke_fill=0)
    add = np.array(on_black)
    return np.array(on_white) - add, add


def _bar(frame: Pixels, *, left: float, top: int, width: float, height: int, color: Color) -> None:
    right = max(round(left), round(left + width) - 1)
    cv2.rectangle(frame, (round(left), top), (right, top + height - 1), color, cv2.FILLED)


def time_bar(frame: Pixels, now: float, spans: Sequence[tuple[float, float, Color]]) -> Pixels:
    """A bar near the lower edge that represents the clip, with colored spans and a mark at the
    current time.

    The time and the starts and ends of spans are shares of the clip, 0 to 1.
    """
    drawn = _copy(frame)
    margin = _letter_height(frame.shape[:2]) // 2
    thick = max(3, round(min(frame.shape[:2]) / 40))
    length = frame.shape[1] - 2 * margin
    top = len(frame) - 2 * thick - margin // 2
    wide = max(2, thick // 2)
    _bar(drawn, left=margin - 1, top=top - 1, width=length + 2, height=thick + 2, color=BLACK)
    _bar(drawn, left=margin, top=top, width=length, height=thick, color=(90, 90, 90))
    for *ends, color in spans:
        begin, end = np.clip(ends, 0, 1).tolist()
        if begin < end:
            _bar(
                drawn,
                left=margin + length * begin,
                top=top,
                width=length * (end - begin),
                height=thick,
                color=color,
            )
    left = margin + (length - wide) * min(max(now, 0.0), 1.0)
    _bar(
        drawn,
        left=left - 1,
        top=top - thick // 2 - 1,
        width=wide + 2,
        height=2 * thick + 2,
        color=BLACK,
    )
    _bar(drawn, left=left, top=top - thick // 2, width=wide, height=2 * thick, color=WHITE)
    return drawn


def boxes(
    frame: Pixels, corners: ArrayLike, *, color: Color = WHITE, size: Size | None = None
) -> Pixels:
    """One or several boxes.

    Args:
        frame: `H W 3`, uint8 RGB.
        corners: `4` or `n 4`, x1 y1 x2 y2.
        color: of the lines, which have a dark edge.
    """
    drawn = _copy(frame)
    thick = _thickness(frame)
    for x1, y1, x2, y2 in _in_pixels(frame, corners, size):
        cv2.rectangle(drawn, (x1, y1), (x2, y2), BLACK, thick + 2)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), color, thick)
    return drawn


def _in_pixels(frame: Pixels, corners: ArrayLike, size: Size | None) -> list[list[int]]:
    """Boxes `4` or `n 4` in pixels of a frame, inside of it."""
    rows = np.reshape(np.asarray(corners, dtype=np.float64), (-1, 4))
    scaled = rows[np.isfinite(rows).all(axis=1)] * np.tile(_scale(frame, size), 2)
    H, W = frame.shape[:2]
    inside: list[list[int]] = np.rint(np.clip(scaled, 0, [W - 1, H - 1] * 2)).astype(int).tolist()
    return inside


def _revealed(colored: Pixels, frame: Pixels, corners: ArrayLike, *, size: Size | None) -> Pixels:
    """A frame with a map, which is paler inside of boxes."""
    drawn = colored.copy()
    for x1, y1, x2, y2 in _in_pixels(frame, corners, size):
        area = np.s_[y1 : y2 + 1, x1 : x2 + 1]
        drawn[area] = cv2.addWeighted(colored[area], _INSIDE, frame[area], 1 - _INSIDE, 0)
    return drawn


def _scale(frame: Pixels, size: Size | None) -> NDArray[np.float64]:
    """Factors of x and y from a frame of `size` to this one."""
    height, width = size or frame.shape[:2]
    return np.array([frame.shape[1] / width, frame.shape[0] / height])


def _thickness(frame: Pixels) -> int:
    return max(1, round(min(frame.shape[:2]) / 150))


def ring(frame: Pixels, point: ArrayLike, size: Size | None = None) -> Pixels:
    """A small ring around a point (x, y), such as the pixel with the highest attention."""
    place = np.asarray(point, dtype=np.float64)
    drawn = _copy(frame)
    thick = _thickness(frame)
    radius = max(3, round(min(frame.shape[:2]) / 40))
    if np.isfinite(place).all():
        # In OpenCV, centers of pixels are integers; coordinates are in sixteenths of a pixel.
        x, y = (int(v) for v in np.rint(16 * (place * _scale(frame, size) - 0.5)))
        cv2.circle(drawn, (x, y), 16 * radius, BLACK, thick + 2, cv2.LINE_AA, shift=4)
        cv2.circle(drawn, (x, y), 16 * radius, WHITE, thick, cv2.LINE_AA, shift=4)
    return drawn


def draw_clip(frames: Pixels, prediction: Prediction) -> Pixels:
    """The frames `T H W 3` that a prediction was made from, with heat map, the hottest place and
    the boxes of actors; during its events with their class and probability, and with a bar of time
    that shows them.
    """
    timed = zip(prediction.indices.tolist(), prediction.times.tolist(), frames, strict=False)
    return np.stack(list(_drawn(timed, prediction)))


def write_drawn(
    path: Path | str, out: Path | str, prediction: Prediction, *, replace: bool = False
) -> Path:
    """Write the whole clip to `out` (.mp4), drawn as by `draw_clip`.

    Args:
        replace: whether an existing file is replaced that is no drawn clip.

    Raises:
        ClipError: the clip cannot be read.
        FileExistsError: `out` exists, is no drawn clip, and `replace` is false.
        ValueError: `out` is no .mp4, or is the clip itself.
    """
    if resolved(out) == resolved(file_of(path)):
        raise ValueError(f"{out}: the drawn clip would replace the clip itself; give another file")
    reader = VideoReader(path)
    times = reader.times.tolist()
    fps = float(np.clip(1 / max(reader.seconds - times[-1], 1e-3), 1, 120))
    times[0] = 0.0  # players differ in where a file begins whose first frame is shown later
    frames = _drawn(reader, prediction)
    replace = replace or is_drawn(Path(out))
    return write(out, frames, fps=fps, times=times, replace=replace, comment=DRAWN, options=FAST)


def _drawn(frames: TimedFrames, prediction: Prediction) -> Iterator[Pixels]:
    moments, positions = np.unique(prediction.times, return_index=True)
    maps = prediction.attention if prediction.heat is None else prediction.heat
    strength = None if maps is None else full_strength(maps)
    colors = dict(zip(prediction.classes, itertools.cycle(BOX_COLORS), strict=False))
    boxes_at = defaultdict[int, list[tuple[NDArray[np.float32], Color]]](list)
    for tube in prediction.actors:
        for index, box in zip(tube.frames.tolist(), tube.boxes, strict=True):
            boxes_at[index].append((box, colors.get(tube.label, WHITE)))
    start = float(prediction.times[0])
    seconds = max(float(prediction.times[-1]) - start, 1e-6)
    spans = [
        (
            (event.start - start) / seconds,
            (event.end - start) / seconds,
            colors.get(event.label, WHITE),
        )
        for event in prediction.segments
    ]
    for index, time, pixels in frames:
        # Between two frames of the prediction, the map is interpolated, and the hottest place is
        # the nearer place: halfway between two places there may be nothing.
        position = float(np.interp(time, moments, np.arange(len(moments))))
        frame = pixels
        size = prediction.size or pixels.shape[:2]
        if maps is not None:
            before = maps[positions[int(position)]]
            after = maps[positions[min(int(position) + 1, len(moments) - 1)]]
            colored = overlay(
                frame, before + (position - int(position)) * (after - before), strength
            )
            frame = _revealed(colored, frame, [box for box, _ in boxes_at[index]], size=size)
        frame = enlarge(frame)
        for box, color in boxes_at[index]:
            frame = boxes(frame, box, color=color, size=size)
        if prediction.points is not None:
            frame = ring(frame, prediction.points[positions[round(position)]], size)
        if event := prediction.event_at(time):
            frame = caption(frame, (event.label, f"{100 * event.score:.0f} %"))
        yield time_bar(frame, (time - start) / seconds, spans)
