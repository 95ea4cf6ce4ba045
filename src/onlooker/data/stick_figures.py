"""Stick figures: generated videos of a person who acts for part of the time, as arrays or as video
files.

Single frames are often ambiguous: sitting down and standing up, walking forward and backward,
raising and lowering an arm show the same poses in another order. Boxes and the time of the event
are known.

Actions are joint angles over time. A figure has height 1 and stands at y = 0, in a plane with x to
the right and y down. A limb of length l at angle a from straight down ends at l (sin a, cos a) from
its start; angles increase forward.
"""

import colorsys
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import softmax

from onlooker.base.files import whole_folder, write_bytes, write_json
from onlooker.base.progress import tracked
from onlooker.data.folder import RECORDINGS
from onlooker.video.write import SMALL, write

__all__ = ["StickFigures", "write_set"]

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_MARGIN = 2.0  # pixels between a figure and the border of the frame
# a canvas is larger than its frame by this factor; positions and lengths are in pixels of the frame
FINER = 4


def _pose(
    trunk: float = 0.0,
    arm: tuple[float, float] = (0.06, 0.14),
    other_arm: tuple[float, float] = (-0.04, 0.12),
    *,
    leg: tuple[float, float] = (0.0, 0.0),
    other_leg: tuple[float, float] = (0.0, 0.0),
    lift: float = 0.0,
) -> Floats:
    """A pose: angles of shoulders and elbows, hips and knees, each relative to the limb before;
    height above ground.
    """
    return np.array([*arm, *leg, *other_arm, *other_leg, trunk, lift])


def swap_sides(poses: Floats) -> Floats:
    """The same poses with the other arm and leg."""
    return np.concatenate((poses[..., 4:8], poses[..., :4], poses[..., 8:]), -1)


_STAND = _pose()
_CROUCH = _pose(0.55, (-0.6, 0.14), (-0.6, 0.12), leg=(0.95, 1.55), other_leg=(0.95, 1.55))
_SPREAD = _pose(0.0, (-2.6, -0.3), (2.6, 0.1), leg=(-0.38, 0.0), other_leg=(0.38, 0.0))
_LEG_BACK = _pose(0.12, (0.6, 0.14), (-0.5, 0.12), leg=(-0.55, 1.2), other_leg=(0.1, 0.1))
_LEG_FRONT = _pose(-0.2, (-0.7, 0.14), (0.9, 0.12), leg=(1.35, 0.1), other_leg=(-0.05, 0.0))
_RAISED = _pose(arm=(2.9, 0.12))
_HALF_SEATED = _pose(0.62, (0.75, 0.3), (0.7, 0.3), leg=(0.9, 1.15), other_leg=(0.9, 1.15))
SEATED = _pose(0.05, (0.55, 0.75), (0.5, 0.75), leg=(1.42, 1.42), other_leg=(1.42, 1.42))
_STEP = _pose(0.05, (-0.45, 0.14), (0.45, 0.14), leg=(0.36, 0.0), other_leg=(-0.44, 0.3))
_PASSING = _pose(0.05, other_leg=(0.7, 0.7))
_WALK = (_STAND, swap_sides(_PASSING), _STEP, _PASSING, swap_sides(_STEP), _STAND)

# Key poses at equal distances in time. Those between the first and the last repeat, if the action
# is in `_HERTZ`.
ACTIONS = {
    "bend": (
        _STAND,
        _pose(1.55, (1.6, 0.14), (1.5, 0.12), leg=(0.3, 0.45), other_leg=(0.3, 0.45)),
        _STAND,
    ),
    "jump": (_STAND, _CROUCH, _pose(0.0, (2.6, 0.2), (2.4, 0.2), lift=0.2), _CROUCH, _STAND),
    "jumping_jack": (_STAND, _SPREAD, _pose(0.0, (-0.3, 0.0), (0.3, 0.0)), _STAND),
    "kick": (_STAND, _LEG_BACK, _LEG_FRONT, _STAND),
    "lower_arm": (_RAISED, _STAND),
    "raise_arm": (_STAND, _RAISED),
    "sit_down": (_STAND, _HALF_SEATED, SEATED),
    "stand_up": (SEATED, _HALF_SEATED, _STAND),
    "walk": _WALK,
    "walk_backward": _WALK[::-1],
    "wave": (_STAND, _pose(arm=(1.9, 1.2)), _pose(arm=(2.1, 0.0)), _STAND),
}
# States of recordings, and how long they last at least and at most, in seconds.
STATES = {
    "stand": (3.0, 40.0),
    "sit": (8.0, 60.0),
    "walk": (3.0, 12.0),
    "wave": (1.0, 5.0),
    "kick": (0.6, 1.1),
    "jump": (0.7, 1.2),
    "bend": (0.7, 1.3),
    "sit_down": (0.5, 0.9),
    "stand_up": (0.5, 0.9),
}
# probabilities of what follows, of somebody who stands
_NEXT = {
    "stand": 0.3,
    "walk": 0.18,
    "wave": 0.14,
    "kick": 0.1,
    "jump": 0.1,
    "bend": 0.1,
    "sit_down": 0.08,
}
_HERTZ = {"jumping_jack": 1.2, "walk": 0.9, "walk_backward": 0.9, "wave": 1.7}


