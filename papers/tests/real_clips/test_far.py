"""Drawn people across a room: which commands are run, and what is read from what they write."""

import csv
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from commands import call

from onlooker.base.files import write_json
from onlooker.data.far_figures import FarFigures
from onlooker_papers.real_clips import far

_EVENTS: dict[str, Any] = {
    "segment_map": {"0.5": 0.6},
    "events": 40,
    "found": 30,
    "misnamed": 4,
    "false_alarms_per_hour": 12.0,
    "states": [{"accuracy": 0.5, "segmental_f1": {"50": 40.0}, "edit": 30.0, "kappa": 0.1}],
}
_WRITTEN: dict[str, Any] = {
    **dict.fromkeys(("accuracy_interval", "recordings", "videos", "chosen")),
    "accuracy": 0.9,
}


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that were run: drawing, with few pixels, and the rest in name only."""
    made = list[str]()

    def run(*words: object) -> None:
        made.append(f"{words[0]} {words[1]}" if words[0] == "generate" else str(words[0]))
        if words[0] == "generate":
            call(*(5 if word in (60, 170) else word for word in words))  # seconds
        elif words[0] == "train":
            write_json(Path(str(words[3])) / "evaluation.json", _WRITTEN)
        else:
            file = Path(str(words[1])) / "recordings-test" / "evaluation.json"
            file.parent.mkdir()
            write_json(file, {**_EVENTS, "live": _EVENTS})

    monkeypatch.setattr(far, "onlooker", run)
    small = partialmethod(FarFigures.__init__, frames=2, fps=1, size=(48, 64))
    monkeypatch.setattr(FarFigures, "__init__", small)
    return made


def test_clips_are_tested_by_other_people_and_rooms(commands: list[str], tmp_path: Path) -> None:
    assert far.clips(tmp_path) == _WRITTEN
    assert commands == ["generate figures", "generate figures", "train"]
    with (tmp_path / "clips.csv").open(newline="") as stream:
        rows = [*csv.DictReader(stream)]
    people = {
        split: {row["recording"] for row in rows if row["split"] == split}
        for split in ("train", "test")
    }
    assert {split: len(names) for split, names in people.items()} == {"train": 8, "test": 4}
    assert len(rows) == 5 * (16 + 8)
    assert all((tmp_path / row["path"]).exists() for row in rows)
    far.clips(tmp_path)
    assert len(commands) == 3, "what is there is not made again"


def test_recordings_are_evaluated(commands: list[str], tmp_path: Path) -> None:
    for name in ("states", "events"):
        (tmp_path / name).mkdir()
    states = far.states(tmp_path / "states")
    assert states["offline"] == states["live"]
    assert states["live"] == {"accuracy": 0.5, "segmental_f1": {"50": 40.0}, "edit": 30.0}
    events = far.events(tmp_path / "events")
    assert events["offline"]["segment_map"] == {"0.5": 0.6}
    assert commands == ["generate recordings", "train", "evaluate"] * 2
