"""Moving MNIST: digits that bounce in a small canvas, generated as whole batches without a loop
over frames.

Paths have a closed form; how digits are drawn along them is in `canvas.py`.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onlooker_papers.digits.data.canvas import ink_boxes, paste
from onlooker_papers.mnist import SIDE, Digits

PAIRS = tuple(f"{a}+{b}" for a, b in itertools.combinations_with_replacement(range(10), 2))

_STREAMS = {"digits": 0, "paths": 1}
CHUNK_BYTES = 1 << 22  # of video that are generated at a time, about the size of a CPU's cache

Sample = tuple[Tensor, int, int]


@dataclass(frozen=True, eq=False)
class Batch:
    """Videos with their ground truth. `k` is the number of digits in a video.

    Args:
        video: `B T 1 H W`, uint8.
        labels: `B k`, int64, the classes of the digits.
        boxes: `B T k 4`, float32, `x1 y1 x2 y2` in pixels of the canvas: the smallest rectangle
            around all pixels above 0 of the digit, from the left edge of its first pixel to the
            right edge of its last. NaN where none is on the canvas; pixels that another digit
            covers count.
        indices: `B k`, int64, the index of each digit in the data set.
    """

    video: Tensor
    labels: Tensor
    boxes: Tensor
    indices: Tensor


@dataclass(frozen=True)
class MovingDigits:
    """Videos of digits that move and bounce (Moving MNIST).

    Each digit starts at a random position, in a random direction, moves at a constant speed, and is
    reflected by the borders of the canvas; its position is rounded to whole pixels at each frame.
    Overlapping digits are joined by the pixel maximum.

    Args:
        num_digits: digits per video (k).
        canvas: height and width of a frame in pixels.
        frames: frames per video (T).
        speed: smallest and largest, pixels per frame.
    """

    digits: Digits
    num_digits: int = 2
    canvas: int = 64
    frames: int = 50
    speed: tuple[float, float] = (4.0, 12.0)

    def batch(
        self,
        size: int | None = None,
        *,
        seed: int = 0,
        digits_seed: int | None = None,
        paths_seed: int | None = None,
        labels: Tensor | Sequence[Sequence[int]] | None = None,
    ) -> Batch:
        """Generate `size` videos. Equal arguments give equal videos, bit for bit, whatever the
        number of threads.

        For the same digits on new paths, keep `digits_seed` (and `labels`) and change
        `paths_seed`; for new digits on the same paths, the reverse.

        Args:
            size: number of videos (B); optional if `labels` are given.
            seed: default of the other seeds.
            digits_seed: of the labels and their images.
            paths_seed: of positions, directions and speeds.
            labels: `B k` classes to show; None: every class is equally probable.
        """
        by_digits = random_stream(seed if digits_seed is None else digits_seed, "digits")
        by_paths = random_stream(seed if paths_seed is None else paths_seed, "paths")
        with undivided_operations() as threads:
            classes, indices = self._choose(size, labels, by_digits)
            images = torch.from_numpy(self.digits.images[indices.numpy()])  # B k 28 28
            B = len(classes)
            T = self.frames
            side = self.canvas
            video = torch.empty(B, T, 1, side, side, dtype=torch.uint8)
            boxes = torch.empty(B, T, self.num_digits, 4)
            self.draw(images, by_paths, video=video, boxes=boxes, threads=threads)
            return Batch(video, classes, boxes, indices=indices)

    def draw(
        self,
        images: Tensor,
        by_paths: torch.Generator,
        *,
        video: Tensor,
        boxes: Tensor,
        threads: int,
    ) -> None:
        """Fill `video` (B T 1 H W) and `boxes` (B T k 4) with digits (B k 28 28, on the CPU) on
        random paths.
        """
        ink = ink_boxes(images)[:, :, None]
        positions = self.positions(len(images), by_paths)
        images = images[:, :, None]

        def work(part: slice) -> None:
            paste(images[part], positions[part], video[part, :, 0])
            boxes[part] = (ink[part] + positions[part].repeat(1, 1, 1, 2)).transpose(1, 2)

        parts = chunks(len(video), self.canvas**2 * self.frames, threads)
        share(work, ((part,) for part in parts), min(threads, len(parts)))

    def positions(self, size: int, generator: torch.Generator) -> Tensor:
        """Random paths: `B k T 2`, int64, x and y of the upper left corner of each digit's 28×28
        square, on the CPU.
        """
        k = self.num_digits
        largest = self.canvas - SIDE
        start = torch.rand(size, k, 2, generator=generator, dtype=torch.float64) * largest
        direction = torch.rand(size, k, generator=generator, dtype=torch.float64) * (2 * math.pi)
        slow, fast = self.speed
        speed = slow + (fast - slow) * torch.rand(size, k, generator=generator, dtype=torch.float64)
        velocity = torch.stack((direction.cos(), direction.sin()), -1) * speed[..., None]
        return bounce(start, velocity, self.frames, largest=largest).round().long()

    def _choose(
        self,
        size: int | None,
        labels: Tensor | Sequence[Sequence[int]] | None,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Classes `B k`, and the index of an image for each."""
        present = self.digits.classes
        if labels is None:
            assert size is not None, "either size or labels are given"
            classes = present[
                torch.randint(len(present), (size, self.num_digits), generator=generator)
            ]
        else:
            classes = torch.as_tensor(labels, dtype=torch.int64).cpu()
        return classes, self.digits.draw(classes, generator)