def perform(
    action: str, frames: int, fps: float, *, event: tuple[int, int], tempo: float
) -> Floats:
    """The pose at every frame, `T A`, still outside of the event (first and last frame). Tempo:
    factor of `_HERTZ`.
    """
    start, *between, end = ACTIONS[action]
    first_frame, last_frame = event
    repeats = max(1, round(_HERTZ.get(action, 0.0) * tempo * (last_frame - first_frame) / fps))
    keys = np.stack([start, start, *between * repeats, end, end])
    # PCHIP has zero velocity wherever an angle turns back; with the still poses around it also at
    # both ends.
    return interpolated(keys, (np.arange(frames) - first_frame) / (last_frame - first_frame))


def interpolated(keys: Floats, times: Floats) -> Floats:
    """Smooth motion through keys, of which the first and the last stand twice, at times from 0 to 1;
    still before and after.
    """
    motion = PchipInterpolator(np.arange(len(keys)) - 1, keys)
    return motion(np.clip(times, 0, 1) * (len(keys) - 3))


def place_joints(poses: Floats, faces_right: bool) -> dict[str, Floats]:
    """Joints by name, each `T 2`, of poses `T A`. A foot on the ground does not slide."""
    *limbs, trunk, lift = poses.T
    up = math.pi - trunk
    nod = math.pi - 0.7 * trunk
    at = {"pelvis": np.zeros((len(poses), 2))}
    trunk_and_head = (
        ("pelvis", "neck", up, 0.27),
        ("neck", "head", nod, 0.13),
        ("head", "face", nod - 1.8, 0.02),
        ("head", "eye", nod - 1.5, 0.055),
    )
    for start, end, angle, length in trunk_and_head:
        at[end] = at[start] + _limb(angle, length)
    # A three-quarter view: the far shoulder and hip are a little in front of the near ones.
    for side, ahead, (shoulder, elbow, hip, knee) in (
        ("near ", -1, limbs[:4]),
        ("far ", 1, limbs[4:]),
    ):
        arm = shoulder - trunk
        shin = hip - knee
        at[side + "shoulder"] = at["neck"] + _limb(up - math.pi / 2, ahead * 0.05)
        at[side + "hip"] = at["pelvis"] + (ahead * 0.03, 0.0)
        limbs_of_side = (
            ("shoulder", "elbow", arm, 0.17),
            ("elbow", "hand", arm + elbow, 0.16),
            ("hip", "knee", hip, 0.23),
            ("knee", "ankle", shin, 0.23),
            ("ankle", "toe", math.pi / 2 + np.maximum(shin, 0), 0.08),  # never points down
        )
        for start, end, angle, length in limbs_of_side:
            at[side + end] = at[side + start] + _limb(angle, length)
    # The body moves by -Σ w Δx, where x are the ankles relative to it, and the lower one, or both,
    # have the weight.
    x, y = np.stack((at["near ankle"], at["far ankle"]), 1).transpose(2, 0, 1)  # each T 2
    steps = (softmax(y / 0.0015, axis=1)[1:] * np.diff(x, axis=0)).sum(1)
    moved = np.stack((-np.cumsum([0.0, *steps]), -y.max(1) - lift - 0.03), 1)
    return {
        name: (position + moved) * (1 if faces_right else -1, 1) for name, position in at.items()
    }


