"""Clips that only the motion between neighboring frames tells apart: a belt of noise runs to the left
or to the right behind a window of a still scene, so far between two sampled frames that these show
unrelated parts of it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.video.write import write

CLASSES = ("left", "right")
SIDE = 120
RATE = 25.0


def belt(label: str, seed: int, frames: int = 36) -> NDArray[np.uint8]:
    """`T 120 120 3`; of another class than `left` and `right`, nothing moves."""
    random = np.random.default_rng(seed)
    scene = _noise(random, SIDE, SIDE)
    shift = {"left": -2, "right": 2}.get(label, 0)
    moving = _noise(random, 48, 4 * SIDE)
    images = np.repeat(scene[None], frames, 0)
    for t in range(frames):
        images[t, 36:84, 30:90] = np.roll(moving, shift * t, 1)[:, :60]
    return np.repeat(images[..., None], 3, -1)


def _noise(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Gray noise in patches of 4 pixels."""
    coarse = random.integers(0, 256, (-(-height // 4), -(-width // 4)))
    patches = coarse.repeat(4, 0).repeat(4, 1)
    return patches[:height, :width].astype(np.uint8)


def make_belts(folder: Path, count: int, first: int = 0) -> Path:
    """`count` clips of each class, in folders of their names."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            seed = 2 * number + CLASSES.index(label)
            write(folder / label / f"{number}.mp4", belt(label, seed), fps=RATE)
    return folder
