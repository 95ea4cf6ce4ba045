"""A picture and a clip of each event are written before it is sent, within limits."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event as Signal
from threading import Timer
from typing import Any

import cv2
import numpy as np
import pytest
from clips import Make
from eventful import CLASSES, eventful, untrained
from receivers import Collected

from onlooker.base.config import StreamConfig
from onlooker.base.decision import Decision
from onlooker.base.files import DiskFullError
from onlooker.base.records import Box, ClipError, Event, Step
from onlooker.formats import snapshots
from onlooker.formats.snapshots import Snapshots
from onlooker.video.reader import VideoReader

GB = 1e9
EVENT = Event("wave", 2.0, 4.0, 0.9, "door")
SCORES = np.full(len(CLASSES), 1 / 3, np.float32)


def step(seconds: float, *changes: Event, **fields: Any) -> Step:
    """A frame whose brightness is 25 times its time, with a box."""
    gray = np.uint8(min(25 * seconds, 255))
    values = {
        "pixels": np.full((64, 96, 3), gray, np.uint8),
        "boxes": (Box("wave", 0, (10.0, 10.0, 50.0, 50.0)),),
        **fields,
    }
    announced = tuple(event for event in changes if event.phase != "end")
    ends = tuple(event for event in changes if event.phase == "end")
    decision = Decision(CLASSES)
    return Step(
        0, seconds, SCORES, decision, source="door", announced=announced, events=ends, **values
    )


def opened(
    folder: Path,
    got: list[Event],
    *,
    lost: Callable[[ClipError], None] = print,
    **limits: float,
) -> Snapshots:
    config = StreamConfig(snapshots=str(folder), **limits)  # type: ignore[arg-type]
    return Snapshots(config, ["door"], pass_on=got.extend, on_lost=lost)


def written(folder: Path, steps: list[Step], **limits: float) -> list[Event]:
    got = list[Event]()
    writer = opened(folder, got, **limits)
    for each in steps:
        writer.add(each)
    writer.close()
    return got


def frames_until(end: float) -> list[Step]:
    return [step(number / 10) for number in range(round(10 * end))]


def begin_and_end() -> list[Step]:
    """An event from 2 to 4 s, which is announced at 3 and 5 s."""
    steps = frames_until(6)
    steps[30] = step(3.0, replace(EVENT, phase="begin", end=3.0))
    steps[50] = step(5.0, replace(EVENT, phase="end"))
    return steps


def test_files_are_there_when_the_events_of_watch_that_name_them_arrive(
    make_clip: Make, tmp_path: Path
) -> None:
    class Looking(Collected):
        def send(self, event: Event, seconds: float) -> None:
            files = [Path(name) for name in (event.snapshot, event.clip) if name]
            assert all(file.parent == tmp_path / "kept" for file in files)
            self.calls.append((event.phase, [file.suffix for file in files if file.exists()]))

    sink = Looking()
    path = make_clip(frames=60)
    config = StreamConfig(snapshots=str(tmp_path / "kept"))
    steps = [*eventful().watch(path, config, sinks=[sink, tmp_path / "a.jsonl"])]
    events = [event for each in steps for event in each.changes]
    kinds = {"begin": [".jpg"], "end": [".jpg", ".mp4"], "withdrawn": []}
    expected = [(event.phase, kinds[str(event.phase)]) for event in events]
    assert sink.calls[1:-1] == expected
    assert len(events) > 4
    ends = {event.id for event in events if event.phase == "end"}
    names = {file.stem[-32:] for file in (tmp_path / "kept").iterdir()}
    assert names == ends, "that of a withdrawn event is removed"
    assert (tmp_path / "a.jsonl").read_text().count('"clip": ') == len(ends)


def test_the_picture_shows_the_middle_of_the_event_and_the_clip_ends_with_its_announcement(
    tmp_path: Path,
) -> None:
    begun, ended = written(tmp_path, begin_and_end())
    assert begun.snapshot == ended.snapshot
    picture = cv2.imread(ended.snapshot)
    assert picture is not None
    assert min(picture.shape[:2]) == 256, "small frames are enlarged, so that it can be read"
    corner = picture[-40:, -40:].mean()
    assert corner == pytest.approx(75, abs=2), "the frame at 3 s"
    orange = (picture[..., 2] > 150) & (picture[..., 0] < 60)
    rows, columns = np.nonzero(orange)
    assert columns.min() == pytest.approx(10 * 256 / 64, abs=8)
    assert rows.max() == pytest.approx(50 * 256 / 64, abs=8)
    reader = VideoReader(ended.clip)
    assert reader.times[-1] - reader.times[0] == pytest.approx(5.0, abs=0.01)
    last = [pixels for _, _, pixels in reader][-1]
    assert last.mean() == pytest.approx(125, abs=3), "not later than the announcement"


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(46.0, 48.0, 10.0), (30.0, 48.0, 23.0), (1.0, 48.0, 30.0)]
)
def test_a_clip_has_ten_to_thirty_seconds(
    tmp_path: Path, start: float, end: float, expected: float
) -> None:
    event = replace(EVENT, start=start, end=end)
    steps = [step(number / 5) for number in range(250)]
    steps.append(step(50.0, replace(event, phase="begin"), replace(event, phase="end")))
    *_, ended = written(tmp_path, steps)
    times = VideoReader(ended.clip).times
    assert times[-1] - times[0] == pytest.approx(expected, abs=0.25)


def test_a_clip_has_nothing_from_before_a_pause(tmp_path: Path) -> None:
    steps = begin_and_end()
    steps[15] = step(1.5, pause=(0.0, 1.5))
    *_, ended = written(tmp_path, steps)
    assert VideoReader(ended.clip).times[-1] == pytest.approx(3.5, abs=0.01)


def test_what_is_kept_of_a_stream_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_BYTES", 100_000)
    chance = np.random.default_rng(0)
    writer = opened(tmp_path, [])
    recent = writer._recent["door"]
    for number in range(200):
        noise = chance.integers(0, 255, (100, 100, 3), dtype=np.uint8)
        writer.add(step(number / 60, pixels=noise))
        assert sum(len(frame.jpeg) for frame in recent.frames) <= 100_000
    writer.close()
    times = [frame.time for frame in recent.frames]
    assert min(np.diff(times)) > 0.06, "15 frames a second"
    assert len(times) > 3
    for number in range(400):
        recent.add(step(10 + number / 5), "")
    assert recent.frames[-1].time - recent.frames[0].time <= 30


def test_only_files_that_were_written_here_are_removed_the_oldest_first(tmp_path: Path) -> None:
    now = time.time()
    (tmp_path / "kept").mkdir()
    target = tmp_path / "holiday.mp4"
    target.write_bytes(bytes(1000))

    def add(name: str, days: float) -> Path:
        path = tmp_path / "kept" / name
        path.write_bytes(bytes(1000))
        os.utime(path, (now - 86_400 * days, now - 86_400 * days))
        return path

    names = [f"20260101-12000{n}-wave-{'0123456789abcdef' * 2}.jpg" for n in range(5)]
    too_old, third, second, first = (
        add(name, days) for name, days in zip(names, (9, 3, 2, 1), strict=False)
    )
    others = [
        add("IMG_0001.jpg", 900),
        add("20260101-120000-wave.jpg", 900),
        add("best " + names[0], 900),  # who wants to keep one gives it another name
        add(names[0] + ".txt", 900),
    ]
    link = tmp_path / "kept" / names[4]
    link.symlink_to(target)
    opened(tmp_path / "kept", [], snapshot_days=7, snapshot_gb=2500 / GB).close()
    assert not too_old.exists()
    assert not third.exists()
    assert all(path.exists() for path in (first, second, link, target, *others))
    written(tmp_path / "kept", begin_and_end(), snapshot_gb=1 / GB)
    assert {*(tmp_path / "kept").iterdir()} == {link, *others}


def test_a_full_disk_is_one_error_and_events_are_sent_without_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise DiskFullError(f"{path}: no space left")

    lost = list[ClipError]()
    got = list[Event]()
    writer = opened(tmp_path, got, lost=lost.append)

    def add(number: int) -> None:
        for phase in ("begin", "end"):
            event = replace(EVENT, id=f"{number:032x}", start=0.0, end=0.5, phase=phase)
            writer.add(step(number / 10, event))
        writer._executor.submit(lambda: None).result()

    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "VideoWriter", full)  # there is still room for pictures
        for number in range(3):
            add(number)
        assert [bool(event.clip) for event in got] == [False] * 6
        assert all(event.snapshot for event in got)
        (error,) = map(str, lost)
        assert error.startswith(f"{tmp_path}: pictures and clips of events cannot be written")
    add(3)
    assert got[-1].clip, "there is space again"
    monkeypatch.setattr(snapshots, "VideoWriter", full)
    add(4)
    writer.close()
    assert len(lost) == 2
    assert len(got) == 10


def test_a_program_that_ends_writes_no_clips_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Signal()
    ending = Signal()

    class Slow(snapshots.VideoWriter):
        def add(self, frame: object, seconds: float | None = None) -> None:
            writing.set()
            assert ending.wait(60)

    monkeypatch.setattr(snapshots, "VideoWriter", Slow)
    got = list[Event]()
    lost = list[ClipError]()
    writer = opened(tmp_path, got, lost=lost.append)
    for each in begin_and_end():
        writer.add(each)
    writer.add(step(7.0, replace(EVENT, id="f" * 32, phase="begin")))
    writing.wait(60)
    Timer(0.2, ending.set).start()
    writer.close(0.1)
    assert [(bool(event.snapshot), bool(event.clip)) for event in got] == [
        (True, False),
        (True, False),
        (False, False),
    ]
    assert [path.suffix for path in tmp_path.iterdir()] == [".jpg"], "and nothing incomplete"
    (error,) = map(str, lost)
    assert "cannot be written (the program ends)" in error


def test_live_frames_never_wait_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Signal()
    monkeypatch.setattr(snapshots, "write_bytes", lambda *_: writing.wait(60))
    got = list[Event]()
    writer = opened(tmp_path, got)
    for number in range(20):
        event = replace(EVENT, id=f"{number:032x}", start=0.0, end=0.5, phase="begin")
        writer.add(step(number / 10, event))
    assert got == []
    writing.set()
    writer.close()
    assert [int(event.id, 16) for event in got] == [*range(20)], "in order"
    with_files = [bool(event.snapshot) for event in got]
    assert with_files == [True] * 4 + [False] * 16


def test_a_folder_that_cannot_be_written_is_an_error_before_any_source_is_opened(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    for folder, message in (
        (str(tmp_path / "file"), "a file is in its place"),
        ("s3://bucket/kept", "snapshots is 's3://bucket/kept', expected a folder of this comp"),
    ):
        steps = eventful().watch(tmp_path / "gone.mp4", StreamConfig(snapshots=folder))
        with pytest.raises((OSError, ValueError), match=message):
            next(steps)
    with pytest.raises(ValueError, match="this model finds no events to send"):
        untrained().watch(0, StreamConfig(snapshots=str(tmp_path)))
