"""Stick figures: generated videos of a person who acts for part of the time, as arrays or as video files.

Single frames are often ambiguous: sitting down and standing up, walking forward and backward, raising and lowering an
arm show the same poses in another order. Boxes and the time of the event are known.
"""

import colorsys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.data import figure_animation as figure
from onlooker.data.folder import RECORDINGS
from onlooker.files import whole_folder, write_bytes, write_json
from onlooker.video.write import write

__all__ = ["StickFigures", "write_set"]

_MARGIN = 2.0  # pixels between a figure and the border of the frame


@dataclass(frozen=True, eq=False)
class FigureVideo:
    """A video with its ground truth."""

    pixels: figure.Pixels  # T H W 3, RGB
    action: str
    person: int
    boxes: NDArray[np.float32]  # T 4: x1 y1 x2 y2 in pixels, the smallest rectangle around the figure
    moving: NDArray[np.bool_]  # T: whether the frame is part of the event


@dataclass(frozen=True)
class StickFigures:
    """The settings of generated videos.

    Args:
        frames: frames per video (T).
        fps: frames per second; the speed of motion is in seconds.
        size: height and width of a frame (H W), in pixels.
        people: number of persons; the n-th video of each action shows person n modulo `people`.
        event: smallest and largest share of the video that the motion fills; `(1, 1)`: all of it.
        noise: standard deviation of the noise of each frame, in levels of 255.
    """

    frames: int = 48
    fps: float = 24.0
    size: tuple[int, int] = (144, 192)
    people: int = 10
    event: tuple[float, float] = (0.5, 0.8)
    noise: float = 2.0

    def video(self, action: str, number: int = 0, *, seed: int = 0) -> FigureVideo:
        """Video `number` of an action, of person `number` modulo `people`. Equal arguments give equal videos."""
        index, (H, W) = number % self.people, self.size
        person = np.random.default_rng([seed, 0, index])
        height, thickness, tempo = person.uniform((0.52, 0.85, 0.85), (0.7, 1.15, 1.15))
        right_handed, colors = person.random() < 0.85, _colors(person)

        rng = np.random.default_rng([seed, 1, list(figure.ACTIONS).index(action), number])
        steps = max(1, round(rng.uniform(*self.event) * (self.frames - 1)))
        first = int(rng.integers(0, self.frames - steps))
        poses = figure.perform(action, self.frames, self.fps, (first, first + steps), tempo)
        poses = np.concatenate((figure.SEATED[None], poses))  # the first tells where the stool is
        faces_right = rng.random() < 0.5
        if right_handed != faces_right:  # the right side is the near one of a person who faces to the right
            poses = figure.swap_sides(poses)
        joints = figure.place_joints(poses, faces_right)

        # At a random place; smaller than usual, if the motion would leave the frame.
        boxes = figure.boxes(joints, thickness)
        (left, top), (right, _) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        ground = H * rng.uniform(0.86, 0.95)
        height = min(height * H, (W - 2 * _MARGIN) / (right - left), (ground - _MARGIN) / -top)
        origin = rng.uniform(_MARGIN - left * height, W - _MARGIN - right * height), ground
        boxes = (boxes * height + origin * 2).astype(np.float32)
        joints = {name: path * height + origin for name, path in joints.items()}

        # Every video has a stool where the person would sit, so that it does not reveal the action.
        seat = joints["pelvis"][0, 0]
        background = _background(self.size, ground - H * rng.uniform(0.06, 0.16), rng)
        shadow = 0.75 * background[-1].mean(0)  # of the color of the ground
        pixels = np.empty((self.frames, H, W, 3), np.uint8)
        for t, frame in enumerate(pixels, 1):
            canvas = background.copy()
            for x in (seat, joints["pelvis"][t, 0]):
                figure.draw_line(canvas, (x - 0.2 * height, ground), (x + 0.2 * height, ground), 0.04 * height, shadow)
            _draw_stool(canvas, seat, ground, 0.23 * height)
            figure.draw(canvas, {name: path[t] for name, path in joints.items()}, height * thickness, colors)
            smooth = cv2.resize(canvas, (W, H), interpolation=cv2.INTER_AREA)
            frame[:] = np.clip(smooth + self.noise * rng.standard_normal(frame.shape, np.float32), 0, 255).round()
        moving = (np.arange(self.frames) >= first) & (np.arange(self.frames) <= first + steps)
        return FigureVideo(pixels, action, index, boxes[1:], moving)


