"""Records that modules exchange: frozen, and validated on construction.

Letters, here and everywhere: `B` videos in a batch, `T` frames, `C` image channels, `H W` image
height and width in pixels, `D` feature channels, `h w` feature grid, `N = B*T` frames flattened,
`K` classes. Frame indices start at 0, boxes are `x1 y1 x2 y2` in pixels of the original video.
Times are in seconds of the clock of players: it is 0 where a file begins, which is before its first
frame if the sound begins earlier; and at the first frame of a live source.
"""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onlooker.base.answer import answer_scores
from onlooker.base.decision import Decision, Scored
from onlooker.base.intervals import Times
from onlooker.base.settings import field_of
from onlooker.base.text import composed, printable, without_password

__all__ = ["InputError"]

Array = NDArray[np.generic]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
# "training" or "validation" -> "loss" or "accuracy" -> a value per epoch
Curves = dict[str, dict[str, list[float]]]
NO_PICTURE = "no picture"  # time in which nothing was shown
_MANY_PAUSES = 5
UNUSUAL = "unlike all clips of training, so that little is known of it: add such clips"


class InputError(ValueError):
    """Input that cannot be used: what was found, and what to do about it."""

    def __init__(self, found: str, remedy: str, where: str = "") -> None:
        super().__init__(printable(f"{where}{found}; {remedy}"))
        self.found = found
        self.remedy = remedy
        self.where = where

    def __reduce__(self) -> tuple[type["InputError"], tuple[Any, ...]]:
        # Exceptions are sent between processes as their arguments.
        return type(self), (self.found, self.remedy, self.where)


