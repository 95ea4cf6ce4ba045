"""Intervals of recordings are paths too: `recording.mp4#t=12.5,17`, the syntax of the W3C's Media
Fragments.

They last from a start (included) to an end (excluded), in seconds. If a file of that very name
exists, the path means this file.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

Times = tuple[float, float]  # start and end, in seconds
WHOLE: Times = (0.0, math.inf)
# start, end, and what is there
_Span = TypeVar("_Span", bound=tuple[float, float, *tuple[Any, ...]])

_TIME = r"(?:\d+:){0,2}\d+(?:\.\d*)?"
_INTERVAL = re.compile(rf"(?s)(.+)#t=(?:npt:)?(?=.)({_TIME})?(?:,({_TIME}))?", re.ASCII)


def split_interval(path: Path | str) -> tuple[Path, Times | None]:
    """The file (or folder) of a clip, and its times there; None: all of it. The end is inf if none
    is given.
    """
    if not (interval := _INTERVAL.fullmatch(os.fspath(path))) or os.path.exists(path):
        return Path(path), None
    start, end = (
        parse_time(text) if text else default
        for text, default in zip(interval.groups()[1:], WHOLE, strict=True)
    )
    return Path(interval[1]), (start, end)


def file_of(path: Path | str) -> Path:
    """The file (or folder) that a clip is in: the path itself, without its interval."""
    return split_interval(path)[0]


def resolved(path: Path | str) -> Path:
    """The canonical path of a clip or file: absolute, without links."""
    return Path(os.path.realpath(path))


def with_interval(file: Path, start: float, end: float = math.inf) -> Path:
    """The path of an interval of a file; times are rounded to milliseconds."""
    return Path(f"{file}#t={_text(start)}" + (f",{_text(end)}" if end < math.inf else ""))


def as_cut(path: Path) -> Path:
    """The path that the clip would have if it were cut into a file of its own:
    `recording-12.5-17.mp4`.
    """
    file, times = split_interval(path)
    return (
        path
        if times is None
        else file.with_name("-".join([file.stem, *map(_text, times)]) + file.suffix)
    )


def covered(intervals: Iterable[Times]) -> list[Times]:
    """The times that any of the intervals covers, in order, as intervals that do not touch."""
    parts = list[Times]()
    for start, end in sorted(intervals):
        if parts and start <= parts[-1][1]:
            parts[-1] = parts[-1][0], max(end, parts[-1][1])
        else:
            parts.append((start, end))
    return parts


def outside(times: Iterable[Times], taken: Iterable[Times]) -> list[Times]:
    """The parts of `times` that no interval in `taken` covers, in order."""
    bounds = [-math.inf, *chain.from_iterable(covered(taken)), math.inf]
    gaps = zip(bounds[::2], bounds[1::2], strict=True)
    # neither the times nor the gaps overlap each other: a pair is one of both
    return [
        (later[0], min(earlier[1], later[1]))
        for earlier, later in overlapping([*covered(times), *gaps])
    ]


def overlapping(spans: Iterable[_Span], tolerance: float = 0.0) -> Iterator[tuple[_Span, _Span]]:
    """The pairs of spans that share more than `tolerance` seconds, in the order of time."""
    going_on = list[_Span]()  # earlier ones that may end later
    for span in sorted(spans, key=itemgetter(0, 1)):
        going_on = [other for other in going_on if other[1] > span[0] + tolerance]
        yield from ((other, span) for other in going_on)
        going_on.append(span)


def parse_time(text: str) -> float:
    """Seconds, rounded to milliseconds, from text such as `75.5`, `75,5` or `0:01:15.5`; a
    ValueError for others.
    """
    number = text.replace(",", ".")
    if not re.fullmatch(_TIME, number, re.ASCII):
        raise ValueError(
            f"time is {text!r}, expected seconds, mm:ss or hh:mm:ss, such as 75.5 or 1:15.5"
        )
    seconds = 0.0
    for part in number.split(":"):
        seconds = 60 * seconds + float(part)
    return round(seconds, 3)


def _text(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
