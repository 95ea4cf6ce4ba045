"""A format that nobody wrote yet is one short file and one line in the table."""

import csv
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from clips import touch
from commands import call

from onlooker.base.files import write_csv
from onlooker.base.intervals import parse_time
from onlooker.base.records import Recording
from onlooker.data.lists import PROGRAM_SUFFIXES
from onlooker.data.sets import read_set
from onlooker.formats import annotations
from onlooker.formats.annotations import FORMATS, register_format
from onlooker.formats.labels import Format, Labels, Requested, entry
from onlooker.formats.videos import find_video, in_whole_file, written_name


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    for line, fields in enumerate(csv.reader(path.read_text().splitlines()), 1):
        with entry(path, f"line {line}: ", left_out):
            name, start, end, label, tier = fields
            if label == "?":
                left_out["doubtful labels"] += 1
                continue
            video = find_video(path.parent, name)
            times = parse_time(start), parse_time(end)
            yield video, requested.segment(label, *times, tier=tier, left_out=left_out)


def write(path: Path, recordings: Sequence[Recording], _: float | None) -> None:
    rows = [
        [written_name(recording.path, path.parent), *label.span, label.label, label.tier]
        for recording in map(in_whole_file, recordings)
        for label in recording.labels
    ]
    write_csv(path, rows)


DIARY = Format(".diary", read, write)
LOG = Format(".log", read)


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "FORMATS", {**FORMATS})
    monkeypatch.setattr(annotations, "PROGRAM_SUFFIXES", {*PROGRAM_SUFFIXES})
    for _ in range(2):  # as when a cell of a notebook runs again
        register_format("diary", DIARY)


def test_its_name_is_of_one_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a format 'diary' is registered already; choose"):
        register_format("diary", Format(".log", read))
    with pytest.raises(ValueError, match="a format 'csv' is registered already"):
        register_format("csv", DIARY)


def test_a_package_declares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [EntryPoint("log", f"{__name__}:LOG", "onlooker.formats")]
    monkeypatch.setattr(annotations, "entry_points", lambda group: found)
    assert annotations.find_format(Path("a.eaf")) == "elan"
    assert "log" not in annotations.FORMATS
    assert annotations.find_format(Path("a.log")) == "log"


def test_it_is_read_with_tiers_written_and_trained_on(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = [
        "a.mp4,0,0:05,sit,posture",
        "a.mp4,1,3,eat,action",
        "b.mp4,2,4,walk,posture",
        "b.mp4,5,6,?,",
    ]
    (tmp_path / "mine.diary").write_text("\n".join(rows))
    done = call("convert", tmp_path / "mine.diary", tmp_path / "list.csv")
    assert "3 intervals of 2 videos" in done.stdout
    assert "1 doubtful labels" in done.stderr
    clips = read_set(tmp_path / "list.csv").clips
    assert [(clip.path.name, clip.label, clip.tier) for clip in clips] == [
        ("a.mp4#t=0,5", "sit", "posture"),
        ("a.mp4#t=1,3", "eat", "action"),
        ("b.mp4#t=2,4", "walk", "posture"),
    ]
    call("convert", tmp_path / "list.csv", tmp_path / "again.diary")
    call("convert", tmp_path / "again.diary", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "list.csv").read_text()


def test_its_errors_cost_their_line(tmp_path: Path) -> None:
    (tmp_path / "mine.diary").write_text("a.mp4,0,5,sit,\na.mp4,7,later,sit,\n")
    said = call("convert", tmp_path / "mine.diary", tmp_path / "list.csv").stderr
    assert "left out: 1 wrong entries (line 2: time is 'later', expected seconds" in said