class ClipError(InputError):
    """A clip that cannot be used: its path, what was found, and what to do about it."""

    def __init__(self, path: Path | str, found: str, remedy: str) -> None:
        super().__init__(found, remedy, f"{without_password(str(path))}: ")
        self.path = Path(path)

    def to_dict(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return {"path": str(self.path), "found": self.found, "remedy": self.remedy}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ClipError":
        """The inverse of `to_dict`; a KeyError or a ValueError if a value is missing, or no text."""
        return cls(*(field_of(values, name, str) for name in ("path", "found", "remedy")))

    def __reduce__(self) -> tuple[type["ClipError"], tuple[Any, ...]]:
        return type(self), (self.path, self.found, self.remedy)


def _check_scores(scores: Array, path: Path | str) -> None:
    if not np.isfinite(scores).all():
        raise ClipError(
            path, "the model's scores are not finite numbers", "train it again, with a lower --lr"
        )


def _check(record: object, length: int, **ndims: int) -> None:
    """Raise a ValueError unless arrays of a record have these numbers of dimensions and this
    length, or are None.
    """
    for name, ndim in ndims.items():
        array = getattr(record, name)
        if array is not None and array.ndim != ndim:
            raise ValueError(f"{name} has shape {array.shape}, expected {ndim} dimensions")
        if array is not None and len(array) != length:
            raise ValueError(f"{name} has {len(array)} entries, expected {length}")


def clip_name(path: Path, root: Path | None) -> str:
    """The one name of a clip in figures, files and reports, with slashes: its path relative to the
    folder `root`, if it is inside; else the absolute path. Without a root, the path as it is.
    """
    if root is None:
        return path.as_posix()
    absolute = path.absolute()
    folder = root.absolute()
    inside = absolute.is_relative_to(folder)
    return (absolute.relative_to(folder) if inside else absolute).as_posix()


@dataclass(frozen=True)
class Clip:
    """One labeled video: a file, or a folder with an image sequence.

    Args:
        path: a video file, or a folder with an image sequence; or an interval of one, such as
            `recording.mp4#t=12.5,17`.
        label: its class; `composed`, as the recording.
        recording: what it was cut from (a person, a camera); a split keeps the clips of one
            recording together.
        root: the folder of the data set, or of its list; None: unknown.
        tier: the group of labels that its label is in, which never overlap; "": none is named.
        source: the interval of a recording that it was cut from, if that was kept; None: it is not
            known. States are learned from it.
    """

    path: Path
    label: str
    recording: str | None = None
    root: Path | None = field(default=None, compare=False, repr=False)
    tier: str = field(default="", compare=False, repr=False)
    source: Path | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", composed(self.label))
        if self.recording is not None:
            object.__setattr__(self, "recording", composed(self.recording))

    @property
    def name(self) -> str:
        """Its path relative to `root` (`clip_name`)."""
        return clip_name(self.path, self.root)


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames.

    Args:
        pixels: `T H W 3`, uint8 RGB, upright (rotation metadata is applied); or `T H W 2`, optical
            flow as bytes.
        times: `T`, presentation times in seconds.
        indices: `T`, frame indices in the video. Padding of a short clip repeats an index.
    """

    pixels: Pixels
    times: NDArray[np.float64]
    indices: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check(self, len(self.pixels), pixels=4, times=1, indices=1)
        if self.pixels.dtype != np.uint8 or self.pixels.shape[-1] not in (2, 3):
            raise ValueError(
                f"pixels are {self.pixels.dtype} {self.pixels.shape}, expected uint8 T H W 3"
            )

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class Step(Scored):
    """Result for one frame of a stream.

    Args:
        index: frame index in the video.
        time: presentation time, seconds.
        scores: `K` probabilities at this frame. With an event layer: the highest scores of the
            windows that end at this frame, except those that show an event that is over; for the
            class in which nothing happens, one minus the highest score of an event.
        decision: how scores become answers; its threshold is the probability that an event needs
            without an event layer.
        attention: `h w`, sums to one; None for a model that does not attend.
        source: the name of the stream, without a password.
        dropped: frames of this stream so far that were skipped because the model was too slow.
        reconnections: how often this stream was lost and reconnected so far.
        boxes: where it happens, in pixels of the frame, with the predicted class, up to three;
            empty if nothing moves, or for a model that does not attend.
        point: x and y of the hottest place, in pixels of the frame; None where nothing moves, or for
            a model that does not attend.
        ongoing: at most one event that seems to go on at this frame; or bouts of states, at most
            one in each tier. They may still change. None for a model that finds
            neither.
        events: events that are final now: they ended earlier, and do not change any more.
        announced: bouts of states whose begin is final now, and events that seem to have begun; some
            are over now as well. And such events that are withdrawn, as a better one was found instead
            (`Event.phase`).
        rows: `n …`, input of `Segmenter.find` for the `n` frames whose windows are complete now:
            scores of the windows that end at this frame, `1 L K`, or probabilities of the outputs of
            a state layer, `n R`. None for a model that finds neither, and for a frame in the slot of
            the frame before.
        pixels: the frame itself, `H W 3`, RGB. A stored step keeps them in memory.
        heat: `30 40`, where attention and motion meet (`localization`); sums to one; None without
            attention.
        too_slow: frames per second that arrive, and in training, if fewer than 80 % arrive: missing
            frames are replaced by copies of the last one, so that the model sees less of fast
            motion. Else None.
        unusual: whether all windows that end at this frame are unlike windows of training, so that
            none of them can be an event. None: unknown, and before the first window.
        pause: the span before this frame in which nothing was shown; None: there is none.
    """

    index: int
    time: float
    scores: Floats
    decision: Decision
    attention: Floats | None = None
    source: str | None = None
    dropped: int = 0
    reconnections: int = 0
    boxes: "tuple[Box, ...]" = ()
    point: tuple[float, float] | None = None
    pixels: Pixels | None = field(default=None, repr=False)
    heat: Floats | None = None
    ongoing: "tuple[Segment, ...] | None" = None
    events: "tuple[Event, ...]" = ()
    announced: "tuple[Event, ...]" = ()
    rows: Floats | None = None
    too_slow: tuple[float, float] | None = None
    unusual: bool | None = None
    pause: Times | None = None

    def __post_init__(self) -> None:
        _check(self, len(self.classes), scores=1)
        _check_scores(self.scores, self.source or f"frame {self.index}")

    @property
    def box(self) -> "Box | None":
        """The first of `boxes`, if there is one."""
        return self.boxes[0] if self.boxes else None

    @property
    def happening(self) -> bool | None:
        """Whether an event or a state goes on; None for a model that finds neither."""
        return None if self.ongoing is None else bool(self.ongoing)

    @property
    def event(self) -> "Segment | None":
        """The ongoing event, or the ongoing bout that began last."""
        return max(self.ongoing or (), key=lambda segment: segment.start, default=None)

    @property
    def states(self) -> "tuple[Segment, ...]":
        """The ongoing bouts of states."""
        return (self.ongoing or ()) if self.decision.states else ()

    @property
    def begun(self) -> "tuple[Event, ...]":
        """The bouts of states whose begin is final now."""
        return self.announced if self.decision.states else ()

    @property
    def label(self) -> str:
        """The class of `event`, or nothing; for a model that finds neither, as in `Scored`."""
        if self.ongoing is None:
            return super().label
        return self.event.label if self.event else self.nothing_name

    @property
    def score(self) -> float:
        """How probable `label` is."""
        if self.ongoing is None:
            return super().score
        if self.event:
            return self.event.score
        return 1 - float(self.decision.event_scores(self.scores).max())

    @property
    def changes(self) -> "tuple[Event, ...]":
        """What is sent to sinks (`formats.publish`): `events` as ends, and before, after and between
        them `announced`, in the order of time.
        """
        ends = [replace(event, phase="end") for event in self.events]
        both = (*ends, *self.announced)
        return tuple(
            sorted(both, key=lambda bout: bout.start if bout.phase == "begin" else bout.end)
        )

    def to_dict(self) -> dict[str, Any]:
        announced = [event.to_dict() for event in self.announced]
        states = {"states": [bout.bare_dict() for bout in self.states], "begun": announced}
        return {
            "source": self.source,
            "index": self.index,
            "time": self.time,
            "happening": self.happening,
            "dropped": self.dropped,
            "reconnections": self.reconnections,
            **super().to_dict(),
            "events": [event.to_dict() for event in self.events],
            **(states if self.decision.states else {"announced": announced}),
            **({"no_picture": list(self.pause)} if self.pause else {}),
            "attention": None if self.attention is None else self.attention.tolist(),
            "boxes": [{"corners": list(box.corners), "score": box.score} for box in self.boxes],
            "point": None if self.point is None else list(self.point),
            "too_slow": self.too_slow and [round(rate, 1) for rate in self.too_slow],
            "unusual": self.unusual,
        }


def _check_box(corners: Floats, score: float) -> None:
    if not (np.isfinite(corners).all() and math.isfinite(score)):
        raise ValueError(
            f"a box or its score ({score}) is not finite, expected x1 y1 x2 y2 in pixels and a number"
        )
    if not (corners[..., :2] <= corners[..., 2:]).all():
        raise ValueError("a box ends before it begins; expected x1 <= x2 and y1 <= y2")


@dataclass(frozen=True)
class Box:
    """An object in one frame.

    Args:
        frame: frame index in the video.
        corners: x1 y1 x2 y2, in pixels of the original video.
        score: confidence; 1 for ground truth.
    """

    label: str
    frame: int
    corners: tuple[float, float, float, float]
    score: float = 1.0

    def __post_init__(self) -> None:
        _check_box(np.asarray(self.corners), self.score)


@dataclass(frozen=True, eq=False)
class Tube:
    """An object tracked over consecutive frames.

    Args:
        frames: `T`, frame indices in the video, ascending.
        boxes: `T 4`, x1 y1 x2 y2 in pixels of the original video.
        score: confidence; 1 for ground truth.
    """

    label: str
    frames: NDArray[np.int64]
    boxes: Floats
    score: float = 1.0

    def __post_init__(self) -> None:
        _check(self, len(self.frames), frames=1, boxes=2)
        if self.boxes.shape[1] != 4:
            raise ValueError(f"boxes have shape {self.boxes.shape}, expected T 4: x1 y1 x2 y2")
        if not len(self.frames) or self.frames[0] < 0 or not (np.diff(self.frames) > 0).all():
            raise ValueError("frames of a tube are not ascending from 0 or more, or there are none")
        _check_box(self.boxes, self.score)


@dataclass(frozen=True)
class Segment:
    """A label from a start to an end: an event, a bout of a state, or what a person has labeled.

    Args:
        label: a class; "" for time in which nobody knows what happens.
        start, end: seconds.
        score: confidence; 1 for ground truth.
        tier: the group of labels that exclude each other; "": none is named.
        subject: whose behavior it is; "": it is not known.
    """

    label: str
    start: float
    end: float
    score: float = 1.0
    tier: str = field(default="", kw_only=True)
    subject: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not (0 <= self.start < self.end < math.inf and math.isfinite(self.score)):
            values = f"{self.label} from {self.start} to {self.end} s with score {self.score}"
            raise ValueError(f"{values}, expected 0 <= start < end and a finite score")

    @property
    def span(self) -> Times:
        """Its start and end."""
        return self.start, self.end

    def bare_dict(self) -> dict[str, Any]:
        """Label, times and score, for JSON."""
        return {
            "label": self.label,
            "start": self.start,
            "end": self.end,
            "score": self.score,
        }


@dataclass(frozen=True)
class Recording:
    """A video, and what people say of its times.

    Args:
        path: a video file, or a folder with an image sequence.
        labels: by the first scorer.
        unknown: times in which nobody knows what happens, unless they are labeled.
        second: labels by a second scorer; the label "" is unknown time.
        group: what splits keep together, such as a person or a camera; "": it is not known.
        split: training, validation or test; "": none is given.
        scorer: who made the labels; "": it is not known.
        root: the folder of the data set, or of its list; None: it is not known.
        end: when it ends, in seconds; inf: it is not known.
        rate: frames per second; 0: it is not known.
    """

    path: Path
    labels: tuple[Segment, ...]
    unknown: tuple[Times, ...] = ()
    second: tuple[Segment, ...] = ()
    group: str = ""
    split: str = ""
    scorer: str = ""
    root: Path | None = None
    end: float = math.inf
    rate: float = 0.0

    @property
    def segments(self) -> list[Segment]:
        """Its labels, and its unknown time as segments without a label, by start."""
        unknown = [Segment("", start, end) for start, end in self.unknown]
        return sorted([*self.labels, *unknown], key=lambda segment: segment.start)


@dataclass(frozen=True)
class TimeBudget:
    """How long one class goes on in a recording.

    Args:
        seconds, share: in all its bouts, and of the recording.
        bouts: their number.
        median: seconds of a bout; None without any.
        latency: seconds from the beginning of the recording to the first one; None without any.
    """

    label: str
    seconds: float
    share: float
    bouts: int
    median: float | None
    latency: float | None


@dataclass(frozen=True)
class Event(Segment):
    """An event of a stream, or a bout of a state, that is over; or that it has begun, or was none.

    Args:
        source: the name of the stream.
        box: the mean of the boxes while it lasted, x1 y1 x2 y2 in pixels; None if nothing moved.
        id: the same for begin and end; receivers recognize duplicates by it and the phase.
        at: the time of day at which it became final.
        phase: "begin" while it is ongoing, when `end` is what is known so far; "end"; or "withdrawn"
            of an event that has begun, if a better one was found instead. None: an event among
            `Step.events`, which is over.
        snapshot, clip: the files of its picture and its video; "": there is none.
    """

    source: str | None = None
    box: tuple[float, float, float, float] | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    phase: Literal["begin", "end", "withdrawn"] | None = None
    snapshot: str = field(default="", compare=False)
    clip: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `began` and `ended` are the names of earlier versions. What is not
        over has no end.
        """
        start = round(self.start, 3)
        end = round(self.end, 3) if self.phase in (None, "end") else None
        return {
            "id": self.id,
            "source": self.source,
            "label": self.label,
            **({"state": self.phase} if self.phase else {}),
            "start": start,
            "end": end,
            "began": start,
            "ended": end,
            "score": self.score,
            "box": self.box,
            "at": self.at.isoformat(timespec="milliseconds"),
            **({"snapshot": self.snapshot} if self.snapshot else {}),
            **({"clip": self.clip} if self.clip else {}),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Scored):
    """Result for one video; `print` shows it in a few lines.

    Args:
        path: the video.
        decision: how scores become answers, with the threshold used for this video; for a
            recording, the threshold of its events, at most 1.
        frame_scores: `T K` probabilities at every frame of the sample; of a recording, the highest
            scores of the windows that contain it.
        scores: `K` probabilities of the classes, which sum to one: of the whole clip; of a
            recording, of its best window.
        times, indices: `T`, the frames of the sample.
        attention: `T h w`, each map sums to one; None for a model that does not attend.
        size: height and width of the video.
        tubes: where it happens, for classes of at least .01, best first; empty without attention or
            if nothing moves.
        segments: when it happens: the events of the predicted class, or of a recording; empty if
            nothing happens.
        points: `T 2`, x and y in pixels of the video: the hottest place. NaN where nothing moves;
            None without attention.
        assumes_rate: times assume 25 frames per second, because nothing says how many there are.
        end: when the video ends, in seconds; nothing lies after it.
        heat: `T 30 40`, where attention and motion meet (`localization`); None without attention, and
            of a recording of more than an hour.
        event_scores: `K`, of a recording: the probability that an event of each class happens, the
            highest score of a window; for nothing, one minus the highest one. None for a
            clip, whose answer is decided by `scores`.
        unusual: whether a clip is unlike all clips of training, so that its probabilities are
            drawn towards the shares of the classes (`Decision.shrink_to_prior`); of a recording, whether
            this is so for most of its frames (`Step.unusual`). None: unknown.
    """

    path: Path
    decision: Decision
    frame_scores: Floats
    scores: Floats
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    attention: Floats | None = None
    size: tuple[int, int] | None = None
    tubes: tuple[Tube, ...] = ()
    segments: tuple[Segment, ...] = ()
    points: Floats | None = None
    assumes_rate: bool = False
    end: float = math.inf
    heat: Floats | None = None
    event_scores: Floats | None = None
    unusual: bool | None = None
    pauses: tuple[Times, ...] = ()

    def __post_init__(self) -> None:
        _check(self, len(self.classes), scores=1, event_scores=1)
        _check(self, len(self.times), frame_scores=2, indices=1, attention=3, points=2, heat=3)
        if self.frame_scores.shape[1] != len(self.classes):
            raise ValueError(
                f"frame_scores have {self.frame_scores.shape[1]} columns for {len(self.classes)} classes"
            )
        _check_scores(self.scores, self.path)

    @property
    def decided(self) -> Floats:
        return self.scores if self.event_scores is None else self.event_scores

    @property
    def has_several_classes(self) -> bool:
        """Whether the segments are of different classes, as in a recording: then no
        single class describes the video.
        """
        return len({segment.label for segment in self.segments}) > 1

    @property
    def when(self) -> list[str]:
        """The segments in the order of time, in words, such as `0.4 to 2.1` (seconds); with their
        classes, if these differ.
        """
        segments = sorted(self.segments, key=lambda segment: segment.start)
        several = self.has_several_classes
        names = (f"{segment.label} " if several else "" for segment in segments)
        spans = (f"{segment.start:.1f} to {segment.end:.1f}" for segment in segments)
        return [name + span for name, span in zip(names, spans, strict=True)]

    @property
    def border_error(self) -> float | None:
        """The median error of begin and end of the events of a recording, in seconds, in streams of
        recordings that training has not seen. None: unknown, or a clip.
        """
        curve = self.decision.curve
        return curve.border_error if curve and self.event_scores is not None else None

    @property
    def times_text(self) -> str:
        """How exact the times of `segments` are, in words; empty: unknown."""
        curve = self.decision.curve
        has_events = self.event_scores is not None and len(self.segments) > 0
        return curve.times_text if curve and has_events else ""

    def event_at(self, time: float) -> Segment | None:
        """The event that a time belongs to, if there is one."""
        return next((event for event in self.segments if event.start <= time < event.end), None)

    @property
    def begin(self) -> float:
        """The time of the first frame, or of a segment that begins before it, as in a clip."""
        return min([float(self.times[0]), *(segment.start for segment in self.segments)])

    @property
    def seconds(self) -> float:
        """From the begin to the end; if the end is not known, to the end of the last segment."""
        end = self.end
        if not math.isfinite(end):
            end = max([float(self.times[-1]), *(segment.end for segment in self.segments)])
        return end - self.begin

    def budget(self) -> list[TimeBudget]:
        """The time budget of a recording: how long each class goes on, the longest first; and how
        long nothing was shown, if there are pauses. The class in which nothing happens has no bouts
        and is left out.
        """
        pauses = [Segment(NO_PICTURE, *pause) for pause in self.pauses]
        spans = [*self.segments, *pauses]
        budgets = list[TimeBudget]()
        for label in (*self.classes, *([NO_PICTURE] if pauses else [])):
            if label == self.nothing_name:
                continue
            bouts = [span for span in spans if span.label == label]
            lengths = [bout.end - bout.start for bout in bouts]
            budgets.append(
                TimeBudget(
                    label,
                    sum(lengths),
                    sum(lengths) / self.seconds if self.seconds else 0.0,
                    bouts=len(bouts),
                    median=float(np.median(lengths)) if bouts else None,
                    latency=min(bout.start for bout in bouts) - self.begin if bouts else None,
                )
            )
        return sorted(budgets, key=lambda budget: -budget.seconds)

    @property
    def budget_text(self) -> str:
        """The time budget of states in words, such as `sit 62 % · walk 6 % · 17 bouts`; empty for a
        model that finds events.
        """
        if not self.decision.states:
            return ""
        shares = [f"{row.label} {100 * row.share:.0f} %" for row in self.budget() if row.bouts]
        count = len(self.segments)
        return " · ".join([*shares, "1 bout" if count == 1 else f"{count} bouts"])

    @property
    def pauses_text(self) -> str:
        """When nothing was shown, in words; of many pauses, the first ones."""
        spans = [f"{start:.1f} to {end:.1f}" for start, end in self.pauses[:_MANY_PAUSES]]
        more = len(self.pauses) - len(spans)
        return f"{NO_PICTURE}: {', '.join(spans)} s{f', and {more} times more' if more else ''}"

    @property
    def actors(self) -> tuple[Tube, ...]:
        """One tube for each actor: of the predicted class, or else of the best one; none if
        nothing happens.
        """
        if self.label == self.nothing_name:
            return ()
        actors = list[Tube]()
        for tube in sorted(self.tubes, key=lambda tube: tube.label != self.label):
            # one actor with several classes has the same boxes in each
            if tube.label != self.nothing_name and not any(
                np.array_equal(tube.frames, other.frames)
                and np.array_equal(tube.boxes, other.boxes)
                for other in actors
            ):
                actors.append(tube)
        return tuple(actors)

    @property
    def where(self) -> str:
        """The mean box of the first of `actors` in words, such as `12 30 64 98` (x1 y1 x2 y2); none
        if there are several classes.
        """
        if self.has_several_classes or not self.actors:
            return ""
        return " ".join(f"{corner:.0f}" for corner in self.actors[0].boxes.mean(0))

    def to_dict(self) -> dict[str, Any]:
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in self.to_arrays().items()
        }

    def to_arrays(self) -> dict[str, Any]:
        """As `to_dict`, but large arrays stay arrays: a list takes eight times the memory."""
        arrays = {
            name: getattr(self, name) for name in ("times", "indices", "frame_scores", "attention")
        }
        points = None if self.points is None else self.points.tolist()
        return {
            **super().to_dict(),
            "threshold": self.decision.threshold,
            "unusual": self.unusual,
            "border_error": self.border_error,
            "classes": list(self.classes),
            **arrays,
            "points": points
            and [None if math.isnan(x) else [x, y] for x, y in points],  # JSON has no NaN
            "tubes": [
                {
                    "label": tube.label,
                    "score": tube.score,
                    "frames": tube.frames.tolist(),
                    "boxes": tube.boxes.tolist(),
                }
                for tube in self.tubes
            ],
            "segments": [segment.bare_dict() for segment in self.segments],
            **({"budget": [vars(row) for row in self.budget()]} if self.budget_text else {}),
            **({"assumes_rate": True} if self.assumes_rate else {}),
            **({"no_picture": list(map(list, self.pauses))} if self.pauses else {}),
        }

    def __str__(self) -> str:
        if self.budget_text:
            return printable(f"{self.path.name}: {self.budget_text}")
        best = self.decision.answer_text((self.label, self.score), self.best, digits=1)
        if self.runner_up is not None:
            label, score = self.runner_up
            best += f", then {label} {100 * score:.1f} %"
        if self.unusual:
            best = f"unlike training; nearest: {best}"
        assumed = ", if there are 25 frames per second" if self.assumes_rate else ""
        times = [f"  {self.times_text}"] if self.times_text else []
        times += [f"  {self.pauses_text}"] if self.pauses else []
        unusual = [f"  {UNUSUAL}"] if self.unusual else []
        if self.has_several_classes:
            events = [f"  {event} s" for event in self.when]
            head = f"{self.path.name}: {len(events)} events{assumed}"
            return "\n".join(map(printable, [head, *events, *times, *unusual]))
        when = [f"  when: {', '.join(self.when)} s{assumed}"] if self.when else []
        where = [f"  where: {self.where} (mean box, x1 y1 x2 y2)"] if self.where else []
        return "\n".join(
            map(printable, [f"{self.path.name}: {best}", *when, *times, *where, *unusual])
        )

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions for a set of videos, with their true classes.

    Args:
        names: `B`, the names of the videos.
        decision: how scores become answers.
        targets: `B`, the true class of each video.
        scores: `B K`, probabilities of each video.
        frame_scores: for each video `T K`, probabilities at each of its frames; () if they are not
            known.
        skipped: clips that could not be used, with the reason.
        recordings: `B`, the recording of each video (`data.split.source_of`); (): each video is its
            own.
        thresholds: `B`, the threshold of each video, NaN where there is none: a cross-validation
            chooses it without the video, and recordings have the threshold of their events. None:
            all have the threshold of the decision.
        event_scores: `B K`, the probabilities that decide answers: of recordings the scores of their
            events (`Prediction.event_scores`), else `scores`. None: `scores` for all.
        unusual: `B`, as of a `Prediction`. None: unknown.
    """

    names: tuple[str, ...]
    decision: Decision
    targets: NDArray[np.int64]
    scores: NDArray[np.floating]
    frame_scores: tuple[Floats, ...]
    skipped: tuple[ClipError, ...] = field(default=())
    recordings: tuple[str, ...] = ()
    thresholds: NDArray[np.floating] | None = None
    event_scores: NDArray[np.floating] | None = None
    unusual: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        _check(self, len(self.names), targets=1, scores=2, thresholds=1, event_scores=2, unusual=1)
        for name, scores in zip(self.names, self.scores, strict=True):
            _check_scores(scores, name)
        if self.scores.shape[1] != len(self.classes):
            raise ValueError(
                f"scores have {self.scores.shape[1]} columns for {len(self.classes)} classes"
            )

    @property
    def classes(self) -> Sequence[str]:
        """The `K` class names."""
        return self.decision.classes

    @property
    def answers(self) -> NDArray[np.int64]:
        """`B`, what is answered for each video, as positions among `answer_names`
        (`Decision.decide`).
        """
        return self.decision.decide(self.decided, self.thresholds)

    @property
    def decided(self) -> NDArray[np.floating]:
        """`B K`, the probabilities that decide answers."""
        return self.scores if self.event_scores is None else self.event_scores

    @property
    def needed(self) -> NDArray[np.floating]:
        """`B`, the score that an event of each video needs; NaN where there is no threshold."""
        if self.thresholds is not None:
            return self.thresholds
        threshold = self.decision.threshold
        return np.full(len(self.names), np.nan if threshold is None else threshold)

    @property
    def answer_texts(self) -> list[str]:
        """The answers in words, as `Prediction.answer`."""
        events = self.decision.event_scores(self.decided)
        thresholds = [None if np.isnan(value) else value for value in self.needed.tolist()]
        return [
            self.decision.with_threshold(threshold).answer_text(
                (self.answer_names[answer], score), (self.classes[row.argmax()], float(row.max()))
            )
            for answer, score, row, threshold in zip(
                self.answers, self.answer_scores.tolist(), events, thresholds, strict=True
            )
        ]

    @property
    def answer_names(self) -> Sequence[str]:
        """The classes; with a threshold also that nothing happens, if it is not a class."""
        has_threshold = self.thresholds is not None or self.decision.threshold is not None
        return self.decision.answer_names if has_threshold else self.classes

    @property
    def answer_scores(self) -> NDArray[np.floating]:
        """`B`, the probability of each answer."""
        return answer_scores(self.decided, self.answers)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """`B`, whether the answer is the true class."""
        return self.answers == self.targets
