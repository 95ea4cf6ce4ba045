"""A page with one small model, as a client in the same process sees it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving import ADDRESS, OWN, save_model

from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    save_model(tmp_path / "runs")
    return ServeSettings(clips=tmp_path / "clips", runs=tmp_path / "runs", max_upload=2_000_000, max_seconds=20)


@pytest.fixture
def page(settings: ServeSettings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as client:
        yield client


@pytest.fixture
def model(page: TestClient) -> str:
    """The id of the model of the page."""
    return str(page.get("/api/state").json()["models"][0]["id"])


@pytest.fixture
def finish(page: TestClient) -> Callable[[str], dict[str, object]]:
    """Wait for a job."""

    def wait(job: str) -> dict[str, object]:
        page.app.state.service.jobs.wait(job, 60)  # type: ignore[attr-defined]
        return dict(page.get(f"/api/jobs/{job}").json())

    return wait
