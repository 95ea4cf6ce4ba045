"""Clips made harder in the ways that the HMDB-51 report names as its weaknesses: camera motion, noise, more people.

Camera motion is simulated by moving a window of four fifths of the frame's height and width, so that no pixels must be
invented at the border. In `still`, the window stays in the middle; the other disturbances are compared with it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.data.stick_figures import StickFigures

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

WINDOW = 0.8  # height and width of the window, as shares of the frame's
_BACKGROUND, _TOLERANCE = 128, 3  # gray levels of the plain background of generated figures
# The largest strength of each kind for which the window stays in the frame; None: no limit.
LIMITS: dict[str, float | None] = {
    "whole": 0.0, "still": 0.0, "pan": 0.2, "zoom": 0.5, "shake": 0.2, "noise": None, "people": None,
}  # fmt: skip


@dataclass(frozen=True)
class Disturbance:
    """What is done to a clip.

    Args:
        kind: `whole`: unchanged frames, without the window; `still`: the window only; `pan`: the window moves
            sideways by `strength` of the frame's width; `zoom`: in or out by a factor of 1 + `strength`; `shake`: a
            random position in each frame, in a square whose side is `strength` of the frame; `noise`: with `strength`
            as standard deviation, in gray levels; `people`: `strength` drawn figures walk in front.
        strength: of the disturbance, as above.

    Raises:
        ValueError: an unknown kind, or a strength above its limit.
    """

    kind: str
    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in LIMITS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(LIMITS)}")
        limit = LIMITS[self.kind]
        if not self.strength >= 0 or (limit is not None and self.strength > limit):
            raise ValueError(f"strength of {self.kind} is {self.strength}, expected 0 to {limit or 'any'}")
        if self.kind == "people" and self.strength != int(self.strength):
            raise ValueError(f"{self.strength} people, expected a whole number")

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"{self.kind} {self.strength:g}" if self.strength else self.kind

    def __call__(self, frames: Pixels, indices: NDArray[np.int64], seed: int) -> Pixels:
        """The disturbed frames of a clip: `T H W 3` to `T h w 3`, of the window's size except for `whole`.

        Args:
            frames: frames of the clip.
            indices: `T`, indices of the frames in the clip; a repeated frame is also repeated in the result.
            seed: seed of directions, positions, noise and figures.
        """
        if self.kind == "whole":
            return frames
        _, first, back = np.unique(indices, return_index=True, return_inverse=True)
        random = np.random.default_rng(seed)
        each = frames[first]
        if self.kind == "people":
            each = with_people(each, int(self.strength), seed)
        centers, sides = camera_path(self, len(each), random)
        seen = cut_windows(each, centers, sides)
        if self.kind == "noise":
            noisy = seen + self.strength * random.standard_normal(seen.shape)
            seen = np.clip(noisy.round(), 0, 255).astype(np.uint8)
        return seen[back]


def camera_path(of: Disturbance, frames: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Centers `T 2` (x, y) and sides `T` of the window, as shares of the frame."""
    centers, sides = np.full((frames, 2), 0.5), np.full(frames, WINDOW)
    direction = random.choice([-1, 1])
    time = np.linspace(-0.5, 0.5, frames) if frames > 1 else np.zeros(frames)
    if of.kind == "pan":
        centers[:, 0] += direction * of.strength * time
    elif of.kind == "zoom":
        sides = WINDOW * (1 + of.strength) ** (direction * time)  # in or out around the size of `still`
    elif of.kind == "shake":
        centers += of.strength * random.uniform(-0.5, 0.5, centers.shape)
    return centers, sides


def cut_windows(frames: Pixels, centers: Floats, sides: Floats) -> Pixels:
    """Windows of frames `T H W 3`, given by `camera_path`, at one size, with linear interpolation."""
    H, W = frames.shape[1:3]
    size = round(WINDOW * W), round(WINDOW * H)
    seen = np.empty((len(frames), size[1], size[0], 3), np.uint8)
    for frame, (x, y), side, out in zip(frames, centers, sides, seen, strict=True):
        scale = side / WINDOW  # pixels of the frame per pixel of the window
        left, top = x * W - 0.5 - scale * (size[0] - 1) / 2, y * H - 0.5 - scale * (size[1] - 1) / 2
        place = np.array([[scale, 0, left], [0, scale, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(frame, place, size, out, flags, cv2.BORDER_REPLICATE)
    return seen


def with_people(frames: Pixels, count: int, seed: int) -> Pixels:
    """Frames `T H W 3` with this number of drawn figures who walk in front of everything."""
    drawn = StickFigures(
        frames=max(4, len(frames)), fps=30.0, size=frames.shape[1:3], event=(1.0, 1.0), height=(0.45, 0.8),
        bystanders=0.0, background="plain",
    )  # fmt: skip
    result = frames.copy()
    for number in range(count):
        figure = drawn.video("walk", number, seed=seed).pixels[: len(frames)]
        there = np.abs(figure.astype(np.int16) - _BACKGROUND).max(-1) > _TOLERANCE
        result[there] = figure[there]
    return result
