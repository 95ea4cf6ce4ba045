"""The page's server as a whole: what it says of itself, its errors, its start and its end."""

import shutil
import socket
from pathlib import Path

import pytest
from commands import fails
from fastapi.testclient import TestClient
from serving import ADDRESS, OWN, save_model

import onlooker
from onlooker.run import train
from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings


def test_the_state_names_models_project_and_limits(
    page: TestClient, settings: ServeSettings
) -> None:
    state = page.get("/api/state").json()
    (model,) = state["models"]
    del model["id"]
    assert model == {
        "name": "tiny",
        "classes": ["clap", "nothing", "wave"],
        "nothing": "nothing",
        "frame_rate": 10.0,
        "threshold": 0.3,
        "path": str(settings.runs / "tiny"),
        "report": False,
        "expected": None,
    }
    assert state["limits"] == {"bytes": 2_000_000, "seconds": 20}


def test_the_page_without_any_model(tmp_path: Path) -> None:
    app = create_app(ServeSettings(clips=tmp_path / "clips", runs=tmp_path / "none"))
    with TestClient(app, base_url=ADDRESS) as client:
        assert client.get("/api/state").json()["models"] == []
        assert "<html" in client.get("/").text
        assert app.state.folder.is_dir()
    assert not app.state.folder.exists()
    assert list(tmp_path.iterdir()) == []  # opening the page writes nothing


def test_models_are_listed_newest_first_but_for_those_that_cannot_be_read(
    page: TestClient, settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(settings.runs, "whole", "tracks")
    save_model(settings.runs, "damaged")
    (settings.runs / "damaged" / "model" / "recognizer.json").write_text("{")
    (settings.runs / "file").touch()
    save_model(settings.runs, "foreign")
    model_folder = train.model_folder

    def permitted(run: Path) -> Path | None:
        if run.name == "foreign":
            raise PermissionError(13, "Permission denied", str(run))
        return model_folder(run)

    monkeypatch.setattr(train, "model_folder", permitted)
    assert [each["name"] for each in page.get("/api/state").json()["models"]] == [
        "whole",
        "tiny",
    ]


ERRORS = [
    ("GET", "/nowhere", 404, "http"),
    ("POST", "/api/state", 405, "http"),
    ("GET", "/api/jobs/nobody", 404, "no_job"),
    ("DELETE", "/api/jobs/nobody", 404, "no_job"),
    ("POST", "/api/look", 422, "request"),
    ("POST", "/api/look?model=nobody", 404, "model_gone"),
    ("GET", "/media/nobody.mp4", 404, "look_gone"),
    ("GET", "/api/project/results", 404, "no_results"),
    ("GET", "/media/clip/nobody.jpg", 404, "no_clip"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), ERRORS)
def test_errors_say_what_to_do(
    page: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = page.request(method, path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert all(error[name] for name in ("found", "expected", "remedy"))


def test_the_command_refuses_what_cannot_work(tmp_path: Path) -> None:
    assert "no trained model" in fails("serve", tmp_path, "--no-browser", "--port", 0)
    assert "give a token" not in fails("serve", "--token", "short", "--no-browser", "--port", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}: Address already in use; give another --port" in fails(
            "serve", "--port", port
        )


def test_a_model_is_renamed_taken_along_and_deleted(
    page: TestClient, settings: ServeSettings, tmp_path: Path, model: str
) -> None:
    assert page.get(f"/media/model/{model}.html").status_code == 404
    (settings.runs / "tiny" / "report.html").write_text("<p>of tiny</p>")
    report = page.get(f"/media/model/{model}.html")
    assert report.text == "<p>of tiny</p>"
    assert report.headers["content-security-policy"].startswith("sandbox"), "whoever made it"
    assert page.get("/api/state").json()["models"][0]["report"]
    (tmp_path / "tiny.zip").write_bytes(page.get(f"/media/model/{model}.zip").content)
    assert not list((page.app.state.folder / "looks").iterdir())  # type: ignore[attr-defined]
    shutil.unpack_archive(tmp_path / "tiny.zip", tmp_path / "unpacked")
    assert onlooker.load(tmp_path / "unpacked").classes == ("clap", "nothing", "wave")
    save_model(settings.runs, "other")
    for name, status, code in (
        ("../out", 422, "name_character"),
        ("other", 409, "class_exists"),
    ):
        answer = page.patch(f"/api/models/{model}", json={"name": name})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    page.app.state.project.remember(run="tiny")  # type: ignore[attr-defined]
    renamed = page.patch(f"/api/models/{model}", json={"name": "mine"}).json()
    model = renamed["model"]
    assert model in {each["id"] for each in page.get("/api/state").json()["models"]}, (
        "still the newest"
    )
    assert [page.delete(f"/api/models/{model}").status_code for _ in range(2)] == [200, 404]
    assert [path.name for path in settings.runs.iterdir()] == ["other"]


def test_a_run_elsewhere_comes_first_and_is_not_deleted(
    settings: ServeSettings, tmp_path: Path
) -> None:
    save_model(tmp_path, "mine")
    (settings.runs / "link").symlink_to(tmp_path / "mine")
    named = ServeSettings(tmp_path / "mine", settings.clips, settings.runs)
    with TestClient(create_app(named), base_url=ADDRESS, headers=OWN) as client:
        mine = client.get("/api/state").json()["models"][0]
        assert mine["path"] == str(tmp_path / "mine"), "the run that was named comes first"
        for answer in (
            client.delete(f"/api/models/{mine['id']}"),
            client.patch(f"/api/models/{mine['id']}", json={"name": "yours"}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                409,
                "model_elsewhere",
            )
    assert (tmp_path / "mine" / "model").is_dir()
