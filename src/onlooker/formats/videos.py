"""The videos that labels name: found beside the labels, with their length; and their names in written files."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from onlooker.base.intervals import file_of, split_interval
from onlooker.base.records import ClipError, Recording, Segment
from onlooker.base.text import relative_name
from onlooker.formats.labels import Video
from onlooker.storage import is_address, path_or_address
from onlooker.video.reader import VideoReader, is_video
from onlooker.video.sampling import Timing
from onlooker.video.write import is_drawn

_END_TOLERANCE = 0.5  # seconds after the end of a video that labels may end: frames are rounded up
LOCAL_FILES = "/data/local-files/?d="  # how Label Studio names files of its machine


def find_video(folder: Path, name: str, url: bool = False) -> Video:
    """The video that labels name by a path, a file:// address or an address in Label Studio. It is
    searched for beside the labels, with as many folders of its path as exist there.

    Args:
        url: the name may have escapes such as %20.
    """
    if not name:
        raise ValueError("no name of a video")
    if is_address(name) and not name.startswith("file:"):
        return Video(Path(name), name)
    name = name.partition(LOCAL_FILES)[2] or name
    elsewhere = os.path.isabs(name) or "://" in name or re.match(r"[A-Za-z]:[\\/]", name)
    as_named = list[str]()
    ends = list[str]()
    uploads = list[str]()
    for path in (unquote(name), name) if url else (name,):
        slashes = path.replace("\\", "/")
        parts = slashes.removeprefix("file://").split("/")
        as_named += [path, slashes]
        ends += ["/".join(parts[i:]) for i in range(len(parts))]
        # Label Studio's prefix of uploads
        uploads.append(
            re.sub(r"^[0-9a-f]{8}-", "", parts[-1]) if "/upload/" in slashes else parts[-1]
        )
    for path in (*as_named, *ends, *uploads):
        file = file_of(folder / path)
        if path and os.path.exists(file):
            if path in as_named or os.path.isabs(path):
                return by_path(folder / path)
            if not is_drawn(file):
                return Video(folder / path, name)
    return Video(folder / uploads[0], name) if elsewhere else by_path(folder / as_named[1])


def by_path(path: Path) -> Video:
    """A video that labels name by its path."""
    return Video(path, os.path.abspath(path))


def by_stem(folder: Path) -> dict[str, Video]:
    """The videos of a folder; of several with one name an original, not a drawn clip."""
    videos = dict[str, Path]()
    for path in sorted(folder.iterdir(), reverse=True):
        if is_video(path) and not (path.stem in videos and is_drawn(path)):
            videos[path.stem] = path
    return {stem: by_path(path) for stem, path in videos.items()}


@lru_cache(64)  # as `frame_bounds`
def timing_of(video: Path) -> Timing | None:
    """When the frames of a video are shown; None: it is not there, or cannot be read."""
    try:
        return VideoReader(video).timing
    except ClipError:
        return None


def length_of(video: Path) -> float:
    """When the last frame of a video ends, in seconds."""
    if (timing := timing_of(video)) is None:
        raise ClipError(video, "its length is not known", "put it beside the labels")
    return timing.end


def ends_before(video: Path, seconds: float) -> bool:
    """Whether a video, if its times are known, ends before a time."""
    timing = timing_of(video)
    return timing is not None and not timing.assumes_rate and seconds > timing.end + _END_TOLERANCE


def one_video(path: Path, recordings: Iterable[Recording]) -> tuple[Path, list[Segment]]:
    """The only video and its labels, for formats that hold one."""
    videos = labels_of(recordings)
    if len(videos) != 1:
        raise ValueError(
            f"{path}: holds the times of one video, not of {len(videos)}; choose another format"
        )
    return next(iter(videos.items()))


def labels_of(recordings: Iterable[Recording]) -> dict[Path, list[Segment]]:
    """The labels of each video by its first scorer, by start."""
    videos = defaultdict[Path, list[Segment]](list)
    for recording in of_first_scorers(recordings):
        videos[recording.path] += recording.labels
    return {
        video: sorted(labels, key=lambda label: label.start) for video, labels in videos.items()
    }


def of_first_scorers(recordings: Iterable[Recording]) -> list[Recording]:
    """The recordings by the first scorer of each video."""
    scorers = dict[Path, str]()
    return [
        recording
        for recording in recordings
        if recording.scorer == scorers.setdefault(recording.path, recording.scorer)
    ]


def in_whole_file(recording: Recording) -> Recording:
    """The recording of the whole file that a recording is a part of."""
    file, times = split_interval(recording.path)
    begin = times[0] if times else 0.0
    labels = [
        replace(label, start=label.start + begin, end=label.end + begin)
        for label in recording.labels
    ]
    unknown = [(start + begin, end + begin) for start, end in recording.unknown]
    return replace(recording, path=file, labels=tuple(labels), unknown=tuple(unknown))


def written_name(video: Path, folder: Path) -> str:
    """The name of a video in files of a folder: its address, or its path relative to the folder."""
    name = path_or_address(video)
    return name if is_address(name) else relative_name(video, folder)
