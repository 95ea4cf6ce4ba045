"""Lists in CSV with the times of labels, on which onlooker trains: path, start, end, label."""

from collections import Counter
from pathlib import Path

from onlooker.base.files import reading, write_csv
from onlooker.base.intervals import parse_time
from onlooker.data.tables import read_table
from onlooker.formats.labels import (
    EXPORT_AGAIN,
    Asked,
    Intervals,
    Videos,
    make_interval,
    unknown_interval,
)
from onlooker.formats.videos import by_whole_file, find_video, written_name


def read(path: Path, _: Asked, left_out: Counter[str]) -> Intervals:
    """The rows of a list that all have times; those without a label are unknown time."""
    table = read_table(
        path,
        ("path", "start", "end", "label"),
        ("split", "recording", "subject", "tier", "score"),
    )
    left_out.update(f"column {name}" for name in table.header if name not in table.names.values())
    for line, row in table.rows:
        with reading(path, f"line {line}: ", EXPORT_AGAIN):
            start = parse_time(row["start"])
            end = parse_time(row["end"])
            names = {name: row.get(name, "") for name in ("split", "recording", "subject", "tier")}
            score = row.get("score") or 1
            interval = unknown_interval(start, end)
            if row["label"]:
                interval = make_interval(row["label"], start, end, score=score, **names)
            yield find_video(path.parent, row["path"]), interval


def write(path: Path, videos: Videos, _: float | None) -> None:
    """A row for each label, with the optional columns that some label needs."""
    rows = [
        {"path": written_name(file, path.parent), **vars(interval)}
        for file, intervals in by_whole_file(videos).items()
        for interval in intervals
    ]
    columns = ["path", "start", "end", "label"]
    usual = {"split": "", "recording": "", "subject": "", "tier": "", "score": 1}
    columns += [name for name, value in usual.items() if any(row[name] != value for row in rows)]
    write_csv(path, [columns, *([row[name] for name in columns] for row in rows)])
