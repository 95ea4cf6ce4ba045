"""The motion of an articulated figure: limbs of constant length, joint angles as smooth functions of time.

Everything is in one plane, x forward and y down, in units of the height of the body, in a three-quarter view: the far
shoulder and hip are a little in front of the near ones. A limb of length l at angle a from straight down ends at
l (sin a, cos a) from its start; angles increase forward and are relative to the limb before.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIONS"]

Floats = NDArray[np.float64]
Angles = dict[str, Floats | float]

SIDES = ("near", "far")
_LIMB_JOINTS = ("shoulder", "elbow", "hand", "hip", "knee", "ankle", "toe")
JOINTS = ("head", "neck", "pelvis", *(f"{side} {joint}" for side in SIDES for joint in _LIMB_JOINTS))
# The values of a pose: angles in radians, and the height of the lower foot. The side that acts depends on handedness.
ANGLES = (
    *("trunk", "arm", "elbow", "other_arm", "other_elbow", "thigh", "knee", "other_thigh", "other_knee"),
    "lift",
)
_STEPS = 8  # per frame, at which the path of the feet is integrated
_RAMP = 0.3  # seconds of the transition of a cycle from and to standing
_BLEND = 0.0015  # difference in height, as a share of the body, within which both feet support the body


@dataclass(frozen=True)
class Body:
    """Lengths as shares of the height of the body (Winter 1990); a forearm includes the hand."""

    trunk: float = 0.288
    nape: float = 0.115
    upper_arm: float = 0.186
    forearm: float = 0.19
    thigh: float = 0.245
    shin: float = 0.246
    foot: float = 0.085
    ankle_height: float = 0.039
    shoulders: float = 0.05  # half of their visible width
    hips: float = 0.03


def pose(**angles: float) -> Floats:
    """A pose by its `ANGLES`; angles that are not given are those of a standing figure."""
    values = {"arm": 0.06, "elbow": 0.14, "other_arm": -0.04, "other_elbow": 0.12, **angles}
    return np.array([values.get(name, 0.0) for name in ANGLES])


STAND = pose()


def minimum_jerk(u: Floats) -> Floats:
    """Minimum-jerk interpolation from 0 to 1: 10 u³ - 15 u⁴ + 6 u⁵ (Flash & Hogan 1985)."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u**2)


@dataclass(frozen=True)
class Gesture:
    """A sequence of poses, with zero velocity at each of them.

    Args:
        keys: poses by time, as a share of the event, from 0 to 1.
        flight: the shares of the event between which both feet are off the ground.
        height: of the flight, as a share of that of the body; a parabola 4 h s (1 - s).
        handed: whether the side that acts depends on handedness; otherwise it is the near one.
    """

    keys: Mapping[float, Floats]
    flight: tuple[float, float] = (0.0, 1.0)
    height: float = 0.0
    handed: bool = True

    def poses(self, times: Floats, seconds: float, tempo: float, phase: float) -> Floats:
        """Poses `n A` at `n` times, in seconds from the start of the event. Only `seconds` determines the speed."""
        u = np.clip(times / seconds, 0.0, 1.0)
        places, poses = np.array([*self.keys]), np.stack([*self.keys.values()])
        i = np.clip(np.searchsorted(places, u, "right") - 1, 0, len(places) - 2)
        share = minimum_jerk((u - places[i]) / (places[i + 1] - places[i]))[:, None]
        between: Floats = (1 - share) * poses[i] + share * poses[i + 1]
        s = np.clip((u - self.flight[0]) / (self.flight[1] - self.flight[0]), 0.0, 1.0)
        between[:, -1] += 4 * self.height * s * (1 - s)
        return between


@dataclass(frozen=True)
class Cycle:
    """A periodic motion that starts and ends with standing.

    Args:
        turn: from `n` phases in radians to the angles that are added to those of standing.
        sense: -1: time is reversed.
        handed: whether the side that acts depends on handedness; otherwise it is the near one.
    """

    hertz: float
    turn: Callable[[Floats], Angles]
    sense: int = 1
    handed: bool = True

    def poses(self, times: Floats, seconds: float, tempo: float, phase: float) -> Floats:
        """Poses `n A` at `n` times, in seconds from the start of the event."""
        times = np.clip(times, 0.0, seconds)
        ramp = min(_RAMP, seconds / 2)
        strength = minimum_jerk(times / ramp) * minimum_jerk((seconds - times) / ramp)
        turned = self.turn(phase + self.sense * 2 * math.pi * self.hertz * tempo * times)
        columns = [np.broadcast_to(turned.get(name, 0.0), times.shape) for name in ANGLES]
        return STAND + strength[:, None] * np.stack(columns, 1)


Action = Gesture | Cycle


def _wave(phase: Floats) -> Angles:
    return {"arm": 2.1 + 0.12 * np.sin(phase), "elbow": 0.6 + 0.65 * np.sin(phase)}


