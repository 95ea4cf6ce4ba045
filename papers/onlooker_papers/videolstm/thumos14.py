"""THUMOS'14: when each action happens in untrimmed videos of 20 sports.

H. Idrees, A. R. Zamir, Y.-G. Jiang, A. Gorban, I. Laptev, R. Sukthankar, M. Shah, *The THUMOS challenge on action
recognition for videos "in the wild"*, 2017; in the JSON form that ActivityNet made common.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onlooker.structures import ClipError, Segment

# videos and segments of each split
COUNTS = {"validation": (200, 3007), "test": (212, 3358)}


@dataclass(frozen=True)
class AnnotatedVideo:
    """An untrimmed video with the actions in it.

    Args:
        name: of its file, without suffix, such as `video_test_0000004`.
        subset: `validation`, on which one trains (the training side of the challenge is trimmed), or `test`.
        duration: seconds.
        segments: in the order of the file. They may overlap; each CliffDiving is also a Diving at the same time.
    """

    name: str
    subset: str
    duration: float
    segments: tuple[Segment, ...]


def thumos14(path: Path, complete: bool = True) -> tuple[tuple[AnnotatedVideo, ...], tuple[ClipError, ...]]:
    """All annotated videos, and a report on those whose segments cannot all be true.

    200 validation videos with 3,007 segments and 212 test videos with 3,358. The challenge has a 213th test video,
    video_test_0001292, in which nothing but ambiguous actions was found.

    Five videos have segments that end after the video does. They are returned as annotated, and reported: to compare
    with published figures, leave out the same ones (often video_test_0000270 and video_test_0001496).

    Args:
        path: `thumos14.json`: `database` → video → `subset`, `duration` (s), `annotations` → `label`, `segment`
            (start and end, s). Frame numbers and class numbers, which follow from these, are not read.
        complete: insist on the published numbers of videos and segments.

    Returns:
        The videos in the order of the file; for each with segments beyond its end an error that names it.

    Raises:
        ClipError: no such file, not JSON, of another form, a segment that ends before it starts, or other numbers of
            videos and segments than published.
    """
    if not path.is_file():
        raise ClipError(path, "no such file", "expected thumos14.json, the temporal annotations")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except ValueError as error:
        raise ClipError(path, f"cannot be read as JSON ({error})", "take the published file") from error
    try:
        videos = tuple(_video(name, values) for name, values in content["database"].items())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        found = f"not the annotations of THUMOS'14 ({type(error).__name__}: {error})"
        raise ClipError(path, found, "expected database, and in it for each video its annotations") from error
    if complete:
        counts = Counter(video.subset for video in videos)
        segments = Counter(video.subset for video in videos for _ in video.segments)
        numbers = {subset: (counts[subset], segments[subset]) for subset in counts}
        if numbers != COUNTS:
            found, expected = (
                ", ".join(f"{v} {subset} videos with {s} segments" for subset, (v, s) in sorted(some.items()))
                for some in (numbers, COUNTS)
            )
            raise ClipError(path, found, f"published are {expected}; take the published file")
    return videos, tuple(_beyond(video) for video in videos if any(s.end > video.duration for s in video.segments))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON itself would keep the last of two videos of one name, and lose the other.
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is there twice")
    return dict(pairs)


def _video(name: str, values: dict[str, Any]) -> AnnotatedVideo:
    try:
        segments = tuple(Segment(str(one["label"]), *map(float, one["segment"])) for one in values["annotations"])
        return AnnotatedVideo(name, str(values["subset"]).lower(), float(values["duration"]), segments)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: {type(error).__name__} {error}") from error


def _beyond(video: AnnotatedVideo) -> ClipError:
    ends = [segment.end for segment in video.segments if segment.end > video.duration]
    found = (
        f"{len(ends)} of {len(video.segments)} segments end after the video ({video.duration:g} s), "
        f"the last at {max(ends):g} s"
    )
    return ClipError(video.name, found, "leave it out where figures are compared")
