"""Tables of results: figures of results files → `Table` → Markdown in docs/ and HTML in reports.

A table is declared once, in the `tables.py` of its paper, by its name in docs/
(`<!-- table: networks -->`):

    @table("networks")  # needs results/networks.json; with others: @table("both", "one", "other")
    def networks(results: Results) -> Table:
        return build(
            rows(results["networks"], "*/*"),  # a row for each figures["SET"]["NETWORK"]
            {
                "set": key(0),  # the first part of the row's key, as words
                "network": key(1, code),
                "correct, %": ("accuracy", share),  # path in the row's figures, and format
                "95 %": ("interval", span),  # a dash where the row has none
                "twice": lambda row: 2 * row["accuracy"],  # or any function of the row
            },
            "Test clips, one seed.",
        )

`grid` makes a table of two names, such as models × sets. `add_table(page, networks(results))` shows a
table in a report, `fill(text, results)` all tables of a page of docs/; `python benchmarks/table.py`
does so for every page.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onlooker.base.files import read_json
from onlooker.report.page import Page, Table

Results = Mapping[str, Mapping[str, Any]]  # figures by the name of the results file, without .json


@dataclass(frozen=True)
class Declared:
    """A table that docs and reports can show.

    Args:
        make: the table from the figures of all results files.
        files: names of the results files that it needs.
    """

    make: Callable[[Results], Table]
    files: frozenset[str]


TABLES: dict[str, Declared] = {}  # by name; filled when the modules of the papers are imported


def table(
    name: str, *files: str
) -> Callable[[Callable[[Results], Table]], Callable[[Results], Table]]:
    """Declare a table.

    Args:
        name: in `<!-- table: NAME -->`.
        files: names of the results files that it needs; none: the file of the same name.

    Raises:
        ValueError: the name is taken.
    """

    def declare(make: Callable[[Results], Table]) -> Callable[[Results], Table]:
        if name in TABLES:
            raise ValueError(f"there is a table {name!r} already; choose another name")
        TABLES[name] = Declared(make, frozenset(files or [name]))
        return make

    return declare


def read_results(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The figures of all results files in a folder by name; `answered`: the answers of answered.md
    by question.
    """
    answers = re.findall(r"\*\*(.+?)\*\* — (.+)", (folder / "answered.md").read_text("utf-8"))
    return {path.stem: read_json(path)["figures"] for path in folder.glob("*.json")} | {
        "answered": dict(answers)
    }


# Formats of a value.


def share(value: float, digits: int = 1) -> str:
    """A share in percent, without the sign: 0.8167 to `81.7`."""
    return f"{100 * value:.{digits}f}"


def span(ends: Sequence[float]) -> str:
    """The interval of a share: `70.1–80.2`; with `to` where a minus sign is involved."""
    low, high = (share(end) for end in ends)
    return f"{low} to {high}" if min(ends) < 0 else f"{low}–{high}"


def difference(of: Sequence[float]) -> str:
    """A difference of shares in points, with its interval: `+3.1 (-1.0 to +7.2)`."""
    center, low, high = (f"{100 * each:+.1f}" for each in of)
    return f"{center} ({low} to {high})"


def fixed(digits: int, scale: float = 1) -> Callable[[float], str]:
    """A format with this number of decimals, of the value times `scale`."""
    return lambda value: f"{scale * value:,.{digits}f}"


def code(text: object) -> str:
    """Code in Markdown."""
    return f"`{text}`"


def words(name: str) -> str:
    """The name of a set in words: `hand_gestures` to `hand gestures`."""
    return name.replace("_", " ")


# Rows and columns.


@dataclass(frozen=True)
class Entry:
    """A row's key in the figures of a results file, and its figures."""

    key: tuple[str, ...]
    figures: Any

    def __getitem__(self, path: str) -> Any:  # noqa: ANN401 - what a results file holds
        value = self.figures
        for part in path.split("/") if path else ():
            value = value[part]
        return value

    def __contains__(self, path: str) -> bool:
        try:
            return self[path] is not None
        except (KeyError, TypeError):
            return False


Cell = str | int | float | None
Column = str | tuple[str, Callable[[Any], Cell]] | Callable[[Entry], Cell]
Columns = Mapping[str, Column]  # by heading


def rows(figures: Mapping[str, Any], pattern: str) -> Iterator[Entry]:
    """The entries of nested figures at a path such as `models/*`: its stars match every name, and
    are the key.
    """

    def walk(value: Mapping[str, Any], parts: list[str], found: tuple[str, ...]) -> Iterator[Entry]:
        if not parts:
            yield Entry(found, value)
        elif parts[0] == "*":
            for name, inner in value.items():
                if isinstance(inner, Mapping):
                    yield from walk(inner, parts[1:], (*found, name))
        elif parts[0] in value:
            yield from walk(value[parts[0]], parts[1:], found)

    yield from walk(figures, pattern.split("/"), ())


def key(place: int, show: Callable[[str], Cell] = words) -> Callable[[Entry], Cell]:
    """A column that shows one part of the key."""
    return lambda entry: show(entry.key[place])


def build(
    entries: Iterable[Entry],
    columns: Columns,
    *,
    note: str = "",
    before: Iterable[Sequence[Cell]] = (),
) -> Table:
    """A table with one row per entry.

    Args:
        columns: heading → a path in the row's figures, a path and the format of its value, or a
        function of the entry.
        note: below the table, in Markdown.
        before: rows above the others, such as published figures.
    """

    def cell(entry: Entry, column: Column) -> Cell:
        if callable(column):
            return column(entry)
        path, show = (column, lambda value: value) if isinstance(column, str) else column
        return show(entry[path]) if path in entry else None

    return Table(
        list(columns),
        [*before, *([cell(entry, column) for column in columns.values()] for entry in entries)],
        note,
    )


def grid(
    corner: str,
    names: Iterable[str],
    columns: Iterable[str],
    *,
    cell: Callable[[str, str], Cell],
    note: str = "",
) -> Table:
    """A table with a row per name and a column per other name, such as models × sets; names of rows
    are code.
    """
    columns = list(columns)
    made = [[code(name), *(cell(name, column) for column in columns)] for name in names]
    return Table([corner, *map(words, columns)], made, note)


# Pages.


def add_table(page: Page, made: Table) -> None:
    """Add a table to a report."""
    page.table(made.rows, made.columns, made.note)


def fill(text: str, results: Results) -> str:
    """Markdown in which every table between `<!-- table: NAME -->` and `<!-- end -->` is made
    again.

    A table stays as it is where a results file that it needs is missing.

    Raises:
        ValueError: a table that nobody declared.
    """

    def made(match: re.Match[str]) -> str:
        name = match[2]
        if name not in TABLES:
            raise ValueError(f"there is no table {name!r}; there are {', '.join(sorted(TABLES))}")
        declared = TABLES[name]
        return (
            f"{match[1]}\n{declared.make(results).markdown()}{match[3]}"
            if declared.files <= set(results)
            else match[0]
        )

    return re.sub(r"(<!-- table: ([\w-]+) -->).*?(<!-- end -->)", made, text, flags=re.DOTALL)
