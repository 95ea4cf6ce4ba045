"""A page with one small model, as a client in the same process and as a browser sees it."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from browsing import chromium, is_foreign, moving_square, serving, write_camera
from fastapi.testclient import TestClient
from serving import ADDRESS, OWN, save_model

from onlooker.serve.app import create_app
from onlooker.serve.project import Project
from onlooker.serve.settings import ServeSettings


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose folder does not exist yet."""
    project = Project(tmp_path / "clips")
    yield project
    project.close()


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    save_model(tmp_path / "runs")
    return ServeSettings(
        clips=tmp_path / "clips", runs=tmp_path / "runs", max_upload=2_000_000, max_seconds=20
    )


@pytest.fixture
def page(settings: ServeSettings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as client:
        yield client


@pytest.fixture
def model(page: TestClient) -> str:
    """The id of the model of the page."""
    return str(page.get("/api/state").json()["models"][0]["id"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, whose camera films a square; skips where there is none."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="no playwright, which drives a browser"
    )
    film = write_camera(tmp_path_factory.mktemp("camera") / "camera.mjpeg", moving_square())
    with ExitStack() as stack:
        try:
            started = stack.enter_context(chromium(film))
        except sync_api.Error as error:
            pytest.skip(f"no browser starts: {str(error).splitlines()[0]}")
        yield started


@pytest.fixture(scope="module")
def address(
    trained: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server with one small model, whose project is empty."""
    folder = tmp_path_factory.mktemp("page")
    with serving(folder / "clips", folder / "runs", trained[0]) as url:
        yield url


def described(message: Any) -> str:
    """A line of the browser's console, with the address that it is about."""
    return f"{message.text} {message.location['url']}"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages that may neither log an error nor ask anybody but their server."""
    wrong: list[str] = []
    contexts = []

    def start(url: str, errors_expected: bool = False, **settings: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, **settings}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # on a busy machine the page waits for its server
        origin = re.match(r"https?://[^/]+", url)[0]  # type: ignore[index]
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url) if is_foreign(request.url, origin) else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        if not errors_expected:
            page.on(
                "console",
                lambda message: (
                    wrong.append(described(message)) if message.type == "error" else None
                ),
            )
        page.goto(url)
        return page

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def two_classes(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve clips of two classes, three of which have a wrong label, and two files
    that are no clips.
    """
    folder = tmp_path_factory.mktemp("mine") / "mine"
    for label in ("left", "up"):
        (folder / label).mkdir(parents=True)
        for number in range(5):
            shutil.copy(squares / label / f"{number:02}.mp4", folder / label)
    shutil.copy(squares / "up" / "05.mp4", folder / "left" / "wrong-1.mp4")
    shutil.copy(squares / "left" / "05.mp4", folder / "up" / "wrong-2.mp4")
    (folder / "left" / "04.mp4").rename(folder / "up" / "wrong-3.mp4")
    (folder / "up" / "notes.mp4").write_text("no clip")
    (folder / "up" / "Thumbs.db").write_text("of Windows")
    return folder
