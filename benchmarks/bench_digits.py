"""Videos of moving digits, every variant: onlooker compared with a loop over frames in NumPy and
SciPy.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import harness
import numpy as np
import torch
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.mnist import SIDE, Digits, load_mnist

Transform = Callable[[np.ndarray], np.ndarray]

SEED = 0
VIDEOS = harness.size(50, 1)
FRAMES = 50
FRAMES_PER_SETTING = 5
CANVAS = 64
CENTER = (CANVAS - 1) / 2
# of the displacements; the window is 2·REACH + 1
ALPHA = 300.0
SIGMA = 10.0
REACH = 3
DENSITY = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * SIGMA**2)) / (
    math.sqrt(2 * math.pi) * SIGMA
)
STRENGTH = ALPHA * DENSITY.sum() ** 2  # SciPy's window sums to one, the paper's does not


class FrameByFrame:
    """The common implementation: for each frame, digits are pasted on a canvas, and the canvas is
    transformed.

    For a fair comparison, there is no Python loop over pixels, pixels have 8 bits, and what the
    frames of a setting share is computed once.

    Args:
        digits: the data set.
        variant: one of `VARIANTS`.
        joined: one resampling for `gesture`, instead of one that rotates and scales and one that
            deforms.
    """

    def __init__(self, digits: Digits, variant: str, joined: bool = False) -> None:
        self.digits = digits
        self.variant = variant
        self.joined = joined

    def batch(self, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Videos `B T H W` and their labels."""
        random = np.random.default_rng(seed)
        chosen = random.integers(len(self.digits.labels), size=(size, 2))
        videos = np.empty((size, FRAMES, CANVAS, CANVAS), np.uint8)
        for video, indices in zip(videos, chosen, strict=True):
            self.fill(video, self.digits.images[indices], random)
        return videos, self.digits.labels[chosen]

    def fill(self, video: np.ndarray, images: np.ndarray, random: np.random.Generator) -> None:
        """Draw one video."""
        free = CANVAS - SIDE
        positions = random.uniform(0, free, (len(images), 2))
        direction = random.uniform(0, 2 * math.pi, len(images))
        speed = random.uniform(4, 12, len(images))
        steps = np.stack((np.cos(direction), np.sin(direction)), 1) * speed[:, None]
        for t, frame in enumerate(video):
            if t % FRAMES_PER_SETTING == 0:
                transform = self.transform(random)
            canvas = np.zeros((CANVAS, CANVAS), np.uint8)
            for d, image in enumerate(images):
                x = round(positions[d, 0])
                y = round(positions[d, 1])
                part = canvas[y : y + SIDE, x : x + SIDE]
                np.maximum(part, image, out=part)
                for axis in (0, 1):
                    positions[d, axis] += steps[d, axis]
                    if not 0 <= positions[d, axis] <= free:
                        steps[d, axis] = -steps[d, axis]
                        positions[d, axis] = (
                            -positions[d, axis]
                            if positions[d, axis] < 0
                            else 2 * free - positions[d, axis]
                        )
            frame[:] = transform(canvas)

    def transform(self, random: np.random.Generator) -> Transform:
        """The random transformation of the canvas for one setting."""
        if self.variant == "normal":
            return lambda canvas: canvas
        angle = 0.0 if self.variant == "scale" else random.uniform(0, 2 * math.pi)
        factor = 1.0 if self.variant == "rotation" else random.uniform(0.4, 1)
        cos = math.cos(angle) / factor
        sin = math.sin(angle) / factor
        matrix = np.array([[cos, -sin], [sin, cos]])
        affine: Transform = partial(
            affine_transform, matrix=matrix, offset=CENTER - matrix @ (CENTER, CENTER), order=1
        )
        if self.variant != "gesture":
            return affine
        noise = random.uniform(-1, 1, (2, CANVAS, CANVAS))
        fields = [
            STRENGTH * gaussian_filter(plane, SIGMA, mode="constant", radius=REACH)
            for plane in noise
        ]
        points = np.mgrid[:CANVAS, :CANVAS] + fields
        if self.joined:
            points = np.tensordot(matrix, points - CENTER, 1) + CENTER
            return lambda canvas: map_coordinates(canvas, points, order=1)
        return lambda canvas: map_coordinates(affine(canvas), points, order=1)


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=7)
    arguments.add_argument(
        "--videos",
        type=int,
        default=VIDEOS,
        help="videos per batch; results are recorded for 50 only",
    )
    arguments.add_argument(
        "--threads",
        type=int,
        default=torch.get_num_threads(),
        help="threads of onlooker; the loop has one",
    )
    arguments.add_argument(
        "--mnist", type=Path, help="folder of the full data set; default: 5,000 digits"
    )
    options = arguments.parse_args()
    digits = load_mnist(options.mnist)[0]
    source = torch.randint(256, (options.videos, FRAMES, 1, CANVAS, CANVAS), dtype=torch.uint8)
    ratios: dict[int, dict[str, float]] = {}
    rates: dict[int, dict[str, dict[str, float]]] = {}
    profiles: dict[str, dict[str, float]] = {}
    for threads in sorted({1, options.threads}):
        torch.set_num_threads(threads)
        ratios[threads] = {}
        rates[threads] = {}
        rows = []
        for variant in VARIANTS:
            workloads: dict[str, Callable[[], object]] = {
                "onlooker": partial(
                    AugmentedDigits(digits, variant=variant).batch, options.videos, seed=SEED
                ),
                "loop": partial(FrameByFrame(digits, variant).batch, options.videos, SEED),
                "copy": source.clone,
            }
            if variant == "gesture":
                workloads["joined"] = partial(
                    FrameByFrame(digits, variant, joined=True).batch, options.videos, SEED
                )
            seconds = harness.interleaved(workloads, options.repetitions)
            profiles[variant] = harness.profile(workloads["onlooker"])
            rate = {name: options.videos / median(times) for name, times in seconds.items()}
            rates[threads][variant] = rate
            ratios[threads][variant] = harness.ratios(seconds)["loop"]
            rows.append(
                [
                    variant,
                    rate["onlooker"],
                    rate["loop"],
                    ratios[threads][variant],
                    rate["onlooker"] / rate["copy"],
                ]
            )
        columns = ["variant", "videos/s", "loop, videos/s", "loop / ours", "of a copy's speed"]
        harness.show(f"videos of {FRAMES} frames, threads: {threads}", columns, rows)
    if options.videos == VIDEOS:
        gesture = rates[options.threads]["gesture"]
        figures = {
            "ratios": ratios[options.threads],
            "ratios_one_thread": ratios[1],
            "ratio_gesture_joined": round(gesture["onlooker"] / gesture["joined"], 3),
            "videos_per_second": rates[options.threads],
            "videos_per_second_one_thread": rates[1],
            "of_copy": {
                variant: rate["onlooker"] / rate["copy"]
                for variant, rate in rates[options.threads].items()
            },
            "threads": options.threads,
            "profile": profiles,
        }
        print(
            harness.record(
                "bench-digits", __doc__, figures, seeds=[SEED], packages=["torch", "numpy", "scipy"]
            )
        )


if __name__ == "__main__":
    main()
