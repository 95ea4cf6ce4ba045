"""The interface for programs: it answers as the library does, describes itself, and needs the
token.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from browsing import serving
from clips import Make
from fastapi.testclient import TestClient
from serving import ADDRESS, save_model

from onlooker.recognizer import load
from onlooker.serve import api
from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings

TOKEN = "secret123"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture
def program(settings: ServeSettings) -> Iterator[TestClient]:
    """A program on another machine, which has the token and sends nothing that only the page sends."""
    with TestClient(
        create_app(replace(settings, token=TOKEN)), base_url=ADDRESS, headers=BEARER
    ) as client:
        yield client


def test_a_clip_is_answered_as_by_the_library(
    program: TestClient, settings: ServeSettings, make_clip: Make
) -> None:
    path = make_clip(frames=5, size=(80, 40))
    (model,) = program.get("/api/v1/models").raise_for_status().json()
    assert set(model) == {"id", "name", "classes", "nothing", "frame_rate", "threshold"}
    expected = load(settings.runs / "tiny").predict(path)
    for query in ("", f"?model={model['id']}"):
        answer = program.post(f"/api/v1/predict{query}", content=path.read_bytes())
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["model"], found["label"]) == (model["id"], expected.label)
        assert (found["frames"], found["width"], found["height"]) == (5, 80, 40)
        assert found["scores"] == pytest.approx(
            dict(zip(expected.classes, expected.scores.tolist(), strict=True))
        )
        assert found["segments"] == [vars(each) for each in expected.segments]
        boxes = [tube["boxes"] for tube in found["tubes"]]
        assert boxes == [pytest.approx(tube.boxes) for tube in expected.tubes]
    assert not [*(program.app.state.folder / "looks").iterdir()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("headers", "path", "status", "code"),
    [
        ({"Authorization": "Bearer wrong123"}, "/api/v1/models", 401, "token"),
        ({"Authorization": ""}, "/api/v1/models", 401, "token"),
        ({"Authorization": f"Basic {TOKEN}"}, "/api/v1/openapi.json", 401, "token"),
        ({}, "/api/state", 401, "token"),  # the routes of the page need what the page sends
        ({"Host": "evil.example"}, "/api/v1/models", 403, "host"),
        ({}, "/api/v1/nowhere", 404, "http"),
    ],
)
def test_requests_are_checked(
    program: TestClient, headers: dict[str, str], path: str, status: int, code: str
) -> None:
    answer = program.get(path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "page" not in answer.json()["error"]["remedy"], "advice for programs"


def test_another_web_page_cannot_send_a_clip_to_a_server_without_a_token(
    page: TestClient,
) -> None:
    foreign = {"Origin": "http://evil.example", "X-Onlooker": ""}
    assert (
        page.post("/api/v1/predict", content=b"x", headers=foreign).json()["error"]["code"]
        == "origin"
    )
    # before it sends a header
    assert page.options("/api/v1/predict", headers=foreign).status_code == 403
    answer = page.post(
        "/api/v1/predict", content=b"x", headers={**foreign, "Authorization": "Bearer any"}
    )
    assert answer.json()["error"]["code"] == "not_decodable"


def test_errors_have_the_format_of_the_page(program: TestClient) -> None:
    for query, content, status, code in (
        ("", b"no video", 422, "not_decodable"),
        ("", b"", 422, "empty"),
        ("?model=gone", b"x", 404, "model_gone"),
        ("", bytes(2_000_001), 413, "too_large"),
    ):
        answer = program.post(f"/api/v1/predict{query}", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        api.Error(**answer.json())
    assert not [*(program.app.state.folder / "looks").iterdir()]  # type: ignore[attr-defined]


def form_of(clip: bytes) -> bytes:
    """What `curl -F model=x -F file=@clip.mp4` sends, between lines `--b`."""
    part = b'--b\r\nContent-Disposition: form-data; name="'
    return part + b'model"\r\n\r\nx\r\n' + part + b'file"\r\n\r\n' + clip + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        ("multipart/form-data; boundary=b", form_of),
        ("video/mp4", form_of),
        ("", form_of),
        ("multipart/mixed; boundary=b", bytes),
        # curl -d
        ("application/x-www-form-urlencoded", lambda clip: clip.translate(None, b"\0\r\n")),
        ("application/json", lambda clip: json.dumps({"file": clip.hex()}).encode()),
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "ts", "avi"])
def test_a_form_is_refused_by_its_name(
    program: TestClient, make_clip: Make, kind: str, wrap: Callable[[bytes], bytes], ending: str
) -> None:
    codec = {"mp4": "libx264", "ts": "mpeg2video", "avi": "mpeg4"}[ending]
    clip = make_clip(f"a.{ending}", codec=codec, frames=5).read_bytes()
    answer = program.post("/api/v1/predict", content=wrap(clip), headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "form")
    assert "--data-binary" in answer.json()["error"]["remedy"]
    of_curl = {"Content-Type": "application/x-www-form-urlencoded"}
    assert program.post("/api/v1/predict", content=clip, headers=of_curl).status_code == 200
    page = b"<!DOCTYPE html>\n<p class='error'>Not found</p>"
    answer = program.post("/api/v1/predict", content=page, headers=of_curl)
    assert answer.json()["error"]["code"] == "not_decodable"
    answer = program.post("/api/v1/predict", content=b"file=clip.mp4&model=x", headers=of_curl)
    assert answer.json()["error"]["code"] == "form"


def test_the_description_has_these_routes_alone_and_the_docs_their_fields(
    program: TestClient,
) -> None:
    described = program.get("/api/v1/openapi.json").json()
    assert set(described["paths"]) == {"/models", "/predict"}
    predict = described["paths"]["/predict"]["post"]
    assert predict["security"] == [{"HTTPBearer": []}]
    assert set(predict["responses"]) == {"200", "default"}
    fields = described["components"]["schemas"]["Prediction"]["properties"]
    assert [name for name in fields if f'"{name}"' not in DOCS] == []


def test_the_examples_of_the_docs_run(
    tmp_path: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "runs")
    monkeypatch.chdir(make_clip(frames=5).parent)
    (curl,), (python,) = (
        re.findall(rf"```{name}\n(.*?)```", DOCS, re.DOTALL) for name in ("bash", "py")
    )
    with serving(tmp_path / "clips", tmp_path / "runs", token=TOKEN) as url:
        values: dict[str, Any] = {}
        exec(python.replace("http://127.0.0.1:8765", url.rstrip("/")), values)
        assert values["found"]["label"] in values["model"]["classes"]
        with pytest.raises(HTTPError, match="404"):
            values["ask"]("predict?model=gone", b"x")
        if shutil.which("curl"):
            command = curl.replace("http://127.0.0.1:8765/", url)
            done = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, timeout=300, check=True
            )
            assert json.loads(done.stdout)["score"] == values["found"]["score"]
