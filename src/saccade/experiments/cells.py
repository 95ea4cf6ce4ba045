"""Cells of a table: each is computed once, kept as a small file, and believed only under the settings that made it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from saccade.config import read_json, write_json


def cell(path: Path, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures in `path`, computed and written where they are not there yet.

    Args:
        path: a JSON file.
        settings: what the figures depend on, as plain builtins.
        compute: makes the figures, as plain builtins. Killed in its midst, it leaves no file.

    Raises:
        ValueError: the file holds a cell that other settings made.
    """
    if path.exists():
        stored = read_json(path)
        if changed := _changed(stored["settings"], settings):
            raise ValueError(
                f"{path}: made with other settings ({', '.join(changed)}); choose another --run, or remove it"
            )
        return stored["figures"]
    figures = compute()
    write_json(path, {"settings": dict(settings), "figures": figures})
    return figures


def _changed(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*stored, *settings} if stored.get(name) != settings.get(name))
