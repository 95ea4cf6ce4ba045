"""Tables with a row for each frame, as DeepEthogram and SimBA write them."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.base.intervals import Times
from onlooker.base.progress import note
from onlooker.base.records import ClipError
from onlooker.data.tables import read_frames, table_kind
from onlooker.formats.labels import Labels, Requested, Video, make_label, unknown_time
from onlooker.formats.videos import by_path, by_stem, timing_of
from onlooker.video.reader import frame_bounds
from onlooker.video.sampling import Timing

_BACKGROUND = "background"  # of DeepEthogram, where nothing happens
_NOBODY = "No focal subject"  # of BORIS
_FRAMES_APART = 2  # maximum difference between the frame counts of two video readers


def recognizes(path: Path) -> bool:
    """Whether the rows of a table are frames."""
    return table_kind(path) == "frames"


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The behaviors of a table with a row for each frame, except `background`, which marks the
    gaps; or with a row for each moment of a column of times (the binary table of BORIS). Frames
    that nobody labeled, or that have no row, are unknown time.
    """
    table = read_frames(path)
    left_out.update(f"column {name} (by its name, a probability)" for name in table.left_out)
    video, subject = _video_of_table(path, names_subject=table.times is not None)
    if table.times is None:
        bounds = _frame_times(path, video.path, int(table.numbers[-1]) + 1, fps=requested.fps)
        rows = table.numbers
    else:
        bounds, rows = _row_times(table.times, timing_of(video.path))
    shown = np.full((len(bounds) - 1, len(table.names)), -1, np.int8)
    shown[rows] = table.states
    behaviors = {
        name: shown[:, place] == 1
        for place, name in enumerate(table.names)
        if name.casefold() != _BACKGROUND and (shown[:, place] == 1).any()
    }
    columns = ", ".join(behaviors)
    note(f"columns that have 0 and 1 alone are read as behaviors: {columns}", once=True)
    for start, end in _spans((shown == -1).any(1), bounds):
        yield video, unknown_time(start, end)
    timing = timing_of(video.path)
    if timing and _milliseconds(timing.end) > _milliseconds(bounds[-1]):
        yield video, unknown_time(bounds[-1], timing.end)
    for name, marks in behaviors.items():
        for start, end in _spans(marks, bounds):
            yield video, make_label(name, start, end, subject=subject)


def _video_of_table(path: Path, *, names_subject: bool) -> tuple[Video, str]:
    """The video of a table of frames, of the same name, beside it (DeepEthogram's ends in _labels),
    or among the videos of a project of SimBA; and the subject.

    Args:
        names_subject: the name of the table ends in _SUBJECT, as BORIS writes it.
    """
    stem = re.sub("_(labels|predictions)$", "", path.stem)
    for folder in (path.parent, *(above / "videos" for above in path.absolute().parents[2:3])):
        beside = by_stem(folder) if folder.is_dir() else {}
        if video := beside.get(path.stem) or beside.get(stem):
            return video, ""
        begins = [name for name in beside if names_subject and stem.startswith(f"{name}_")]
        if begins:
            name = max(begins, key=len)
            return beside[name], stem.removeprefix(f"{name}_").replace(_NOBODY, "")
    return by_path(path.with_name(f"{stem}.mp4")), ""


def _row_times(
    times: NDArray[np.float64], timing: Timing | None
) -> tuple[list[float], NDArray[np.int64]]:
    """When the rows of a table with times begin, and the last one ends; and which of these times
    are of rows: the others are of gaps, in which nothing is known.

    Args:
        timing: of the video; a last row that begins before its end ends with it.
    """
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    bounds = list[float]()
    rows = list[int]()
    end = 0.0
    for begin in times.tolist():
        if begin > end + step / 2:
            bounds.append(end)
        rows.append(len(bounds))
        bounds.append(begin)
        end = begin + step
    bounds.append(end)
    if timing and timing.end < end and times[-1] < timing.end + step:
        bounds = [min(bound, timing.end) for bound in bounds]
    return bounds, np.array(rows, np.int64)


def _frame_times(path: Path, video: Path, count: int, *, fps: float | None) -> list[float]:
    """When each frame of a table is shown, and when the last one ends, in seconds.

    Raises:
        ClipError: without `fps`, the rate of the video is unknown, or it has another number of
            frames.
    """
    if fps:
        return [_milliseconds(frame / fps) / 1000 for frame in range(count + 1)]
    timing = timing_of(video)
    if timing is None or timing.assumes_rate:
        problem = f"the frames per second of {video} are not known"
        raise ClipError(path, problem, "put it beside the table, or give --fps")
    bounds = frame_bounds(video)
    frames = len(bounds) - 1
    if abs(count - frames) > _FRAMES_APART:
        problem = f"{count} frames, and {video} has {frames}"
        raise ClipError(path, problem, "give the rows per second as --fps, or the right video")
    return [float(bounds[min(frame, frames)]) for frame in range(max(count, frames) + 1)]


def _milliseconds(seconds: float) -> int:
    """Rounded down, as `frame_bounds`."""
    return math.floor(1000 * seconds + 0.001)


def _spans(marks: NDArray[np.bool_], bounds: Sequence[float]) -> Iterator[Times]:
    """The times of the runs of marked frames."""
    changes = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    for start, end in changes.reshape(-1, 2).tolist():
        if bounds[start] < bounds[end]:
            yield bounds[start], bounds[end]
