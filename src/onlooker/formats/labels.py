"""Labels of videos: the values that every format reads into and writes from."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from onlooker.base.intervals import Times
from onlooker.base.records import Recording, Segment
from onlooker.base.text import printable

EXPORT_AGAIN = "correct it, or export the labels again"
_AROUND = 0.5  # seconds of unknown time before and after an event without duration
LONGEST = 1e8  # seconds, three years: a later time is a mistake


class Video(NamedTuple):
    """A video that labels name.

    Args:
        name: its absolute path if labels name that, or else their name for a file elsewhere.
        split, group: as in lists of clips; "" if they are not known.
    """

    path: Path
    name: str
    split: str = ""
    group: str = ""


Labels = Iterator[tuple[Video, Segment]]  # unknown time has no label
Writer = Callable[[Path, Sequence[Recording], float | None], None]


class Requested(NamedTuple):
    """What the person who reads a file of labels adds to it.

    Args:
        fps: frames per second of the frame numbers in the file; None: as the program that wrote it
            counts (Label Studio: 24); for a table of frames, the rate of the video.
        point_seconds: how long an event without a duration lasts, half of it before its time; None:
            it is left out.
    """

    fps: float | None = None
    point_seconds: float | None = None

    def of_point(self, time: float, left_out: Counter[str], label: str) -> tuple[str, Times]:
        """The label and the times of an event without a duration. The label "": the event is left
        out, and the time around it is unknown.
        """
        if self.point_seconds is None:
            left_out[f"events without duration ({label}; --point-seconds gives them one)"] += 1
            return "", (time - _AROUND, time + _AROUND)
        start = max(time - self.point_seconds / 2, 0.0)
        return label, (start, start + self.point_seconds)


DEFAULTS = Requested()


class Format(NamedTuple):
    """A file format.

    Args:
        ending: the suffix of the file of one clip.
        read: reads a file, and counts what it leaves out by its kind.
        write: writes a file, by frames per second or None; None: the format is only read.
        recognizes: tells from its content whether a file is in this format rather than in another
            one with its suffix; None: that is the usual one.
        suffixes: of the files that it reads, in lower case; (): the suffix in `ending`.

    Programs may count other frames per second than the video has; where their rate is used, a note
    says so.
    """

    ending: str
    read: Callable[[Path, Requested, Counter[str]], Labels]
    write: Writer | None = None
    recognizes: Callable[[Path], bool] | None = None
    suffixes: tuple[str, ...] = ()

    @property
    def read_suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files that it reads."""
        return self.suffixes or (f".{self.ending.rpartition('.')[2]}",)


def make_label(
    label: object,
    start: float | str,
    end: float | str,
    *,
    score: float | str = 1,
    subject: str = "",
    tier: str = "",
) -> Segment:
    """A segment of checked values; the label fits into one line of any format."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"label is {label!r}, expected a name")
    if float(end) > LONGEST:
        raise ValueError(f"end is {float(end):g} s, expected at most {LONGEST:g}")
    name = printable(" ".join(label.split()))
    begin = round(float(start), 3)
    return Segment(
        name, begin, round(float(end), 3), score=float(score), subject=subject, tier=tier
    )


def unknown_time(start: float, end: float) -> Segment:
    """Unknown time, from zero on; of a moment, the time around it."""
    around = 0.0 if start < end else _AROUND
    return Segment("", round(max(start - around, 0.0), 3), round(end + around, 3))


def count_of(left_out: Counter[str]) -> str:
    """The kinds of what is left out, with their counts."""
    return ", ".join(f"{number} {kind}" for kind, number in left_out.items())
