"""What a newcomer does first, once each: `make test-latest` runs this with the newest version of
every dependency.
"""

import json
from pathlib import Path

import clips
import moving_squares
import numpy as np
import onnxruntime
import pytest
import torch
from commands import call
from fastapi.testclient import TestClient
from pages import self_contained
from serving import ADDRESS

import onlooker
from onlooker.base.config import StreamConfig
from onlooker.data.stick_figures import write_set
from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings
from onlooker.video.reader import VideoReader

FRAMES = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    """The default command on a small folder."""
    folder = tmp_path_factory.mktemp("first") / "run"
    call("train", squares, "--run", folder, "--encoder", "conv4", "--frames", 4, "--size", 16)
    return folder


@pytest.fixture(scope="module")
def clip(squares: Path) -> Path:
    return sorted(squares.rglob("*.mp4"))[0]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm", ".mkv", ".gif"])
def test_every_container_is_read(tmp_path: Path, suffix: str) -> None:
    reader = VideoReader(clips.make_clip(tmp_path / f"clip{suffix}", frames=FRAMES))
    frames = reader.get(np.arange).pixels
    assert [clips.painted_number(frame) for frame in frames] == list(range(FRAMES))


def test_texts_in_a_file_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    """PyAV 18 raises an error for them unless it is asked not to, and PyAV 19 cannot be asked."""
    path = clips.make_clip(tmp_path / "clip.mkv", frames=FRAMES)
    content = path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert len(VideoReader(path)) == FRAMES


def test_clips_are_checked(squares: Path) -> None:
    assert "24 clips" in call("check", squares).output


def test_the_default_command_writes_a_report(run: Path) -> None:
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["videos"] > 0
    assert self_contained(run / "report.html")["video"] > 0


def test_a_gradient_model_is_trained_and_resumed(squares: Path, tmp_path: Path) -> None:
    settings = ["--encoder", "conv4", "--frames", 4, "--size", 16, "--batch", 8]
    call(
        "train",
        squares,
        "--run",
        tmp_path / "run",
        "--model",
        "convalstm",
        "--hidden",
        4,
        "--epochs",
        1,
        *settings,
    )
    call("train", squares, "--run", tmp_path / "run", "--resume")
    assert onlooker.load(tmp_path / "run").classes == tuple(sorted(moving_squares.WAYS))


def test_a_clip_is_classified_and_localized(run: Path, clip: Path, tmp_path: Path) -> None:
    prediction = onlooker.load(run).predict(clip)
    assert prediction.label in prediction.classes
    assert prediction.attention is not None
    assert clip.name in call("predict", run, clip, "--out", tmp_path / "localized").output
    assert {path.suffix for path in (tmp_path / "localized").rglob("*")} == {".json", ".mp4"}


def test_a_stream_gives_one_step_per_frame(run: Path, clip: Path) -> None:
    steps = list(onlooker.load(run).watch(clip, StreamConfig(rate=0)))
    # not the last one again, with its event
    assert len([step for step in steps if step.pixels is not None]) == len(VideoReader(clip))
    assert {step.label for step in steps} <= {*moving_squares.WAYS, "nothing"}


@pytest.mark.usefixtures("operators_read_once")
def test_the_exported_step_runs_without_pytorch(run: Path, tmp_path: Path) -> None:
    call("export", run, "--out", tmp_path / "exported")
    session = onnxruntime.InferenceSession(tmp_path / "exported" / "step.onnx")
    frame, *states = session.get_inputs()
    inputs = {state.name: np.zeros((1, *state.shape[1:]), np.float32) for state in states}
    inputs[frame.name] = np.zeros((1, 16, 16, 3), np.uint8)
    (scores,) = session.run(["scores"], inputs)
    assert scores.shape == (1, len(moving_squares.WAYS))


def test_the_page_lists_the_model(run: Path, tmp_path: Path) -> None:
    with TestClient(
        create_app(ServeSettings(run, tmp_path / "clips", run.parent)), base_url=ADDRESS
    ) as page:
        assert "<html" in page.get("/").text
        assert [model["name"] for model in page.get("/api/state").json()["models"]] == [
            run.name
        ]


def test_a_timm_network_is_an_encoder() -> None:
    model = onlooker.create_model(
        "convalstm", num_classes=3, encoder="resnet18", size=64, hidden=4
    ).eval()
    assert model(torch.rand(1, 2, 3, 64, 64)).logits.shape == (1, 2, 3)


def test_stick_figures_are_written(tmp_path: Path) -> None:
    write_set(tmp_path / "figures", clips=1)
    assert len(list((tmp_path / "figures").rglob("*.mp4"))) > 1
