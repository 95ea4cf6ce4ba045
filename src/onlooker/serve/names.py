"""Names of classes and clips that every file system allows, and that a page shows unchanged."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from onlooker.answer import nothing_class
from onlooker.serve.problem import Problem

__all__ = ["class_name", "file_name", "is_hidden", "new_class_name"]

_MAX_NAME = 60  # characters of a class
_MAX_FILE = 100  # bytes of the name of a clip
_UNSAFE = r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u202a-\u202e\u2066-\u2069\ud800-\udfff]'


def is_hidden(name: str) -> bool:
    """Whether a name is no clip and no class, as where training reads folders; also one that is no UTF-8."""
    return name.startswith(".") or name == "__MACOSX" or re.search("[\ud800-\udfff]", name) is not None


def class_name(name: str, classes: Collection[str] = ()) -> str:
    """The class that a name means: of exactly this name, or with single spaces, as new classes have them."""
    return name if name in classes else " ".join(name.split())


def new_class_name(name: str, others: Collection[str]) -> str:
    """A name that a new class can have next to others.

    Raises:
        Problem: 422 for an invalid name, 409 if there is such a class.
    """
    name = class_name(name)
    if not 0 < len(name) <= _MAX_NAME or len(os.fsencode(name)) > 200:
        raise Problem(422, "name_length", count=len(name), most=_MAX_NAME)
    if bad := re.search(_UNSAFE, name):
        raise Problem(422, "name_character", character=ascii(bad[0]))
    if is_hidden(name) or name.endswith("."):
        raise Problem(422, "name_dot")
    if same := [other for other in others if other.casefold() == name.casefold()]:
        raise Problem(409, "class_exists", name=same[0])
    try:
        nothing_class([*others, name])
    except ValueError as error:
        raise Problem(409, "nothing_exists", reason=error) from error
    return name


def file_name(name: str, number: int = 1) -> str:
    """A file name for a clip, with a number from 2 on; characters that a file system may not allow are replaced."""
    clean = Path(re.sub(_UNSAFE, "_", name))
    stem = os.fsencode(clean.stem.strip(". "))[:_MAX_FILE].decode(errors="ignore") or "clip"
    return f"{stem}{f'-{number}' if number > 1 else ''}{clean.suffix}"
