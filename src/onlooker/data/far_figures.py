"""People across a room: figures of 15 to 35 % of the picture's height, who differ in what their arms
do.

A camera on a shelf, fixed or swaying a little, with the noise of its sensor and coarse H.264. Two
people share a room. They face the camera and stand, so that a gesture is where two hands are over
time: x to the right and y down, from the neck, in heights of the body.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.data.stick_figures import (
    FINER,
    FRONT,
    FigureVideo,
    Floats,
    Life,
    Pixels,
    StickFigures,
    draw_background,
    draw_figure,
    draw_line,
    figure_boxes,
    interpolated,
    person_colors,
)

_REST = (0.13, 0.3, -0.13, 0.3)
_RIGHT = (0.25, 0.03, -0.13, 0.3)
_ACROSS = (-0.15, 0.04, -0.13, 0.3)
# Key places of the right hand of the picture and of the left one, at equal distances in time, as
# `ACTIONS`.
GESTURES = {
    "clap": (_REST, (0.11, 0.1, -0.11, 0.1), (0.012, 0.09, -0.012, 0.09), _REST),
    "swipe_left": (_REST, _RIGHT, _ACROSS, _REST),
    "swipe_right": (_REST, _ACROSS, _RIGHT, _REST),
    "throw": (
        _REST,
        (0.23, -0.04, -0.13, 0.3),
        (0.24, -0.14, -0.13, 0.3),
        (0.13, -0.21, -0.13, 0.3),
        (-0.02, 0.12, -0.13, 0.3),
        _REST,
    ),
    "wave": (_REST, (0.21, -0.16, -0.13, 0.3), (0.08, -0.2, -0.13, 0.3), _REST),
}
_MIRRORED = {"swipe_left": "swipe_right", "swipe_right": "swipe_left"}
_HERTZ = {"clap": 2.0, "wave": 1.5}
_SECONDS = (1.4, 2.3)  # of a gesture
_BOUT = (6.0, 10.0)  # seconds that repeated gestures last at least; the last one ends later
_PAUSE = (2.0, 9.0)  # seconds between gestures
_PEOPLE = 2  # in a room
_MARGIN = 24  # pixels of the picture around somebody, and around the noise
_NOISES = 4  # independent frames of noise; each frame is a part of one of them

# Rectangles of furnishings: left, top, right and bottom in heights of a person, up from the floor;
# and their brightness.
_FURNISHINGS: Mapping[str, Sequence[tuple[float, float, float, float, float]]] = {
    "door": (
        (-0.3, 1.25, 0.3, 0, 0.8),
        (-0.26, 1.21, 0.26, 0, 1.1),
        (0.17, 0.6, 0.22, 0.56, 0.4),
    ),
    "window": (
        (-0.45, 1.3, 0.45, 0.55, 0.7),
        (-0.41, 1.26, -0.02, 0.59, 1.9),
        (0.02, 1.26, 0.41, 0.59, 1.9),
    ),
    "table": (
        (-0.45, 0.46, 0.45, 0.42, 1.0),
        (-0.42, 0.42, -0.37, 0, 0.7),
        (0.37, 0.42, 0.42, 0, 0.7),
    ),
    "sofa": (
        (-0.65, 0.5, 0.65, 0.05, 0.9),
        (-0.5, 0.27, 0.5, 0.05, 1.1),
        (-0.7, 0.34, -0.5, 0.03, 0.75),
        (0.5, 0.34, 0.7, 0.03, 0.75),
    ),
    "shelf": (
        (-0.3, 1.15, 0.3, 0, 0.6),
        (-0.27, 1.12, 0.27, 0.8, 1.3),
        (-0.27, 0.77, 0.27, 0.42, 1.0),
        (-0.27, 0.39, 0.27, 0.04, 1.4),
        (-0.2, 1.02, -0.05, 0.8, 0.5),
        (0.0, 0.7, 0.2, 0.42, 1.6),
    ),
    "lamp": (
        (-0.015, 0.85, 0.015, 0, 0.4),
        (-0.12, 0.03, 0.12, 0, 0.4),
        (-0.14, 1.08, 0.14, 0.85, 1.8),
    ),
    "plant": (
        (-0.1, 0.22, 0.1, 0, 0.8),
        (-0.15, 0.6, 0.02, 0.22, 0.55),
        (-0.03, 0.72, 0.13, 0.22, 0.45),
    ),
}


class Act(NamedTuple):
    """A gesture, and its first and last frame."""

    gesture: str
    first: int
    last: int


@dataclass(frozen=True)
class FarFigures(StickFigures):
    """The settings of generated videos of people across a room; see `StickFigures`."""

    frames: int = 45
    fps: float = 15.0
    size: tuple[int, int] = (480, 640)
    noise: float = 4.0

    compression: ClassVar[Mapping[str, str]] = {"preset": "veryfast", "crf": "24"}

    def video(self, action: str, number: int = 0, *, seed: int = 0) -> FigureVideo:
        """Video `number` of a gesture, of person `number` modulo `people`. Equal arguments give
        equal videos.
        """
        person = number % self.people
        rng = np.random.default_rng([seed, 3, list(GESTURES).index(action), number])
        steps = max(1, round(rng.uniform(*self.event) * (self.frames - 1)))
        first = int(rng.integers(0, self.frames - steps))
        acts = [Act(action, first, first + steps)]
        scene = _Scene(self, person, seed=seed, rng=rng)
        boxes, frames = scene.film(acts, self.frames)
        t = np.arange(self.frames)
        moving = (t >= first) & (t <= first + steps)
        return FigureVideo(np.stack([*frames]), person, boxes, moving=moving, room=scene.number)

    def life(self, person: int, seconds: float, *, pauses: bool, seed: int) -> Life:
        """A recording of a person: gestures that are repeated for 6 to 12 s, one right after
        another; with pauses, single gestures at rest before and after.
        """
        rng = np.random.default_rng([seed, 4, person, int(pauses)])
        scene = _Scene(self, person, seed=seed, rng=rng)
        acts = list[Act]()
        bouts = list[tuple[str, int, int]]()
        gestures = list[str]()
        frame = 0
        while frame < seconds * self.fps:
            if not gestures:
                gestures = list(rng.permutation(list(GESTURES)))
                if bouts and gestures[-1] == bouts[-1][0]:
                    gestures.reverse()
            gesture = str(gestures.pop())
            if pauses:
                frame += round(rng.uniform(*_PAUSE) * self.fps)
            begin = frame
            least = 1 if pauses else round(rng.uniform(*_BOUT) * self.fps)
            while frame < begin + least:
                steps = round(rng.uniform(*_SECONDS) * self.fps / scene.tempo)
                acts.append(Act(gesture, frame, frame + steps))
                frame += steps
            bouts.append((gesture, begin, frame))
        if pauses:
            frame += round(_PAUSE[0] * self.fps)
        return Life(f"person-{person}-room-{scene.number}", scene.film(acts, frame)[1], bouts)


class _Room(NamedTuple):
    """A furnished room, as a canvas and as a frame; in pixels, the row where its floor begins, the
    height of people, and how far its camera sways.
    """

    canvas: Pixels
    still: Pixels
    ground: float
    height: float
    sway: float


class _Scene:
    """A person in a room, before a camera."""

    def __init__(
        self, figures: FarFigures, person: int, *, seed: int, rng: np.random.Generator
    ) -> None:
        self.figures = figures
        self.rng = rng
        self.number = person // _PEOPLE
        self.room = room = _room(figures.size, seed, self.number)

        body = np.random.default_rng([seed, 6, person])
        self.height = room.height * body.uniform(0.9, 1.09)
        self.tempo = body.uniform(0.8, 1.25)
        self.thickness = body.uniform(0.85, 1.25)
        self.legs, self.shoulders, self.arms = body.uniform((0.44, 0.085, 0.3), (0.5, 0.115, 0.36))
        self.is_right_handed = bool(body.random() < 0.8)
        self.style = body.normal(0, 0.018, 4)
        self.reach = body.uniform(0.85, 1.15)
        self.colors = person_colors(body)
        for name in ("shirt", "trousers"):
            self.colors[name] = self.colors[name] * body.uniform(0.4, 1.0)
        self.colors["sleeve"] = self.colors[body.choice(("skin", "shirt"))]
        aside = 0.45 * room.height
        x = rng.uniform(aside, figures.size[1] - aside)
        self.origin = np.array((x, room.ground + room.height * rng.uniform(0.02, 0.25)))

    def film(
        self, acts: Sequence[Act], frames: int
    ) -> tuple[NDArray[np.float32], Iterator[Pixels]]:
        """The boxes around the person, `T 4` in pixels, and the frames."""
        hands = self._hands(acts, frames)
        sway = self.room.sway * self._drift(frames, 2)
        joints = self._joints(hands)
        boxes = figure_boxes(joints, self.thickness) * self.height + np.tile(self.origin, 2)
        joints = {name: path * self.height + self.origin for name, path in joints.items()}
        return (boxes + np.tile(sway, 2)).astype(np.float32), self._drawn(joints, boxes, sway)

    def _hands(self, acts: Sequence[Act], frames: int) -> Floats:
        """The places of both hands, `T 4`."""
        hands = np.tile(np.array(_REST), (frames, 1))
        for gesture, first, last in acts:
            name = gesture if self.is_right_handed else _MIRRORED.get(gesture, gesture)
            start, *between, end = np.array(GESTURES[name])
            seconds = (last - first) / self.figures.fps
            repeats = max(1, round(_HERTZ.get(gesture, 0.0) * self.tempo * seconds))
            style = self.style + self.rng.normal(0, 0.008, 4)
            between = [
                start + self.reach * (key - start + style * (key != start)) for key in between
            ]
            keys = np.stack([start, start, *between * repeats, end, end])
            times = (np.arange(first, last + 1) - first) / (last - first)
            hands[first : last + 1] = interpolated(keys, times)[: frames - first]
        if not self.is_right_handed:
            hands = hands[:, [2, 3, 0, 1]] * (-1, 1, -1, 1)
        return hands + 0.012 * self._drift(frames, 4)

    def _drift(self, frames: int, count: int) -> Floats:
        """Slow movement to and fro, `T count`: nobody, and no camera, is quite still."""
        seconds = np.arange(frames)[:, None, None] / self.figures.fps
        hertz = self.rng.uniform(0.05, 0.6, (count, 3))
        phase = self.rng.uniform(0, 2 * np.pi, (count, 3))
        return np.sin(2 * np.pi * hertz * seconds + phase).mean(-1)

    def _joints(self, hands: Floats) -> dict[str, Floats]:
        """Joints by name, each `T 2`, of somebody of height 1 who stands at 0."""
        lean = 0.03 * self._drift(len(hands), 2) * (1, 0.1)
        at = {"pelvis": lean - (0, self.legs)}
        at["neck"] = 1.3 * lean - (0, 0.77)
        at["head"] = 1.4 * lean - (0, 0.89)
        at["face"] = at["head"] + (0.0, 0.02)
        at["eye"] = at["face"] + 0.02 * self._drift(len(hands), 2)
        for side, sign, hand in (("near ", 1, hands[:, :2]), ("far ", -1, hands[:, 2:])):
            shoulder = at["neck"] + (sign * self.shoulders, 0.02)
            toward = at["neck"] + hand - shoulder
            distance = np.linalg.norm(toward, axis=1, keepdims=True)
            toward = toward * np.minimum(1, self.arms / np.maximum(distance, 1e-6))
            # an arm that is longer than the way to its hand is bent, the elbow out and down
            slack = np.sqrt(np.maximum(self.arms**2 - (toward**2).sum(1, keepdims=True), 0)) / 2
            at[side + "shoulder"] = shoulder
            at[side + "elbow"] = shoulder + toward / 2 + 0.7 * slack * (0.6 * sign, 0.8)
            at[side + "hand"] = shoulder + toward
            at[side + "hip"] = at["pelvis"] + (sign * 0.045, 0.0)
            at[side + "ankle"] = np.tile((sign * 0.06, -0.03), (len(hands), 1))
            at[side + "knee"] = (at[side + "hip"] + at[side + "ankle"]) / 2
            at[side + "toe"] = at[side + "ankle"] + (sign * 0.03, 0.0)
        return at

    def _drawn(self, joints: Mapping[str, Floats], boxes: Floats, sway: Floats) -> Iterator[Pixels]:
        H, W = self.figures.size
        # Only what is around the person is drawn again, at a higher resolution.
        left, top = np.maximum(boxes[:, :2].min(0).astype(int) - _MARGIN, 0)
        right, bottom = np.minimum(boxes[:, 2:].max(0).astype(int) + _MARGIN, (W, H))
        around = self.room.canvas[top * FINER : bottom * FINER, left * FINER : right * FINER].copy()
        corner = np.array((left, top))
        stance = self.origin - corner
        shadow = 0.7 * self.room.canvas[-1].mean(0)
        for offset in (-0.12, 0.12):
            end = np.add(stance, (offset * self.height, 0))
            draw_line(around, stance, end, radius=0.03 * self.height, color=shadow)
        shape = (_NOISES, H + _MARGIN, W + _MARGIN)
        light = self.rng.standard_normal((*shape, 1), np.float32)
        color = self.rng.standard_normal((*shape, 3), np.float32)
        noise = (self.figures.noise * (0.8 * light + 0.6 * color)).round().astype(np.int16)
        for t, (x, y) in enumerate(sway):
            canvas = around.copy()
            places = {name: path[t] - corner for name, path in joints.items()}
            thickness = self.height * self.thickness
            draw_figure(canvas, places, thickness=thickness, colors=self.colors, parts=FRONT)
            frame: NDArray[Any] = self.room.still.copy()
            frame[top:bottom, left:right] = cv2.resize(
                canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA
            )
            if self.room.sway:
                shift = np.array([[1, 0, x], [0, 1, y]])
                frame = cv2.warpAffine(frame, shift, (W, H), borderMode=cv2.BORDER_REPLICATE)
            sample = self.rng.integers(_NOISES)
            row, column = self.rng.integers(_MARGIN, size=2)
            grain = noise[sample, row : row + H, column : column + W]
            yield cv2.add(frame, grain, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


@lru_cache(maxsize=4)
def _room(size: tuple[int, int], seed: int, number: int) -> _Room:
    rng = np.random.default_rng([seed, 5, number])
    H, W = size
    height = H * rng.uniform(0.17, 0.32)
    horizon = H * rng.uniform(0.58, 0.78)
    canvas = draw_background(size, horizon, rng)
    names = list(rng.choice(list(_FURNISHINGS), rng.integers(3, 6), replace=False))
    spread = W / len(names)
    for place, name in enumerate(names):
        middle = spread * (place + rng.uniform(0.2, 0.8))
        color = rng.uniform(70, 150) + rng.uniform(-35, 35, 3)
        for left, top, right, bottom, brightness in _FURNISHINGS[name]:
            _rectangle(
                canvas,
                (middle + left * height, horizon - top * height),
                (middle + right * height, horizon - bottom * height),
                color=color * brightness,
            )
    # the end of a table or of a couch, near the camera
    left, top = rng.uniform((0, 0.9), (0.3, 0.96)) * (W, H)
    _rectangle(
        canvas, (left, top), (left + W * rng.uniform(0.2, 0.5), H), color=rng.uniform(30, 120, 3)
    )
    still = cv2.resize(canvas, (W, H), interpolation=cv2.INTER_AREA)
    sway = rng.choice((0.0, rng.uniform(0.5, 2.5))) * H / 480
    return _Room(canvas, still.astype(np.uint8), horizon, height=height, sway=sway)


def _rectangle(
    canvas: Pixels, start: tuple[float, float], end: tuple[float, float], *, color: Floats
) -> None:
    (left, top), (right, bottom) = np.maximum(np.round(np.array((start, end)) * FINER), 0).astype(
        int
    )
    canvas[top:bottom, left:right] = np.clip(color, 0, 255)