def _colors(rng: np.random.Generator) -> dict[str, figure.Floats]:
    """The colors of a person."""
    skin, hair = np.array((245.0, 205.0, 175.0)), np.array((120.0, 85.0, 55.0))
    colors = {"skin": skin * rng.uniform(0.45, 1), "hair": hair * rng.uniform(0.2, 1.4)}
    for name, value in (("shirt", 220), ("trousers", 130), ("shoes", 80)):
        colors[name] = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 0.85), value))
    return colors


def _background(size: tuple[int, int], horizon: float, rng: np.random.Generator) -> figure.Pixels:
    """A canvas for frames of H W: a wall, ground from row `horizon` on, and boxes on both."""
    H, W = size
    canvas = np.empty((H * figure.FINER, W * figure.FINER, 3), np.uint8)
    wall, below = np.split(canvas, [round(horizon * figure.FINER)])
    light = rng.uniform(150, 225)
    for part, level in ((wall, light), (below, light * rng.uniform(0.65, 0.85))):
        layers = rng.normal(0, 14, (2, 2)), rng.normal(0, 3, (40, 40))  # a gradient and a texture
        shading = np.sum([cv2.resize(layer, part.shape[1::-1]) for layer in layers], 0)
        part[:] = np.clip(level + rng.uniform(-25, 25, 3) + shading[..., None], 0, 255)
    for bottom in rng.choice((0.4 * horizon, 0.6 * horizon, horizon + 0.02 * H), rng.integers(3, 7)):
        x, w, h = W * rng.uniform((0, 0.07, 0.07), (1, 0.16, 0.14))
        left, right, top, low = (round(edge * figure.FINER) for edge in (x, x + w, max(bottom - h, 0), bottom))
        color, frame = rng.uniform(90, 200) + rng.uniform(-45, 45, 3), figure.FINER * W // 100
        canvas[top:low, left:right] = color * 0.8
        canvas[top + frame : low - frame, left + frame : right - frame] = color
    return canvas


def _draw_stool(canvas: figure.Pixels, x: float, ground: float, size: float) -> None:
    top, wood = ground - size, np.array((150.0, 108.0, 70.0))
    for side in (-0.4, 0.4):
        figure.draw_line(canvas, (x + side * size, ground), (x + 0.7 * side * size, top), 0.05 * size, wood * 0.8)
    figure.draw_line(canvas, (x - 0.4 * size, top), (x + 0.4 * size, top), 0.08 * size, wood)


def write_set(
    folder: Path,
    clips: int = 20,
    *,
    seed: int = 0,
    figures: StickFigures | None = None,
    actions: Sequence[str] = tuple(figure.ACTIONS),
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Path:
    """Write videos as a folder of clips: `folder/<action>/NNN.mp4`, `recordings.csv` and `truth.json`.

    The recording of a clip is its person, so that a split can leave people out. `truth.json` contains the settings, and
    for each clip `person`, `event` (first and last frame) and `boxes` (`T 4`, in pixels). A folder that exists is
    complete. Equal arguments give equal files, if the video encoder is the same.

    Args:
        folder: new or empty.
        clips: videos per action.
        progress: called with the tasks and their number; yields the tasks.

    Raises:
        FileExistsError: the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder; choose a new folder, or remove it")
    figures = figures or StickFigures()
    jobs = [(action, number) for action in actions for number in range(clips)]
    recordings, truth = "clip,recording\n", {}
    with whole_folder(folder) as part:
        for action, number in progress(jobs, len(jobs)):
            name, video = f"{action}/{number:03}.mp4", figures.video(action, number, seed=seed)
            write(part / name, video.pixels, figures.fps)
            recordings += f"{name},person-{video.person:02}\n"
            first, *_, last = np.flatnonzero(video.moving).tolist()
            truth[name] = {"person": video.person, "event": [first, last], "boxes": video.boxes.tolist()}
        write_bytes(part / RECORDINGS, recordings.encode())
        write_json(part / "truth.json", {"seed": seed, "settings": asdict(figures), "clips": truth})
    return folder
