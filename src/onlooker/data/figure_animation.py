"""The actions of stick figures as joint angles over time, and the drawing of figures from them.

A figure has height 1 and stands at y = 0, in a plane with x to the right and y down. A limb of length l at angle a from
straight down ends at l (sin a, cos a) from its start; angles increase forward.
"""

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import softmax

FINER = 4  # a canvas is larger than its frame by this factor; positions and lengths are in pixels of the frame

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def _pose(
    trunk: float = 0.0,
    arm: tuple[float, float] = (0.06, 0.14),
    other_arm: tuple[float, float] = (-0.04, 0.12),
    leg: tuple[float, float] = (0.0, 0.0),
    other_leg: tuple[float, float] = (0.0, 0.0),
    lift: float = 0.0,
) -> Floats:
    """A pose: angles of shoulders and elbows, hips and knees, each relative to the limb before; height above ground."""
    return np.array([*arm, *leg, *other_arm, *other_leg, trunk, lift])


def swap_sides(poses: Floats) -> Floats:
    """The same poses with the other arm and leg."""
    return np.concatenate((poses[..., 4:8], poses[..., :4], poses[..., 8:]), -1)


_STAND = _pose()
_CROUCH = _pose(0.55, (-0.6, 0.14), (-0.6, 0.12), (0.95, 1.55), (0.95, 1.55))
_SPREAD = _pose(0.0, (-2.6, -0.3), (2.6, 0.1), (-0.38, 0.0), (0.38, 0.0))
_LEG_BACK = _pose(0.12, (0.6, 0.14), (-0.5, 0.12), (-0.55, 1.2), (0.1, 0.1))
_LEG_FRONT = _pose(-0.2, (-0.7, 0.14), (0.9, 0.12), (1.35, 0.1), (-0.05, 0.0))
_RAISED = _pose(arm=(2.9, 0.12))
_HALF_SEATED = _pose(0.62, (0.75, 0.3), (0.7, 0.3), (0.9, 1.15), (0.9, 1.15))
SEATED = _pose(0.05, (0.55, 0.75), (0.5, 0.75), (1.42, 1.42), (1.42, 1.42))
_STEP = _pose(0.05, (-0.45, 0.14), (0.45, 0.14), (0.36, 0.0), (-0.44, 0.3))
_PASSING = _pose(0.05, other_leg=(0.7, 0.7))
_WALK = (_STAND, swap_sides(_PASSING), _STEP, _PASSING, swap_sides(_STEP), _STAND)

