"""A report as one HTML file that needs no server and no network.

Style, script, figures and videos are part of the file, and its content security policy forbids everything else. Text is
escaped by the template; class and file names are what users typed.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from onlooker.evaluation.report.table import Cell, Table
from onlooker.files import write_bytes

__all__ = ["DrawnClip", "Page", "Tone"]

Tone = Literal["right", "wrong"]
DrawnClip = tuple[bytes, str, Tone | None]  # an mp4, its caption, and whether the prediction is right


class Page:
    """A report under construction: each method appends a block and returns the page.

    Args:
        subtitle: one line below the title, in Markdown.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self.headings, self.blocks = list[str](), list[dict[str, Any]]()

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

    def figure(self, image: bytes | str, caption: str = "", wide: bool = False) -> Self:
        """An image: the bytes of a PNG or the text of an SVG.

        Args:
            caption: below it, in Markdown.
            wide: whether it takes the whole width; others share a row where there is room.
        """
        # An <img> keeps the ids of one SVG apart from another's, and does not run its scripts.
        kind, content = ("svg+xml", image.encode()) if isinstance(image, str) else ("png", image)
        source = _data_uri(f"image/{kind}", content)
        return self._add("figure", source=source, caption=caption, wide=wide)

    def clips(self, clips: Iterable[DrawnClip]) -> Self:
        """Videos in a grid, which play muted and in a loop while they are visible.

        Args:
            clips: the bytes of an mp4 (H.264), a plain caption whose first line is bold, and whether the prediction is
                right or wrong (None: not marked).
        """
        return self._add("clips", clips=[(_data_uri("video/mp4", clip), *more) for clip, *more in clips])

    def confusion(
        self, counts: Sequence[Sequence[int]], classes: Sequence[str], clips: Mapping[tuple[int, int], Sequence[str]]
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
        outer, self.blocks = self.blocks, []
        yield self
        inner, self.blocks = self.blocks, outer
        self._add("details", summary=summary, blocks=inner)

    def write(self, path: Path | str) -> Path:
        """Write the page to a temporary file, rename it to `path`, and return the path.

        Raises:
            DiskFullError: the disk is full.
        """
        html = _environment().get_template("page.html").render(vars(self))
        write_bytes(Path(path), html.encode(errors="backslashreplace"))  # of names that are not UTF-8
        return Path(path)

    def _add(self, kind: str, **values: Any) -> Self:
        self.blocks.append({"kind": kind, **values})
        return self


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined)
    environment.keep_trailing_newline = True
    markdown = MarkdownIt("commonmark", {"html": False})
    markdown.validateLink = lambda url: url.startswith(("http://", "https://"))  # type: ignore[method-assign]
    environment.filters["markdown"] = lambda text: Markup(_unbroken(markdown.render(text)).strip())
    environment.filters["markdown_inline"] = lambda text: Markup(_unbroken(markdown.renderInline(text)))
    environment.filters["nbsp"] = _unbroken
    environment.filters["sha256"] = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    environment.filters["code_spans"] = lambda text: re.split(r"`([^`\n]+)`", text)
    return environment


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _unbroken(text: str) -> str:
    """Keep a number and its percent sign on one line."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)
