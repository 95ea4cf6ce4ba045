"""A page that a person can open, keep and pass on: one HTML file with pictures, clips and tables inside it.

It needs no server and no network: style, figures and videos are part of the file, and its own content security policy
forbids everything else. Every text is escaped; class and file names are what users typed.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from onlooker.files import write_bytes

Cell = str | int | float | None
Tone = Literal["right", "wrong"]

# A number with a sign, a unit, an interval: it begins with a digit, and its words have three letters at most.
_NUMBER = re.compile(r"^\W{0,2}\d(?:[\W\d_]|(?<![^\W\d_])[^\W\d_]{1,3}(?![^\W\d_]))*$")
_MANY = 7  # columns from which on a table is set closer, to stand on a page without scrolling
_TONES = {"right": "✓ right", "wrong": "✗ wrong"}


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _inline(text: str) -> str:
    """Escaped text with `code`, **bold**, *emphasis* and [links](https://…)."""
    pieces = re.split(r"(`[^`\n]+`)", text)
    for i, piece in enumerate(pieces):
        if i % 2:
            pieces[i] = f"<code>{html.escape(piece[1:-1])}</code>"
            continue
        safe = html.escape(piece)
        safe = re.sub(r"\[([^\]\n]+)\]\((https?://[^\s)]+)\)", r'<a href="\2" rel="noreferrer">\1</a>', safe)
        safe = re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"<strong>\1</strong>", safe)
        pieces[i] = re.sub(r"(?<![^\s(>])\*(?=[^\s*])([^*]+?)(?<=\S)\*(?![^\s).,;:!?<])", r"<em>\1</em>", safe)
    return _unbroken("".join(pieces))


