"""Memoized figures of trainings."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onlooker.experiments.memo import memo


def memo_of_training(
    folder: Path, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """`memo` in FOLDER.json for the training in `folder`; its checkpoints are removed once the figures are stored."""
    figures = memo(folder.with_suffix(".json"), settings, compute)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return figures
