"""The records that pass between rooms: frozen, and checked when they are made.

Letters, here and everywhere: `B` videos in a batch, `T` frames, `C` image channels, `H W` image height and width in
pixels, `D` feature channels, `h w` feature grid, `N = B*T` frames flattened, `K` classes. Times are seconds, frame
indices are 0-based, boxes are `x1 y1 x2 y2` in pixels of the original video.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class ClipError(ValueError):
    """A clip that cannot be used: which one, what was found there, and what to do about it."""

    def __init__(self, path: Path | str, found: str, remedy: str) -> None:
        super().__init__(f"{path}: {found}; {remedy}")
        self.path, self.found, self.remedy = Path(path), found, remedy

    def __reduce__(self) -> tuple[type["ClipError"], tuple[Path, str, str]]:
        # Exceptions travel between worker processes by their arguments.
        return type(self), (self.path, self.found, self.remedy)


def _check(name: str, array: Array, ndim: int, length: int | None = None) -> None:
    if array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}, expected {ndim} dimensions")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} has {len(array)} entries for {length} frames")


@dataclass(frozen=True)
class Clip:
    """One labeled video: a file, or a folder of numbered pictures.

    Args:
        path: where it is.
        label: the name of its class.
        recording: what it was cut from (a person, a camera); clips of one recording stay on one side of a split.
    """

    path: Path
    label: str
    recording: str | None = None


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames.

    Args:
        pixels: `T H W 3`, uint8 RGB, upright (the rotation that the file asks for is applied).
        times: `T`, when each frame is shown, in seconds from the first frame of the video.
        indices: `T`, which frame of the video it is. An index stands twice where a short clip was padded.
    """

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check("pixels", self.pixels, 4)
        if self.pixels.dtype != np.uint8 or self.pixels.shape[-1] != 3:
            raise ValueError(f"pixels are {self.pixels.dtype} {self.pixels.shape}, expected uint8 T H W 3")
        _check("times", self.times, 1, len(self.pixels))
        _check("indices", self.indices, 1, len(self.pixels))

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class FlowStacks:
    """Optical flow that begins at chosen frames of a video, as bytes.

    Args:
        stacks: `T H W 2L`, uint8: x_1, y_1, x_2, y_2, … of the L pairs of frames that follow one another; a byte is
            round(255 (v + limit) / (2 limit)) for a displacement of v pixels of this `H W`.
        times: `T`, when the first frame of each stack is shown, in seconds from the first frame of the video.
        indices: `T`, which frame of the video that is. An index stands twice where a short clip was padded.
        limit: the displacement in pixels that the bytes 0 and 255 stand for.
    """

    stacks: NDArray[np.uint8]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    limit: float

    def __post_init__(self) -> None:
        _check("stacks", self.stacks, 4)
        if self.stacks.dtype != np.uint8 or self.stacks.shape[-1] % 2 or not self.stacks.shape[-1]:
            raise ValueError(f"stacks are {self.stacks.dtype} {self.stacks.shape}, expected uint8 T H W 2L")
        _check("times", self.times, 1, len(self.stacks))
        _check("indices", self.indices, 1, len(self.stacks))
        if not self.limit > 0:
            raise ValueError(f"limit is {self.limit}, expected a positive number of pixels")

    def __len__(self) -> int:
        return len(self.stacks)


class _Scored:
    """What has a score for each class has a best one."""

    scores: NDArray[np.float32]
    classes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.scores.argmax())]

    @property
    def score(self) -> float:
        """The probability of `label`."""
        return float(self.scores.max())


