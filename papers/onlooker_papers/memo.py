"""Results are memoized in small JSON files, keyed by their settings: what was computed once is not
computed again.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onlooker
from onlooker.base.files import file_digest, read_json, write_json
from onlooker.run.record import check_settings


def memo(
    path: Path, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The figures in `path`, computed and written if they are not there yet.

    The file holds `settings`, `figures` and `origin`, the version of onlooker that computed them.
    While `compute` runs, and after an interruption, `settings` are in `NAME.in_progress.json`.

    Args:
        settings: what the figures depend on; these and the figures are plain builtins.

    Raises:
        ValueError: the file, or a computation that was interrupted, belongs to other settings.
    """
    if path.exists():
        stored = read_json(path)
        if not {"settings", "figures"} <= set(stored):
            raise ValueError(f"{path}: not a memo file, which has settings and figures; remove it")
        check_settings(path, stored["settings"], settings)
        return stored["figures"]
    in_progress = path.with_suffix(".in_progress.json")
    # An interrupted training continues from its checkpoints only under the same settings.
    if in_progress.exists():
        check_settings(in_progress, read_json(in_progress), settings)
    write_json(in_progress, dict(settings))
    figures = compute()
    origin = onlooker.__version__
    write_json(path, {"settings": dict(settings), "origin": origin, "figures": figures})
    in_progress.unlink()
    return figures


def memo_of_training(
    folder: Path, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """`memo` in FOLDER.json for the training in `folder`; its checkpoints are removed once the
    figures are stored.
    """
    figures = memo(folder.with_suffix(".json"), settings, compute)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return figures


def fingerprint(run: Path) -> str:
    """A checksum of a run's weights; it is one of the settings of everything that is computed from
    them.
    """
    return file_digest(run / "model" / "model.safetensors")[:16]
