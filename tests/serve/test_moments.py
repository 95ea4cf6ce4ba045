"""Moments of a camera that leave a model unsure: kept, asked for in the inbox, and forgotten."""

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import teach_run
from fastapi.testclient import TestClient
from PIL import Image

from onlooker.serve.correct import Guess
from onlooker.serve.look import Looks
from onlooker.serve.media import convert
from onlooker.serve.models import Models
from onlooker.serve.moments import Arrived, Moment, Moments
from onlooker.serve.settings import ServeSettings

WAVERS, KNOWS = {"clap": 0.45, "wave": 0.4, "nothing": 0.15}, {"clap": 0.9, "wave": 0.05, "nothing": 0.05}


def jpeg(level: int = 90, size: tuple[int, int] = (64, 48)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(content, "jpeg")
    return content.getvalue()


def moments_of(scores: list[dict[str, float]], rate: float = 10.0) -> list[tuple[float, Moment]]:
    """The moments, with the time at which they were found."""
    moments, found = Moments(1.0), []
    for number, each in enumerate(scores):
        if made := moments.add(Arrived(0.0, number / rate, jpeg()), each):
            found.append((number / rate, made))
    return found


def test_a_moment_is_the_last_second_and_the_next_one_comes_later() -> None:
    found = moments_of([WAVERS] * 450)
    assert [time for time, _ in found] == pytest.approx([1.0, 21.0, 41.0])
    made = found[0][1]
    assert (len(made.frames), made.rate) == (11, pytest.approx(10.0))
    assert made.guess == Guess("clap", pytest.approx(0.45), pytest.approx(0.05))


def test_a_sure_model_asks_nothing_and_one_unsure_frame_is_no_moment() -> None:
    assert moments_of([KNOWS] * 100) == []
    assert moments_of([*[KNOWS] * 50, WAVERS, *[KNOWS] * 50]) == []


def test_a_camera_with_two_frames_a_second_has_no_moment_of_a_second() -> None:
    assert moments_of([WAVERS] * 50, rate=2.0) == []


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    settings = ServeSettings(clips=tmp_path / "clips", runs=tmp_path / "runs")
    return Looks(tmp_path / "kept", settings, Models(settings), lambda: "model")


def moment(number: int = 0) -> Moment:
    frames = [jpeg(level, (64, 48)) for level in range(0, 200, 20)]
    return Moment([*frames, jpeg(size=(48, 64))], 10.0, Guess(f"guess {number}", 0.4, 0.1))


def test_only_the_newest_moments_are_kept_as_clips(looks: Looks) -> None:
    for number in range(8):
        looks.keep(moment(number), "model")
    kept = looks.unsure("model")
    assert [look.unsure["model"].label for look in kept] == [f"guess {number}" for number in (7, 6, 5, 4, 3, 2)]
    assert len(list(looks.folder.iterdir())) == 6
    facts = convert(kept[0].path)  # a camera may turn: all frames get the size of the first
    assert (facts.frames, facts.width, facts.height) == (11, 64, 48)


def test_moments_of_another_than_the_newest_model_are_not_kept(looks: Looks) -> None:
    looks.keep(moment(), "other")
    looks.newest = lambda: None  # a project without a model
    looks.keep(moment(), "model")
    assert looks.unsure("other") == looks.unsure("model") == []
    assert not looks.folder.exists()


def test_a_moment_that_cannot_be_written_is_left_out(
    looks: Looks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onlooker.serve.look.write", full)
    looks.keep(moment(), "model")
    assert looks.unsure("model") == []
    assert "was not kept" in caplog.text


def test_the_inbox_asks_what_the_camera_saw_and_the_answer_is_a_clip(
    page: TestClient, make_clip: Callable[..., Path], settings: ServeSettings
) -> None:
    for label, level in (("clap", 50), ("wave", 90)):
        content = make_clip(f"{label}.mp4", frames=5 + level // 10).read_bytes()
        page.post("/api/project/clips", params={"class": label}, content=content, headers={"X-Filename": "a.mp4"})
    teach_run(settings.runs / "tiny", settings.clips, settings.runs)
    model = page.get("/api/project").json()["model"]

    def asked() -> list[dict[str, Any]]:
        return [item for item in page.get("/api/project/inbox").json()["items"] if item["why"] == "camera"]

    with page.websocket_connect(f"ws://127.0.0.1:8765/api/live?model={model}") as camera:  # the model is not trained
        for _ in range(100):
            camera.send_bytes(struct.pack("<d", 0.0) + jpeg())
            camera.receive_json()
            if asked():
                break
            time.sleep(0.05)
    (item,) = asked()
    assert item["suggested"] in {"clap", "nothing", "wave"}
    assert page.get(f"/media/{item['look']}.mp4").status_code == 200
    version = page.get("/api/project").json()["version"]
    done = page.post(
        f"/api/project/inbox/look/{item['look']}", params={"version": version}, json={"label": "wave"}
    ).json()
    assert len(done["classes"][1]["clips"]) == 2
    assert asked() == []
    kept = [path for path in (settings.clips / "wave").iterdir() if path.name != "a.mp4"]
    facts = convert(kept[0])
    assert facts.frames >= 4
    assert facts.width == 64