def _limb(angle: Floats, length: float) -> Floats:
    return length * np.stack((np.sin(angle), np.cos(angle)), -1)


Part = tuple[str, Sequence[tuple[str, str, float, str]], float]
# Lines between joints: the joints, the radius as a share of the height of the body, and the name of
# the color.
_ARM = (
    ("shoulder", "elbow", 0.032, "shirt"),
    ("elbow", "hand", 0.023, "skin"),
    ("hand", "hand", 0.028, "skin"),
)
_LEG = (
    ("hip", "knee", 0.042, "trousers"),
    ("knee", "ankle", 0.035, "trousers"),
    ("ankle", "toe", 0.03, "shoes"),
)
_TRUNK = (("neck", "head", 0.03, "skin"), ("pelvis", "neck", 0.062, "shirt"))
_HEAD = (
    ("head", "head", 0.085, "hair"),
    ("face", "face", 0.072, "skin"),
    ("eye", "eye", 0.012, "hair"),
)
# From far to near, with their brightness.
_BEHIND = (("far ", _ARM, 0.72), ("far ", _LEG, 0.72), ("near ", _LEG, 1.0))
_FIGURE = (*_BEHIND, ("", _TRUNK, 0.85), ("", _HEAD, 1.0), ("near ", _ARM, 1.0))
# The same seen from the front, with broader shoulders.
_FRONT_ARM = (_ARM[0], ("elbow", "hand", 0.024, "sleeve"), _ARM[2])
_FRONT_TRUNK = (
    *_TRUNK,
    ("near shoulder", "far shoulder", 0.04, "shirt"),
    ("pelvis", "near shoulder", 0.045, "shirt"),
    ("pelvis", "far shoulder", 0.045, "shirt"),
)
FRONT: Sequence[Part] = (
    ("far ", _LEG, 0.95),
    ("near ", _LEG, 1.0),
    ("", _FRONT_TRUNK, 0.85),
    ("", _HEAD[:2], 1.0),
    ("far ", _FRONT_ARM, 0.95),
    ("near ", _FRONT_ARM, 1.0),
)


def figure_boxes(joints: Mapping[str, Floats], thickness: float) -> Floats:
    """The smallest rectangles around a figure of height 1, `T 4`, `x1 y1 x2 y2`, from joints by
    name, each `T 2`.
    """
    discs = [
        (joints[side + end], radius)
        for side, lines, _ in _FIGURE
        for *ends, radius, _ in lines
        for end in ends
    ]
    low, high = (
        np.stack([at + sign * radius * thickness for at, radius in discs]) for sign in (-1, 1)
    )
    return np.concatenate((low.min(0), high.max(0)), 1)


def draw_figure(
    canvas: Pixels,
    joints: Mapping[str, Floats],
    *,
    thickness: float,
    colors: Mapping[str, Floats],
    parts: Sequence[Part] = _FIGURE,
) -> None:
    """Draw a figure from joints by name, each `x y`. The thickness is a factor of the radii above,
    in pixels.
    """
    for side, lines, brightness in parts:
        for start, end, radius, color in lines:
            draw_line(
                canvas,
                joints[side + start],
                joints[side + end],
                radius=radius * thickness,
                color=colors[color] * brightness,
            )


def draw_line(
    canvas: Pixels, start: ArrayLike, end: ArrayLike, *, radius: float, color: Floats
) -> None:
    """Draw a thick line with round ends."""
    # In 16ths of a pixel of the canvas. OpenCV: pixels have their centers at whole numbers; smooth
    # edges add 2 pixels.
    ends = np.array((start, end)) * FINER - 0.5
    start_point, end_point = np.round(ends * 16).astype(int).tolist()
    thickness = max(1, round(2 * FINER * radius) - 2)
    cv2.line(canvas, start_point, end_point, color.tolist(), thickness, cv2.LINE_AA, 4)


@dataclass(frozen=True, eq=False)
class FigureVideo:
    """A video with its ground truth."""

    pixels: Pixels  # T H W 3, RGB
    person: int
    # T 4: x1 y1 x2 y2 in pixels, the smallest rectangle around the figure
    boxes: NDArray[np.float32]
    moving: NDArray[np.bool_]  # T: whether the frame is part of the event
    room: int | None = None  # None: another one in each video

    @property
    def recording(self) -> str:
        """Which clips a split keeps together: those of the person."""
        room = "" if self.room is None else f"-room-{self.room:02}"
        return f"person-{self.person:02}{room}"


