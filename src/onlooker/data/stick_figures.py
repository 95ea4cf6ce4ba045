"""Stick figures: generated videos of a person who acts for part of the time, as arrays or as video files.

They exercise everything that real clips do: files, lossy compression, color, clutter, sizes. Single frames are often
ambiguous: sitting down and standing up, walking forward and backward, raising and lowering an arm show the same poses
in another order, and a second person may stand still in a pose of any action. Boxes, joints and the time of the event
are known.
"""

import colorsys
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.data import figure_drawing as drawing
from onlooker.data.figure_motion import ACTIONS, JOINTS, SEATED, Body, Floats, limb_positions, perform
from onlooker.data.folder import RECORDINGS
from onlooker.files import whole_folder, write_bytes, write_json
from onlooker.video.write import write

__all__ = ["StickFigures", "write_set"]

_MARGIN = 2.0  # pixels between a figure and the border of the frame
_STREAMS = {"person": 0, "video": 1}


@dataclass(frozen=True)
class Person:
    """What is the same in all videos of a person.

    Args:
        tempo, vigour: factors of the speed of cycles and of the extent of movements.
        right_handed: the side that acts.
    """

    body: Body
    look: drawing.Look
    tempo: float
    vigour: float
    right_handed: bool


@dataclass(frozen=True, eq=False)
class FigureVideo:
    """A video with its ground truth.

    Args:
        pixels: `T H W 3`, uint8 RGB.
        action: one of `ACTIONS`.
        boxes: `T 4`, float32, `x1 y1 x2 y2` in pixels: the smallest rectangle around the figure.
        joints: `T J 2`, float32, x and y in pixels, in the order of `JOINTS`.
        moving: `T`, bool, the frames of the event.
        bystander: `T 4`, float32, the box of a second person, who stands behind the figure; None: there is none.
    """

    pixels: NDArray[np.uint8]
    action: str
    person: int
    boxes: NDArray[np.float32]
    joints: NDArray[np.float32]
    moving: NDArray[np.bool_]
    bystander: NDArray[np.float32] | None


