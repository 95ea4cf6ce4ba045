"""A report as one HTML file that needs no server and no network; its tables render as Markdown,
too.

Style, script, figures and videos are part of the file, and its content security policy forbids
everything else. Text is escaped by the template; class and file names are what users typed.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from onlooker.base.files import write_bytes
from onlooker.report.plots import to_svg

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

__all__ = ["Page", "Table"]

Tone = Literal["right", "wrong"]
# an mp4, its caption, and whether the prediction is right
DrawnClip = tuple[bytes, str, Tone | None]
Cell = str | int | float | None

_DASH = "–"
_JPEG = b"\xff\xd8"
# A number with a sign, a unit or an interval: it begins with a digit, and its words have at most
# three letters.
_NUMBER = re.compile(r"^\W{0,2}\d(?:[\W\d_]|(?<![^\W\d_])[^\W\d_]{1,3}(?![^\W\d_]))*$")


def percent(share: float, digits: int = 1) -> str:
    """0.8167 to `81.7 %`."""
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True)
class Table:
    """Rows under column headings. Text in backticks is code; everything else in a cell is plain
    text.

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
                raise ValueError(
                    f"a row has {len(row)} cells for {len(self.columns)} columns: {row}"
                )

    @cached_property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers only, which are aligned to the right."""
        rows = list(self.rows)
        return [
            bool(rows) and all(_is_number(row[c]) for row in rows) for c in range(len(self.columns))
        ]

    @cached_property
    def texts(self) -> list[list[str]]:
        """The cells as text."""
        return [[_text(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """The table in Markdown, ending in a newline."""
        lines = [
            self.columns,
            ["---:" if numeric else "---" for numeric in self.numeric],
            *self.texts,
        ]
        cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
        table = "".join("| " + " | ".join(line) + " |\n" for line in cells)
        return f"{table}\n{self.note}\n" if self.note else table


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return _DASH
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return (
        f"{cell:,}".replace(",", "\u202f")
        if isinstance(cell, int) and not isinstance(cell, bool)
        else str(cell)
    )


def _is_number(cell: Cell) -> bool:
    return (
        cell in (None, "", _DASH)
        or isinstance(cell, int | float)
        or bool(_NUMBER.match(str(cell).strip()))
    )


def escaped(text: str) -> str:
    """Text escaped for Markdown; what is in backticks becomes code."""
    # a backslash in code is shown
    return re.sub(
        r"`[^`]*`|[\\*_\[\]<>&]",
        lambda match: match[0] if match[0][0] == "`" else f"\\{match[0]}",
        text,
    )


class Page:
    """A report under construction: each method appends a block and returns the page.

    Args:
        subtitle: one line below the title, in Markdown.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self.headings = list[str]()
        self.blocks = list[dict[str, Any]]()

    def heading(self, text: str) -> Self:
        """A section heading; three or more make a table of contents."""
        self.headings.append(text)
        return self._add("heading", text=text, number=len(self.headings))

    def text(self, markdown: str) -> Self:
        """Paragraphs and lists in Markdown, without HTML; links must be http or https."""
        return self._add("text", text=markdown)

    def figures(self, values: Iterable[tuple[str, str, str]]) -> Self:
        """Key figures in large type: value, label, and a note (an interval, a baseline) or ""."""
        return self._add("figures", numbers=list(values))

    def table(self, rows: Iterable[Sequence[Cell]], columns: Sequence[str], note: str = "") -> Self:
        """A table; see `Table`.

        Raises:
            ValueError: a row has more or fewer cells than there are columns.
        """
        return self._add("table", table=Table(columns, rows, note))

    def figure(self, image: "bytes | Figure", caption: str = "", wide: bool = False) -> Self:
        """An image: the bytes of a PNG or JPEG, or a figure of matplotlib.

        Args:
            caption: below it, in Markdown.
            wide: whether it takes the whole width; others share a row where there is room.
        """
        # An <img> keeps the ids of one SVG apart from another's, and does not run its scripts.
        if isinstance(image, bytes):
            kind = "jpeg" if image.startswith(_JPEG) else "png"
            source = _data_uri(f"image/{kind}", image)
        else:
            source = _data_uri("image/svg+xml", to_svg(image).encode())
        return self._add("figure", source=source, caption=caption, wide=wide)

    def clips(self, clips: Iterable[DrawnClip]) -> Self:
        """Videos in a grid, which play muted and in a loop while they are visible.

        Args:
            clips: the bytes of an mp4 (H.264), a plain caption whose first line is bold, and
                whether the prediction is right or wrong (None: not marked).
        """
        return self._add(
            "clips", clips=[(_data_uri("video/mp4", clip), *more) for clip, *more in clips]
        )

    def confusion(
        self,
        counts: Sequence[Sequence[int]],
        classes: Sequence[str],
        clips: Mapping[tuple[int, int], Sequence[str]],
    ) -> Self:
        """A confusion matrix; a click on a cell opens the list of its clips.

        Args:
            counts: `K K`; rows: true class, columns: predicted class.
            classes: the `K` names.
            clips: by true and predicted class, a line of plain text per clip.
        """
        return self._add("confusion", counts=counts, classes=classes, clips=clips)

    @contextmanager
    def details(self, summary: str) -> Iterator[Self]:
        """Blocks that are added inside the `with` are folded under `summary`."""
        outer = self.blocks
        self.blocks = []
        yield self
        inner = self.blocks
        self.blocks = outer
        self._add("details", summary=summary, blocks=inner)

    def write(self, path: Path | str) -> Path:
        """Write the page to a temporary file, rename it to `path`, and return the path.

        Raises:
            DiskFullError: the disk is full.
        """
        html = _environment().get_template("page.html").render(vars(self))
        # of names that are not UTF-8
        write_bytes(Path(path), html.encode(errors="backslashreplace"))
        return Path(path)

    def _add(self, kind: str, **values: Any) -> Self:
        self.blocks.append({"kind": kind, **values})
        return self


@cache
def _environment() -> Environment:
    markdown = MarkdownIt("commonmark", {"html": False})
    markdown.validateLink = lambda url: url.startswith(("http://", "https://"))  # type: ignore[method-assign]
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "markdown": lambda text: Markup(_unbroken(markdown.render(text)).strip()),
        "markdown_inline": lambda text: Markup(_unbroken(markdown.renderInline(text))),
        "nbsp": _unbroken,
        "sha256": lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        "code_spans": lambda text: re.split(r"`([^`\n]+)`", text),
    }
    return environment


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _unbroken(text: str) -> str:
    """Keep a number and its percent sign on one line."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)
