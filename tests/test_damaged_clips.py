"""Hundreds of damaged files: no command crashes or hangs, unusable files are named, and the others
are used.
"""

import json
import shutil
from pathlib import Path

import clips as painted
import pytest

from onlooker.base.config import DataConfig
from onlooker.base.records import ClipError
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.run.predict import predict_clips
from onlooker.video.reader import VideoReader, read

DATA = DataConfig(frames=4, size=16, channels=1, normalization="half")
SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".gif", ".mov", ".ts")
COUNT = 210


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An undamaged clip in each container."""
    folder = tmp_path_factory.mktemp("whole")
    return [
        painted.make_clip(folder / f"clip{suffix}", frames=24, options={"g": "8"})
        for suffix in SUFFIXES
    ]


def damaged(folder: Path, whole: list[Path], count: int) -> list[Path]:
    """Every kind of damage in every container, each with its own seed."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for seed in range(count):
        kind = painted.DAMAGES[seed % len(painted.DAMAGES)]
        source = whole[seed // len(painted.DAMAGES) % len(whole)]
        path = folder / f"{seed:03} {kind}{source.suffix}"
        shutil.copy(source, path)
        files.append(painted.damage(path, kind, seed))
    return files


def usable(path: Path) -> bool:
    """Whether frames can be chosen from a file, and read in turn."""
    outcomes = []
    for reading in (lambda: len(read(path, 8)) == 8, lambda: any(True for _ in VideoReader(path))):
        try:
            outcomes.append(reading())
        except ClipError:
            outcomes.append(False)
    assert len(set(outcomes)) == 1, path
    return outcomes[0]


def test_predicting(tmp_path: Path, whole: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    files = damaged(tmp_path / "files", whole, COUNT)
    model = create_model("convnet", 2, in_channels=1, size=16)
    Recognizer(model, ("a", "b"), DATA).save(tmp_path / "run")
    failed = predict_clips(
        tmp_path / "run", [whole[0], *files, whole[1]], None, tmp_path / "out.json"
    )

    answered = [
        json.loads(line)["path"] for line in (tmp_path / "out.json").read_text("utf-8").splitlines()
    ]
    assert answered[0] == str(whole[0])
    assert answered[-1] == str(whole[1])
    assert sorted([*answered[1:-1], *(str(error.path) for error in failed)]) == sorted(
        map(str, files)
    )
    assert {error.path for error in failed} == {path for path in files if not usable(path)}
    said = capsys.readouterr().err
    for error in failed:
        assert str(error.path) in said
        assert error.found
        assert error.remedy
    for kind in ("zero bytes", "text", "audio only"):  # no frame of these can be used
        ruined = [path for path in files if kind in path.name]
        assert ruined
        assert not set(map(str, ruined)) & set(answered)
    assert all(str(path) in answered for path in files if "one frame" in path.name)
    assert any("truncated" in path for path in answered)  # their intact part is used
