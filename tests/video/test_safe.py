"""Videos decoded by a worker process: the same frames; any failure of the worker is an error of its
clip.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from clips import Make, make_clip, make_images, painted_number, painted_numbers
from commands import call

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.base.records import ClipError
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.video import safe
from onlooker.video.flow import read_flow
from onlooker.video.reader import VideoReader, read
from onlooker.video.sampling import Timing, equally_spaced


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    safe.close_workers()  # those of other tests
    monkeypatch.setenv(safe.VARIABLE, "1")
    yield
    safe.close_workers()


def plain(path: Path) -> VideoReader:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(safe.VARIABLE, "0")
        return VideoReader(path)


def contents(reader: VideoReader) -> list[object]:
    """All that a reader says of frames."""
    answers: list[object] = [reader.size, reader.times.tolist()]
    for settings in ({}, {"size": 16}, {"shorter_side": 20}):
        frames = reader.get([5, 0, 3, 3], **settings)
        answers += [frames.pixels.tolist(), frames.times.tolist(), frames.indices.tolist()]
    answers += [(index, time, painted_number(pixels)) for index, time, pixels in reader]
    for wrong in ([99], [-1], []):
        with pytest.raises((IndexError, ValueError)) as error:
            reader.get(wrong)
        answers.append(repr(error.value))
    return answers


@pytest.mark.parametrize("name", ["a.mp4", "a.mp4#t=0.35,1.7", "a.avi", "a.webm", "images"])
def test_the_frames_are_those_of_a_reader_without_a_worker(
    make_clip: Make, tmp_path: Path, name: str
) -> None:
    settings: dict[str, Any] = {
        "a.avi": {"options": {"bf": "2"}},
        "a.webm": {"codec": "libvpx"},
    }.get(name, {})
    if name == "images":
        path = make_images(tmp_path / name, (f"{number}.png" for number in range(6)))
    else:
        file, *part = name.split("#")
        path = Path("#".join([str(make_clip(file, **settings)), *part]))
    assert contents(VideoReader(path)) == contents(plain(path))
    assert len(_children()) == 1  # one process for all of this


def test_flow_and_files_that_cannot_be_read(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip("a.mp4")
    assert read_flow(VideoReader(path), partial(equally_spaced, count=3)).pixels.shape == (
        3,
        48,
        64,
        2,
    )
    (tmp_path / "text.mp4").write_text("no video")
    for wrong in (tmp_path / "no.mp4", tmp_path / "text.mp4", tmp_path):
        with pytest.raises(ClipError) as error:
            read(wrong)
        with pytest.raises(ClipError) as same:
            plain(wrong).get([0])
        assert (str(error.value), error.value.path) == (str(same.value), wrong)


def test_a_working_directory_that_is_gone_is_an_error_at_once(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip("a.mp4")
    monkeypatch.setattr("os.getcwd", Mock(side_effect=FileNotFoundError(2, "No such file")))
    with pytest.raises(ClipError, match=r"a\.mp4: cannot be read \(no such file\)"):
        read(path)


def test_frames_are_sampled_again_if_the_count_was_wrong(make_clip: Make) -> None:
    reader = VideoReader(make_clip("a.mp4"))
    # as a file says whose packets cannot all be decoded
    reader._video.timing = Timing(np.arange(30.0), 30.0)
    frames = reader.get(lambda total: np.array([total - 1]))
    assert frames.indices.tolist() == painted_numbers(frames.pixels) == [19]


LIMITS = (
    "at most 2 GiB, and 60 s and 10 s per MB, are allowed; remove it, or read it without --safe"
)


def endless(path: Path, frames: int = 24) -> Path:
    """A GIF of some kilobytes with frames of 67 million pixels."""
    make_clip(path, frames=frames)
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff\x1f\xff\x1f"
    path.write_bytes(data)
    return path


def test_too_much_time_or_memory_is_an_error(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = endless(tmp_path / "endless.gif")
    good = make_clip("good.mp4")
    assert len(read(good, 4)) == 4
    with pytest.raises(
        ClipError, match=rf"endless\.gif: cannot be decoded \(.*allocate.*\); {LIMITS}"
    ):
        VideoReader(path).get(range(12))
    assert len(read(good, 4)) == 4
    with monkeypatch.context() as patch:
        # less than one frame takes, so that the memory cannot run out first
        patch.setattr(safe, "SECONDS", 0.01)
        patch.setattr(safe, "SECONDS_PER_MB", 0.0)
        with pytest.raises(
            ClipError, match=rf"endless\.gif: decoding took more than \d+ s; {LIMITS}"
        ):
            VideoReader(path).get(range(24), size=16)
    assert len(read(good, 4)) == 4


def test_a_worker_that_is_killed_is_an_error_of_the_clip(make_clip: Make) -> None:
    path = make_clip("a.mp4", frames=400)
    frames = iter(VideoReader(path))
    next(frames)
    (worker,) = _children()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(
        ClipError, match=r"a\.mp4: the decoder ended with status -9; at most 2 GiB"
    ):
        list(frames)
    assert len(read(path, 4)) == 4
    (worker,) = _children()
    os.kill(worker, signal.SIGKILL)  # one that waits
    os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
    assert len(read(path, 4)) == 4


@pytest.mark.parametrize(
    "said",
    [
        [b"nonsense"],
        [b"[]"],
        [b'{"shape": [-2]}', b"1234"],
        [b'{"shape": [99999999999]}', b"1234"],
        [b'{"shape": [4]}', b"1"],
        [b'{"end": ["SystemExit"]}'],
        [b"[" * 100_000],
        [],
    ],
)
def test_invalid_answers_of_a_worker_are_errors_of_the_clip(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, said: list[bytes]
) -> None:
    path = make_clip("a.mp4")
    program = "from multiprocessing.connection import Connection as C; c = C({0}); [c.send_bytes(each) for each in {1}]"
    start = subprocess.Popen

    def lying(_: object, pass_fds: list[int], **settings: Any) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-c", program.format(*pass_fds, said)]
        return start(words, pass_fds=pass_fds, **settings)

    monkeypatch.setattr(safe.subprocess, "Popen", lying)
    with pytest.raises(ClipError, match=r"a\.mp4: the decoder ended with status"):
        read(path, 4)


def test_commands_decode_safely_when_asked(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(frames=4, size=16, channels=1, normalization="half")
    net = create_model("convnet", 2, in_channels=1, size=16)
    Recognizer(net, data, Decision(("a", "b"))).save(tmp_path / "run")
    good = [make_clip("1.mp4"), make_clip("2.mp4")]
    out = tmp_path / "out.json"
    monkeypatch.setenv(safe.VARIABLE, "0")
    receive = safe._Worker.receive

    def impatient(worker: safe._Worker, path: Path, seconds: float) -> safe.Answer:
        # With the endless one alone: the others take longer on a busy machine.
        return receive(worker, path, 1.0 if path.name == "3.gif" else seconds)

    monkeypatch.setattr(safe._Worker, "receive", impatient)
    given = [good[0], endless(tmp_path / "3.gif", 100), good[1]]
    result = call("predict", tmp_path / "run", *given, "--json", out, "--safe", ok=False)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [line["path"] for line in lines if "scores" in line] == [str(path) for path in good]
    assert "3.gif: decoding took more than 1 s; at most 2 GiB" in result.stderr
    for command in ("train", "compare", "evaluate", "predict", "watch", "export"):
        assert "--safe" in call(command, "--help-all").stdout


def _children() -> list[int]:
    """The workers that this process has started, by their numbers."""
    files = Path("/proc/self/task").glob("*/children")  # of each thread
    children = [pid for file in files for pid in file.read_text("utf-8").split()]
    return [
        int(pid)
        for pid in children
        if b"worker import serve" in Path("/proc", pid, "cmdline").read_bytes()
    ]
