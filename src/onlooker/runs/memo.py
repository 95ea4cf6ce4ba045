"""Cells of a table: each is computed once, kept as a small file, and believed only under the settings that made it."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onlooker.files import read_json, write_json


def cell(
    path: Path, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]], training: Path | None = None
) -> dict[str, Any]:
    """The figures in `path`, computed and written where they are not there yet.

    Args:
        path: a JSON file.
        settings: what the figures depend on, as plain builtins.
        compute: makes the figures, as plain builtins. Killed in its midst, it leaves its settings in `NAME.begun.json`.
        training: folder of the training behind the cell. Once the cell is written nobody goes on from its checkpoints,
            and they are removed.

    Raises:
        ValueError: the file holds a cell that other settings made, or one was begun under other settings.
    """
    figures = stored(path, settings)
    if figures is None:
        begun = _begun(path)
        write_json(begun, dict(settings))
        figures = compute()
        write_json(path, {"settings": dict(settings), "figures": figures})
        begun.unlink()
    _put_away(training)
    return figures


def stored(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The figures of a cell that is there; None where it is still to be computed, or to be gone on with.

    Raises:
        ValueError: as `cell`.
    """
    if path.exists():
        kept = read_json(path)
        if not {"settings", "figures"} <= set(kept):
            raise ValueError(f"{path}: not a cell, which has settings and figures; remove it")
        check_settings(path, kept["settings"], settings)
        figures: dict[str, Any] = kept["figures"]
        return figures
    # A training that was cut off goes on from its checkpoints: under these settings or not at all.
    if _begun(path).exists():
        check_settings(_begun(path), read_json(_begun(path)), settings)
    return None


def _begun(path: Path) -> Path:
    return path.with_suffix(".begun.json")


def fingerprint(training: Path) -> str:
    """Of the weights that a training left in its folder: a setting of every cell that begins from them."""
    with (training / "model" / "model.safetensors").open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()[:16]


def check_settings(path: Path, stored: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse what is stored in `path` unless the settings that made it are these.

    Raises:
        ValueError: naming the settings that differ.
    """
    changed = sorted(name for name in {*stored, *settings} if stored.get(name) != settings.get(name))
    if changed:
        names = ", ".join(changed)
        raise ValueError(
            f"{path}: made with other settings ({names}); choose another --run, or remove it and its folder"
        )


def _put_away(training: Path | None) -> None:
    if training is None:
        return
    shutil.rmtree(training / "checkpoints", ignore_errors=True)
    if training.is_dir() and not any(training.iterdir()):
        training.rmdir()
