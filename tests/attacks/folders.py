"""Folders and lists of clips with unusual names (control characters, formulas) and with files that
are not clips.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from attacks import probes
from attacks.case import Kind, Make, Material, Target
from attacks.hostile import place
from attacks.videos import copied

NAMES_GROUP = "names"
LISTS_GROUP = "folders and lists"

NAMES: dict[str, str] = {
    "not UTF-8": os.fsdecode(b"attack \xff\xfe\xe9"),
    "of 250 bytes": "attack" + "é" * 122,
    "of 250 bytes, ASCII": "attack" + "x" * 244,
    "escape sequence": "attack\x1b[31m\x1b]0;title\x07",
    "one byte escape": "attack\x9b31m",
    "newline": "attack\nerror: other.mp4: gone",
    "carriage return": "attack\rgood.mp4",
    "formula": "=cmd|'calc'!A0 attack",
    "formula of plus": "+1+1 attack",
    "formula of at": "@SUM(1) attack",
    "mathtext": r"attack $\frac{$",
    "dollar": "attack $1",
    "markup": "[bold]attack[link=x]",
    "open markup": "attack[red",
    "HTML": "attack<img src=x onerror=alert(1)>",
    "right to left": "attack\u202e4pm.",
    "dash": "--attack",
    "quotes": "attack\"',;\t`",
    "percent": "attack %s {0} %(x)s",
    "emoji": "attack 🧨",
    "question mark": "attack?key=1#2",
    "colon": "http:attack:0",
    "spaces": " attack ",
    "glob": "attack*[a-z]?",
    "backslash": "attack\\..\\x",
}
_QUICK = (
    "not UTF-8",
    "of 250 bytes",
    "escape sequence",
    "newline",
    "formula",
    "markup",
    "dash",
    "mathtext",
)


def _named(text: str, content: bytes | None = None) -> Make:
    """A good clip with this name, or a file that is no clip."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        path = scratch / f"{text}.mp4"
        path.write_bytes(content or material.good[0].read_bytes())
        return Target(path, refuse=content is not None, truth=None if content else 12)

    return make


def _clip_in_folder(text: str) -> Make:
    """Good and bad clips of this name in a folder of clips."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        folder = copied(material, scratch / "clips")
        for number, label in enumerate(("left", "right", "left", "right")):
            shutil.copy(material.good[0], folder / label / f"{text}{number}.mp4"[-250:])
        (folder / "left" / f"{text}.mp4").write_bytes(b"not a video")
        return Target(folder, refuse=True)

    return make


def _row(label: str, path: str = "left/00.mp4") -> str:
    quoted = label.replace('"', '""')
    return f'{path},"{quoted}"\n'


def _list(
    text: Callable[[Material], str | bytes],
    *,
    refuse: bool = False,
    fatal: bool = True,
    name: str = "attack",
) -> Make:
    """A list of clips with this text."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        copied(material, scratch)
        path = scratch / "attack.csv"
        content = text(material)
        path.write_bytes(
            content
            if isinstance(content, bytes)
            else content.encode("utf-8", "surrogateescape")
        )
        return Target(path, (name,), refuse, fatal=fatal)

    return make


def _rows(material: Material, label: str = "left") -> str:
    """The good clips as rows of a list; those of the class `left` get the given label."""
    paths = sorted(
        path.relative_to(material.squares) for path in material.squares.glob("*/*.mp4")
    )
    rows = [
        _row(label if path.parts[0] == "left" else "right", path.as_posix()) for path in paths
    ]
    return "path,label\n" + "".join(rows)


# and whether it must be refused
_LISTS: dict[str, tuple[Callable[[Material], str | bytes], bool]] = {
    "no quotes at the end": (lambda m: _rows(m) + '"left/00.mp4,left\n', True),
    "a field of 200 kB": (lambda m: _rows(m) + _row("x" * 200_000), False),
    "a zero byte": (lambda m: _rows(m) + "left/\x0000.mp4,left\n", False),
    "a path of 5000 characters": (lambda m: _rows(m) + _row("left", "x" * 5000), False),
    "a clip that is a device": (lambda m: _rows(m) + _row("left", "/dev/zero"), False),
    "a clip that is a folder": (lambda m: _rows(m) + _row("left", "left"), False),
    "UTF-16": (lambda m: _rows(m).encode("utf-16"), False),
    "zeros": (lambda m: bytes(5000), True),
    "a million columns": (lambda m: "path,label" + "," * 1_000_000 + "\n", True),
    "only a header": (lambda m: "path,label\n", True),
    "a label of 300 bytes": (lambda m: _rows(m, "y" * 300), False),
    "a label with a path": (lambda m: _rows(m, "../../attack"), False),
}

