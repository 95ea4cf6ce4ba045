"""Live view: the answers of a stream, for each camera."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from serving import save_model
from starlette.testclient import WebSocketTestSession

from onlooker.serve.look import Viewer, decode_jpeg
from onlooker.serve.problem import Problem
from onlooker.serve.settings import ServeSettings


def jpeg(number: int = 0, size: tuple[int, int] = (64, 48), kind: str = "jpeg") -> bytes:
    content = io.BytesIO()
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(content, kind)
    return content.getvalue()


def message(number: int = 0, sent: float = 1.5) -> bytes:
    return struct.pack("<d", sent) + jpeg(number)


def connect(page: TestClient, model: str) -> WebSocketTestSession:
    return page.websocket_connect(f"ws://127.0.0.1:8765/api/live?model={model}")


def test_the_camera_is_answered(page: TestClient, model: str) -> None:
    with connect(page, model) as camera:
        camera.send_bytes(message(sent=123.25))
        got = camera.receive_json()
    shown = {"label", "score", "scores", "boxes", "heat"}
    assert {"sent", "milliseconds", *shown} <= set(got)
    assert got["sent"] == 123.25
    assert set(got["scores"]) == {"clap", "nothing", "wave"}
    assert sum(got["scores"].values()) == pytest.approx(1, abs=1e-3)


def test_a_viewer_gives_the_answers_of_the_stream(tmp_path: Path) -> None:
    recognizer = save_model(tmp_path)
    viewer = Viewer(recognizer)
    streams = recognizer.streams()
    for number in range(6):
        got = viewer.step(0.0, number / 10, jpeg(number))
        frame = decode_jpeg(jpeg(number))
        step = streams.step({"a": (number, number / 10, frame)})["a"]
        assert (got["label"], got["score"]) == (step.label, pytest.approx(step.score, abs=1e-4))
        np.testing.assert_allclose(list(got["scores"].values()), step.scores, atol=1e-4)
        assert len(got["boxes"]) == len(step.boxes)
        for corners, box in zip(got["boxes"], step.boxes, strict=True):
            np.testing.assert_allclose(
                np.multiply(corners, (64, 48, 64, 48)), box.corners, atol=0.01
            )
        assert 0 <= np.max(got["heat"]) <= 1


def test_two_cameras_are_answered_apart(page: TestClient, model: str) -> None:
    with connect(page, model) as first, connect(page, model) as second:
        for number in range(3):
            first.send_bytes(message(number, sent=number))
            second.send_bytes(message(0, sent=10 + number))
        answers = [[camera.receive_json() for _ in range(3)] for camera in (first, second)]
    assert [[each["sent"] for each in of] for of in answers] == [[0, 1, 2], [10, 11, 12]]
    assert answers[0][0]["scores"] == answers[1][0]["scores"]
    assert answers[0][2]["scores"] != answers[1][2]["scores"]


def test_what_is_no_frame_ends_the_connection_with_its_reason(page: TestClient, model: str) -> None:
    clock = struct.pack("<d", 0)
    wrong = {b"": "bytes", b"short": "bytes", clock + bytes(1_000_000): "bytes"}
    wrong |= {
        clock + each: "format" for each in (b"no JPEG at all", jpeg()[:200], jpeg(kind="png"))
    }
    for sent, about in {**wrong, clock + jpeg(size=(1281, 8)): "size"}.items():
        with connect(page, model) as camera:
            camera.send_bytes(sent)
            assert camera.receive_json()["error"]["code"] == f"frame_{about}"
            assert camera.receive()["type"] == "websocket.close"


def test_models_that_cannot_stream_say_so(page: TestClient, settings: ServeSettings) -> None:
    save_model(settings.runs, "whole", "single-frame")
    whole = next(
        each["id"] for each in page.get("/api/state").json()["models"] if each["name"] == "whole"
    )
    for model, code in ((whole, "no_stream"), ("nobody", "model_gone"), ("", "model_gone")):
        with connect(page, model) as camera:
            error = camera.receive_json()["error"]
            assert (error["code"], bool(error["remedy"])) == (code, True)


def test_a_camera_that_turns_is_answered(tmp_path: Path) -> None:
    viewer = Viewer(save_model(tmp_path))
    viewer.step(0, 0.0, jpeg(size=(64, 48)))
    got = viewer.step(0, 0.1, jpeg(size=(48, 64)))
    assert np.shape(got["heat"]) == (15, 20)


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(jpeg())
    start = content.index(b"\xff\xc0")  # the frame header: height and width
    content[start + 5 : start + 9] = struct.pack(">HH", 8000, 8000)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(Problem, match="8000 by 8000"):
        decode_jpeg(bytes(content))