@dataclass(frozen=True, eq=False)
class Step(_Scored):
    """What a model says at one frame of a stream.

    Args:
        index: which frame of the video.
        time: when it is shown, seconds.
        scores: `K` probabilities at this frame.
        classes: the `K` class names.
        attention: `h w`, sums to one; None for a model that does not attend.
        source: which stream, as it was named, without a password; None for a frame of a `Prediction`.
        dropped: frames of this stream that the model was too slow for, so far.
        reconnections: times that this stream was lost and came back, so far.
        box: where it happens, in pixels of the frame, of the most probable class: the surest thing that is followed;
            None for a frame of a `Prediction`, even attention, or a model that does not attend.
        point: x and y of the pixel that is attended to most, in pixels of the frame; None as for `box`.
        evidence: how much this frame tells: the logarithm of its weight, up to a number that is the same for all
            frames; None for a model that weighs no frames.
        happening: whether the event is going on at this frame, judged by it and those before it alone: without delay,
            or with that of `score_smoothing` (`localization.live.lasts_next`). None for a frame of a `Prediction`,
            whose `segments` say it, and for a model that weighs no frames: that one names some class at every frame,
            and goes on naming what it remembers.
        pixels: the frame itself, `H W 3`, RGB; None for a frame of a `Prediction`. A step that is kept keeps them.
    """

    index: int
    time: float
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    attention: NDArray[np.float32] | None = None
    source: str | None = None
    dropped: int = 0
    reconnections: int = 0
    box: "Box | None" = None
    point: tuple[float, float] | None = None
    evidence: float | None = None
    happening: bool | None = None
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check("scores", self.scores, 1, len(self.classes))
        if self.pixels is not None and (self.pixels.dtype != np.uint8 or self.pixels.shape[2:] != (3,)):
            raise ValueError(f"pixels are {self.pixels.dtype} {self.pixels.shape}, expected uint8 H W 3")
        if self.evidence is not None and not math.isfinite(self.evidence):
            raise ValueError(f"evidence is {self.evidence}, expected a finite number")
        if self.happening is not None and self.evidence is None:
            raise ValueError("whether it is happening without evidence that says so; give the frame's evidence")


def _check_box(corners: NDArray[np.float32]) -> None:
    if not np.isfinite(corners).all():
        raise ValueError("a box is not finite, expected x1 y1 x2 y2 in pixels")
    if not (corners[..., :2] <= corners[..., 2:]).all():
        raise ValueError("a box ends before it begins; expected x1 <= x2 and y1 <= y2")


def _check_score(score: float) -> None:
    if not math.isfinite(score):
        raise ValueError(f"score is {score}, expected a finite number")


@dataclass(frozen=True)
class Box:
    """Something in one frame.

    Args:
        label: the name of its class.
        frame: which frame of the video.
        corners: x1 y1 x2 y2, in pixels of the original video.
        score: how sure it is; 1 for a true one.
    """

    label: str
    frame: int
    corners: tuple[float, float, float, float]
    score: float = 1.0

    def __post_init__(self) -> None:
        if len(self.corners) != 4:
            raise ValueError(f"a box of {len(self.corners)} numbers, expected x1 y1 x2 y2")
        if self.frame < 0:
            raise ValueError(f"frame is {self.frame}, expected 0 or more")
        _check_box(np.asarray(self.corners))
        _check_score(self.score)


@dataclass(frozen=True, eq=False)
class Tube:
    """Something that is followed from frame to frame.

    Args:
        label: the name of its class.
        frames: `T`, which frames of the video, ascending.
        boxes: `T 4`, x1 y1 x2 y2 in pixels of the original video.
        score: how sure it is; 1 for a true one.
    """

    label: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float32]
    score: float = 1.0

    def __post_init__(self) -> None:
        _check("frames", self.frames, 1)
        _check("boxes", self.boxes, 2, len(self.frames))
        if self.boxes.shape[1] != 4:
            raise ValueError(f"boxes have shape {self.boxes.shape}, expected T 4: x1 y1 x2 y2")
        if not len(self.frames):
            raise ValueError("a tube without frames, expected at least one")
        if self.frames[0] < 0 or not (np.diff(self.frames) > 0).all():
            raise ValueError("frames of a tube are not ascending from 0 or more")
        _check_box(self.boxes)
        _check_score(self.score)


@dataclass(frozen=True)
class Segment:
    """Something that happens from one time to another.

    Args:
        label: the name of its class.
        start, end: seconds from the first frame of the video.
        score: how sure it is; 1 for a true one.
    """

    label: str
    start: float
    end: float
    score: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end < math.inf:
            raise ValueError(f"{self.label} from {self.start} to {self.end} s, expected 0 <= start < end")
        _check_score(self.score)


