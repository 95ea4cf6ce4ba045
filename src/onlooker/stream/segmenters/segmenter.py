"""The interface of all segmenters: scores of windows in, segments out, for a whole recording or
frame by frame.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from onlooker.base.decision import Decision
from onlooker.base.records import Segment

Floats = NDArray[np.floating]
TimedBox = tuple[float, tuple[float, ...]]  # seconds, and x1 y1 x2 y2
Memory = TypeVar("Memory")


class SegmentStep(NamedTuple, Generic[Memory]):
    """Result for one frame of a stream.

    Args:
        memory: for the next frame.
        final: segments that are over and will not change, in the order of time.
        ongoing: segments that go on and may still change.
        scores: `K`, probabilities of the classes.
        rows: `n …`, input of `find` for the `n` frames whose windows are complete now.
        begun: ongoing segments whose begin is announced: it is final, or, with pauses between
            segments, all that seem to go on.
        unusual: as in `Step`.
    """

    memory: Memory
    final: list[Segment]
    ongoing: tuple[Segment, ...]
    scores: NDArray[np.float32]
    rows: Floats
    begun: tuple[Segment, ...] = ()
    unusual: bool | None = None


class RecordingAnswer(NamedTuple):
    """The answer for a whole recording: the fields of a `Prediction` with these names."""

    decision: Decision
    segments: list[Segment]
    frame_scores: NDArray[np.float32]
    scores: NDArray[np.float32]
    event_scores: NDArray[np.float32] | None = None


class Segmenter(ABC, Generic[Memory]):
    """Finds segments from the scores of windows.

    Attributes:
        decision: its threshold is the lowest score of a segment that users see.
        start: the memory before the first frame of a stream.
        delay: frames after which the windows around a frame are complete.
        has_pauses: whether there are pauses between segments. A clip then has one answer, unless it is
            longer than the clips of training, and the features of a few missed frames are
            interpolated, and the begin of a segment may be withdrawn. Else every video is a recording,
            and missed frames are repeated.
        longest_pause: seconds between two frames above which nothing was shown between them; no
            window and no segment is in both parts.
    """

    decision: Decision
    start: Memory
    delay: int
    has_pauses: bool
    longest_pause: float = math.inf

    @abstractmethod
    def set_threshold(self, threshold: float) -> None:
        """Set the lowest score of a segment that a user has chosen."""

    @abstractmethod
    def step(
        self,
        memory: Memory,
        time: float,
        scores: Floats,
        *,
        possible: NDArray[np.bool_] | None = None,
    ) -> SegmentStep[Memory]:
        """Process one frame of a stream.

        Args:
            memory: after the previous frame; `start` at the first.
            scores: `L …`, the output of the model for the windows that end at this frame.
            possible: `L`, whether each window can be an event; None: unknown.
        """

    @abstractmethod
    def finish(self, memory: Memory, end: float | None = None) -> list[Segment]:
        """The segments that become final by the end of a stream, after `delay` more steps with its
        last frame.

        Args:
            end: when the stream ends, in seconds; None: unknown.
        """

    @abstractmethod
    def final_scores(self, memory: Memory, final: Sequence[Segment]) -> NDArray[np.float32]:
        """The probabilities `K` at the end of a stream, after the segments that became final."""

    @abstractmethod
    def recent(self, memory: Memory, boxes: Sequence[TimedBox], limit: int) -> tuple[TimedBox, ...]:
        """The boxes that later segments may contain; where durations have no limit, the last
        `limit` ones.
        """

    @abstractmethod
    def find(self, times: Sequence[float], rows: Floats, end: float | None = None) -> list[Segment]:
        """The segments of a recording, in the order of time.

        Args:
            times: `T`, seconds, ascending.
            rows: `T …`, `SegmentStep.rows` of all frames.
            end: when the recording ends, in seconds; None: unknown.
        """

    @abstractmethod
    def answer(self, times: Sequence[float], rows: Floats, end: float) -> RecordingAnswer:
        """The answer for a recording, from the arguments of `find`."""


def shown_parts(times: Sequence[float], longest_pause: float) -> list[slice]:
    """The parts of a recording between which nothing was shown.

    Args:
        times: `T`, of its frames, seconds, ascending.
        longest_pause: as in `Segmenter`.
    """
    after = (np.flatnonzero(np.diff(times) > longest_pause) + 1).tolist()
    return [slice(*bounds) for bounds in pairwise((0, *after, len(times)))]


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Segments in the order of time."""
    return sorted(segments, key=attrgetter("start", "end"))
