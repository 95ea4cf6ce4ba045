"""Augmented Moving MNIST: digits that bounce in a small canvas, made in whole batches, never in a loop over frames.

A path has a closed form, and how digits are drawn along it is in `canvas.py`. Here is what videos there are.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onlooker.data.canvas import Scenes, draw_scenes, ink_boxes, paste
from onlooker.data.digits import SIDE, Digits
from onlooker.data.elastic import elastic_noise, smooth

__all__ = ["PAIRS", "VARIANTS", "Batch", "MovingDigits", "bounce", "ordered_label", "pair_label", "random_stream"]

VARIANTS = ("normal", "rotation", "scale", "rotation+scale", "gesture")
PAIRS = tuple(f"{a}+{b}" for a, b in itertools.combinations_with_replacement(range(10), 2))

_STREAMS = {"digits": 0, "paths": 1}
_CHUNK_BYTES = 1 << 22  # of video that are made at a time, near the size of a processor's cache


@dataclass(frozen=True, eq=False)
class Batch:
    """Videos, and everything that is true of them. `k` counts the digits of a video.

    Args:
        video: `B T 1 H W`, uint8.
        labels: `B k`, int64, the classes of the digits.
        boxes: `B T k 4`, float32, `x1 y1 x2 y2` in pixels of the canvas: the smallest rectangle around all pixels
            above 0 that the digit leaves on the canvas, from the left edge of its first pixel to the right edge of its
            last. NaN where nothing of it can be seen; what another digit covers counts as seen.
        indices: `B k`, int64, which image of the data set each digit is.
    """

    video: Tensor
    labels: Tensor
    boxes: Tensor
    indices: Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """How the digits of some videos move. `S` counts settings of T/S frames each.

    Args:
        positions: `B k T 2`, int64, x and y of the upper left corner of each digit's 28×28 square.
        angles: `B S`, float32, radians, clockwise as seen; 0 where the variant does not turn.
        scales: `B S`, float32; 1 where the variant does not scale.
    """

    positions: Tensor
    angles: Tensor
    scales: Tensor


@dataclass(frozen=True)
class MovingDigits:
    """Videos of digits that move and bounce (Augmented Moving MNIST).

    Every digit starts at a random place, in a random direction, at a constant speed, and is reflected by the borders
    of the canvas; its place is rounded to whole pixels at each frame. Digits that meet are joined by the pixel maximum.
    All variants but `normal` also transform the canvas about its center, for `frames_per_setting` frames each time:
    `rotation` by an angle in [0, 2π), `scale` by a factor in `scale`, `rotation+scale` both, `gesture` both and, after
    them, an elastic deformation (`elastic_fields`). The transform is one bilinear resampling of each digit's own layer,
    zero beyond the canvas, rounded; the layers are joined after it, so that a box is that of one digit.

    Args:
        digits: where the digits come from.
        variant: one of `VARIANTS`.
        num_digits: digits in a video (k).
        canvas: height and width of a frame, which is square, in pixels.
        frames: frames in a video (T).
        frames_per_setting: frames that share one transform; `normal` has none and ignores it.
        speed: slowest and fastest, pixels a frame.
        scale: smallest and largest factor.
        alpha, sigma, window: strength and smoothness of the deformation, see `elastic_fields`.

    Raises:
        ValueError: a setting that no video can be made with.
    """

    digits: Digits
    variant: str = "normal"
    num_digits: int = 2
    canvas: int = 64
    frames: int = 50
    frames_per_setting: int = 5
    speed: tuple[float, float] = (4.0, 12.0)
    scale: tuple[float, float] = (0.4, 1.0)
    alpha: float = 300.0
    sigma: float = 10.0
    window: int = 7

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant is {self.variant!r}, expected one of {', '.join(VARIANTS)}")
        if not len(self.digits):
            raise ValueError("digits is an empty data set, expected at least one image; see load_digits")
        for name in ("num_digits", "frames", "frames_per_setting"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not isinstance(self.canvas, int | np.integer) or self.canvas < SIDE:
            raise ValueError(f"canvas is {self.canvas!r}, expected one side in pixels, at least the {SIDE} of a digit")
        if self.variant != "normal" and self.frames % self.frames_per_setting:
            raise ValueError(
                f"{self.frames} frames cannot be divided into settings of {self.frames_per_setting}; "
                "make frames a multiple of frames_per_setting"
            )
        if not 0 <= self.speed[0] <= self.speed[1] < math.inf:
            raise ValueError(f"speed is {self.speed}, expected (slowest, fastest) in pixels a frame, neither negative")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale is {self.scale}, expected (smallest, largest), both positive")
        if not 0 < self.sigma < math.inf or not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha} and sigma {self.sigma}, expected finite numbers, sigma above 0")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window is {self.window} pixels, expected an odd number of them, at least 1")

    @property
    def settings(self) -> int:
        """Transforms in a video (S); 1 for `normal`."""
        return 1 if self.variant == "normal" else self.frames // self.frames_per_setting

    def batch(
        self,
        size: int | None = None,
        *,
        seed: int = 0,
        digits_seed: int | None = None,
        paths_seed: int | None = None,
        labels: Tensor | Sequence[Sequence[int]] | None = None,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Make `size` videos. Equal arguments give equal videos, bit for bit on one device, by any number of threads.

        All chance comes from the CPU, so that another device shows the same videos (its bilinear resampling may round
        a pixel differently by 1). For the same digits on new paths, keep `digits_seed` (and `labels`) and change
        `paths_seed`; for new digits on the same paths, the reverse.

        Args:
            size: how many videos (B); may be left out where `labels` are given.
            seed: of everything that has no seed of its own.
            digits_seed: of the labels, and of which image stands for a label.
            paths_seed: of places, directions, speeds, and transforms.
            labels: `B k` classes to show; None: every class is equally probable.
            device: where the videos are made.

        Raises:
            ValueError: `size` is missing or below 1, does not fit the labels, or a label has no image.
        """
        by_digits = random_stream(seed if digits_seed is None else digits_seed, "digits")
        by_paths = random_stream(seed if paths_seed is None else paths_seed, "paths")
        with _undivided_operations() as threads:
            classes, indices = self._choose(size, labels, by_digits)
            images = torch.from_numpy(self.digits.images[indices.numpy()])  # B k 28 28
            ink, images = ink_boxes(images), images.to(device)
            motion = self.motion(len(classes), by_paths)

            B, T, side = len(classes), self.frames, self.canvas
            video = torch.empty(B, T, 1, side, side, dtype=torch.uint8, device=device)
            boxes = torch.empty(B, T, self.num_digits, 4, device=device)
            workers = threads if images.device.type == "cpu" else 1
            deformed = self.variant == "gesture"
            bytes_each = side**2 * (T + 8 * self.settings if deformed else T)  # of the video and its fields
            turns = math.ceil(B * bytes_each / _CHUNK_BYTES / workers)  # of each worker: none waits for a last one
            chunk = math.ceil(B / (turns * workers))

            def parts() -> Iterator[tuple[slice, Tensor | None]]:
                for first in range(0, B, chunk):
                    part = slice(first, min(first + chunk, B))
                    yield part, elastic_noise(len(video[part]) * self.settings, side, by_paths) if deformed else None

            def draw(part: slice, noise: Tensor | None) -> None:
                moves = Motion(motion.positions[part], motion.angles[part], motion.scales[part])
                self._draw(images[part], ink[part], moves, noise, video[part], boxes[part])

            _share(draw, parts(), min(workers, math.ceil(B / chunk)))
            return Batch(video, classes.to(device), boxes, indices.to(device))

    def motion(self, size: int, generator: torch.Generator) -> Motion:
        """Draw how the digits of `size` videos move (B = size), on the CPU."""
        k, T, S = self.num_digits, self.frames, self.settings
        room = self.canvas - SIDE
        start = torch.rand(size, k, 2, generator=generator, dtype=torch.float64) * room
        direction = torch.rand(size, k, generator=generator, dtype=torch.float64) * (2 * math.pi)
        slow, fast = self.speed
        speed = slow + (fast - slow) * torch.rand(size, k, generator=generator, dtype=torch.float64)
        velocity = torch.stack((direction.cos(), direction.sin()), -1) * speed[..., None]

        angles = torch.rand(size, S, generator=generator) * (2 * math.pi)
        small, large = self.scale
        scales = small + (large - small) * torch.rand(size, S, generator=generator)
        return Motion(
            bounce(start, velocity, T, room).round().long(),
            angles if self.variant in ("rotation", "rotation+scale", "gesture") else torch.zeros(size, S),
            scales if self.variant in ("scale", "rotation+scale", "gesture") else torch.ones(size, S),
        )

    def _choose(
        self, size: int | None, labels: Tensor | Sequence[Sequence[int]] | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Classes `B k`, and for each the index of an image."""
        present = self.digits.classes
        if labels is None:
            if size is None or size < 1:
                raise ValueError(f"size is {size}, expected at least 1 video")
            classes = present[torch.randint(len(present), (size, self.num_digits), generator=generator)]
        else:
            classes = torch.as_tensor(labels, dtype=torch.int64).cpu()
            if classes.ndim != 2 or classes.shape[1] != self.num_digits or not len(classes):
                raise ValueError(f"labels have shape {tuple(classes.shape)}, expected (videos, {self.num_digits})")
            if size is not None and size != len(classes):
                raise ValueError(f"size is {size} for {len(classes)} labels; leave size out")
        return classes, self.digits.draw(classes, generator)

    def _draw(
        self, images: Tensor, ink: Tensor, motion: Motion, noise: Tensor | None, video: Tensor, boxes: Tensor
    ) -> None:
        """Fill `video` (B T 1 H W) and `boxes` (B T k 4) with the digits `images` (B k 28 28)."""
        if self.variant == "normal":
            positions = motion.positions.to(images.device)
            paste(images[:, :, None], positions, video[:, :, 0])
            boxes.copy_((ink.to(images.device)[:, :, None] + positions.repeat(1, 1, 1, 2)).transpose(1, 2))
            return
        positions = motion.positions.unflatten(2, (self.settings, -1)).transpose(1, 2).flatten(0, 1)
        fields = None if noise is None else smooth(noise, self.alpha, self.sigma, self.window)
        of = torch.arange(len(positions)) // self.settings
        scenes = Scenes(images, ink, of, positions, motion.angles.flatten(), motion.scales.flatten(), fields)
        shape = len(of), positions.shape[2]  # n F
        draw_scenes(scenes, video.view(*shape, *video.shape[-2:]), boxes.view(*shape, *boxes.shape[-2:]))


@contextmanager
def _undivided_operations() -> Iterator[int]:
    """Keep PyTorch from sharing each operation among threads, and tell how many it would have taken.

    Ours are short: whole chunks are shared instead (`_share`). On a busy machine, threads that wait for each other at
    the end of every operation wait longer than they work.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield 1
        return
    # Holds for this thread, and for those that begin later.
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _share(work: Callable[..., None], parts: Iterator[tuple[Any, ...]], workers: int) -> None:
    """Do the work of all parts, which are made in order, one whenever a worker is free."""
    lock = Lock()
    inference = torch.is_inference_mode_enabled()  # of this thread alone

    def run() -> None:
        with torch.inference_mode(inference):
            while True:
                with lock:
                    part = next(parts, None)
                if part is None:
                    return
                work(*part)

    if workers == 1:
        run()
        return
    with ThreadPoolExecutor(workers - 1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        others = [pool.submit(run) for _ in range(workers - 1)]
        run()
        for other in others:
            other.result()


def random_stream(seed: int, of: str) -> torch.Generator:
    """What `MovingDigits.batch` draws from: of the "digits", or of the "paths" (a `Motion`, then elastic fields).

    One seed starts the two differently: else the places of the digits would tell their labels.
    """
    state = int(np.random.SeedSequence([seed, _STREAMS[of]]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def bounce(start: Tensor, velocity: Tensor, frames: int, room: float) -> Tensor:
    """Paths of points that are reflected by the walls of [0, room].

    A reflected path is a straight one on a line that is folded at every wall: a triangle wave of start + velocity·t.

    Args:
        start: `… 2`, x and y at frame 0, inside [0, room].
        velocity: `… 2`, pixels a frame.
        frames: T.
        room: the largest coordinate; 0 holds everything at 0.

    Returns:
        `… T 2`.
    """
    times = torch.arange(frames, dtype=start.dtype, device=start.device)[:, None]
    straight = start[..., None, :] + velocity[..., None, :] * times
    if room == 0:
        return torch.zeros_like(straight)
    return room - (room - torch.remainder(straight, 2 * room)).abs()


def pair_label(labels: Tensor) -> Tensor:
    """Unordered pairs: `B 2` classes of digits to `B` indices into `PAIRS`, 0 to 54."""
    low, high = _pair(labels).aminmax(dim=-1)
    return low * 10 - low * (low - 1) // 2 + high - low


def ordered_label(labels: Tensor) -> Tensor:
    """Ordered pairs, as the paper labels its videos: `B 2` classes of digits m, n to `B` numbers 10·m + n, 0 to 99."""
    first, second = _pair(labels).unbind(-1)
    return first * 10 + second


def _pair(labels: Tensor) -> Tensor:
    if labels.shape[-1:] != (2,):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected (videos, 2): only pairs have these names")
    return labels
