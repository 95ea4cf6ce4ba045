"""Augmented Moving MNIST: digits that bounce in a small canvas, generated as whole batches without a loop over frames.

Paths have a closed form; how digits are drawn along them is in `canvas.py`.
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
from torch.utils.data import Dataset

from onlooker.data.canvas import Scenes, draw_scenes, elastic_noise, ink_boxes, paste, smooth
from onlooker.data.digits import SIDE, Digits

__all__ = [
    "PAIRS",
    "VARIANTS",
    "Batch",
    "DigitPairs",
    "MovingDigits",
    "Sample",
    "bounce",
    "ordered_label",
    "pair_label",
    "random_stream",
]

VARIANTS = ("normal", "rotation", "scale", "rotation+scale", "gesture")
PAIRS = tuple(f"{a}+{b}" for a, b in itertools.combinations_with_replacement(range(10), 2))

_STREAMS = {"digits": 0, "paths": 1}
_CHUNK_BYTES = 1 << 22  # of video that are generated at a time, about the size of a CPU's cache

Sample = tuple[Tensor, int, int]


@dataclass(frozen=True, eq=False)
class Batch:
    """Videos with their ground truth. `k` is the number of digits in a video.

    Args:
        video: `B T 1 H W`, uint8.
        labels: `B k`, int64, the classes of the digits.
        boxes: `B T k 4`, float32, `x1 y1 x2 y2` in pixels of the canvas: the smallest rectangle around all pixels
            above 0 of the digit, from the left edge of its first pixel to the right edge of its last. NaN where none
            is on the canvas; pixels that another digit covers count.
        indices: `B k`, int64, the index of each digit in the data set.
    """

    video: Tensor
    labels: Tensor
    boxes: Tensor
    indices: Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """How the digits of some videos move. `S` is the number of transforms, of T/S frames each.

    Args:
        positions: `B k T 2`, int64, x and y of the upper left corner of each digit's 28×28 square.
        angles: `B S`, float32, radians, clockwise on the screen; 0 for variants without rotation.
        scales: `B S`, float32; 1 for variants without scale.
    """

    positions: Tensor
    angles: Tensor
    scales: Tensor


@dataclass(frozen=True)
class MovingDigits:
    """Videos of digits that move and bounce (Augmented Moving MNIST).

    Each digit starts at a random position, in a random direction, moves at a constant speed, and is reflected by the
    borders of the canvas; its position is rounded to whole pixels at each frame. Overlapping digits are joined by the
    pixel maximum. All variants but `normal` also transform the canvas about its center, differently every
    `frames_per_setting` frames: `rotation` by an angle in [0, 2π), `scale` by a factor in `scale`, `rotation+scale` by
    both, `gesture` by both, followed by an elastic deformation (`elastic_fields`). The transform is one bilinear
    resampling of the layer of each digit, zero beyond the canvas, rounded; layers are joined afterwards, so that each
    box is that of one digit.

    Args:
        digits: the images of digits.
        variant: one of `VARIANTS`.
        num_digits: digits per video (k).
        canvas: height and width of a frame in pixels.
        frames: frames per video (T).
        frames_per_setting: frames that share one transform; ignored by `normal`.
        speed: smallest and largest, pixels per frame.
        scale: smallest and largest factor.
        alpha, sigma, window: strength and smoothness of the deformation, see `elastic_fields`.

    Raises:
        ValueError: an invalid setting.
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
            raise ValueError(f"speed is {self.speed}, expected (slowest, fastest) in pixels per frame, not negative")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale is {self.scale}, expected (smallest, largest), both positive")
        if not 0 < self.sigma < math.inf or not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha} and sigma {self.sigma}, expected finite numbers, sigma above 0")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window is {self.window} pixels, expected an odd number, at least 1")

    @property
    def settings(self) -> int:
        """Transforms per video (S); 1 for `normal`."""
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
        """Generate `size` videos. Equal arguments give equal videos, bit for bit, whatever the number of threads.

        Random numbers are drawn on the CPU, so that another device shows the same videos (its bilinear resampling may
        round a pixel differently by 1). For the same digits on new paths, keep `digits_seed` (and `labels`) and change
        `paths_seed`; for new digits on the same paths, the reverse.

        Args:
            size: number of videos (B); optional if `labels` are given.
            seed: default of the other seeds.
            digits_seed: of the labels and their images.
            paths_seed: of positions, directions, speeds and transforms.
            labels: `B k` classes to show; None: every class is equally probable.
            device: where the videos are generated.

        Raises:
            ValueError: `size` is missing, below 1 or not that of `labels`, or a label has no image.
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
            turns = math.ceil(B * bytes_each / _CHUNK_BYTES / workers)  # equal for all workers
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
        largest = self.canvas - SIDE
        start = torch.rand(size, k, 2, generator=generator, dtype=torch.float64) * largest
        direction = torch.rand(size, k, generator=generator, dtype=torch.float64) * (2 * math.pi)
        slow, fast = self.speed
        speed = slow + (fast - slow) * torch.rand(size, k, generator=generator, dtype=torch.float64)
        velocity = torch.stack((direction.cos(), direction.sin()), -1) * speed[..., None]

        angles = torch.rand(size, S, generator=generator) * (2 * math.pi)
        small, large = self.scale
        scales = small + (large - small) * torch.rand(size, S, generator=generator)
        return Motion(
            bounce(start, velocity, T, largest).round().long(),
            angles if self.variant in ("rotation", "rotation+scale", "gesture") else torch.zeros(size, S),
            scales if self.variant in ("scale", "rotation+scale", "gesture") else torch.ones(size, S),
        )

    def _choose(
        self, size: int | None, labels: Tensor | Sequence[Sequence[int]] | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Classes `B k`, and the index of an image for each."""
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


