"""ActivityNet's JSON: segments of videos by name."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from onlooker.base.files import read_json, write_json
from onlooker.base.records import Recording
from onlooker.formats.labels import Labels, Requested, entry
from onlooker.formats.videos import by_stem, find_video, in_whole_file, labels_of, written_name

# in ActivityNet's external_data, where we write the paths of videos from the file's folder
_PATHS = "paths"


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The annotations of a database, or predictions (`results`)."""
    values = read_json(path)
    beside = by_stem(path.parent)
    external = values.get("external_data")
    paths = external.get(_PATHS, {}) if isinstance(external, dict) else {}
    for name, video in values["database" if "database" in values else "results"].items():
        where = f"video {name}: "
        with entry(path, where, left_out):
            named = beside.get(name)
            if named is None and (prefixed := beside.get(f"v_{name}")):
                named = prefixed._replace(name=name)
            if name in paths or named is None:
                named = find_video(path.parent, paths.get(name, f"{name}.mp4"))
            split = "" if isinstance(video, list) else video.get("subset", "")
            events = video if isinstance(video, list) else video["annotations"]
            if not events:
                left_out["videos without labels"] += 1
            for event in events:
                with entry(path, where, left_out):
                    start, end = event["segment"]
                    score = event.get("score", 1)
                    label = requested.segment(
                        event["label"], start, end, left_out=left_out, score=score
                    )
                    yield named._replace(split=split), label


def write(path: Path, recordings: Sequence[Recording], _: float | None) -> None:
    """Predictions by the names of videos, with their paths as external data."""
    videos = labels_of(map(in_whole_file, recordings))
    results = {
        video.stem: [
            {
                "label": interval.label,
                "segment": [interval.start, interval.end],
                "score": interval.score,
            }
            for interval in intervals
        ]
        for video, intervals in videos.items()
    }
    if len(results) < len(videos):
        raise ValueError(
            f"{path}: videos in different folders have the same name; choose another format"
        )
    # without it, a drawn clip of the same name next to the file would be taken for the video
    paths = {video.stem: written_name(video, path.parent) for video in videos}
    write_json(
        path, {"version": "VERSION 1.3", "results": results, "external_data": {_PATHS: paths}}
    )