def _clap(phase: Floats) -> Angles:
    apart = 0.5 * (1 + np.cos(phase))
    return {"arm": 1.1 + 0.5 * apart, "elbow": -0.05, "other_arm": 0.8 - 0.5 * apart, "other_elbow": 0.9}


def _jack(phase: Floats) -> Angles:
    apart = 0.5 * (1 - np.cos(phase))
    arms = {"arm": -2.65 * apart, "elbow": -0.4 * apart, "other_arm": 2.65 * apart, "other_elbow": 0.1 * apart}
    return {**arms, "thigh": -0.38 * apart, "other_thigh": 0.38 * apart, "lift": 0.05 * np.sin(phase) ** 2}


def _gait(phase: Floats, swing: float, bend: float, arms: float, elbows: float, lean: float, bounce: float) -> Angles:
    """Legs half a cycle apart: hip A sin φ; the knee bends while its leg moves forward, B ((1 + cos φ) / 2)²; arms are
    opposite to the legs. `bounce`: height of the flight, which begins when the legs are farthest apart."""
    angles: Angles = {"trunk": lean, "elbow": elbows, "other_elbow": elbows, "lift": bounce * np.sin(phase) ** 2}
    for other, forward in (("", phase), ("other_", phase + math.pi)):
        knee = bend * (0.5 * (1 + np.cos(forward + 0.25))) ** 2
        angles |= {f"{other}knee": knee, f"{other}thigh": swing * np.sin(forward) + 0.35 * knee}
    swung = arms * np.sin(phase)
    return {**angles, "arm": -swung, "other_arm": swung}


def _legs(thigh: float, knee: float) -> dict[str, float]:
    """The same angles of both legs."""
    return {"thigh": thigh, "knee": knee, "other_thigh": thigh, "other_knee": knee}


_CROUCH = pose(trunk=0.55, arm=-0.6, other_arm=-0.6, **_legs(0.95, 1.55))
_STRETCHED = pose(trunk=0.03, arm=2.5, elbow=0.2, other_arm=2.35, other_elbow=0.2)
_LANDED = pose(trunk=0.4, arm=0.7, other_arm=0.6, **_legs(0.65, 1.1))
_HALF_SEATED = pose(trunk=0.62, arm=0.75, elbow=0.3, other_arm=0.7, other_elbow=0.3, **_legs(0.9, 1.15))
SEATED = pose(trunk=0.05, arm=0.55, elbow=0.75, other_arm=0.5, other_elbow=0.75, **_legs(1.42, 1.42))
_RAISED = pose(arm=2.9, elbow=0.12)
_WALK = partial(_gait, swing=0.4, bend=0.95, arms=0.45, elbows=0.12, lean=0.05, bounce=0.0)
_RUN = partial(_gait, swing=0.5, bend=1.6, arms=0.75, elbows=1.35, lean=0.2, bounce=0.05)

ACTIONS: dict[str, Action] = {
    "bend": Gesture({
        0.0: STAND,
        0.45: pose(trunk=1.55, arm=1.6, other_arm=1.5, **_legs(0.3, 0.45)),
        0.55: pose(trunk=1.6, arm=1.65, other_arm=1.55, **_legs(0.3, 0.45)),
        1.0: STAND,
    }),
    "clap": Cycle(2.0, _clap, handed=False),
    "jump": Gesture(
        {0.0: STAND, 0.27: _CROUCH, 0.5: _STRETCHED, 0.62: _STRETCHED, 0.83: _LANDED, 1.0: STAND}, (0.46, 0.74), 0.17
    ),
    "jumping_jack": Cycle(1.25, _jack, handed=False),
    "kick": Gesture({
        0.0: STAND,
        0.35: pose(trunk=0.12, thigh=-0.55, knee=1.3, other_knee=0.1, other_thigh=0.1, arm=0.6, other_arm=-0.5),
        0.58: pose(trunk=-0.2, thigh=1.35, knee=0.1, other_thigh=-0.05, arm=-0.7, other_arm=0.9),
        0.75: pose(trunk=-0.05, thigh=0.8, knee=0.9, arm=-0.2, other_arm=0.3),
        1.0: STAND,
    }),
    "lower_arm": Gesture({0.0: _RAISED, 1.0: STAND}),
    "raise_arm": Gesture({0.0: STAND, 1.0: _RAISED}),
    "run": Cycle(1.3, _RUN),
    "sit_down": Gesture({0.0: STAND, 0.5: _HALF_SEATED, 1.0: SEATED}),
    "stand_up": Gesture({0.0: SEATED, 0.5: _HALF_SEATED, 1.0: STAND}),
    "throw": Gesture({
        0.0: STAND,
        0.42: pose(trunk=-0.22, arm=3.0, elbow=1.7, other_arm=1.3, other_elbow=0.3, thigh=-0.12, knee=0.25,
                   other_thigh=0.22),
        0.6: pose(trunk=0.28, arm=1.7, elbow=0.1, other_arm=-0.3, thigh=-0.35, knee=0.25, other_thigh=0.4,
                  other_knee=0.3),
        0.72: pose(trunk=0.4, arm=0.6, elbow=0.1, other_arm=-0.5, thigh=-0.35, knee=0.3, other_thigh=0.4,
                   other_knee=0.35),
        1.0: STAND,
    }),
    "walk": Cycle(0.95, _WALK),
    "walk_backward": Cycle(0.95, _WALK, sense=-1),
    "wave": Cycle(1.8, _wave),
}  # fmt: skip


