"""Tables in CSV as spreadsheets, other programs and people write them: columns by their usual
names; and tables that say for each frame what happens.
"""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onlooker.base.files import read_bytes
from onlooker.base.records import ClipError
from onlooker.base.text import some_of
from onlooker.video.reader import SUFFIXES

Row = tuple[int, dict[str, str]]  # the number of its line, and its values by column

_PATH = "path clip file video filename filepath clipname clippath videoname videopath videofile"
_SUBJECT = (
    "subject person speaker participant actor performer signer patient individual subjectid personid "
    "speakerid participantid actorid subjectname personname"
)
# Usual names of each column, without case, spaces and punctuation.
_COLUMN_NAMES = {
    "path": _PATH,
    "clip": _PATH,
    "label": (
        "label class category action activity gesture target behavior behaviour labelname classname "
        "actionname categoryname classlabel actionlabel"
    ),
    "start": (
        "start begin from onset starts begins starttime begintime timestart startsec beginsec "
        "startsecond startseconds starttimestamp tstart"
    ),
    "end": (
        "end stop to ends stops endtime stoptime timeend timestop endsec stopsec endsecond "
        "endseconds endtimestamp stoptimestamp tend"
    ),
    "start_frame": "startframe beginframe framestart startframes framebegin",
    "end_frame": "endframe stopframe frameend endframes framestop",
    "trial_type": "trialtype",
    "split": "split subset partition datasplit splitname traintest",
    "recording": f"recording group groupid recordingid {_SUBJECT}",
    "subject": _SUBJECT,
    "tier": "tier tierid tiername",
    "cut_from": "cutfrom",
}
# The meaning of cells in tables of frames: no, yes, or unlabeled.
_STATES = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_STATES |= dict.fromkeys(("-1", "-1.0", "", "nan"), -1)
_FRAME_NUMBER = frozenset({"", "unnamed0", "index", "frame", "frames", "framenumber"})
# of tables with a row for each moment; in seconds
_TIMES = frozenset({"time", "times", "timesec", "timeseconds", "timestamp", "seconds", "sec"})
# a column that is none of 0 and 1 in other tables of the program
_PROBABILITY = re.compile(
    "(?i)(^|[^a-z])(prob|probs|probability|probabilities)([^a-z]|$)|.[_ ]p$|^p[_ (]"
)
_LISTED = frozenset(
    f"{_PATH} {_COLUMN_NAMES['label']} {_COLUMN_NAMES['start']} {_COLUMN_NAMES['end']}".split()
)
_OBSERVATION = "observationid"  # of BORIS
_MOST_FRAMES = 20_000_000  # two days at 120 per second
_MAY_BE_EMPTY = (
    "start",
    "end",
    "start_frame",
    "end_frame",
    "recording",
    "subject",
    "tier",
    "scorer",
    "cut_from",
)
_GIVE_TABLE = "give a table in UTF-8"
_FOLDS = "cross-validation makes its own (--folds); for a split of yours, name it train or test in a column split"
_VIDEO = re.compile(rf"(?i)(.+?(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))}))(?:\s+(.+))?")


@dataclass(frozen=True)
class ListTable:
    """The rows of a CSV file.

    Args:
        rows: the number of each line, and its values by column: the requested ones, and others
            by their names in the file.
        header: the names of the columns as the file writes them.
        names: the name in the header of each column that was asked for and is there.
    """

    rows: Sequence[Row]
    header: Sequence[str]
    names: dict[str, str]

    def notes(self, unused: Sequence[str] = ()) -> list[str]:
        """Sentences about the columns that were read under another name, and about ignored ones."""
        notes = []
        used = {column: name for column, name in self.names.items() if column not in unused}
        if renamed := [
            column for column, name in used.items() if plain_name(name) != plain_name(column)
        ]:
            written = ", ".join(used[column] for column in renamed)
            notes.append(f"columns {written} are read as {', '.join(renamed)}")
        if ignored := [name for name in self.header if name and name not in used.values()]:
            folds = f"; {_FOLDS}" if "fold" in map(plain_name, ignored) else ""
            notes.append(f"ignored columns: {', '.join(ignored)}{folds}")
        return notes


