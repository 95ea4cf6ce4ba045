"""Previews are kept for a month."""

import os
from pathlib import Path
from time import time

from onlooker.serve.previews import Previews


def test_old_previews_are_deleted_and_others_stay(tmp_path: Path) -> None:
    for name, days in (("old", 31), ("older", 40), ("new", 2)):
        for suffix in ("mp4", "jpg", "json"):
            file = tmp_path / f"{name}.{suffix}"
            file.write_text("{}")
            os.utime(file, (time() - 86_400 * days,) * 2)
    Previews(tmp_path).prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jpg", "new.json", "new.mp4"]
    Previews(tmp_path / "none").prune()