class DigitPairs(Dataset[Sample]):
    """Moving digits as samples for training: `(frames T H W 1 uint8, target, index)`.

    The class of two digits is their unordered pair (55 classes), that of one is the digit (10 classes).

    A batch is generated at once, from a seed that is a function of `seed` and of its indices. In a new order every
    batch is new, and the same order gives the same videos again.

    Args:
        digits: the generator of videos.
        length: videos per epoch.
        seed: different for training and validation.

    Raises:
        ValueError: videos of more than two digits.
    """

    def __init__(self, digits: MovingDigits, length: int, seed: int) -> None:
        if digits.num_digits > 2:
            raise ValueError(f"videos of {digits.num_digits} digits, expected 1 or 2")
        self.digits, self.length, self.seed = digits, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"video {index} of {self.length}")
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """A whole batch at once; PyTorch's DataLoader calls this if it is defined."""
        seed = int(np.random.SeedSequence([self.seed, *indices]).generate_state(1)[0])
        batch = self.digits.batch(len(indices), seed=seed)
        frames = batch.video.movedim(2, -1)
        targets = pair_label(batch.labels) if self.digits.num_digits == 2 else batch.labels[:, 0]
        return list(zip(frames, targets.tolist(), indices, strict=True))


@contextmanager
def _undivided_operations() -> Iterator[int]:
    """Keep PyTorch from dividing each operation among threads; yields how many threads it would have used.

    The operations here are short, so whole chunks are divided instead (`_share`): on a busy machine, threads that
    synchronize after every operation wait longer than they work.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield 1
        return
    # For this thread and those that start later.
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _share(work: Callable[..., None], parts: Iterator[tuple[Any, ...]], workers: int) -> None:
    """Call `work` with every part; parts are generated in order, one whenever a worker is free."""
    lock = Lock()
    inference = torch.is_inference_mode_enabled()  # of this thread only

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
    """The random numbers of `MovingDigits.batch`: of the "digits", or of the "paths" (a `Motion`, then elastic fields).

    The two streams of a seed differ; otherwise the positions of the digits would depend on their labels.
    """
    state = int(np.random.SeedSequence([seed, _STREAMS[of]]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def bounce(start: Tensor, velocity: Tensor, frames: int, largest: float) -> Tensor:
    """Paths of points that are reflected at 0 and at `largest`: triangle waves of start + velocity·t.

    Args:
        start: `… 2`, x and y at frame 0, in [0, largest].
        velocity: `… 2`, pixels per frame.
        frames: T.
        largest: the largest coordinate; with 0 all coordinates are 0.

    Returns:
        `… T 2`.
    """
    times = torch.arange(frames, dtype=start.dtype, device=start.device)[:, None]
    straight = start[..., None, :] + velocity[..., None, :] * times
    if largest == 0:
        return torch.zeros_like(straight)
    return largest - (largest - torch.remainder(straight, 2 * largest)).abs()


def pair_label(labels: Tensor) -> Tensor:
    """Unordered pairs: `B 2` classes of digits to `B` indices into `PAIRS`, 0 to 54."""
    low, high = _pair(labels).aminmax(dim=-1)
    return low * 10 - low * (low - 1) // 2 + high - low


def ordered_label(labels: Tensor) -> Tensor:
    """Ordered pairs: `B 2` classes of digits m, n to `B` numbers 10·m + n, 0 to 99."""
    first, second = _pair(labels).unbind(-1)
    return first * 10 + second


def _pair(labels: Tensor) -> Tensor:
    if labels.shape[-1:] != (2,):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected (videos, 2)")
    return labels
