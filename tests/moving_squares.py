"""A tiny data set that can be learned: a bright square that moves in one of four directions."""

from pathlib import Path

import numpy as np

from onlooker.video.write import write

WAYS = {"down": (0, 2), "left": (-2, 0), "right": (2, 0), "up": (0, -2)}


def make_set(
    folder: Path, clips: int = 6, frames: int = 12, side: int = 32, seed: int = 0
) -> Path:
    """Write `clips` mp4 files of each direction into `folder/DIRECTION`."""
    chance = np.random.default_rng(seed)
    for name, (dx, dy) in WAYS.items():
        for number in range(clips):
            x = 16 - dx * 4 + chance.integers(-3, 4)
            y = 16 - dy * 4 + chance.integers(-3, 4)
            video = np.full((frames, side, side, 3), 40, np.uint8)
            for t in range(frames):
                left = (x + dx * t) % (side - 8)
                top = (y + dy * t) % (side - 8)
                video[t, top : top + 8, left : left + 8] = 230
            write(folder / name / f"{number:02}.mp4", video, fps=10)
    return folder