def _unbroken(text: str) -> str:
    """A number stays beside its per cent sign."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def _shown(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return "–"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}".replace(",", "\u202f") if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _is_number(cell: Cell) -> bool:
    return cell in (None, "", "–") or isinstance(cell, int | float) or bool(_NUMBER.match(str(cell).strip()))


class Page:
    """A report under construction: each method adds a block under the last one and gives the page back.

    Args:
        title: the large words at the top.
        subtitle: one line below them: which model, which data, when.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._blocks: list[str] = []
        self._headings: list[str] = []

    def heading(self, text: str) -> Self:
        """A section's title; three of them or more make a list of contents at the top."""
        self._headings.append(text)
        self._blocks.append(f'<h2 id="part-{len(self._headings)}">{html.escape(text)}</h2>')
        return self

    def text(self, words: str) -> Self:
        """Paragraphs, parted by empty lines; `- ` begins an item of a list; `code`, **bold**, *emphasis*, links."""
        for paragraph in re.split(r"\n\s*\n", words.strip()):
            lines = [line.strip() for line in paragraph.splitlines()]
            if all(line.startswith("- ") for line in lines):
                items = "".join(f"<li>{_inline(line[2:])}</li>" for line in lines)
                self._blocks.append(f"<ul>{items}</ul>")
            else:
                self._blocks.append(f"<p>{_inline(' '.join(lines))}</p>")
        return self

    def figures(self, values: Iterable[tuple[str, str, str]]) -> Self:
        """Key figures as large numbers: of each its value, its label, and a note (an interval, a baseline) or ""."""
        cards = "".join(
            f'<div class="figure"><dt>{html.escape(label)}</dt><dd>{_unbroken(html.escape(value))}</dd>'
            + (f'<dd class="note">{_unbroken(html.escape(note))}</dd>' if note else "")
            + "</div>"
            for value, label, note in values
        )
        self._blocks.append(f'<dl class="figures">{cards}</dl>')
        return self

    def table(self, rows: Iterable[Sequence[Cell]], columns: Sequence[str], note: str = "") -> Self:
        """A table; columns of numbers stand to the right.

        Args:
            rows: cells of each row; floats are shown with four digits, None as a dash, texts as they are.
            columns: the headings.
            note: a line below.

        Raises:
            ValueError: a row with more or fewer cells than there are columns.
        """
        kept = [list(row) for row in rows]
        for row in kept:
            if len(row) != len(columns):
                raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns: {row}")
        sides = [' class="n"' if kept and all(_is_number(row[c]) for row in kept) else "" for c in range(len(columns))]
        head = "".join(
            f'<th scope="col"{side}>{html.escape(name)}</th>' for name, side in zip(columns, sides, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(f"<td{side}>{_inline(_shown(cell))}</td>" for cell, side in zip(row, sides, strict=True))
            + "</tr>\n"
            for row in kept
        )
        caption = f'<p class="note">{_inline(note)}</p>' if note else ""
        kind = "table dense" if len(columns) >= _MANY else "table"
        self._blocks.append(
            f'<div class="{kind}"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>{caption}'
        )
        return self

    def figure(self, picture: bytes | str, caption: str = "", wide: bool = False) -> Self:
        """A picture: the bytes of a PNG or the text of an SVG, with a caption.

        Figures that follow one another share a row where there is room; `wide` ones take the whole width.

        Raises:
            ValueError: bytes that are not a PNG, or text that is not an SVG.
        """
        if isinstance(picture, str):
            if "<svg" not in picture:
                raise ValueError(
                    f"the picture is a text without <svg: {picture[:40]!r}; expected SVG text or PNG bytes"
                )
            # An <img> keeps the ids of one SVG apart from another's, and runs no script of it.
            source = _data_uri("image/svg+xml", picture.encode())
        elif picture.startswith(b"\x89PNG\r\n\x1a\n"):
            source = _data_uri("image/png", picture)
        else:
            raise ValueError(
                f"the picture begins with {picture[:8]!r}, expected the bytes of a PNG or the text of an SVG"
            )
        words = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
        kind = "picture wide" if wide else "picture"
        self._blocks.append(f'<figure class="{kind}"><img src="{source}" alt="{html.escape(caption)}">{words}</figure>')
        return self

    def clips(self, clips: Iterable[tuple[bytes, str, Tone | None]]) -> Self:
        """Videos in a grid; they play, silently and in a loop, while they are in sight.

        Args:
            clips: of each the bytes of an mp4 (H.264), its caption (the first line is heavier), and whether the model
                was right or wrong, which is marked in words and color; None: no mark.

        Raises:
            ValueError: bytes that are not an mp4.
        """
        cards = []
        for content, caption, tone in clips:
            if content[4:8] != b"ftyp":
                raise ValueError(f"the clip {caption!r} begins with {content[:8]!r}, expected the bytes of an mp4")
            first, _, rest = caption.partition("\n")
            mark = f'<span class="mark">{_TONES[tone]}</span>' if tone else ""
            more = f'<span class="more">{_inline(rest)}</span>' if rest else ""
            cards.append(
                f'<figure class="clip {tone or ""}"><video autoplay loop muted playsinline controls preload="auto" '
                f'src="{_data_uri("video/mp4", content)}"></video>'
                f"<figcaption>{mark}<strong>{_inline(first)}</strong>{more}</figcaption></figure>"
            )
        self._blocks.append(f'<div class="clips">{"".join(cards)}</div>')
        return self

    @contextmanager
    def details(self, summary: str) -> Iterator[Self]:
        """What is added inside the `with` is folded away under `summary` until a reader opens it."""
        self._blocks.append(f"<details><summary>{html.escape(summary)}</summary>")
        yield self
        self._blocks.append("</details>")

    def _contents(self) -> str:
        if len(self._headings) < 3:
            return ""
        links = "".join(f'<a href="#part-{i}">{html.escape(text)}</a>' for i, text in enumerate(self._headings, 1))
        return f'<nav aria-label="Contents">{links}</nav>'

    def write(self, path: Path | str) -> Path:
        """Write the page to `path` (a temporary file beside it, then a rename) and give the path back.

        Raises:
            DiskFullError: the disk is full.
        """
        path = Path(path)
        write_bytes(path, "".join(self._pieces()).encode())
        return path

    def _pieces(self) -> Iterator[str]:
        style = files("onlooker.evaluation.report").joinpath("report.css").read_text(encoding="utf-8")
        script = files("onlooker.evaluation.report").joinpath("report.js").read_text(encoding="utf-8")
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = (
            "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
        )
        yield (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
            f"<header><h1>{html.escape(self.title)}</h1>"
        )
        if self.subtitle:
            yield f'<p class="subtitle">{_inline(self.subtitle)}</p>'
        yield f"</header>\n{self._contents()}\n"
        for block in self._blocks:
            yield block
            yield "\n"
        yield f"</main>\n<footer>Made with onlooker</footer>\n<script>{script}</script>\n</body>\n</html>\n"
