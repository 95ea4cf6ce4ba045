"""Previews of clips whose file moves while they are made."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onlooker.base.records import ClipError
from onlooker.serve import media
from onlooker.serve.project import Project


def test_a_preview_follows_a_clip_whose_class_is_renamed_meanwhile(
    project: Project, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project.incoming() / "upload"
    shutil.copy(make_clip(), file)
    clip = project.add_clip("wave", file, "clip.mp4")
    convert = media.convert
    names = ["clap"]

    def rename_first(path: Path, *args: Any, **settings: Any) -> Any:
        if names:
            project.rename_class("wave", names.pop())
        return convert(path, *args, **settings)

    monkeypatch.setattr(media, "convert", rename_first)
    assert media.Previews(project).still(clip.id).read_bytes()[:3] == b"\xff\xd8\xff"
    assert project.clip(clip.id).label == "clap"


def test_a_clip_that_cannot_be_decoded_is_a_problem_once(project: Project) -> None:
    file = project.incoming() / "upload"
    file.write_text("no video")
    clip = project.add_clip("wave", file, "clip.mp4")
    with pytest.raises(ClipError, match="not a video file"):
        media.Previews(project).still(clip.id)