class Life(NamedTuple):
    """A recording: its name, its frames, and what happens, with the first frame and the last one + 1."""

    name: str
    frames: Iterable[Pixels]
    bouts: Sequence[tuple[str, int, int]]


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

    compression: ClassVar[Mapping[str, str]] = SMALL  # options of x264

    def video(self, action: str, number: int = 0, *, seed: int = 0) -> FigureVideo:
        """Video `number` of an action, of person `number` modulo `people`. Equal arguments give
        equal videos.
        """
        index = number % self.people
        (H, W) = self.size
        person = np.random.default_rng([seed, 0, index])
        height, thickness, tempo = person.uniform((0.52, 0.85, 0.85), (0.7, 1.15, 1.15))
        right_handed = person.random() < 0.85
        colors = person_colors(person)

        rng = np.random.default_rng([seed, 1, list(ACTIONS).index(action), number])
        steps = max(1, round(rng.uniform(*self.event) * (self.frames - 1)))
        first_frame = int(rng.integers(0, self.frames - steps))
        poses = perform(
            action, self.frames, self.fps, event=(first_frame, first_frame + steps), tempo=tempo
        )
        poses = np.concatenate((SEATED[None], poses))  # the first tells where the stool is
        faces_right = rng.random() < 0.5
        # the right side is the near one of a person who faces to the right
        if right_handed != faces_right:
            poses = swap_sides(poses)
        joints = place_joints(poses, faces_right)

        # At a random place; smaller than usual, if the motion would leave the frame.
        boxes = figure_boxes(joints, thickness)
        (left, top), (right, _) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        ground = H * rng.uniform(0.86, 0.95)
        height = min(height * H, (W - 2 * _MARGIN) / (right - left), (ground - _MARGIN) / -top)
        origin = rng.uniform(_MARGIN - left * height, W - _MARGIN - right * height), ground
        boxes = (boxes * height + origin * 2).astype(np.float32)
        joints = {name: path * height + origin for name, path in joints.items()}

        # Every video has a stool where the person would sit, so that it does not reveal the action.
        seat = joints["pelvis"][0, 0]
        background = draw_background(self.size, ground - H * rng.uniform(0.06, 0.16), rng)
        shadow = 0.75 * background[-1].mean(0)  # of the color of the ground
        pixels = np.empty((self.frames, H, W, 3), np.uint8)
        for t, frame in enumerate(pixels, 1):
            canvas = background.copy()
            for x in (seat, joints["pelvis"][t, 0]):
                draw_line(
                    canvas,
                    (x - 0.2 * height, ground),
                    (x + 0.2 * height, ground),
                    radius=0.04 * height,
                    color=shadow,
                )
            _draw_stool(canvas, seat, ground=ground, size=0.23 * height)
            draw_figure(
                canvas,
                {name: path[t] for name, path in joints.items()},
                thickness=height * thickness,
                colors=colors,
            )
            smooth = cv2.resize(canvas, (W, H), interpolation=cv2.INTER_AREA)
            frame[:] = np.clip(
                smooth + self.noise * rng.standard_normal(frame.shape, np.float32), 0, 255
            ).round()
        moving = (np.arange(self.frames) >= first_frame) & (
            np.arange(self.frames) <= first_frame + steps
        )
        return FigureVideo(pixels, index, boxes[1:], moving=moving)


def person_colors(rng: np.random.Generator) -> dict[str, Floats]:
    skin = np.array((245.0, 205.0, 175.0))
    hair = np.array((120.0, 85.0, 55.0))
    colors = {"skin": skin * rng.uniform(0.45, 1), "hair": hair * rng.uniform(0.2, 1.4)}
    for name, value in (("shirt", 220), ("trousers", 130), ("shoes", 80)):
        colors[name] = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 0.85), value))
    return colors


