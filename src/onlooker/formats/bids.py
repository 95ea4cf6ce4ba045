"""BIDS: the events of one video by onset and duration."""

import re
from collections import Counter
from pathlib import Path

from onlooker.base.records import ClipError
from onlooker.data.tables import read_table, table_kind
from onlooker.formats.labels import Labels, Requested, entry, unknown_time
from onlooker.formats.videos import by_path, by_stem

_NOT_KNOWN = "n/a"  # in tables of BIDS


def recognizes(path: Path) -> bool:
    """Whether a table has the columns onset and duration."""
    return table_kind(path) == "events"


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The events of a video; its name begins with the name of the file without `_events`."""
    table = read_table(path, ("onset", "duration", "trial_type"), left_out=left_out)
    left_out.update(f"column {name}" for name in table.header if name not in table.names.values())
    begin = path.stem.removesuffix("_events")
    videos = {
        named
        for stem, named in by_stem(path.parent).items()
        if stem == begin or stem.startswith(f"{begin}_")
    }
    if len(videos) > 1:
        names = " or ".join(sorted(video.path.name for video in videos))
        raise ClipError(path, f"events of {names}", "keep the video that was labeled beside it")
    named = videos.pop() if videos else by_path(path.with_name(f"{begin}.mp4"))
    subject = re.match(r"sub-[^_]+", begin)
    for line, row in table.rows:
        with entry(path, f"line {line}: ", left_out):
            label = row["trial_type"]
            start = float(row["onset"])
            end = start + (0.0 if row["duration"] == _NOT_KNOWN else float(row["duration"]))
            if label == _NOT_KNOWN:
                left_out["events without trial_type"] += 1
            if start < 0 and end <= 0:
                left_out["events before the video"] += 1
            elif label in ("", _NOT_KNOWN):
                yield named, unknown_time(start, end)
            else:
                whose = subject[0] if subject else ""
                yield (
                    named,
                    requested.segment(
                        label, max(start, 0.0), end, left_out=left_out, subject=whose
                    ),
                )
