"""Tiny data that can be learned: clips of a bright square that moves in one of four directions, and
recordings of squares that move to the left or right, grow, or rest.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onlooker.base.records import Segment
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


def frames_of(action: str | None, count: int, gray: int, top: int = 10) -> list[np.ndarray]:
    """A square that moves to the left or right, grows, or rests."""
    frames = []
    for t in range(count):
        frame = np.full((48, 64, 3), gray, np.uint8)
        x = 28
        size = 10
        if action in ("left", "right"):
            x += round(24 * t / count) * (1 if action == "right" else -1)
        if action == "grow":
            size += round(24 * t / count)
        frame[top : top + size, x : x + size] = 240
        frames.append(frame)
    return frames


def recording(
    order: Sequence[str], gray: int, event: int = 16, pause: int = 20
) -> tuple[np.ndarray, list[Segment]]:
    """Frames of events with pauses between them, 10 per second, and when they are."""
    frames = frames_of(None, pause, gray)
    events = list[Segment]()
    for action in order:
        events.append(Segment(action, len(frames) / 10, (len(frames) + event) / 10))
        frames += frames_of(action, event, gray)
        frames += [frames[-1]] * pause
    return np.stack(frames), events
