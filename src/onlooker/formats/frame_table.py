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

_BACKGROUND = "background"  # of DeepEthogram, where nothing happens
_FRAMES_APART = 2  # maximum difference between the frame counts of two video readers


def recognizes(path: Path) -> bool:
    """Whether the rows of a table are frames."""
    return table_kind(path) == "frames"


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The behaviors of a table with a row for each frame, except `background`, which marks the
    gaps. Frames that nobody labeled, or that have no row, are unknown time.
    """
    names, numbers, states = read_frames(path)
    video = _video_of_table(path)
    bounds = _frame_times(path, video.path, int(numbers[-1]) + 1, fps=requested.fps)
    shown = np.full((len(bounds) - 1, len(names)), -1, np.int8)
    shown[numbers] = states
    behaviors = {
        name: shown[:, place] == 1
        for place, name in enumerate(names)
        if name.casefold() != _BACKGROUND and (states[:, place] == 1).any()
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
            yield video, make_label(name, start, end)


def _video_of_table(path: Path) -> Video:
    """The video of a table of frames: of the same name, beside it (DeepEthogram's ends in _labels),
    or among the videos of a project of SimBA.
    """
    stem = re.sub("_(labels|predictions)$", "", path.stem)
    for folder in (path.parent, *(above / "videos" for above in path.absolute().parents[2:3])):
        beside = by_stem(folder) if folder.is_dir() else {}
        if video := beside.get(path.stem) or beside.get(stem):
            return video
    return by_path(path.with_name(f"{stem}.mp4"))


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
