"""Events that BORIS exports as a table: aggregated, a row for each, or tabular, a row for each begin
and end.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from onlooker.data.tables import plain_name, read_rows, table_kind
from onlooker.formats.boris import Behavior, BorisEvent, Observation, intervals_of, media_of
from onlooker.formats.labels import EXPORT_AGAIN, Labels, Requested, entry

_Row = Mapping[str, str]  # values by plain names of columns
_NO_MEDIA = frozenset({"", "NA", "LIVE", "Not found"})
_NOBODY = "No focal subject"
_NO_CATEGORY = "Not defined"
_SEVERAL = "several media files whose lengths the table does not have; give the project (.boris)"


def recognizes(path: Path) -> bool:
    """Whether a table has events of BORIS."""
    return table_kind(path) == "coded"


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The states of a table; see `boris.intervals_of`."""
    observations = defaultdict[str, list[tuple[int, _Row]]](list)
    behaviors = dict[str, Behavior]()
    for line, row in _read_events(path):
        observations[row.get("observationid", "")].append((line, row))
        kind = row.get("behaviortype") or row.get("status")
        category = row.get("behavioralcategory", "").replace(_NO_CATEGORY, "")
        behaviors[row["behavior"]] = Behavior(kind != "POINT", category)
    coded = dict[str, Observation]()
    for name, rows in observations.items():
        with entry(path, f"observation {name}: ", left_out):
            files, lengths = _media_of_rows([row for _, row in rows])
            if not files:
                left_out["events without a media file"] += len(rows)
                continue
            events = list[BorisEvent]()
            for line, row in rows:
                # of a begin or an end, the other one would be paired with another
                is_whole = "starts" in row
                where = entry(path, f"line {line}: ", left_out) if is_whole else nullcontext()
                with where:
                    events += _events(row)
            coded[name] = Observation(media_of(path.parent, files, lengths), sorted(events))
    yield from intervals_of(path, coded, behaviors, requested=requested, left_out=left_out)


def _read_events(path: Path) -> list[tuple[int, _Row]]:
    """The rows of the events, with their lines, and what is said once above them (before 8.16)."""
    _, lines = read_rows(path, (), EXPORT_AGAIN)
    above = dict[str, str]()
    rows = list[tuple[int, _Row]]()
    header: list[str] | None = None
    modifiers = list[int]()
    for line, fields in lines:
        if header:
            row = above | dict(zip(header, fields, strict=False))
            row["modifiers"] = "|".join(fields[place] for place in modifiers)
            rows.append((line, row))
            continue
        names = [*map(plain_name, fields)]
        if {"subject", "behavior"} <= {*names}:
            header = names
            modifiers = [i for i, name in enumerate(names) if name.startswith("modifier")]
        elif any(fields[1:]):
            key = "source" if names[0] == "player1" else names[0]
            above[key] = f"{above[key]};{fields[1]}" if key in above else fields[1]
    return rows


def _media_of_rows(rows: Sequence[_Row]) -> tuple[list[str], dict[str, float]]:
    """The media files of the first player in an observation, and the lengths that are known."""
    first = rows[0]
    columns = ("mediafilename", "mediafile", "mediafilepath")
    named = [row.get(column, "") for row in rows for column in columns]
    names = [*dict.fromkeys(name for name in named if name not in _NO_MEDIA)]
    if not names:
        return [], {}
    source = re.sub(
        r"^player #1: *", "", re.split(r"\|? *player #[2-9]", first.get("source", ""))[0]
    )
    files = [file.strip() for file in source.split(";") if file.strip()] or names
    seconds = re.split("[|;]", first.get("mediadurations", ""))
    if len(files) == 1 or not seconds[0]:
        lengths = dict[str, float]()
    else:
        lengths = dict(zip(files, map(float, seconds), strict=False))
    if len(files) > max(1, len(lengths)):
        raise ValueError(_SEVERAL)
    return files, lengths


def _events(row: _Row) -> list[BorisEvent]:
    """The events of a row, with times of the media files."""
    offset = float(row.get("timeoffsets") or 0)
    subject = row["subject"].replace(_NOBODY, "")
    times = [row["time"]] if "time" in row else [row["starts"], row["stops"]]
    if row.get("behaviortype") == "POINT":
        del times[1:]
    return [
        BorisEvent(float(time) - offset, subject, row["behavior"], modifiers=row["modifiers"])
        for time in times
    ]