# Key poses at equal distances in time. Those between the first and the last repeat, if the action is in `_HERTZ`.
ACTIONS = {
    "bend": (_STAND, _pose(1.55, (1.6, 0.14), (1.5, 0.12), (0.3, 0.45), (0.3, 0.45)), _STAND),
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
_HERTZ = {"jumping_jack": 1.2, "walk": 0.9, "walk_backward": 0.9, "wave": 1.7}


def perform(action: str, frames: int, fps: float, event: tuple[int, int], tempo: float) -> Floats:
    """The pose at every frame, `T A`, still outside of the event (first and last frame). Tempo: factor of `_HERTZ`."""
    start, *between, end = ACTIONS[action]
    first, last = event
    repeats = max(1, round(_HERTZ.get(action, 0.0) * tempo * (last - first) / fps))
    keys = np.stack([start, start, *between * repeats, end, end])
    # PCHIP has zero velocity wherever an angle turns back; with the still poses around it also at both ends.
    motion = PchipInterpolator(np.arange(len(keys)) - 1, keys)
    return motion(np.clip((np.arange(frames) - first) / (last - first), 0, 1) * (len(keys) - 3))


def place_joints(poses: Floats, faces_right: bool) -> dict[str, Floats]:
    """Joints by name, each `T 2`, of poses `T A`. A foot on the ground does not slide."""
    *limbs, trunk, lift = poses.T
    up, nod = math.pi - trunk, math.pi - 0.7 * trunk
    at = {"pelvis": np.zeros((len(poses), 2))}
    at["neck"] = at["pelvis"] + _limb(up, 0.27)
    at["head"] = at["neck"] + _limb(nod, 0.13)
    at["face"] = at["head"] + _limb(nod - 1.8, 0.02)
    at["eye"] = at["head"] + _limb(nod - 1.5, 0.055)
    # A three-quarter view: the far shoulder and hip are a little in front of the near ones.
    for side, ahead, (shoulder, elbow, hip, knee) in (("near ", -1, limbs[:4]), ("far ", 1, limbs[4:])):
        arm, shin = shoulder - trunk, hip - knee
        at[side + "shoulder"] = at["neck"] + _limb(up - math.pi / 2, ahead * 0.05)
        at[side + "elbow"] = at[side + "shoulder"] + _limb(arm, 0.17)
        at[side + "hand"] = at[side + "elbow"] + _limb(arm + elbow, 0.16)
        at[side + "hip"] = at["pelvis"] + (ahead * 0.03, 0.0)
        at[side + "knee"] = at[side + "hip"] + _limb(hip, 0.23)
        at[side + "ankle"] = at[side + "knee"] + _limb(shin, 0.23)
        at[side + "toe"] = at[side + "ankle"] + _limb(math.pi / 2 + np.maximum(shin, 0), 0.08)  # never points down
    # The body moves by -Σ w Δx, where x are the ankles relative to it, and the lower one, or both, have the weight.
    x, y = np.stack((at["near ankle"], at["far ankle"]), 1).transpose(2, 0, 1)  # each T 2
    steps = (softmax(y / 0.0015, axis=1)[1:] * np.diff(x, axis=0)).sum(1)
    moved = np.stack((-np.cumsum([0.0, *steps]), -y.max(1) - lift - 0.03), 1)
    return {name: (position + moved) * (1 if faces_right else -1, 1) for name, position in at.items()}


def _limb(angle: Floats, length: float) -> Floats:
    return length * np.stack((np.sin(angle), np.cos(angle)), -1)


# Lines between joints: the joints, the radius as a share of the height of the body, and the name of the color.
_ARM = (("shoulder", "elbow", 0.032, "shirt"), ("elbow", "hand", 0.023, "skin"), ("hand", "hand", 0.028, "skin"))
_LEG = (("hip", "knee", 0.042, "trousers"), ("knee", "ankle", 0.035, "trousers"), ("ankle", "toe", 0.03, "shoes"))
_TRUNK = (("neck", "head", 0.03, "skin"), ("pelvis", "neck", 0.062, "shirt"))
_HEAD = (("head", "head", 0.085, "hair"), ("face", "face", 0.072, "skin"), ("eye", "eye", 0.012, "hair"))
# From far to near, with their brightness.
_BEHIND = (("far ", _ARM, 0.72), ("far ", _LEG, 0.72), ("near ", _LEG, 1.0))
_FIGURE = (*_BEHIND, ("", _TRUNK, 0.85), ("", _HEAD, 1.0), ("near ", _ARM, 1.0))


def boxes(joints: Mapping[str, Floats], thickness: float) -> Floats:
    """The smallest rectangles around a figure of height 1, `T 4`, `x1 y1 x2 y2`, from joints by name, each `T 2`."""
    discs = [(joints[side + end], radius) for side, lines, _ in _FIGURE for *ends, radius, _ in lines for end in ends]
    low, high = (np.stack([at + sign * radius * thickness for at, radius in discs]) for sign in (-1, 1))
    return np.concatenate((low.min(0), high.max(0)), 1)


def draw(canvas: Pixels, joints: Mapping[str, Floats], thickness: float, colors: Mapping[str, Floats]) -> None:
    """Draw a figure from joints by name, each `x y`. The thickness is a factor of the radii above, in pixels."""
    for side, lines, brightness in _FIGURE:
        for start, end, radius, of in lines:
            draw_line(canvas, joints[side + start], joints[side + end], radius * thickness, colors[of] * brightness)


def draw_line(canvas: Pixels, start: ArrayLike, end: ArrayLike, radius: float, color: Floats) -> None:
    """Draw a thick line with round ends."""
    # In 16ths of a pixel of the canvas. OpenCV: pixels have their centers at whole numbers; smooth edges add 2 pixels.
    first, last = np.round((np.array((start, end)) * FINER - 0.5) * 16).astype(int).tolist()
    cv2.line(canvas, first, last, color.tolist(), max(1, round(2 * FINER * radius) - 2), cv2.LINE_AA, 4)