def read_table(
    path: Path,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    *,
    left_out: Counter[str] | None = None,
) -> ListTable:
    """The rows of a CSV file, separated by commas, semicolons or tabs.

    Columns may have any of their usual names, in any case; `group` names recordings, or tiers if a
    file has several. Without a header, lines are a path to a
    video and the value of the second column. A row with times may have no label: it is unknown
    what happens then. A line may end before its last columns, which are then empty.

    Args:
        left_out: counts rows that are not complete or too long, which are left out; None: they are
            refused.

    Raises:
        ClipError: no such file, no CSV, a column is missing or there twice, a row is not complete
            or too long, or there are no rows.
    """
    meanings = {
        name: column
        for column in (*columns, *optional)
        for name in _COLUMN_NAMES.get(column, column).split()
    }
    remedy = (
        f"give a CSV file with the columns {' and '.join(columns)}, in UTF-8 (Excel: CSV UTF-8)"
    )
    delimiter, all_lines = read_rows(path, meanings, remedy)
    lines = [line for line in all_lines if any(line[1])]
    header = lines[0][1]
    names = _columns(path, header, meanings)
    if not names and len(header) == len(columns) and _VIDEO.fullmatch(header[0]):
        header = list(columns)
        names = {column: column for column in columns}
    else:
        del lines[0]
    if absent := [column for column in columns if column not in names]:
        problem = f"no column {absent[0]} in the header {delimiter.join(header)!r}"
        more = f", optionally {' and '.join(optional)}" if optional else ""
        raise ClipError(path, problem, f"expected {','.join(columns)}{more}")
    if not lines:
        raise ClipError(path, "no clips", "add a row for each clip below the header")
    keys = [meanings.get(plain_name(name), name) for name in header]
    no_values = dict.fromkeys(keys, "")  # of a line that ends before its last columns
    rows = [(number, no_values | dict(zip(keys, fields, strict=False))) for number, fields in lines]
    if "tier" in optional and _has_tiers(rows, names):
        names["tier"] = names.pop("recording")
        rows = [(n, row | {"tier": row["recording"], "recording": ""}) for n, row in rows]
    used = [column for column in optional if any(row.get(column) for _, row in rows)]
    needed = [*columns, *(column for column in used if column not in _MAY_BE_EMPTY)]
    whole = _complete_rows(
        path,
        [(*row, fields) for row, (_, fields) in zip(rows, lines, strict=True)],
        {column: names[column] for column in needed},
        width=len(header),
        delimiter=delimiter,
        left_out=left_out,
    )
    return ListTable(whole, header, names)


def _complete_rows(
    path: Path,
    rows: Iterable[tuple[int, dict[str, str], list[str]]],
    needed: Mapping[str, str],
    *,
    width: int,
    delimiter: str,
    left_out: Counter[str] | None,
) -> list[Row]:
    """The rows with all their values.

    Args:
        rows: numbers of lines, values by column, and the fields as they are written.
        needed: columns, and their names in the header.
        width: number of columns.
        left_out: as in `read_table`.
    """
    complete = list[Row]()
    incomplete = list[str]()
    for number, row, fields in rows:
        problem = f"line {number} is {delimiter.join(fields)!r}"
        has_times = row.get("start") or row.get("start_frame")
        may_be_empty = ("label", "split") if has_times and not row.get("label") else ()
        remedy = ""
        if empty := [name for name in needed if not row[name] and name not in may_be_empty]:
            remedy = f"expected a value for {needed[empty[0]]}, as in other rows"
        elif any(fields[width:]):
            problem += f": {len(fields)} fields below {width} columns"
            remedy = f'put a field that contains "{delimiter}" into quotes'
        if not remedy:
            complete.append((number, row))
        elif left_out is None:
            raise ClipError(path, problem, remedy)
        else:
            incomplete.append(str(number))
    if left_out is not None and incomplete:
        kind = f"rows that are not complete, or too long (line {some_of(incomplete)})"
        left_out[kind] += len(incomplete)
    return complete


