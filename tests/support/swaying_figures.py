"""Generated recordings of stick figures that sway in the pauses between events, and sometimes do
something else, shorter than an event.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from onlooker.base.records import Segment
from onlooker.data.stick_figures import (
    ACTIONS,
    draw_background,
    draw_figure,
    figure_boxes,
    perform,
    person_colors,
    place_joints,
)
from onlooker.video.resize import Pixels

FPS = 10
SIZE = (36, 48)  # H W
STANDING = ACTIONS["wave"][0]
# radians by which shoulders and elbows, hips and knees, and the trunk sway; nobody jumps
SWAY = np.array([0.1, 0.12, 0.02, 0.03, 0.1, 0.12, 0.02, 0.03, 0.04, 0.0])
SMOOTH = 0.4  # seconds, of the sway


class Figures(NamedTuple):
    """A recording, and its events.

    `pixels`: `T H W 3`.
    """

    pixels: Pixels
    events: list[Segment]

    def clip(self, event: Segment, margin: float) -> Pixels:
        """The frames of an event with some seconds before and after it."""
        start = max(0, round((event.start - margin) * FPS))
        return self.pixels[start : round((event.end + margin) * FPS)]


def record(
    actions: Sequence[str], *, person: int, others: Sequence[str] = (), sway: float = 1.0
) -> Figures:
    """A recording of these actions with pauses of one to three seconds, in which the person sways.

    Args:
        others: actions that are no events; one that lasts half a second is in every second pause.
        sway: a factor of `SWAY`; 0: still pauses.
    """
    random = np.random.default_rng([7, person])
    parts = [np.repeat(STANDING[None], FPS, 0)]
    events = list[Segment]()
    for number, action in enumerate(actions):
        frames = int(FPS * random.uniform(1.4, 2.2))
        begin = sum(map(len, parts))
        events.append(Segment(action, begin / FPS, (begin + frames) / FPS))
        parts.append(_act(action, frames))
        parts.append(np.repeat(STANDING[None], int(FPS * random.uniform(0.5, 1.5)), 0))
        if others and number % 2:
            parts.append(_act(others[int(random.integers(len(others)))], FPS // 2))
        parts.append(np.repeat(STANDING[None], int(FPS * random.uniform(0.5, 1.5)), 0))
    poses = np.concatenate(parts)
    noise = gaussian_filter1d(random.normal(size=poses.shape), SMOOTH * FPS, axis=0)
    poses = poses + sway * SWAY * noise / noise.std(0)
    return Figures(_drawn(poses, random), events)


def _act(action: str, frames: int) -> np.ndarray:
    return perform(action, frames, FPS, event=(0, frames - 1), tempo=1.0)


def _drawn(poses: np.ndarray, random: np.random.Generator) -> Pixels:
    """Frames of a person with these poses, `T A`."""
    H, W = SIZE
    joints = place_joints(poses, random.random() < 0.5)
    thickness = random.uniform(0.7, 1.15)
    colors = person_colors(random)
    boxes = figure_boxes(joints, thickness)
    (left, top), right = boxes[:, :2].min(0), boxes[:, 2].max()
    ground = 0.92 * H
    height = min(0.75 * H, (W - 4) / (right - left), (ground - 2) / -top)
    origin = random.uniform(2 - left * height, W - 2 - right * height), ground
    background = draw_background(SIZE, ground - 0.1 * H, random)
    frames = np.empty((len(poses), *SIZE, 3), np.uint8)
    for t, frame in enumerate(frames):
        canvas = background.copy()
        placed = {name: path[t] * height + origin for name, path in joints.items()}
        draw_figure(canvas, placed, thickness=height * thickness, colors=colors)
        frame[:] = cv2.resize(canvas, SIZE[::-1], interpolation=cv2.INTER_AREA)
    noise = random.normal(0, 2, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)
