"""Names of classes and clips that every file system allows, and that a page shows unchanged."""

import os
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from onlooker.data import folder
from onlooker.files import composed
from onlooker.serve.problem import Problem

__all__ = ["class_name", "file_name", "is_hidden", "new_name"]

_MAX_NAME = 60  # characters of a class
_MAX_FILE = 100  # bytes of the name of a clip
_UNSAFE = r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]'
_JOINERS = "\u200c\u200d"  # inside of words of some scripts, and of emoji; they change what is seen
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)  # of Windows, with any suffix


def is_hidden(name: str) -> bool:
    """Whether a name is no clip and no class, as in training; also one that is no UTF-8, which no database stores."""
    return folder.is_hidden(name) or re.search("[\ud800-\udfff]", name) is not None


def class_name(name: str, classes: Collection[str] = ()) -> str:
    """The class that a name means: of exactly this name, or as new classes have it: what is seen of it, composed, with
    single spaces."""
    return name if name in classes else " ".join(composed(_visible(name)).split())


def _visible(name: str) -> str:
    """The name without characters that are not seen; joiners after letters that are not ASCII stay."""
    pairs = zip(f" {name}", name, strict=False)
    return "".join(c for before, c in pairs if not _is_invisible(c) or (c in _JOINERS and before > "~"))


def _is_invisible(character: str) -> bool:
    return character in _BLANKS or unicodedata.category(character) in ("Cf", "Cn", "Co", "Zl", "Zp")


def _seen(name: str) -> str:
    """What is the same for names that look alike."""
    return unicodedata.normalize("NFKC", name).casefold()


def new_name(name: str, others: Collection[str]) -> str:
    """A name that a new class or model can have next to others.

    Raises:
        Problem: 422 for an invalid name, 409 if it is taken.
    """
    name = class_name(name)
    if not 0 < len(name) <= _MAX_NAME or len(os.fsencode(name)) > 200:
        raise Problem(422, "name_length", count=len(name), most=_MAX_NAME)
    if bad := re.search(_UNSAFE, name):
        raise Problem(422, "name_character", character=ascii(bad[0]))
    if _DEVICE.fullmatch(name):
        raise Problem(422, "name_device", name=name)
    if is_hidden(name) or name.endswith("."):
        raise Problem(422, "name_dot")
    if same := [other for other in others if _seen(other) == _seen(name)]:
        raise Problem(409, "class_exists", name=same[0])
    return name


def file_name(name: str, number: int = 1) -> str:
    """A file name for a clip, with a number from 2 on; characters that a file system may not allow are replaced."""
    clean = Path(re.sub(_UNSAFE, "_", _visible(name)))
    stem = os.fsencode(clean.stem.strip(". "))[:_MAX_FILE].decode(errors="ignore") or "clip"
    stem = f"_{stem}" if _DEVICE.fullmatch(stem) else stem
    return f"{stem}{f'-{number}' if number > 1 else ''}{clean.suffix}"
