"""Generated clips to try the page without a camera: stick figures that act, or stand still."""

from pathlib import Path

import numpy as np

from onlooker.data.stick_figures import StickFigures
from onlooker.video.write import write

__all__ = ["draw_examples"]

_ACTIONS = ("wave", "jumping_jack", "bend")
_CLIPS, _FRAMES = 6, 36  # clips of each class, frames of each clip
_SEED = 7


def draw_examples(folder: Path, nothing: str) -> list[tuple[str, Path, str]]:
    """Draw clips of three actions and of nothing into a folder; returns class, file and name of each.

    Args:
        nothing: the name of the class in which nothing happens.
    """
    acting = StickFigures(frames=_FRAMES, size=(120, 160), people=_CLIPS, event=(0.6, 0.9), bystanders=0.0)
    drawn = []
    for action in _ACTIONS:
        for number in range(_CLIPS):
            pixels = acting.video(action, number, seed=_SEED).pixels
            drawn.append(
                (action, write(folder / f"{action}-{number}.mp4", pixels, acting.fps), f"example-{number + 1}.mp4")
            )
    # Clips of nothing: the part before or after a short movement in a long video, whichever is longer.
    waiting = StickFigures(frames=2 * _FRAMES + 8, size=(120, 160), people=_CLIPS, event=(0.05, 0.05), bystanders=0.0)
    for number in range(_CLIPS):
        video = waiting.video(_ACTIONS[number % len(_ACTIONS)], number, seed=_SEED)
        first, last = np.flatnonzero(video.moving)[[0, -1]]
        pixels = video.pixels[: first - 1] if first > len(video.pixels) - last else video.pixels[last + 1 :]
        file = write(folder / f"nothing-{number}.mp4", pixels[:_FRAMES], waiting.fps)
        drawn.append((nothing, file, f"example-{number + 1}.mp4"))
    return drawn