def draw_background(size: tuple[int, int], horizon: float, rng: np.random.Generator) -> Pixels:
    """A canvas for frames of H W: a wall, ground from row `horizon` on, and boxes on both."""
    H, W = size
    canvas = np.empty((H * FINER, W * FINER, 3), np.uint8)
    wall, below = np.split(canvas, [round(horizon * FINER)])
    light = rng.uniform(150, 225)
    for part, level in ((wall, light), (below, light * rng.uniform(0.65, 0.85))):
        layers = rng.normal(0, 14, (2, 2)), rng.normal(0, 3, (40, 40))  # a gradient and a texture
        shading = np.sum([cv2.resize(layer, part.shape[1::-1]) for layer in layers], 0)
        part[:] = np.clip(level + rng.uniform(-25, 25, 3) + shading[..., None], 0, 255)
    for bottom in rng.choice(
        (0.4 * horizon, 0.6 * horizon, horizon + 0.02 * H), rng.integers(3, 7)
    ):
        x, w, h = W * rng.uniform((0, 0.07, 0.07), (1, 0.16, 0.14))
        left, right, top, low = (
            round(edge * FINER) for edge in (x, x + w, max(bottom - h, 0), bottom)
        )
        color = rng.uniform(90, 200) + rng.uniform(-45, 45, 3)
        frame = FINER * W // 100
        canvas[top:low, left:right] = color * 0.8
        canvas[top + frame : low - frame, left + frame : right - frame] = color
    return canvas


def _draw_stool(canvas: Pixels, x: float, *, ground: float, size: float) -> None:
    top = ground - size
    wood = np.array((150.0, 108.0, 70.0))
    for side in (-0.4, 0.4):
        draw_line(
            canvas,
            (x + side * size, ground),
            (x + 0.7 * side * size, top),
            radius=0.05 * size,
            color=wood * 0.8,
        )
    draw_line(canvas, (x - 0.4 * size, top), (x + 0.4 * size, top), radius=0.08 * size, color=wood)


def near_life(person: int, seconds: float, *, fps: float, seed: int) -> Life:
    """A recording of somebody who is always in one of `STATES`, which last from half a second to a
    minute.
    """
    rng = np.random.default_rng([seed, 2, person])
    poses, states = _life(round(seconds * fps), fps, rng)
    return Life(f"person-{person}", _drawn_life(poses, rng, fps), states)


