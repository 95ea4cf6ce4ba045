"""Annotators: each draws one thing on frames, such as attention, boxes or a caption; they can be chained."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.drawing.text import BLACK, WHITE, Color, line_height, shortened, text_width, write

__all__ = ["RIMS", "boxes", "caption", "enlarge", "full_strength", "overlay", "probability_bar"]

Pixels = NDArray[np.uint8]
# Colors of outlines that are visible on any frame: vermilion, sky, green, orange, pink (Okabe & Ito 2008).
RIMS: tuple[Color, ...] = ((213, 94, 0), (86, 180, 233), (0, 158, 115), (230, 159, 0), (204, 121, 167))
# A map is shown at full strength from this multiple of the uniform weight on, so that nearly uniform maps stay pale.
CONTRAST_FLOOR = 4.0


def _checked(frames: Pixels) -> Pixels:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 T H W 3")
    return frames


def full_strength(attention: ArrayLike) -> float:
    """The weight that `overlay` shows at full strength in a clip: max(90th percentile of frames' peaks, 4/(h w)).

    One scale per clip makes the colors of its frames comparable; a percentile, because one sharp frame would make the
    rest pale; a floor of four times uniform, because it would amplify the noise of a uniform map.

    Args:
        attention: `T h w`, sums to one over `h w`.
    """
    maps = np.asarray(attention, dtype=np.float32)
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"attention has shape {maps.shape}, expected T h w, not empty")
    peaks = maps.max(axis=(1, 2))
    return float(max(np.quantile(peaks, 0.9), CONTRAST_FLOOR / (maps.shape[1] * maps.shape[2])))


@lru_cache(maxsize=8)
def _blend(strength: float) -> tuple[Pixels, Pixels]:
    """For 256 levels of attention: the share of the frame that is kept (of 255), and the color that is added."""
    palette = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    # Without the ends of Turbo, near black and dark red, which would hide the attended region.
    palette = palette[np.linspace(28, 222, 256).astype(int)].astype(np.float32)
    level = np.linspace(0, 1, 256)[:, None]
    alpha = strength * level
    keep = (1 - alpha) * (1 - 0.4 * strength * (1 - level))
    return np.rint(255 * keep).astype(np.uint8).repeat(3, axis=1)[:, None], np.rint(alpha * palette).astype(np.uint8)[
        :, None
    ]


def overlay(frames: Pixels, attention: ArrayLike, strength: float = 0.6, scale: float | None = None) -> Pixels:
    """Attention as colors over the frames, as in Teja & Akunuri 2020.

    The map is enlarged with cubic interpolation; its opacity is proportional to the attention, and frames are darkened
    a little where there is none.

    Args:
        frames: `T H W 3`, uint8 RGB.
        attention: `T h w`, sums to one over `h w`.
        strength: opacity of the color at the peak, 0 to 1.
        scale: the weight shown at full strength; None: `full_strength(attention)`.

    Returns:
        `T H W 3`, uint8.
    """
    maps = np.asarray(attention, dtype=np.float32)
    if maps.ndim != 3 or len(maps) != len(_checked(frames)):
        raise ValueError(f"attention has shape {maps.shape} for {len(frames)} frames, expected T h w, a map per frame")
    if not np.isfinite(maps).all():
        raise ValueError("attention has values that are not finite, expected weights that sum to one over h w")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}, expected 0 (frames alone) to 1 (color covers the peak)")
    full = full_strength(maps) if scale is None else scale
    keep, add = _blend(strength)
    drawn = np.empty_like(frames)
    for t, frame in enumerate(frames):
        # Cubic interpolation undershoots next to a peak.
        level = np.clip(cv2.resize(maps[t] / full, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
        levels = cv2.merge([np.rint(level * 255).astype(np.uint8)] * 3)
        drawn[t] = cv2.add(cv2.multiply(frame, cv2.LUT(levels, keep), scale=1 / 255), cv2.LUT(levels, add))
    return drawn


def enlarge(frames: Pixels, at_least: int = 256) -> Pixels:
    """Frames whose shorter side is at least `at_least` pixels, so that captions are readable; large frames unchanged.

    Frames under 100 pixels are enlarged by an integer factor without smoothing, so that their pixels are visible.
    """
    T, H, W, _ = _checked(frames).shape
    if min(H, W) >= at_least:
        return frames
    factor = at_least / min(H, W)
    if min(H, W) < 100:
        factor = int(np.ceil(factor))
        return frames.repeat(factor, axis=1).repeat(factor, axis=2)
    # Video encoders need even sizes.
    size = (2 * round(W * factor / 2), 2 * round(H * factor / 2))
    larger = np.empty((T, size[1], size[0], 3), dtype=np.uint8)
    for t, frame in enumerate(frames):
        larger[t] = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)
    return larger


def letter_height(frames: Pixels) -> int:
    """The font size of captions in pixels for frames of this size: 9 at 64 pixels, 14 at 256, 47 at 1080."""
    return max(9, round(min(frames.shape[1:3]) / 25 + 4))


def caption(frames: Pixels, lines: Sequence[str | Sequence[str]], color: Color = WHITE) -> Pixels:
    """Lines of text in the upper left corner of each frame; the first one is bold. Lines that are too long end in ….

    Args:
        frames: `T H W 3`, uint8 RGB.
        lines: `T` texts, or `T` lists of texts.
        color: of the text; its outline is black.
    """
    if len(lines) != len(_checked(frames)):
        raise ValueError(
            f"captions for {len(lines)} frames, there are {len(frames)}; expected one text, or list of texts, per frame"
        )
    height = letter_height(frames)
    margin = height // 2
    width = frames.shape[2] - 2 * margin
    drawn = frames.copy()
    for frame, given in zip(drawn, lines, strict=True):
        for row, text in enumerate([given] if isinstance(given, str) else given):
            size = _fitting(text, height, width, bold=row == 0)
            short = shortened(text, size, width, bold=row == 0)
            write(frame, short, (margin, margin + row * line_height(height)), size, color, bold=row == 0)
    return drawn


def _fitting(text: str, height: int, width: int, bold: bool) -> int:
    """The font size at which `text` fits, at least two thirds of `height` and 8 pixels."""
    smallest = max(8, round(height * 2 / 3))
    return next((size for size in range(height, smallest, -1) if text_width(text, size, bold) <= width), smallest)


def _bar(frame: Pixels, left: float, top: int, width: float, height: int, color: Color) -> None:
    cv2.rectangle(
        frame, (round(left), top), (max(round(left), round(left + width) - 1), top + height - 1), color, cv2.FILLED
    )


def _empty_bar(frame: Pixels, left: int, top: int, width: int, height: int) -> None:
    _bar(frame, left - 1, top - 1, width + 2, height + 2, BLACK)
    _bar(frame, left, top, width, height, (90, 90, 90))


def probability_bar(frames: Pixels, scores: ArrayLike, color: Color = WHITE) -> Pixels:
    """A thin bar near the lower edge whose length is the probability at each frame.

    Args:
        frames: `T H W 3`, uint8 RGB.
        scores: `T` probabilities.
        color: of the bar.
    """
    shares = np.asarray(scores, dtype=np.float64)
    if shares.shape != (len(_checked(frames)),) or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(
            f"scores have shape {shares.shape} for {len(frames)} frames, expected T probabilities in [0, 1]"
        )
    H, W = frames.shape[1:3]
    thick, margin = max(2, round(min(H, W) / 64)), letter_height(frames) // 2
    top, length = H - 3 * thick - margin // 2, W - 2 * margin
    drawn = frames.copy()
    for frame, share in zip(drawn, shares, strict=True):
        _empty_bar(frame, margin, top, length, thick)
        if share > 0:
            _bar(frame, margin, top, length * share, thick, color)
    return drawn


def time_bar(frames: Pixels, now: ArrayLike, spans: Sequence[tuple[float, float]], color: Color = RIMS[3]) -> Pixels:
    """A bar near the lower edge that represents the clip, with colored spans and a mark at the current time.

    Args:
        frames: `T H W 3`, uint8 RGB.
        now: `T`, the position of each frame in the clip, from 0 to 1.
        spans: start and end of each span in the same units; clipped to the clip.
        color: of the spans.
    """
    marks = np.asarray(now, dtype=np.float64)
    if marks.shape != (len(_checked(frames)),):
        raise ValueError(f"now has shape {marks.shape} for {len(frames)} frames, expected T shares of the clip")
    H, W = frames.shape[1:3]
    thick, margin = max(3, round(min(H, W) / 40)), letter_height(frames) // 2
    top, length = H - 2 * thick - margin // 2, W - 2 * margin
    drawn = frames.copy()
    for frame, mark in zip(drawn, np.clip(marks, 0, 1), strict=True):
        _empty_bar(frame, margin, top, length, thick)
        for begin, end in spans:
            begin, end = max(begin, 0.0), min(end, 1.0)
            if begin < end:
                _bar(frame, margin + length * begin, top, length * (end - begin), thick, color)
        wide = max(2, thick // 2)
        left = margin + (length - wide) * mark
        _bar(frame, left - 1, top - thick // 2 - 1, wide + 2, 2 * thick + 2, BLACK)
        _bar(frame, left, top - thick // 2, wide, 2 * thick, WHITE)
    return drawn


def boxes(frames: Pixels, corners: ArrayLike, color: Color = WHITE, size: tuple[int, int] | None = None) -> Pixels:
    """Boxes, one or several per frame.

    Args:
        frames: `T H W 3`, uint8 RGB.
        corners: `T 4` or `T n 4`, x1 y1 x2 y2 in pixels; boxes with NaN are not drawn.
        color: of the lines, which have a dark edge.
        size: height and width of the frames that the corners refer to, if `frames` are enlarged.
    """
    given = np.asarray(corners, dtype=np.float64)
    given = given[:, None] if given.ndim == 2 else given
    if given.ndim != 3 or given.shape[-1] != 4 or len(given) != len(_checked(frames)):
        raise ValueError(f"boxes have shape {given.shape} for {len(frames)} frames, expected T n 4: x1 y1 x2 y2")
    H, W = frames.shape[1:3]
    scaled = (given.reshape(*given.shape[:2], 2, 2) * _scale(frames, size)).reshape(given.shape)
    thick = _thickness(frames)
    drawn = frames.copy()
    for frame, of_frame in zip(drawn, scaled, strict=True):
        for box in of_frame[np.isfinite(of_frame).all(axis=1)]:
            x1, y1, x2, y2 = (int(v) for v in np.rint(np.clip(box, 0, [W - 1, H - 1] * 2)))
            cv2.rectangle(frame, (x1, y1), (x2, y2), BLACK, thick + 2)
            cv2.rectangle(frame, (x1, y1), (x2, y2), color, thick)
    return drawn


def _scale(frames: Pixels, size: tuple[int, int] | None) -> NDArray[np.float64]:
    """Factors of x and y from frames of this size (height, width; None: the same) to `frames`."""
    H, W = frames.shape[1:3]
    height, width = size or (H, W)
    return np.array([W / width, H / height])


def _thickness(frames: Pixels) -> int:
    return max(1, round(min(frames.shape[1:3]) / 150))


def inset(frames: Pixels, image: Pixels) -> Pixels:
    """A small image in the upper right corner of each frame, a third as wide or as high.

    Args:
        frames: `T H W 3`, uint8 RGB.
        image: `h w 3`, uint8 RGB; its aspect ratio is kept.
    """
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"the image is {image.dtype} {image.shape}, expected uint8 h w 3")
    H, W = _checked(frames).shape[1:3]
    height, width = image.shape[:2]
    scale = min(W / width, H / height) / 3
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (across, down), interpolation=how)
    thick = _thickness(frames)
    # A black border separates a white image from a white frame.
    framed = cv2.copyMakeBorder(small, 0, thick, thick, 0, cv2.BORDER_CONSTANT, value=BLACK)
    drawn = frames.copy()
    drawn[:, : down + thick, W - across - thick :] = framed[:H, -W:]
    return drawn


def rings(frames: Pixels, points: ArrayLike, color: Color = WHITE, size: tuple[int, int] | None = None) -> Pixels:
    """A small ring around a point per frame, such as the pixel with the highest attention.

    Args:
        frames: `T H W 3`, uint8 RGB.
        points: `T 2`, x and y in pixels; points with NaN are not drawn.
        color: of the ring, which has a dark edge.
        size: height and width of the frames that the points refer to, if `frames` are enlarged.
    """
    given = np.asarray(points, dtype=np.float64)
    if given.shape != (len(_checked(frames)), 2):
        raise ValueError(f"points have shape {given.shape} for {len(frames)} frames, expected T 2: x y")
    thick, radius = _thickness(frames), max(3, round(min(frames.shape[1:3]) / 40))
    drawn = frames.copy()
    for frame, point in zip(drawn, given * _scale(frames, size), strict=True):
        if np.isfinite(point).all():
            x, y = (int(v) for v in np.rint(16 * (point - 0.5)))  # in OpenCV, centers of pixels are integers
            cv2.circle(frame, (x, y), 16 * radius, BLACK, thick + 2, cv2.LINE_AA, shift=4)
            cv2.circle(frame, (x, y), 16 * radius, color, thick, cv2.LINE_AA, shift=4)
    return drawn


def outlines(
    frames: Pixels, corners: ArrayLike, colors: Sequence[Color] = RIMS, size: tuple[int, int] | None = None
) -> Pixels:
    """Polygons, such as the windows of glimpses; later ones are drawn over earlier ones.

    Args:
        frames: `T H W 3`, uint8 RGB.
        corners: `T n m 2`, n outlines of m corners per frame, x and y in pixels; outlines with NaN are not drawn.
        colors: of the outlines in turn; each has a dark edge.
        size: height and width of the frames that the corners refer to, if `frames` are enlarged.
    """
    given = np.asarray(corners, dtype=np.float64)
    if given.ndim != 4 or given.shape[-1] != 2 or len(given) != len(_checked(frames)):
        raise ValueError(
            f"outlines have shape {given.shape} for {len(frames)} frames, expected T n m 2: x y of corners"
        )
    # OpenCV takes sixteenths of a pixel as 32-bit integers, so points far outside are clipped.
    limit, thick = 10 * max(frames.shape[1:3]), _thickness(frames)
    fixed = np.rint(np.clip(given * _scale(frames, size), -limit, limit) * 16)
    drawn = frames.copy()
    for frame, of_frame in zip(drawn, fixed, strict=True):
        for n, outline in enumerate(of_frame):
            if np.isfinite(outline).all():
                points = [outline.astype(np.int32)]
                cv2.polylines(frame, points, True, BLACK, thick + 2, cv2.LINE_AA, shift=4)
                cv2.polylines(frame, points, True, colors[n % len(colors)], thick, cv2.LINE_AA, shift=4)
    return drawn
