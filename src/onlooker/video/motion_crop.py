"""A window that follows what moves: a small thing in a large frame is seen large, before anything is learned.

The camera must stand still. Windows are `x1 y1 x2 y2` in shares of the frame's width and height, so that they hold for
every size at which the frame is kept; they are squares in pixels and lie inside the frame.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Differences of gray values, of 255, that are a camera's and a codec's noise.
_NOISE = 8.0
_MEMORY = 2.0  # frames: how far what was seen to move counts before and after; in a stream, until 1/e of it is left


@dataclass(frozen=True, eq=False)
class Following:
    """What is known of a stream's motion so far.

    Args:
        gray: the frame before, `H W`.
        moved: the sum of the places `2` (x and y, in pixels) where it moved, each by how much did, and that sum `1`;
            what is past fades.
    """

    gray: Floats
    moved: NDArray[np.float64]


def follow(frames: Pixels, share: float) -> Floats:
    """The windows of a clip.

    What moves in frame t is what differs from the frame before and from the one after (three-frame difference, Kameda
    and Minoh 1996). Its center c_t is the mean place of these pixels in the window that has the most of them, e_t their
    share of it. As things pause and differences tremble, a window's center is

        Σ_u g(t - u) e_u c_u / Σ_u g(t - u) e_u,  g(d) = exp(-d² / 8)

    that of the times near in which more moved; the frame's where nothing moves in the whole clip.

    Args:
        frames: `T H W 3`, uint8 RGB, of one video.
        share: of the frame's shorter side that a window's side has, above 0, at most 1.

    Returns:
        `T 4`.

    Raises:
        ValueError: frames of another shape, none, or a share out of its range.
    """
    _check(frames, share)
    H, W = frames.shape[1:3]
    side = share * min(H, W)
    grays = [_gray(frame) for frame in frames]
    steps = [np.abs(b - a) for a, b in itertools.pairwise(grays)]
    seen = np.zeros((len(frames), 3))
    for t in range(len(frames) if steps else 0):
        seen[t] = _center(np.minimum(steps[max(t - 1, 0)], steps[min(t, len(steps) - 1)]), side)
    squares = np.subtract.outer(np.arange(len(frames)), np.arange(len(frames))) ** 2 / (2 * _MEMORY**2)
    if (moves := seen[:, 2] > 0).any():
        # Of a long pause all weights would vanish; as shares of the nearest one they do not.
        squares = squares - squares[:, moves].min(1, keepdims=True)
    weights = np.where(moves, np.exp(-np.maximum(squares, 0)), 0)
    return np.stack([_window(moved, side, H, W) for moved in weights @ seen])


def follow_next(before: Following | None, frame: Pixels, share: float) -> tuple[Floats, Following]:
    """The window of a stream's next frame: as `follow`, with the frames up to now alone.

    What moves is then what differs from the frame before, the sums run over u up to t, and g(d) is exp(-d / 2), for
    which two sums are all that has to be kept. It begins anew where frames change their size.

    Args:
        before: what this function gave for the frame before; None at the first, of which the middle is seen.
        frame: `H W 3`, uint8 RGB.
        share: as for `follow`.

    Returns:
        The window `4`, and what to pass on.

    Raises:
        ValueError: as `follow`.
    """
    _check(frame[None], share)
    gray = _gray(frame)
    side = share * min(gray.shape)
    if before is None or before.gray.shape != gray.shape:
        return _window(np.zeros(3), side, *gray.shape), Following(gray, np.zeros(3))
    moved = before.moved * np.exp(-1 / _MEMORY) + _center(np.abs(gray - before.gray), side)
    return _window(moved, side, *gray.shape), Following(gray, moved)


def cut(frames: Pixels, windows: Floats, size: int) -> Pixels:
    """What windows show: `T H W C` through windows `T 4` to `T size size C`, interpolated linearly.

    Args:
        frames: pictures or flow in bytes; best of a size at which a window has about `size` pixels.
        windows: in shares of the frame.
        size: height and width of the result.
    """
    H, W, C = frames.shape[1:]
    result = np.empty((len(frames), size, size, C), np.uint8)
    for frame, (x1, y1, x2, y2), out in zip(frames, windows.astype(np.float64) * [W, H, W, H], result, strict=True):
        across, down = (x2 - x1) / size, (y2 - y1) / size
        back = np.array([[across, 0, x1 + across / 2 - 0.5], [0, down, y1 + down / 2 - 0.5]])
        for first in range(0, C, 4):  # OpenCV warps four channels at most
            part = np.ascontiguousarray(frame[..., first : first + 4])
            seen = cv2.warpAffine(
                part, back, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
            )
            out[..., first : first + 4] = seen.reshape(size, size, -1)
    return result


def maps_of_frames(maps: Floats, windows: Floats, size: tuple[int, int]) -> Floats:
    """Maps over windows as maps over the whole frames, which are zero outside of them.

    Args:
        maps: `T h w`, over windows, each with the sum 1.
        windows: `T 4`, in shares of the frame, all of one size.
        size: height and width of the frames: there are not more cells than pixels.

    Returns:
        `T h' w'`, each with the sum 1, cells half as wide and high as those of the windows' maps.
    """
    h, w = maps.shape[1:]
    across, down = (windows[0, 2:] - windows[0, :2]).tolist()
    grid = min(round(2 * h / down), size[0]), min(round(2 * w / across), size[1])
    y, x = ((np.arange(n) + 0.5) / n for n in grid)  # centers of cells
    result = np.empty((len(maps), *grid), np.float32)
    for small, (x1, y1, x2, y2), large in zip(maps, windows, result, strict=True):
        u, v = (x - x1) / (x2 - x1), (y - y1) / (y2 - y1)
        columns, rows = np.meshgrid((u * w - 0.5).astype(np.float32), (v * h - 0.5).astype(np.float32))
        within = ((v >= 0) & (v <= 1))[:, None] & ((u >= 0) & (u <= 1))
        large[:] = np.where(within, cv2.remap(small, columns, rows, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE), 0)
    return result / result.sum((1, 2), keepdims=True)


def into_windows(corners: Floats, window: Floats) -> Floats:
    """Places in the frame, `… 4` in its shares, as shares of a window; those outside it are brought to its border."""
    x1, y1, x2, y2 = window.tolist()
    shifted = (corners - np.array([x1, y1] * 2, np.float32)) / np.array([x2 - x1, y2 - y1] * 2, np.float32)
    inside: Floats = shifted.clip(0, 1)
    return inside


def _check(frames: Pixels, share: float) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 T H W 3, at least one")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, expected above 0 and at most 1: of the frame's shorter side")


def _gray(frame: Pixels) -> Floats:
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.blur(gray, (3, 3)).astype(np.float32, copy=False)


def _center(difference: Floats, side: float) -> NDArray[np.float64]:
    """Of what differs in the window that has the most: x and y, each times its share of the window, and the share."""
    difference = np.where(difference > _NOISE, difference, 0)
    if not difference.any():
        return np.zeros(3)
    kernel = max(1, round(side)) // 2 * 2 + 1
    around = cv2.boxFilter(difference, -1, (kernel, kernel), normalize=False, borderType=cv2.BORDER_CONSTANT)
    # Where the window holds all of it, anywhere near is as good; what lies in it has its own middle.
    y, x = divmod(int(around.argmax()), around.shape[1])
    half = kernel // 2
    top, left = max(y - half, 0), max(x - half, 0)
    inside = difference[top : y + half + 1, left : x + half + 1]
    rows, columns = np.arange(top, top + inside.shape[0]) + 0.5, np.arange(left, left + inside.shape[1]) + 0.5
    total = inside.sum()
    share = float((inside > 0).mean())
    return np.array([inside.sum(0) @ columns / total * share, inside.sum(1) @ rows / total * share, share])


def _window(moved: NDArray[np.float64], side: float, H: int, W: int) -> Floats:
    x, y = moved[:2] / moved[2] if moved[2] > 0 else (W / 2, H / 2)
    x, y = np.clip(x, side / 2, W - side / 2), np.clip(y, side / 2, H - side / 2)
    return np.array([(x - side / 2) / W, (y - side / 2) / H, (x + side / 2) / W, (y + side / 2) / H], np.float32)
