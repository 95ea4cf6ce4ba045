"""Lists in CSV with the times of labels, on which onlooker trains: path, start, end, label."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from onlooker.base.files import write_csv
from onlooker.base.intervals import parse_time
from onlooker.base.records import Recording
from onlooker.data.tables import read_table
from onlooker.formats.labels import Labels, Requested, entry, unknown_time
from onlooker.formats.videos import find_video, in_whole_file, written_name


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The rows of a list that all have times; those without a label are unknown time."""
    table = read_table(
        path,
        ("path", "start", "end", "label"),
        ("split", "recording", "subject", "tier", "scorer", "score"),
        left_out=left_out,
    )
    left_out.update(f"column {name}" for name in table.header if name not in table.names.values())
    for line, row in table.rows:
        with entry(path, f"line {line}: ", left_out):
            start = parse_time(row["start"])
            end = parse_time(row["end"])
            video = find_video(path.parent, row["path"])._replace(scorer=row.get("scorer", ""))
            if not row["label"]:
                yield video, unknown_time(start, end)
                continue
            label = requested.segment(
                row["label"],
                start,
                end,
                left_out=left_out,
                score=row.get("score") or 1,
                subject=row.get("subject", ""),
                tier=row.get("tier", ""),
            )
            split = row.get("split", "")
            yield video._replace(split=split, group=row.get("recording", "")), label


def write(path: Path, recordings: Sequence[Recording], _: float | None) -> None:
    """A row for each label and for unknown time, with the optional columns that some row needs.
    The rows of the first scorer of a video come first.
    """
    videos = defaultdict[Path, dict[str, list[dict[str, Any]]]](lambda: defaultdict(list))
    for recording in map(in_whole_file, recordings):
        for segment in recording.segments:
            names = {"split": recording.split, "recording": recording.group}
            row = {**vars(segment), **(names if segment.label else dict.fromkeys(names, ""))}
            row["path"] = written_name(recording.path, path.parent)
            row["scorer"] = recording.scorer
            videos[recording.path][recording.scorer].append(row)
    in_order = [
        row
        for scorers in videos.values()
        for rows in scorers.values()
        for row in sorted(rows, key=itemgetter("start"))
    ]
    columns = ["path", "start", "end", "label"]
    usual = {"split": "", "recording": "", "subject": "", "tier": "", "scorer": "", "score": 1}
    columns += [
        name for name, value in usual.items() if any(row[name] != value for row in in_order)
    ]
    write_csv(path, [columns, *([row[name] for name in columns] for row in in_order)])