class DigitPairs(Dataset[Sample]):
    """Moving digits as samples for training: `(frames T H W 1 uint8, target, index)`.

    The class of two digits is their unordered pair (55 classes), that of one is the digit (10
    classes).

    A batch is generated at once, from a seed that is a function of `seed` and of its indices. In a
    new order every batch is new, and the same order gives the same videos again.

    Args:
        seed: different for training and validation.
    """

    def __init__(self, digits: MovingDigits, length: int, seed: int) -> None:
        self.digits = digits
        self.length = length
        self.seed = seed

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
def undivided_operations() -> Iterator[int]:
    """Keep PyTorch from dividing each operation among threads; yields how many threads it would
    have used.

    Where operations are short, whole parts of the work are divided instead: on a busy machine,
    threads that synchronize after every operation wait longer than they work.
    """
    threads = torch.get_num_threads()
    # For this thread and those that start later.
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def chunks(count: int, bytes_each: int, threads: int) -> list[slice]:
    """Divide `count` videos into chunks that fit a CPU's cache, equally many for all threads."""
    turns = math.ceil(count * bytes_each / CHUNK_BYTES / threads)
    size = math.ceil(count / (turns * threads))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def share(work: Callable[..., None], parts: Iterable[tuple[Any, ...]], threads: int) -> None:
    """Call `work` with every part in several threads; parts are generated in order."""
    inference = torch.is_inference_mode_enabled()  # of this thread only

    def run(part: tuple[Any, ...]) -> None:
        with torch.inference_mode(inference):
            work(*part)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, parts))


def random_stream(seed: int, of: str) -> torch.Generator:
    """The random generator that `MovingDigits.batch` uses for the "digits", or for the "paths".

    The two streams of a seed differ; otherwise the positions of the digits would depend on their
    labels.
    """
    state = int(np.random.SeedSequence([seed, _STREAMS[of]]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def bounce(start: Tensor, velocity: Tensor, frames: int, *, largest: float) -> Tensor:
    """Paths of points that are reflected at 0 and at `largest`: triangle waves of start +
    velocity·t.

    Args:
        start: `… 2`, x and y at frame 0, in [0, largest].
        velocity: `… 2`, pixels per frame.
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
    low, high = labels.aminmax(dim=-1)
    return low * 10 - low * (low - 1) // 2 + high - low