@dataclass(frozen=True)
class StickFigures:
    """The settings of generated videos.

    Args:
        frames: frames per video (T).
        fps: frames per second; the speed of motion is in seconds.
        size: height and width of a frame (H W), in pixels.
        people: number of persons; the n-th video of each action shows person n modulo `people`.
        event: smallest and largest share of the video that the motion fills; `(1, 1)`: all of it.
        height: smallest and largest height of a standing person, as a share of H. A person who would leave the frame
            is drawn smaller.
        bystanders: the share of videos with a second person.
        noise: standard deviation of the noise of each frame, in levels of 255.

    Raises:
        ValueError: fewer than 4 frames, or no people.
    """

    frames: int = 48
    fps: float = 24.0
    size: tuple[int, int] = (144, 192)
    people: int = 10
    event: tuple[float, float] = (0.5, 0.8)
    height: tuple[float, float] = (0.45, 0.62)
    bystanders: float = 0.5
    noise: float = 2.0

    def __post_init__(self) -> None:
        if self.frames < 4:
            raise ValueError(f"frames is {self.frames}, expected at least 4")
        if self.people < 1:
            raise ValueError(f"people is {self.people}, expected at least 1 person")

    def video(self, action: str, number: int = 0, *, seed: int = 0) -> FigureVideo:
        """Generate one video. Equal arguments give equal videos.

        Args:
            action: one of `ACTIONS`.
            number: of the video; the person is `number` modulo `people`.
            seed: of the people and of everything else.

        Raises:
            ValueError: an unknown action.
        """
        if action not in ACTIONS:
            raise ValueError(f"unknown action {action!r}; there are {', '.join(ACTIONS)}")
        rng = np.random.default_rng([seed, _STREAMS["video"], list(ACTIONS).index(action), number])
        index = number % self.people
        person = make_person(index, seed)
        facing = int(rng.choice([-1, 1]))
        event = self._event(rng)
        ground = self.size[0] * rng.uniform(0.86, 0.95)
        path = self._perform(action, person, facing, event, rng)
        path, height = self._placed(path, ground, rng)
        scene = drawing.draw_room(self.size, ground - self.size[0] * rng.uniform(0.06, 0.16), rng)
        bystander = None
        if rng.random() < self.bystanders:
            scene, box = self._with_bystander(scene, index, ground, seed, rng)
            bystander = np.broadcast_to(np.array(box, np.float32), (self.frames, 4))
        scene = drawing.over(
            self._stool(path[-1 if action == "sit_down" else 0], height, person, facing, ground), scene
        )

        video = np.empty((self.frames, *self.size, 3), np.uint8)
        boxes = np.empty((self.frames, 4), np.float32)
        for t, joints in enumerate(path):
            figure = drawing.draw_figure(joints, height, person.look, facing, self.size)
            boxes[t] = drawing.box_of(figure)
            frame = drawing.over(figure, self._shadow(scene, joints, height, ground))
            if self.noise:
                frame += self.noise * rng.standard_normal(frame.shape, np.float32)
            video[t] = np.clip(frame, 0, 255).round()
        moving = (np.arange(self.frames) >= event[0]) & (np.arange(self.frames) <= event[1])
        return FigureVideo(video, action, index, boxes, path.astype(np.float32), moving, bystander)

    def _event(self, rng: np.random.Generator) -> tuple[int, int]:
        """The first and the last frame of the motion."""
        steps = self.frames - 1
        length = max(1, round(float(rng.uniform(*self.event)) * steps))
        first = int(rng.integers(0, steps - length + 1))
        return first, first + length

    def _perform(
        self, action: str, person: Person, facing: int, event: tuple[int, int], rng: np.random.Generator
    ) -> Floats:
        """Joints `T J 2` in units of the height of the body, the soles at y = 0."""
        path = perform(
            ACTIONS[action],
            person.body,
            self.frames,
            self.fps,
            event,
            # The right side is the near one of a person who faces to the right.
            near_acts=person.right_handed == (facing > 0),
            tempo=person.tempo * rng.uniform(0.9, 1.1),
            vigour=person.vigour * rng.uniform(0.95, 1.05),
            phase=rng.uniform(0, 2 * np.pi),
        )
        return path * np.array([facing, 1.0])

    def _placed(self, path: Floats, ground: float, rng: np.random.Generator) -> tuple[Floats, float]:
        """Joints in pixels, at a random position that keeps the motion in the frame; and the height of the body."""
        low, high = path.min((0, 1)) - drawing.REACH, path.max((0, 1)) + drawing.REACH
        height = self.size[0] * rng.uniform(*self.height)
        width = self.size[1] - 2 * _MARGIN
        height = float(min(height, width / (high[0] - low[0]), (ground - _MARGIN) / -low[1]))
        first, last = _MARGIN - height * low[0], self.size[1] - _MARGIN - height * high[0]
        return path * height + np.array([rng.uniform(first, max(first, last)), ground]), height

    def _with_bystander(
        self, image: NDArray[np.float32], index: int, ground: float, seed: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
        """The scene with another person, who stands still in a pose of any action; and the box of this person."""
        other = make_person((index + 1 + int(rng.integers(max(1, self.people - 1)))) % max(2, self.people), seed)
        # Who stands still keeps a foot on the ground.
        action = str(rng.choice([name for name in ACTIONS if name not in ("jump", "jumping_jack", "run")]))
        facing = int(rng.choice([-1, 1]))
        path = self._perform(action, other, facing, (0, self.frames - 1), rng)
        path = path[[int(rng.integers(self.frames))]]
        standing = ground - self.size[0] * rng.uniform(0.0, 0.03)
        (joints,), height = self._placed(path, standing, rng)
        scene = self._shadow(image, joints, height, standing)
        if action in ("sit_down", "stand_up"):
            scene = drawing.over(self._stool(joints, height, other, facing, standing), scene)
        figure = drawing.draw_figure(joints, height, other.look, facing, self.size)
        return drawing.over(figure, scene), drawing.box_of(figure)

    def _shadow(self, image: NDArray[np.float32], joints: Floats, height: float, ground: float) -> NDArray[np.float32]:
        return drawing.draw_shadow(image, joints[JOINTS.index("pelvis"), 0], ground, 0.22 * height)

    def _stool(self, joints: Floats, height: float, person: Person, facing: int, ground: float) -> drawing.Layer:
        """A stool where the person would sit down. Every video has it, so that it does not reveal the action."""
        seated = limb_positions(SEATED[None], person.body, True)[0]
        ankle, pelvis = seated[JOINTS.index("near ankle")], seated[JOINTS.index("pelvis")]
        feet = joints[[JOINTS.index("near ankle"), JOINTS.index("far ankle")], 0].mean()
        back = (pelvis - ankle)[0] - person.body.hips
        seat = ankle[1] - pelvis[1] + person.body.ankle_height - 0.05
        return drawing.draw_stool(feet + facing * back * height, ground, seat * height, 0.24 * height, self.size)


def make_person(index: int, seed: int = 0) -> Person:
    """The person with this number. Equal arguments give equal persons."""
    rng = np.random.default_rng([seed, _STREAMS["person"], index])
    usual = asdict(Body())
    body = Body(**{part: length * float(rng.uniform(0.92, 1.08)) for part, length in usual.items()})

    def color(saturation: tuple[float, float], value: tuple[float, float]) -> tuple[float, float, float]:
        hue = float(rng.random())
        red, green, blue = colorsys.hsv_to_rgb(hue, float(rng.uniform(*saturation)), float(rng.uniform(*value)))
        return red * 255, green * 255, blue * 255

    depth = float(rng.uniform(0.35, 1.0))
    hair = float(rng.uniform(0.1, 0.75))
    look = drawing.Look(
        skin=(245 * depth, 205 * depth**1.1, 175 * depth**1.25),
        hair=(190 * hair, 140 * hair, 95 * hair),
        shirt=color((0.45, 0.9), (0.55, 0.95)),
        trousers=color((0.15, 0.7), (0.2, 0.6)),
        shoes=color((0.0, 0.5), (0.1, 0.9)),
        thickness=float(rng.uniform(0.78, 1.22)),
    )
    return Person(body, look, float(rng.uniform(0.85, 1.15)), float(rng.uniform(0.9, 1.08)), bool(rng.random() < 0.85))


def write_set(
    folder: Path,
    clips: int = 20,
    *,
    seed: int = 0,
    figures: StickFigures | None = None,
    actions: Sequence[str] = tuple(ACTIONS),
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Path:
    """Write videos as a folder of clips: `folder/<action>/NNN.mp4`, `recordings.csv` and `truth.json`.

    The recording of a clip is its person, so that a split can leave people out. `truth.json` contains the settings,
    the names of the joints, and for each clip `person`, `event` (first and last frame), `boxes` (`T 4`), `joints`
    (`T J 2`) and `bystander` (`T 4`, or null), in pixels. Equal arguments give equal files, if the video encoder is
    the same. Everything is written next to `folder` and renamed at the end, so that an existing folder is complete.

    Args:
        folder: new or empty.
        clips: videos per action.
        figures: settings; None: `StickFigures()`.
        progress: called with the tasks and their number; yields the tasks.

    Raises:
        ValueError: fewer than one clip, or an unknown action.
        FileExistsError: the folder is not empty.
    """
    if clips < 1:
        raise ValueError(f"clips is {clips}, expected at least 1 of each action")
    if not actions or set(actions) - set(ACTIONS):
        raise ValueError(f"actions are {', '.join(actions) or 'none'}; there are {', '.join(ACTIONS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder; choose a new folder, or remove it")
    figures = figures or StickFigures()
    jobs = [(action, number) for action in actions for number in range(clips)]
    recordings, truth = io.StringIO(), {}
    rows = csv.writer(recordings)
    rows.writerow(["clip", "recording"])
    with whole_folder(folder) as part:
        for action, number in progress(jobs, len(jobs)):
            name, video = f"{action}/{number:03}.mp4", figures.video(action, number, seed=seed)
            write(part / name, video.pixels, figures.fps)
            rows.writerow([name, f"person-{video.person:02}"])
            truth[name] = _truth(video)
        write_bytes(part / RECORDINGS, recordings.getvalue().encode())
        about = {"generated": "stick figures", "seed": seed, "settings": asdict(figures), "joints": list(JOINTS)}
        write_json(part / "truth.json", {**about, "fps": figures.fps, "clips": truth})
    return folder


def _truth(video: FigureVideo) -> dict[str, Any]:
    frames = np.flatnonzero(video.moving)
    return {
        "person": video.person,
        "event": [int(frames[0]), int(frames[-1])],
        "boxes": video.boxes.tolist(),
        "joints": np.round(video.joints.astype(np.float64), 2).tolist(),
        "bystander": None if video.bystander is None else video.bystander.tolist(),
    }