@dataclass(frozen=True, eq=False)
class Prediction(_Scored):
    """What a model says of one video.

    Args:
        path: the video.
        classes: the `K` class names.
        frame_scores: `T K` probabilities at every frame that was looked at.
        scores: `K` probabilities of the whole video.
        times, indices: `T`, the frames that were looked at.
        attention: `T h w`, sums to one over the places; None for a model that does not attend.
        windows: `T G 4 2`, the corners of the G windows that the encoder looks through, x and y in pixels of the video,
            from the upper left one clockwise as the window sees itself; None for an encoder that sees the whole frame.
        size: height and width of the video, which `windows` are in.
        tubes: where it happens, for every class that is not out of the question, the surest first; empty for a model
            that does not attend, or one whose attention is even.
        segments: when it happens, likewise.
        evidence: `T`, how much each frame tells: the logarithm of its weight, up to a number that is the same for all;
            None for a model that weighs no frames.
        points: `T 2`, x and y in pixels of the video: the pixel that is attended to most, sought within the thing that
            attention is on, which is finer than a cell of `attention`. NaN where attention is even; None without.
    """

    path: Path
    classes: tuple[str, ...]
    frame_scores: NDArray[np.float32]
    scores: NDArray[np.float32]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    attention: NDArray[np.float32] | None = None
    windows: NDArray[np.float32] | None = None
    size: tuple[int, int] | None = None
    tubes: tuple[Tube, ...] = ()
    segments: tuple[Segment, ...] = ()
    evidence: NDArray[np.float32] | None = None
    points: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _check("frame_scores", self.frame_scores, 2, len(self.times))
        _check("scores", self.scores, 1, len(self.classes))
        if self.frame_scores.shape[1] != len(self.classes):
            raise ValueError(f"frame_scores have {self.frame_scores.shape[1]} columns for {len(self.classes)} classes")
        _check("indices", self.indices, 1, len(self.times))
        for name, ndim in (("attention", 3), ("evidence", 1), ("points", 2), ("windows", 4)):
            if (array := getattr(self, name)) is not None:
                _check(name, array, ndim, len(self.times))
        if self.windows is not None and self.size is None:
            raise ValueError("windows without the size of the video that they are in; give size, (height, width)")

    def at(self, places: NDArray[np.int64]) -> "Prediction":
        """The same at some of its frames, given by their places among the `T`."""
        return replace(
            self,
            frame_scores=self.frame_scores[places],
            times=self.times[places],
            indices=self.indices[places],
            attention=None if self.attention is None else self.attention[places],
            windows=None if self.windows is None else self.windows[places],
            evidence=None if self.evidence is None else self.evidence[places],
            points=None if self.points is None else self.points[places],
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The same, one record a frame."""
        nothing = [None] * len(self.times)
        maps = nothing if self.attention is None else self.attention
        told = nothing if self.evidence is None else self.evidence.tolist()
        frames = zip(self.indices, self.times, self.frame_scores, maps, told, strict=True)
        return tuple(
            Step(int(index), float(time), scores, self.classes, attention, evidence=evidence)
            for index, time, scores, attention, evidence in frames
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers on a set of videos, with the truth beside them.

    Args:
        names: `B`, what each video is called.
        classes: the `K` class names.
        targets: `B`, the true class of each video.
        scores: `B K`, probabilities of each video.
        frame_scores: for each video `T K`, probabilities at each of its frames.
        skipped: clips that could not be used, and why.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    targets: NDArray[np.int64]
    scores: NDArray[np.float32]
    frame_scores: tuple[NDArray[np.float32], ...]
    skipped: tuple[ClipError, ...] = field(default=())

    def __post_init__(self) -> None:
        _check("targets", self.targets, 1, len(self.names))
        _check("scores", self.scores, 2, len(self.names))
        if self.scores.shape[1] != len(self.classes):
            raise ValueError(f"scores have {self.scores.shape[1]} columns for {len(self.classes)} classes")
        if len(self.frame_scores) != len(self.names):
            raise ValueError(f"frame_scores of {len(self.frame_scores)} videos for {len(self.names)} names")
        if len(self.targets) and not (self.targets.min() >= 0 and self.targets.max() < len(self.classes)):
            raise ValueError(
                f"targets from {self.targets.min()} to {self.targets.max()}, expected 0 to {len(self.classes) - 1}"
            )
