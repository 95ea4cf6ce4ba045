"""Augmented Moving MNIST: digits that bounce in a small canvas, made in whole batches as fast as memory can be filled.

What happens to a digit is a gather, never a loop over frames: its path has a closed form, its place in a frame is an
offset into one flat picture of it, and a canvas transform is one bilinear resampling whose channels are the frames.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.data.digits import SIDE, Digits

VARIANTS = ("normal", "rotation", "scale", "rotation+scale", "gesture")
PAIRS = tuple(f"{a}+{b}" for a, b in itertools.combinations_with_replacement(range(10), 2))

_STREAMS = {"digits": 0, "paths": 1}
_CHUNK_BYTES = 1 << 22  # of digit layers that are worked on at a time, near the size of a processor's cache


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
    All variants but `normal` also transform the canvas about its centre, for `frames_per_setting` frames each time:
    `rotation` by an angle in [0, 2π), `scale` by a factor in `scale`, `rotation+scale` both, `gesture` both and, after
    them, an elastic deformation (`elastic_fields`). The transform is one bilinear resampling of each digit's own layer,
    zero beyond the canvas, rounded; the layers are joined after it, so that a box is that of one digit.

    Args:
        digits: where the digits come from.
        variant: one of `VARIANTS`.
        num_digits: digits in a video (k).
        canvas: height and width of a frame, in pixels.
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
        if self.canvas < SIDE:
            raise ValueError(f"canvas is {self.canvas} pixels, expected at least the {SIDE} of a digit")
        if self.variant != "normal" and self.frames % self.frames_per_setting:
            raise ValueError(
                f"{self.frames} frames cannot be divided into settings of {self.frames_per_setting}; "
                "make frames a multiple of frames_per_setting"
            )
        if not 0 <= self.speed[0] <= self.speed[1] < math.inf:
            raise ValueError(f"speed is {self.speed}, expected (slowest, fastest) in pixels a frame, neither negative")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale is {self.scale}, expected (smallest, largest), both positive")
        if self.sigma <= 0 or self.window % 2 == 0:
            raise ValueError(f"sigma is {self.sigma} and window {self.window}, expected a positive and an odd number")

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
        """Make `size` videos. Equal arguments give equal videos, bit for bit on one device.

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
        chance = random_stream(seed if digits_seed is None else digits_seed, "digits")
        classes, indices = self._choose(size, labels, chance)
        images = torch.from_numpy(self.digits.images[indices.numpy()]).to(device)  # B k 28 28
        chance = random_stream(seed if paths_seed is None else paths_seed, "paths")
        motion = self.motion(len(classes), chance)

        B, k, T, side = len(classes), self.num_digits, self.frames, self.canvas
        video = torch.empty(B, T, 1, side, side, dtype=torch.uint8, device=device)
        boxes = torch.empty(B, T, k, 4, device=device)
        # Layers that are resampled are floats.
        width = 1 if self.variant == "normal" else 4
        chunk = max(1, _CHUNK_BYTES // (k * T * side * side * width))
        for first in range(0, B, chunk):
            part = slice(first, min(first + chunk, B))
            moves = Motion(motion.positions[part], motion.angles[part], motion.scales[part])
            fields = None
            if self.variant == "gesture":
                fields = elastic_fields(moves.angles.numel(), side, chance, self.alpha, self.sigma, self.window)
            self._draw(images[part], moves, fields, video[part], boxes[part])
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
        present = np.unique(self.digits.labels)
        if labels is None:
            if size is None or size < 1:
                raise ValueError(f"size is {size}, expected at least 1 video")
            drawn = torch.randint(len(present), (size, self.num_digits), generator=generator)
            classes = torch.from_numpy(present)[drawn]
        else:
            classes = torch.as_tensor(labels, dtype=torch.int64).cpu()
            if classes.ndim != 2 or classes.shape[1] != self.num_digits or not len(classes):
                raise ValueError(f"labels have shape {tuple(classes.shape)}, expected (videos, {self.num_digits})")
            if size is not None and size != len(classes):
                raise ValueError(f"size is {size} for {len(classes)} labels; leave size out")
            if missing := sorted(set(classes.flatten().tolist()) - set(present.tolist())):
                raise ValueError(f"no image of {missing} in the digits, which show {present.tolist()}")
        by_class = torch.from_numpy(np.argsort(self.digits.labels, kind="stable"))
        counts = torch.from_numpy(np.bincount(self.digits.labels, minlength=10))
        first = counts.cumsum(0) - counts
        share = torch.rand(classes.shape, generator=generator, dtype=torch.float64)
        return classes, by_class[first[classes] + (share * counts[classes]).long()]

    def _draw(self, images: Tensor, motion: Motion, fields: Tensor | None, video: Tensor, boxes: Tensor) -> None:
        """Fill `video` (B T 1 H W) and `boxes` (B T k 4) with the digits `images` (B k 28 28)."""
        B, k, T, side, S = len(images), self.num_digits, self.frames, self.canvas, self.settings
        positions = motion.positions.to(images.device)
        # The frames of a setting beside each other, for they become the channels of one resampling.
        by_setting = positions.view(B, k, S, T // S, 2).transpose(1, 2)  # B S k T/S 2
        layers = place(images, by_setting, side)  # B S k T/S H W
        if self.variant == "normal":
            box = ink_boxes(images)[:, :, None] + positions.repeat(1, 1, 1, 2)  # B k T 4
            boxes.copy_(box.transpose(1, 2))
        else:
            grid = canvas_grid(motion.angles.flatten(), motion.scales.flatten(), side, fields, images.device)
            sampled = F.grid_sample(layers.view(B * S, -1, side, side).float(), grid, align_corners=False)
            levels = sampled.add_(0.5).floor_().view_as(layers)
            boxes.copy_(ink_boxes(levels).permute(0, 1, 3, 2, 4).flatten(1, 2))
            # By way of int32, for which there are vector instructions: three times as fast.
            layers = levels.to(torch.int32).to(torch.uint8)
        joined = video.view(B, S, T // S, side, side)
        joined.copy_(layers[:, :, 0])
        for digit in range(1, k):
            torch.maximum(joined, layers[:, :, digit], out=joined)


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


def place(images: Tensor, positions: Tensor, canvas: int) -> Tensor:
    """Each digit alone on a black canvas, at each of its places.

    A digit in the far corner of a picture as wide as the canvas, stored row after row, moves by (x, y) when one reads
    from y·canvas + x earlier on: a frame is one contiguous copy, whose start is all that a path decides. Eight copies,
    shifted by a byte each, let it be made of eight-byte words.

    Args:
        images: `B k 28 28`, uint8.
        positions: `B S k F 2`, int64, x and y of the upper left corner, within the canvas.
        canvas: H and W.

    Returns:
        `B S k F H W`, uint8.
    """
    B, k = images.shape[:2]
    size = canvas * canvas
    dtype, width = (torch.int64, 8) if size % 8 == 0 else (torch.uint8, 1)
    corner = (canvas - SIDE) * (canvas + 1)
    length = (corner + size + width - 1) // width * width

    strip = torch.zeros(B * k, length + width, dtype=torch.uint8, device=images.device)
    rows = strip.as_strided((B * k, SIDE, SIDE), (length + width, canvas, 1), corner)
    rows.copy_(images.flatten(0, 1))
    shifted = strip.unfold(1, length, 1)[:, :width].contiguous().view(dtype).flatten()
    windows = shifted.as_strided((len(shifted) - size // width + 1, size // width), (1, 1))

    start = corner - positions[..., 1] * canvas - positions[..., 0]  # B S k F
    digit = torch.arange(B * k, device=images.device).view(B, 1, k, 1)
    word = (digit * width + start % width) * (length // width) + start // width
    frames = windows.index_select(0, word.flatten())
    return frames.view(torch.uint8).view(*word.shape, canvas, canvas)


def canvas_grid(angles: Tensor, scales: Tensor, canvas: int, fields: Tensor | None, device: torch.device) -> Tensor:
    """Where each pixel of a transformed canvas comes from, as `grid_sample` wants it (`align_corners=False`).

    The pixel p shows the source at R(-angle)·(p + field(p) - centre) / scale + centre: the canvas is turned clockwise
    and scaled about its centre, then deformed.

    Args:
        angles, scales: `n`.
        canvas: H and W.
        fields: `n 2 H W`, displacements in pixels, or None.
        device: where the grid is made.

    Returns:
        `n H W 2`.
    """
    cos = (angles.cos() / scales).to(device)[:, None, None]
    sin = (angles.sin() / scales).to(device)[:, None, None]
    # From the centre of one border pixel to the other, in the units of grid_sample: the canvas is [-1, 1].
    axis = torch.arange(1 - canvas, canvas, 2, device=device, dtype=torch.float32) / canvas
    grid = torch.empty(len(angles), canvas, canvas, 2, device=device)
    if fields is None:
        x, y = axis, axis[:, None]
    else:
        x_shift, y_shift = (fields.to(device) * (2 / canvas)).unbind(1)
        x, y = axis + x_shift, axis[:, None] + y_shift
    torch.add(cos * x, sin * y, out=grid[..., 0])
    torch.sub(cos * y, sin * x, out=grid[..., 1])
    return grid


def elastic_fields(
    count: int, canvas: int, generator: torch.Generator, alpha: float = 300.0, sigma: float = 10.0, window: int = 7
) -> Tensor:
    """Random smooth displacements (Simard, Steinkraus, Platt 2003).

    Noise, uniform in [-1, 1], is convolved with a Gaussian density cut to `window` × `window` pixels, zero beyond the
    canvas, and multiplied by `alpha`. The density is not raised to sum to one over the window: with the paper's figures
    (the defaults) displacements have a standard deviation of 1.8 pixels; normalised it would be 25, and digits dust.

    Returns:
        `count 2 H W`, float32, pixels, on the CPU.
    """
    noise = torch.rand(count, 2, canvas, canvas, generator=generator).mul_(2).sub_(1)
    # The window is separable, and as a band of a matrix it runs at the speed of a matrix product.
    pixel = torch.arange(canvas)
    offset = (pixel[:, None] - pixel).abs()
    band = torch.exp(-(offset**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
    band = band.where(offset <= window // 2, 0)
    return alpha * band @ (noise @ band)


def ink_boxes(layers: Tensor) -> Tensor:
    """The smallest rectangles around all pixels above 0.

    Args:
        layers: `… H W`, whole numbers from 0 to 255 of any type.

    Returns:
        `… 4`, float32, `x1 y1 x2 y2`; NaN where every pixel is 0.
    """
    # A sum is above 0 where a pixel is, and a product with ones is the fastest sum along a row or a column.
    levels = layers.float()
    x1, x2 = _extent(levels.new_ones(levels.shape[-2]) @ levels)
    y1, y2 = _extent(levels @ levels.new_ones(levels.shape[-1]))
    return torch.stack((x1, y1, x2, y2), -1)


def _extent(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Where each profile `… n` first rises above 0, and just behind where it last does; NaN where it never does."""
    inked = profile > 0
    seen = inked.any(-1)
    first = inked.to(torch.uint8).argmax(-1)
    last = profile.shape[-1] - inked.flip(-1).to(torch.uint8).argmax(-1)
    return first.float().where(seen, torch.nan), last.float().where(seen, torch.nan)


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
