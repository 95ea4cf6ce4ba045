"""A table as data, rendered as HTML or Markdown."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Cell", "Table", "percent"]

Cell = str | int | float | None

_DASH = "–"
# A number with a sign, a unit or an interval: it begins with a digit, and its words have at most three letters.
_NUMBER = re.compile(r"^\W{0,2}\d(?:[\W\d_]|(?<![^\W\d_])[^\W\d_]{1,3}(?![^\W\d_]))*$")


def percent(share: float, digits: int = 1) -> str:
    """0.8167 to `81.7 %`."""
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True)
class Table:
    """Rows under column headings. Text in backticks is code; everything else in a cell is plain text.

    Args:
        rows: cells; floats are shown with four significant digits, None as a dash.
        note: a line below the table, in Markdown.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", [list(row) for row in self.rows])
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells for {len(self.columns)} columns: {row}")

    @cached_property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers only, which are aligned to the right."""
        rows = list(self.rows)
        return [bool(rows) and all(_is_number(row[c]) for row in rows) for c in range(len(self.columns))]

    @cached_property
    def texts(self) -> list[list[str]]:
        """The cells as text."""
        return [[_text(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """The table in Markdown, ending in a newline."""
        lines = [self.columns, ["---:" if numeric else "---" for numeric in self.numeric], *self.texts]
        table = "".join("| " + " | ".join(_one_line(cell) for cell in line) + " |\n" for line in lines)
        return f"{table}\n{self.note}\n" if self.note else table


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return _DASH
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}".replace(",", "\u202f") if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _is_number(cell: Cell) -> bool:
    return cell in (None, "", _DASH) or isinstance(cell, int | float) or bool(_NUMBER.match(str(cell).strip()))


def _one_line(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