# the part that is left out
_LISTED = {"a clip that is a device": "/dev/zero", "a clip that is a folder": "/left"}


def _folder(
    change: Callable[[Path], object], names: tuple[str, ...] = ("attack",), **more: Any
) -> Make:
    """A folder of clips that is changed by a function."""

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        folder = copied(material, scratch / "attack")
        change(folder)
        return Target(folder, names, fatal=True, **more)

    return make


_RECORDINGS: dict[str, bytes] = {
    "of zeros": bytes(1000),
    "without rows": b"clip,recording\n",
    "with short rows": b"clip,recording\nleft/00.mp4\nleft/01.mp4\n",
    "with a zero byte": b"clip,recording\nleft/00.mp4,\x00\n",
    "with a field of 200 kB": b"clip,recording\nleft/00.mp4," + b"x" * 200_000 + b"\n",
    "in UTF-16": "clip,recording\n".encode("utf-16"),
    "with an open quote": b'clip,recording\n"left/00.mp4,a\n',
}


def _cases(folder: Path) -> None:
    """Two classes whose names differ in case."""
    (folder / "left").rename(folder / "Attack")
    (folder / "right").rename(folder / "attack")


def folders() -> Iterator[Kind]:
    for name, text in NAMES.items():
        yield Kind(
            NAMES_GROUP,
            f"{name}, predicted",
            _named(text),
            probes.predict,
            quick=name in _QUICK,
        )
        bad = name in ("not UTF-8", "escape sequence", "newline")
        yield Kind(
            NAMES_GROUP,
            f"{name}, not a clip",
            _named(text, b"not a video"),
            probes.predict,
            quick=bad,
        )
        yield Kind(
            NAMES_GROUP,
            f"{name}, localized",
            _named(text),
            probes.locate,
            quick=name == "not UTF-8",
        )
        train = Kind(
            NAMES_GROUP, f"{name}, trained", _clip_in_folder(text), probes.train, slow=True
        )
        yield replace(train, quick=name == "not UTF-8")
    for name, (write, refuse) in _LISTS.items():
        yield Kind(
            LISTS_GROUP, f"list with {name}", _list(write, refuse=refuse), probes.list_clips
        )
        if not refuse:
            rows = _list(write, name=_LISTED.get(name, "attack"))
            yield Kind(LISTS_GROUP, f"list with {name}, trained", rows, probes.train, slow=True)
    for name in ("pipe", "link to /dev/zero", "folder", "link to itself"):
        for what, file in (
            ("recordings.csv", "recordings.csv"),
            ("a class", "attack"),
            ("a clip", "left/attack.mp4"),
        ):
            make = _folder(lambda folder, file=file, name=name: place(folder / file, name))
            if what == "a clip":
                yield Kind(
                    LISTS_GROUP, f"{what} a {name}, trained", make, probes.train, slow=True
                )
            else:
                yield Kind(LISTS_GROUP, f"{what} a {name}", make, probes.list_clips)
    for name, content in _RECORDINGS.items():
        write = lambda folder, content=content: (folder / "recordings.csv").write_bytes(content)  # noqa: E731
        make = _folder(write, ("attack", "recordings.csv"), refuse=True)
        yield Kind(LISTS_GROUP, f"recordings.csv {name}", make, probes.list_clips)
    yield Kind(
        LISTS_GROUP,
        "classes that differ in case",
        _folder(_cases, truth=1),
        probes.train,
        slow=True,
    )
    loop = _folder(lambda folder: (folder / "left" / "again").symlink_to(folder))
    yield Kind(LISTS_GROUP, "a folder in itself", loop, probes.list_clips)
