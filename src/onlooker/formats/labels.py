"""Labels of videos: the values that every format reads into and writes from."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from onlooker.base.files import reading
from onlooker.base.intervals import Times
from onlooker.base.records import ClipError, Recording, Segment
from onlooker.base.text import printable

EXPORT_AGAIN = "correct it, or export the labels again"
_AROUND = 0.5  # seconds of unknown time before and after an event without duration
_SHORTEST = 1e-3  # seconds of unknown time: times are rounded to milliseconds
LONGEST = 1e8  # seconds, three years: a later time is a mistake
_WRONG = "wrong entries"
_NAMED = 3  # wrong entries that are named


class Video(NamedTuple):
    """A video that labels name.

    Args:
        name: its absolute path if labels name that, or else their name for a file elsewhere.
        split, group, scorer: as in lists of clips; "" if they are not known.
    """

    path: Path
    name: str
    split: str = ""
    group: str = ""
    scorer: str = ""


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

    def segment(
        self,
        label: object,
        start: float | str,
        end: float | str,
        *,
        left_out: Counter[str],
        score: float | str = 1,
        subject: str = "",
        tier: str = "",
    ) -> Segment:
        """A segment of checked values (`make_label`). If it ends when it starts, it is an event
        without a duration (`of_point`).
        """
        begin = round(float(start), 3)
        if begin == round(float(end), 3) <= LONGEST:
            name, (start, end) = self.of_point(begin, left_out, _name(label))
            if not name:
                return unknown_time(start, end)
        return make_label(label, start, end, score=score, subject=subject, tier=tier)


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
    name = _name(label)
    if float(end) > LONGEST:
        raise ValueError(f"end is {float(end):g} s, expected at most {LONGEST:g}")
    begin = round(float(start), 3)
    return Segment(
        name, begin, round(float(end), 3), score=float(score), subject=subject, tier=tier
    )


def _name(label: object) -> str:
    """A label in one line; a ValueError if it is none."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"label is {label!r}, expected a name")
    return printable(" ".join(label.split()))


def unknown_time(start: float, end: float) -> Segment:
    """Unknown time, from zero on; of a moment, the time around it."""
    around = 0.0 if start < end else _AROUND
    begin = round(max(start - around, 0.0), 3)
    return Segment("", begin, max(round(end + around, 3), begin + _SHORTEST))


@contextmanager
def entry(path: Path, where: str, left_out: Counter[str]) -> Iterator[None]:
    """Leave out one entry of a file if a value of it is missing or impossible: it is counted, and
    one of the first few is named with its place. A ClipError of the file itself is raised.

    Args:
        where: the place of the entry in the file.
    """
    try:
        with reading(path, where, EXPORT_AGAIN):
            yield
    except ValueError as error:
        if isinstance(error, ClipError):
            raise
        problem = str(error).removeprefix(f"{printable(path)}: ")
        named = sum(kind.startswith(_WRONG) for kind in left_out)
        text = problem.removesuffix(f"; {EXPORT_AGAIN}") if named < _NAMED else "not named here"
        left_out[f"{_WRONG} ({text})"] += 1


def count_of(left_out: Counter[str]) -> str:
    """The kinds of what is left out, with their counts."""
    return ", ".join(f"{number} {kind}" for kind, number in left_out.items())