def _has_tiers(rows: Sequence[Row], names: Mapping[str, str]) -> bool:
    """Whether a column `group` does not name recordings, because a file has several groups."""
    if "tier" in names or plain_name(names.get("recording", "")) != "group":
        return False
    groups = {(row["path"], row["recording"]) for _, row in rows if row["recording"]}
    return len(groups) > len({path for path, _ in groups})


def _columns(path: Path, header: Sequence[str], meanings: Mapping[str, str]) -> dict[str, str]:
    """The name in a header of each column that is there.

    Args:
        meanings: the column that each plain name means.

    Raises:
        ClipError: two names mean one column.
    """
    names = dict[str, str]()
    for name in header:
        column = meanings.get(plain_name(name))
        if column in names:
            problem = f"columns {names[column]} and {name} both mean {column}"
            raise ClipError(path, problem, "keep one of them, or rename the other")
        if column:
            names[column] = name
    return names


def table_kind(path: Path) -> Literal["list", "coded", "events", "frames"]:
    """What the rows of a table are: clips or intervals of videos, which it names; what was coded in
    observations of BORIS; events of one video, by onset and duration (`events.tsv` of BIDS); or its
    frames (`read_frames`).
    """
    with suppress(ValueError):  # `read_table` says what is wrong
        _, rows = read_rows(path, (), _GIVE_TABLE)
        _, header = next(rows)
        names = {*map(plain_name, header)}
        # before version 8.16, a table of BORIS has its name and value alone in the first line
        if plain_name(header[0]) == _OBSERVATION and (
            "behaviortype" in names or (header[2:] and not any(header[2:]))
        ):
            return "coded"
        _, cells = next(rows, (0, []))
        if {"onset", "duration"} <= names and not names & {*_COLUMN_NAMES["end"].split()}:
            return "events"
        if not names & _LISTED:
            numbers = [float(cell) for cell in cells if cell.lower() not in _STATES]
            if len(numbers) < len(cells):
                return "frames"
    return "list"


class FrameTable(NamedTuple):
    """A table with a row for each frame, or for each moment.

    Args:
        names: of the behaviors, `K`.
        numbers: of the frames, `T`, ascending and at least 0.
        times: of the rows in seconds, `T`, ascending; None: the table has none.
        states: whether a behavior is present, 0, 1, or -1 for unlabeled, `T K`.
        left_out: columns of 0 and 1 that are probabilities by their name.
    """

    names: list[str]
    numbers: NDArray[np.int64]
    times: NDArray[np.float64] | None
    states: NDArray[np.int8]
    left_out: list[str]


