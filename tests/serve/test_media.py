"""Uploads: what is no clip is refused with its reason, and nothing of it stays; copies keep the
time of every frame.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import clips
import numpy as np
import pytest
from clips import Make
from fastapi.testclient import TestClient
from PIL import Image
from projects import add

from onlooker.base.records import ClipError
from onlooker.serve import media
from onlooker.serve.media import convert
from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.project import Project

VARIABLE = [*range(0, 100, 10), *range(100, 1900, 200), 1900]  # the time of each frame in ms


def test_a_full_disk_is_told(
    page: TestClient, monkeypatch: pytest.MonkeyPatch, on_full_disk: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(media.secrets, "token_hex", lambda _: "name")
    on_full_disk(page.app.state.project.incoming() / "name.part")  # type: ignore[attr-defined]
    response = page.post("/api/project/clips?class=a", content=b"x" * 100_000)
    assert (response.status_code, response.json()["error"]["code"]) == (507, "disk_full")


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
        ("a.mp4", {"pts": VARIABLE, "options": {"bf": "2"}}, True),
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
    assert convert(copy).playable
    _, times = clips.all_frames(path)
    copied, copied_times = clips.all_frames(copy)
    turns = settings.get("rotation", 0) // 90  # type: ignore[operator]
    upright = [np.rot90(frame, -turns) for frame in copied]
    assert clips.painted_numbers(upright) == list(range(20))
    np.testing.assert_allclose(copied_times, times, atol=1e-3)


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
