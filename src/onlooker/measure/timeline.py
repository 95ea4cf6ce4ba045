"""What happens when in a recording: by its labels, by a second scorer, or by a model."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from onlooker.base.intervals import Times
from onlooker.base.records import Segment

__all__ = ["Timeline"]


@dataclass(frozen=True)
class Timeline:
    """The segments of a recording.

    Args:
        segments: in any order; they may overlap.
        seconds: length of the recording.
        unknown: spans in which nobody knows what happens, where no segment says otherwise.
    """

    segments: Sequence[Segment]
    seconds: float
    unknown: Sequence[Times] = ()

    @classmethod
    def of(cls, labels: Iterable[Segment], seconds: float) -> Self:
        """Labels up to the end of the recording; the label "" is unknown time."""
        spans = [
            (label.label, label.start, min(label.end, seconds))
            for label in labels
            if label.start < seconds
        ]
        unknown = [(start, end) for label, start, end in spans if not label]
        return cls([Segment(*span) for span in spans if span[0]], seconds, unknown)

    def only(self, classes: Collection[str]) -> Self:
        """With the segments of these classes alone."""
        return replace(self, segments=[bout for bout in self.segments if bout.label in classes])


class Bout(NamedTuple):
    """A run of frames of one class: the first one, the last one + 1, and the class."""

    start: int
    end: int
    label: int


Pair = tuple[Timeline, Timeline]  # what is true of a recording, and what a model says
