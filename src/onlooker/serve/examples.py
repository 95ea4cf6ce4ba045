"""Generated clips to try the page without a camera: stick figures that act, or stand still.

The examples to look at show the actions of the clips to train on: a model that was taught these knows them.
"""

import io
import secrets
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

from onlooker.data.stick_figures import StickFigures
from onlooker.serve.problem import Problem
from onlooker.serve.translation import t
from onlooker.video.write import write

__all__ = ["EXAMPLES", "draw_example", "draw_examples", "example_label", "example_still"]

EXAMPLES = ("wave", "jumping_jack", "bend")
_CLIPS, _FRAMES = 6, 36  # clips of each class, frames of each clip
_SEED = 7
_SHOWN_PERSON = 3  # in the stills


def draw_examples(folder: Path, nothing: str) -> list[tuple[str, Path, str]]:
    """Draw clips of three actions and of nothing into a folder; returns class, file and name of each.

    Args:
        nothing: the name of the class in which nothing happens.
    """
    acting = StickFigures(frames=_FRAMES, size=(120, 160), people=_CLIPS, event=(0.6, 0.9), bystanders=0.0)
    drawn = []
    for action in EXAMPLES:
        for number in range(_CLIPS):
            pixels = acting.video(action, number, seed=_SEED).pixels
            drawn.append(
                (action, write(folder / f"{action}-{number}.mp4", pixels, acting.fps), f"example-{number + 1}.mp4")
            )
    # Clips of nothing: the part before or after a short movement in a long video, whichever is longer.
    waiting = StickFigures(frames=2 * _FRAMES + 8, size=(120, 160), people=_CLIPS, event=(0.05, 0.05), bystanders=0.0)
    for number, action in zip(range(_CLIPS), cycle(EXAMPLES)):
        video = waiting.video(action, number, seed=_SEED)
        first, last = np.flatnonzero(video.moving)[[0, -1]]
        pixels = video.pixels[: first - 1] if first > len(video.pixels) - last else video.pixels[last + 1 :]
        file = write(folder / f"nothing-{number}.mp4", pixels[:_FRAMES], waiting.fps)
        drawn.append((nothing, file, f"example-{number + 1}.mp4"))
    return drawn


def draw_example(action: str, path: Path) -> None:
    """Draw a clip to look at, each time another person; the file gets no suffix of its format."""
    figures, drawn = StickFigures(frames=72, size=(288, 384), bystanders=0), path.with_name("drawn.mp4")
    write(drawn, figures.video(action, secrets.randbelow(1000)).pixels, figures.fps).replace(path)


def example_label(action: str) -> str:
    """The name that the page shows for an example; a Problem 404 if there is none."""
    if action not in EXAMPLES:
        raise Problem(404, "no_example", names=", ".join(EXAMPLES))
    return t(f"example.{action}")


@cache
def example_still(action: str) -> bytes:
    """A frame of an example, as JPEG; a Problem 404 for an unknown name."""
    example_label(action)
    frames = StickFigures(frames=9, size=(144, 192), bystanders=0, event=(1, 1)).video(action, _SHOWN_PERSON).pixels
    content = io.BytesIO()
    Image.fromarray(frames[len(frames) // 2]).save(content, "jpeg", quality=85)
    return content.getvalue()
