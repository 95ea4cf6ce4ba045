"""Uploads: what is no clip is refused with its reason, and nothing of it stays; copies keep the
time of every frame.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import clips
import numpy as np
import pytest
from clips import Make
from PIL import Image
from projects import add
from starlette.requests import Request

from onlooker.base.files import DiskFullError
from onlooker.base.records import ClipError
from onlooker.serve import media
from onlooker.serve.media import convert, receive
from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.project import Project


def upload(folder: Path, *parts: bytes, name: str = "") -> tuple[bytes, str, Path]:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    sent = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def send() -> dict[str, object]:
        return next(sent)

    request = Request(
        {"type": "http", "headers": [(b"x-filename", name.encode())], "method": "POST"}, send
    )

    async def received() -> tuple[bytes, str, Path]:
        async with receive(request, folder) as (path, name):
            return path.read_bytes(), name, path.parent

    return asyncio.run(received())


def test_a_body_is_a_file_until_it_is_used(tmp_path: Path) -> None:
    uploaded = upload(tmp_path / "new", b"ab", b"cd", name="My%20clip%20%C3%A9.mp4")
    assert uploaded == (b"abcd", "My clip é.mp4", tmp_path / "new")
    with pytest.raises(Problem, match="empty"):
        upload(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_nothing_stays_of_a_browser_that_goes_away(tmp_path: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    request = Request({"type": "http", "headers": [], "method": "POST"})
    request.stream = parts  # type: ignore[method-assign]

    async def received() -> None:
        async with receive(request, tmp_path):
            pass

    with pytest.raises(ConnectionResetError):
        asyncio.run(received())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_full_disk: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(media.secrets, "token_hex", lambda _: "name")
    on_full_disk(tmp_path / "name.part")
    with pytest.raises(DiskFullError, match="no space left for this clip"):
        upload(tmp_path, b"x" * 100_000)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("text", "not a video file"),
        ("audio only", "no video stream, only audio"),
        ("one frame", "a single frame"),
        ("zero bytes", "zero bytes"),
        ("missing moov", "or a damaged one"),
        ("long", "longer than 1 s"),
        ("image", "an image"),
    ],
)
def test_what_is_no_clip_is_refused_with_its_reason(
    tmp_path: Path, make_clip: Make, kind: str, found: str
) -> None:
    path = make_clip(frames=30 if kind == "long" else 10)
    if kind == "image":
        Image.fromarray(clips.paint(1)).save(path, "jpeg")
    elif kind != "long":
        clips.damage(path, kind, 0)
    copy = tmp_path / "copy.mp4"
    still = tmp_path / "still.jpg"
    with pytest.raises((ClipError, Problem)) as error:
        convert(path, 1, copy=copy, still=still)
    problem = as_problem(error.value)
    assert (problem.status, found in problem.found) == (422, True), problem.found
    assert problem.remedy
    assert not copy.exists()
    assert not still.exists()


@pytest.mark.parametrize(
    ("name", "settings", "playable"),
    [
        ("a.mp4", {}, True),
        ("a.mov", {}, True),
        ("a.webm", {}, False),
        ("a.avi", {}, False),
        ("a.gif", {}, False),
        ("a.mkv", {}, False),
        ("a.mp4", {"pix_fmt": "yuv444p"}, False),
        ("a.mp4", {"size": (1922, 32)}, False),
        ("a.mp4", {"rotation": 90}, True),
    ],
)
def test_facts_and_copies_of_every_kind_of_file(
    make_clip: Make, tmp_path: Path, name: str, settings: dict[str, object], playable: bool
) -> None:
    path = make_clip(name, **settings)
    copy = tmp_path / "copy.mp4"
    facts = convert(path)
    width, height = settings.get("size", (64, 48))  # type: ignore[misc]
    width, height = (height, width) if "rotation" in settings else (width, height)
    assert (facts.frames, facts.width, facts.height, facts.playable) == (
        20,
        width,
        height,
        playable,
    )
    assert (facts.seconds, facts.frames / facts.seconds) == (
        pytest.approx(2, abs=0.02),
        pytest.approx(10, abs=0.1),
    )
    assert convert(path, copy=copy) == facts
    again = convert(copy)
    assert (again.playable, again.frames) == (True, 20)


def test_copies_keep_the_time_of_every_frame(make_clip: Make, tmp_path: Path) -> None:
    times = [0, 40, 200, 210, 700, 1500, 1501, 3000]
    path = make_clip("a.mp4", frames=8, pts=times, options={"bf": "2"})
    copy = tmp_path / "copy.mp4"
    convert(path, copy=copy)
    originals = clips.all_frames(path)
    copies = clips.all_frames(copy)
    np.testing.assert_allclose(copies[1], np.array(times) / 1000, atol=1e-4)
    assert (
        max(
            np.abs(a.astype(int) - b).mean()
            for a, b in zip(originals[0], copies[0], strict=True)
        )
        < 6
    )


def test_work_on_a_clip_can_be_ended(make_clip: Make, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(
            make_clip(frames=300),
            copy=tmp_path / "copy.mp4",
            on_facts=Mock(side_effect=KeyboardInterrupt),
        )
    assert not (tmp_path / "copy.mp4").exists()


def test_a_preview_follows_a_clip_whose_class_is_renamed_meanwhile(
    project: Project, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = project.add_clip(
        "wave", make_clip().rename(project.incoming() / "upload"), "clip.mp4"
    )
    names = ["clap"]

    def rename_first(path: Path, *args: Any, **settings: Any) -> Any:
        if names:
            project.rename_class("wave", names.pop())
        return convert(path, *args, **settings)

    monkeypatch.setattr(media, "convert", rename_first)
    assert media.Previews(project).still(clip.id).read_bytes()[:3] == b"\xff\xd8\xff"
    assert project.clip(clip.id).label == "clap"
    damaged = add(project, "clap", "no video", "damaged.mp4")
    with pytest.raises(ClipError, match="not a video file"):
        media.Previews(project).still(damaged)