def read_frames(path: Path) -> FrameTable:
    """The columns of a table that say for each frame whether a behavior is present, as DeepEthogram
    and SimBA write them, or for each moment of a column of times, as BORIS does: columns with only
    0, 1, or -1 for an unlabeled frame. Frames are numbered by the first column, or else by row.

    Raises:
        ValueError: a frame has two rows, a row another number of columns, or there are times whose
            unit is not known.
    """
    _, rows = read_rows(path, (), _GIVE_TABLE)
    _, header = next(rows)
    plain = [*map(plain_name, header)]
    is_numbered = plain[0] in _FRAME_NUMBER
    of_times = [place for place, name in enumerate(plain) if name in _TIMES]
    columns = {
        place: list[int]()
        for place in range(int(is_numbered), len(header))
        if place not in of_times
    }
    numbers = list[int]()
    times = list[float]()
    for row, (_, cells) in enumerate(rows):
        if len(cells) != len(header):
            raise ValueError(f"row {row + 1} has {len(cells)} fields below {len(header)} columns")
        numbers.append(int(float(cells[0])) if is_numbered else row)
        times += [float(cells[place]) for place in of_times[:1]]
        for place in [*columns]:
            state = _STATES.get(cells[place].lower())
            if state is None:
                del columns[place]
            else:
                columns[place].append(state)
    if (np.diff(numbers, prepend=-1) < 1).any() or max(numbers, default=0) > _MOST_FRAMES:
        raise ValueError(f"frames of column {header[0]!r} do not ascend from 0")
    if times and not (np.diff(times, prepend=-1e-9) > 0).all():
        raise ValueError(f"times of column {header[of_times[0]]!r} do not ascend from 0")
    if not times:
        for place, name in enumerate(header):
            if place not in columns and re.search("(?i)(^|[^a-z])(time|timestamp)", name):
                problem = f"the unit of column {name} is not known; "
                raise ValueError(f"{problem}call it time, if it has seconds, or remove it")
    probable = [place for place in columns if _PROBABILITY.search(header[place])]
    left_out = [header[place] for place in probable if 1 in columns.pop(place)]
    names = [header[place] for place in columns]
    states = np.array([*columns.values()], np.int8).reshape(len(names), len(numbers)).T
    return FrameTable(
        names,
        np.array(numbers, np.int64),
        times=np.array(times) if times else None,
        states=states,
        left_out=left_out,
    )


def read_text(path: Path, remedy: str) -> str:
    """The content of a text file.

    Raises:
        ClipError: no such file, not UTF-8, or an empty file; `remedy` says what to do.
        ValueError: no regular file, or a very large one.
    """
    if not os.path.exists(path):
        raise ClipError(path, "no such file", remedy)
    content = read_bytes(path)
    try:
        text = content.decode(
            "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        )
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8 text (line {line}: byte {content[error.start]:#x})"
        raise ClipError(path, problem, remedy) from error
    if "\0" in text:
        raise ClipError(path, "not UTF-8 text (zero bytes)", remedy)
    if not text.strip():
        raise ClipError(path, "an empty file", remedy)
    return text


def read_rows(
    path: Path, names: Collection[str], remedy: str
) -> tuple[str, Iterator[tuple[int, list[str]]]]:
    """The delimiter, and the fields of each line that is not empty, with its number; one by one,
    because there may be hundreds of columns.

    Args:
        names: of columns; the delimiter that gives most of them is chosen. A space means that
            lines have a path and a value. None are given: any.
        remedy: what to do if there is no such file, or no CSV.

    Raises:
        ClipError: no such file, or no CSV.
    """
    text = read_text(path, remedy)
    header = next(line for line in text.splitlines() if line.strip())

    def columns_with(delimiter: str) -> tuple[int, int]:
        fields = header.split(delimiter)
        return sum(plain_name(field) in names for field in fields), len(fields)

    delimiter = max(",;\t|", key=columns_with)
    if names and delimiter not in header:
        lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
        return " ", ((number, _path_and_label(line)) for number, line in lines if line)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for fields in filter(None, reader):
                yield reader.line_num, [field.strip() for field in fields]
        except csv.Error as error:
            problem = f"line {reader.line_num} cannot be read as CSV ({error})"
            raise ClipError(path, problem, "save it again as CSV in UTF-8") from error

    return delimiter, rows()


def _path_and_label(line: str) -> list[str]:
    """The fields of a line such as `clips/first one.mp4 riding a bike`."""
    if video := _VIDEO.fullmatch(line):
        return [field for field in video.groups() if field]
    return line.rsplit(maxsplit=1)


def plain_name(name: str) -> str:
    """The name of a column without case, spaces and punctuation."""
    return "".join(character for character in name.lower() if character.isalnum())