def limb_positions(poses: Floats, body: Body, near_acts: bool) -> Floats:
    """The positions of the joints relative to the pelvis: `n A` to `n J 2`."""
    values = dict(zip(ANGLES, poses.T, strict=True))
    trunk = values["trunk"]
    place = {"pelvis": np.zeros((len(poses), 2))}
    place["neck"] = -_along(-trunk, body.trunk)
    place["head"] = place["neck"] - _along(-0.7 * trunk, body.nape)
    for side in SIDES:
        other = "" if (side == "near") == near_acts else "other_"
        before = -1.0 if side == "near" else 1.0
        across = np.stack((np.cos(trunk), np.sin(trunk)), 1) * before
        arm = values[f"{other}arm"] - trunk
        shoulder = place["neck"] + across * body.shoulders + _along(-trunk, 0.02)
        elbow = shoulder + _along(arm, body.upper_arm)
        hand = elbow + _along(arm + values[f"{other}elbow"], body.forearm)
        thigh = values[f"{other}thigh"]
        hip = np.broadcast_to([before * body.hips, 0.0], shoulder.shape)
        knee = hip + _along(thigh, body.thigh)
        ankle = knee + _along(thigh - values[f"{other}knee"], body.shin)
        limbs = (shoulder, elbow, hand, hip, knee, ankle)
        place |= {f"{side} {name}": at for name, at in zip(_LIMB_JOINTS, limbs, strict=False)}
    ground = np.maximum(place["near ankle"], place["far ankle"])[:, 1] + values["lift"]
    for side in SIDES:
        # Flat on the ground; the higher a foot, the more it hangs.
        height = np.clip((ground - place[f"{side} ankle"][:, 1]) / 0.1, 0.0, 1.0)
        place[f"{side} toe"] = place[f"{side} ankle"] + _along(math.pi / 2 - 0.4 * height, body.foot)
    return np.stack([place[name] for name in JOINTS], 1)


def _along(angle: Floats, length: float) -> Floats:
    return length * np.stack((np.sin(angle), np.cos(angle)), 1)


def stand_on_ground(joints: Floats, lift: Floats) -> Floats:
    """Move a figure so that the supporting foot does not slide: `n J 2` to `n J 2`, with the ground at y = 0.

    The lower ankle is `lift` above the ground. Between two times the pelvis moves by -Σ w_i Δx_i, where x_i are the
    ankles relative to it, and w = softmax(y / ε) is the share of each foot in supporting the body.
    """
    ankles = joints[:, [JOINTS.index(f"{side} ankle") for side in SIDES]]  # n 2 2
    lower = ankles[..., 1].max(1)
    weights = np.exp((ankles[..., 1] - lower[:, None]) / _BLEND)
    weights /= weights.sum(1, keepdims=True)
    steps = -(0.5 * (weights[1:] + weights[:-1]) * np.diff(ankles[..., 0], axis=0)).sum(1)
    x = np.concatenate(([0.0], np.cumsum(steps)))
    moved: Floats = joints + np.stack((x, -lower - lift), 1)[:, None]
    return moved


def perform(
    action: Action,
    body: Body,
    frames: int,
    fps: float,
    event: tuple[int, int],
    *,
    near_acts: bool = True,
    tempo: float = 1.0,
    vigour: float = 1.0,
    phase: float = 0.0,
) -> Floats:
    """Joints at every frame, `T J 2`: x forward, y down, the soles at y = 0, in units of the height of the body.

    Args:
        frames, fps: T, and frames per second.
        event: the first and the last frame of the motion; before and after it the figure is still.
        tempo: factor of the cycles per second.
        vigour: factor of the difference between every pose and standing.
        phase: of a cycle at its start, radians.
    """
    times = (np.arange((frames - 1) * _STEPS + 1) / _STEPS - event[0]) / fps
    poses = action.poses(times, (event[1] - event[0]) / fps, tempo, phase)
    poses = STAND + vigour * (poses - STAND)
    joints = limb_positions(poses, body, near_acts or not action.handed)
    placed = stand_on_ground(joints, poses[:, -1])[::_STEPS]
    return placed - np.array([0.0, body.ankle_height])
