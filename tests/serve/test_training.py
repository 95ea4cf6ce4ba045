"""Training the project: progress, cancel, one at a time, failures."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import moving_squares
import pytest
from fastapi.testclient import TestClient
from serving import wait_for_job

import onlooker
from onlooker.base.files import read_json, write_json
from onlooker.serve.jobs import Job
from onlooker.serve.models import Models
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.serve.settings import ServeSettings
from onlooker.serve.training import Training, keep_results

READING = ("reading clips", 1, 2)
DRAWING = ("drawing clips", 0, 1)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / f"{name}.mp4").write_text(name)
    project = Project(tmp_path / "clips")
    yield project
    project.close()


@pytest.fixture
def trains(trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has `onlooker.train` do what it is given: stages, "model" for a copy of one, "wait", or an
    error.
    """

    def does(*steps: Any) -> None:
        def train(
            clips: Path, run: Path, progress: Callable[[str, int, int], None], **_: bool
        ) -> None:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if step == "model":
                    shutil.copytree(trained[0] / "model", run / "model")
                elif step == "wait":
                    while True:
                        time.sleep(0.01)
                        progress(*READING)
                else:
                    progress(*step)

        monkeypatch.setattr(onlooker, "train", train)

    return does


@pytest.fixture
def training(project: Project, trains: Callable[..., None]) -> Callable[..., Training]:
    def make(*steps: object) -> Training:
        trains(*steps)
        runs = project.folder.parent / "runs"
        runs.mkdir(exist_ok=True)
        return Training(project, runs, Models(ServeSettings(runs=runs)))

    return make


class Recorded(Job):
    """A job that keeps its reports, and is cancelled at a stage."""

    def __init__(self, at: str = "") -> None:
        super().__init__()
        self.reports = list[tuple[str, float | None]]()
        self._at = at

    def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
        super().report(note, progress, **partial)
        self.reports.append((note, progress))
        if note == self._at:
            self.cancelled = True


def test_a_model_is_live_before_its_results(
    project: Project, training: Callable[..., Training]
) -> None:
    job = Recorded()
    made = training(READING, "model", DRAWING)
    result = made.run(job)
    assert [note for note, _ in job.reports] == [
        "starting",
        "reading clips",
        *["drawing clips"] * 2,
        "done",
    ]
    assert job.reports[1] == ("reading clips", 0.5)
    assert result["run"] == "clips-page-1"
    assert made.models.load(result["model"]).classes
    assert made.newest_run() == made.runs / "clips-page-1"


def test_a_cancelled_training_leaves_nothing(training: Callable[..., Training]) -> None:
    made = training(READING, "wait")
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        made.run(Recorded("reading clips"))
    assert time.monotonic() - begun < 30
    assert not [*made.runs.iterdir()]
    assert made.newest_run() is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("clips are gone; put them back"), "clips are gone.*put them back"),
        (OSError("no such disk"), "no such disk"),
    ],
)
@pytest.mark.parametrize("report_only", [False, True])
def test_a_training_that_fails_says_why_and_keeps_only_a_model_that_is_finished(
    training: Callable[..., Training], error: Exception, message: str, report_only: bool
) -> None:
    made = training(*(["model", DRAWING] if report_only else []), error)
    job = Job()
    with pytest.raises(Problem, match=message) as problem:
        made.run(job)
    assert problem.value.code == "training_failed"
    if report_only:
        assert made.models.load(job.result["model"]).classes  # type: ignore[index]
        assert made.newest_run() == made.runs / "clips-page-1"
    else:
        assert (made.newest_run(), [*made.runs.iterdir()]) == (None, [])


def test_only_runs_of_this_project_that_have_a_model_are_its_newest(
    project: Project, training: Callable[..., Training], tmp_path: Path
) -> None:
    made = training("model")
    for name in (
        "clips-page-2",
        "clips-page-10",
        "clips-page-x",
        "other-page-12",
        "../elsewhere/clips-page-50",
    ):
        write_json(made.runs / name / "model" / "recognizer.json", {})
    assert made.newest_run() is None, "runs of another folder with this name"
    for name in ("clips-page-99", "../elsewhere/clips-page-50", "clips-page-2"):
        keep_results(project, made.runs / name, {})
        assert made.newest_run() == (made.runs / name if name == "clips-page-2" else None)
    assert made.run(Job())["run"] == "clips-page-11"


def test_one_training_at_a_time_and_clips_stay_meanwhile(
    page: TestClient, make_clip: Callable[..., Path], trains: Callable[..., None]
) -> None:
    trains("wait")
    folder = page.app.state.project.folder  # type: ignore[attr-defined]
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_clip(folder / f"{name}.mp4")
    version = page.get("/api/project").json()["version"]
    job = page.post("/api/project/train").json()["job"]
    while page.get(f"/api/jobs/{job}").json()["note"] != "reading clips":
        time.sleep(0.01)
    refused = {
        "training": page.post("/api/project/train"),
        "reading": page.post(
            f"/api/project/changes/add_class?version={version}", json={"name": "c"}
        ),
    }
    for code, response in refused.items():
        assert (response.status_code, response.json()["error"]["code"]) == (409, code)
    assert page.get("/api/project").json()["training"] == job
    page.delete(f"/api/jobs/{job}")
    assert wait_for_job(page, job)["state"] == "cancelled"
    assert page.get("/api/project").json()["training"] is None
    assert (
        page.post(
            f"/api/project/changes/add_class?version={version}", json={"name": "c"}
        ).status_code
        == 200
    )


def test_a_training_tells_what_is_wrong_with_the_clips(project: Project, tmp_path: Path) -> None:
    made = Training(project, tmp_path / "runs", Models(ServeSettings(runs=tmp_path / "runs")))
    with pytest.raises(Problem, match="none of 4 clips can be read"):
        made.run(Job())


@pytest.mark.slow
def test_a_training_makes_a_run_that_every_command_reads_and_the_next_one_uses_corrections(
    tmp_path: Path,
) -> None:
    project = Project(moving_squares.make_set(tmp_path / "squares", clips=5))
    runs = tmp_path / "runs"
    made = Training(project, runs, Models(ServeSettings(runs=runs)))
    for clip in project.clips("left"):  # a class that was marked in a single recording
        project.set_recording(clip.id, "day.mp4")
    first = runs / made.run(Job())["run"]
    assert made.results()["clips"] == 20
    assert onlooker.load(first).classes == ("down", "left", "right", "up")
    corrected = [clip.id for clip in project.clips("down")[:3]]
    for clip in corrected:
        project.set_label(clip, "up")
    again = runs / made.run(Job())["run"]
    split = read_json(again / "split.json")
    labels = [clip["label"] for part in ("training", "validation", "test") for clip in split[part]]
    assert (labels.count("down"), labels.count("up")) == (2, 8)
    project.close()
