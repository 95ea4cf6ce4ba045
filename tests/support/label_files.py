"""Files of labels in the formats of other programs, as segments by video."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.base.records import Recording, Segment
from onlooker.formats.annotations import FORMATS, read_labels

Videos = Mapping[Path, Sequence[Segment]]


def segments_of(path: Path, *args: Any, **kwargs: Any) -> dict[Path, list[Segment]]:
    """The labels and the unknown time of each video in a file."""
    return by_video(read_labels([path], *args, **kwargs))


def by_video(recordings: Sequence[Recording]) -> dict[Path, list[Segment]]:
    """The labels and the unknown time of each video, by start."""
    videos = defaultdict[Path, list[Segment]](list)
    for recording in recordings:
        videos[recording.path] += recording.segments
    return {
        video: sorted(segments, key=lambda segment: segment.start)
        for video, segments in videos.items()
    }


def write_labels(name: str, file: Path, videos: Videos, fps: float | None = None) -> None:
    """Write the labels of videos in a format."""
    write = FORMATS[name].write
    assert write is not None
    write(file, [Recording(video, tuple(labels)) for video, labels in videos.items()], fps)