def write_recordings(
    folder: Path,
    recordings: int = 6,
    *,
    seconds: float = 120.0,
    fps: float = 8.0,
    seed: int = 0,
    life: Callable[[int, float], Life] | None = None,
    compression: Mapping[str, str] = SMALL,
) -> Path:
    """Write recordings of people, `folder/person-N.mp4`, and the lists (path,start,end,label)
    `train.csv` of two thirds of the people and `test.csv` of the others.

    Args:
        folder: new or empty.
        recordings: their number; each shows another person, in another place.
        seconds: their length, at least.
        life: the recording of a person for so many seconds; None: `near_life`.
        compression: options of x264.

    Raises:
        FileExistsError: the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder; choose a new folder, or remove it")
    with whole_folder(folder) as part:
        lists = {"train": "path,start,end,label\n", "test": "path,start,end,label\n"}
        for number in tracked(range(recordings), "writing recordings", recordings):
            name, frames, bouts = (
                life(number, seconds) if life else near_life(number, seconds, fps=fps, seed=seed)
            )
            write(part / f"{name}.mp4", frames, fps=fps, options=compression)
            split = "train" if 3 * number < 2 * recordings else "test"
            for label, begin, end in bouts:
                lists[split] += f"{name}.mp4,{begin / fps:g},{end / fps:g},{label}\n"
        for name, text in lists.items():
            write_bytes(part / f"{name}.csv", text.encode())
    return folder


def _life(
    frames: int, fps: float, rng: np.random.Generator
) -> tuple[Floats, list[tuple[str, int, int]]]:
    """The poses of somebody, `T A`, for at least so many frames; and the states, with their first
    frames and the last ones + 1.
    """
    parts = list[Floats]()
    states = list[tuple[str, int, int]]()
    state = "stand"
    total = 0
    while total < frames:
        count = max(3, round(np.exp(rng.uniform(*np.log(STATES[state]))) * fps))
        if state in ("stand", "sit"):
            parts.append(np.tile(_STAND if state == "stand" else SEATED, (count, 1)))
        else:
            tempo = rng.uniform(0.85, 1.15)
            parts.append(perform(state, count, fps, event=(0, count - 1), tempo=tempo))
        states.append((state, total, total + count))
        total += count
        if state in ("sit_down", "sit"):
            state = {"sit_down": "sit", "sit": "stand_up"}[state]
        else:
            names = [name for name in _NEXT if name != state]
            happened = {name for name, _, _ in states}
            # what has not happened yet is more likely, so that short recordings show all states
            shares = np.array([_NEXT[name] * (1 if name in happened else 5) for name in names])
            state = str(rng.choice(names, p=shares / shares.sum()))
    poses = np.concatenate(parts)
    if rng.random() < 0.5:
        poses = swap_sides(poses)
    times = np.arange(total)[:, None] / fps
    sway = np.sin(times * rng.uniform(0.5, 2.5, 9) + rng.uniform(0, 6, 9))
    poses[:, :9] += 0.025 * sway  # nobody stands quite still
    return poses, states


def _drawn_life(poses: Floats, rng: np.random.Generator, fps: float) -> Pixels:
    """Frames `T H W 3` of these poses; the camera follows who walks."""
    H, W = StickFigures.size
    thickness = rng.uniform(0.85, 1.15)
    height = H * rng.uniform(0.5, 0.66)
    ground = H * rng.uniform(0.86, 0.95)
    place = np.array([W * rng.uniform(0.35, 0.65), ground])
    joints = place_joints(poses, bool(rng.random() < 0.5))
    width = 2 * round(fps) + 1
    padded = np.pad(joints["pelvis"][:, 0], width // 2, mode="edge")
    camera = np.convolve(padded, np.full(width, 1 / width), "valid")
    camera = np.stack((camera, np.zeros(len(camera))), 1)
    joints = {name: (path - camera) * height + place for name, path in joints.items()}
    colors = person_colors(rng)
    background = draw_background((H, W), ground - H * rng.uniform(0.06, 0.16), rng)
    pixels = np.empty((len(poses), H, W, 3), np.uint8)
    for t, frame in enumerate(pixels):
        canvas = background.copy()
        _draw_stool(canvas, place[0], ground=ground, size=0.23 * height)
        shown = {name: path[t] for name, path in joints.items()}
        draw_figure(canvas, shown, thickness=height * thickness, colors=colors)
        smooth = cv2.resize(canvas, (W, H), interpolation=cv2.INTER_AREA)
        noise = StickFigures.noise * rng.standard_normal(frame.shape, np.float32)
        frame[:] = np.clip(smooth + noise, 0, 255).round()
    return pixels


def write_set(
    folder: Path,
    clips: int = 20,
    *,
    seed: int = 0,
    figures: StickFigures | None = None,
    actions: Sequence[str] = tuple(ACTIONS),
) -> Path:
    """Write videos as a folder of clips: `folder/<action>/NNN.mp4`, `recordings.csv` and
    `truth.json`.

    The recording of a clip is its person, so that a split can leave people out. `truth.json`
    contains the settings, and for each clip `person`, `event` (first and last frame) and `boxes`
    (`T 4`, in pixels). A folder that exists is complete. Equal arguments give equal files, if the
    video encoder is the same.

    Args:
        folder: new or empty.
        clips: videos per action.

    Raises:
        FileExistsError: the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder; choose a new folder, or remove it")
    figures = figures or StickFigures()
    jobs = [(action, number) for action in actions for number in range(clips)]
    recordings = "clip,recording\n"
    truth = dict[str, dict[str, Any]]()
    with whole_folder(folder) as part:
        for action, number in tracked(jobs, "writing clips", len(jobs)):
            name = f"{action}/{number:03}.mp4"
            video = figures.video(action, number, seed=seed)
            write(part / name, video.pixels, fps=figures.fps, options=figures.compression)
            recordings += f"{name},{video.recording}\n"
            moving_frames = np.flatnonzero(video.moving).tolist()
            truth[name] = {
                "person": video.person,
                "event": [moving_frames[0], moving_frames[-1]],
                "boxes": video.boxes.tolist(),
            }
            if video.room is not None:
                truth[name]["room"] = video.room
        write_bytes(part / RECORDINGS, recordings.encode())
        write_json(part / "truth.json", {"seed": seed, "settings": asdict(figures), "clips": truth})
    return folder
