"""Jobs, one after the other; training the project: progress, cancel, failures; what it has reached:
clips of each cell of the confusion matrix, and doubtful labels until they are settled.
"""

import csv
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock, patch

import pytest
from browsing import teach_run
from fastapi.testclient import TestClient
from projects import put, restarted
from serving import wait_for_job

import onlooker
from onlooker.base.files import write_json
from onlooker.base.records import ClipError
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.models import Models
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.serve.settings import ServeSettings
from onlooker.serve.training import Training

READING = ("reading clips", 1, 2)
DRAWING = ("drawing clips", 0, 1)


@pytest.fixture
def trains(trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has `onlooker.train` do what it is given: stages, "model" for a copy of one, "wait", or an
    error.
    """

    def does(*steps: Any) -> None:
        def train(
            clips: Path, run: Path, progress: Callable[[str, int, int], None], **_: Any
        ) -> None:
            run.mkdir(parents=True)
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
        put(project, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
        runs = project.folder.parent / "runs"
        runs.mkdir(exist_ok=True)
        return Training(project, runs, Models(ServeSettings(runs=runs)))

    return make


def test_a_model_is_live_before_its_results(training: Callable[..., Training]) -> None:
    job = Job()
    made = training(READING, "model", DRAWING)
    with patch.object(job, "report", wraps=job.report) as report:
        result = made.run(job)
    assert [call.args for call in report.call_args_list] == [
        ("starting", 0.0),
        ("reading clips", 0.5),
        *[("drawing clips", 0.0)] * 2,  # the first one has the model
        ("done", 1.0),
    ]
    assert result["run"] == "clips-page-1"
    with closing(restarted(made.project)) as later:
        assert later.notes.pace > 0, "seconds for each clip, for the next estimate"
    assert made.models.load(result["model"]).classes
    assert made.newest_run() == made.runs / "clips-page-1"


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
        project.remember(run=Path(name).name)
        assert made.newest_run() == (made.runs / name if name == "clips-page-2" else None)
    assert made.run(Job())["run"] == "clips-page-11"


def test_one_training_at_a_time_and_clips_stay_meanwhile(
    page: TestClient, settings: ServeSettings, trains: Callable[..., None]
) -> None:
    trains("wait")
    put(page.app.state.project, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")  # type: ignore[attr-defined]
    version = page.get("/api/project").json()["version"]
    job = page.post("/api/project/train").json()["job"]
    while page.get(f"/api/jobs/{job}").json()["note"] != "reading clips":
        time.sleep(0.01)
    change = f"/api/project/changes/add_class?version={version}"
    refused = {
        "training": page.post("/api/project/train"),
        "reading": page.post(change, json={"name": "c"}),
    }
    for code, response in refused.items():
        assert (response.status_code, response.json()["error"]["code"]) == (409, code)
    assert page.get("/api/project").json()["training"] == job
    page.delete(f"/api/jobs/{job}")
    assert wait_for_job(page, job)["state"] == "cancelled"
    assert [run.name for run in settings.runs.iterdir()] == ["tiny"], "nothing is left of it"
    assert page.get("/api/project").json()["training"] is None
    assert page.post(change, json={"name": "c"}).status_code == 200


# Name, true class, predicted class, scores of up and wave. The last one is not in the folder any
# more.
SCORES = [
    ("up/0.mp4", "up", "up", 0.9, 0.1),
    ("up/1.mp4", "up", "wave", 0.05, 0.95),
    ("up/2.mp4", "up", "wave", 0.45, 0.55),
    ("wave/=3.mp4", "wave", "up", 0.52, 0.48),
    ("wave/4.mp4", "wave", "wave", 0.1, 0.9),
    *(
        (f"{label}/sure-{number}.mp4", label, label, share, 1 - share)
        for label, share in (("up", 0.99), ("wave", 0.01))
        for number in range(9)
    ),
    ("wave/gone.mp4", "wave", "up", 0.5, 0.5),
]
MEASURED = {
    "videos": 24,
    "classes": ["up", "wave"],
    "accuracy": 20 / 24,
    "accuracy_interval": [0.67, 0.96],
    "class_accuracy": {"up": 10 / 12, "wave": 10 / 12},
    "log_loss": 0.5,
    "calibration_error": 0.1,
    "perfect_calibration_error": [0.1, 0.2],
    "majority_share": 0.5,
    "confusion": [[10, 2], [2, 10]],
    "skipped": [],
    "labels_to_check": [{"name": "up/1.mp4", "label": "up", "predicted": "wave", "score": 0.9}],
    "statistics": "changes and order",
}


@pytest.fixture
def taught(project: Project, tmp_path: Path) -> tuple[Project, Path]:
    put(project, *(name for name, *_ in SCORES[:-1]))
    run = tmp_path / "made"
    write_json(run / "evaluation.json", MEASURED)
    write_json(run / "model" / "recognizer.json", {})
    with (run / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "truth", "predicted", "p(up)", "p(wave)"])
        writer.writerows(SCORES)
    (tmp_path / "runs").mkdir()
    return project, teach_run(run, project, tmp_path / "runs")


def training_of(project: Project, run: Path) -> Training:
    return Training(project, run.parent, Models(ServeSettings(runs=run.parent)))


def asked(project: Project, run: Path) -> list[tuple[str, str, str]]:
    asked = training_of(project, run).to_check()
    assert asked["count"] == len(asked["items"])
    return [
        (project.clip(item["clip"]).path.name, item["suggested"], item["why"])
        for item in asked["items"]
    ]


def test_how_good_states_are_is_shown(taught: tuple[Project, Path]) -> None:
    project, run = taught
    sentence = "84 % of the time right, F1@50 71, on recordings that it was not fitted to (4)"
    states = {"sentence": sentence, "classes": ["up", "wave"], "recordings": []}
    write_json(run / "evaluation.json", MEASURED | {"states": states})
    training = training_of(project, run)
    assert training.results()["conclusion"] == sentence
    assert training.results()["confusion"] == MEASURED["confusion"]
    write_json(run / "evaluation.json", MEASURED | {"states": states | {"overlap": True}})
    assert training.results()["confusion"] is None
    assert training.to_check() == {"count": 0, "items": [], "guessing": False}


def test_figures_and_the_clips_of_each_cell(taught: tuple[Project, Path]) -> None:
    project, run = taught
    training = training_of(project, run)
    shown = training.results()
    assert {name: shown[name] for name in ("classes", "confusion", "clips")} == {
        "classes": ["up", "wave"],
        "confusion": [[10, 2], [2, 10]],
        "clips": 24,
    }
    assert shown["conclusion"].startswith("20 of 24 clips right")
    assert f"accuracy {shown['share']} (95 %" in shown["details"]
    classes = shown["classes"]
    cells = [
        [[clip["name"] for clip in training.tested(row, column)] for column in classes]
        for row in classes
    ]
    assert cells[0][1] == ["1.mp4", "2.mp4"]
    assert cells[1][0] == ["=3.mp4"]
    assert [cells[k][k][-1] for k in range(2)] == ["0.mp4", "4.mp4"], "the most certain first"
    assert [clip["name"] for clip in training.tested()] == ["1.mp4", "2.mp4", "=3.mp4"]


def test_a_run_with_damaged_figures_does_not_hide_that_of_the_page(
    taught: tuple[Project, Path],
) -> None:
    project, run = taught
    damaged = shutil.copytree(run, run.parent / "damaged")
    write_json(damaged / "evaluation.json", {"videos": "many"})
    assert training_of(project, run).newest_run() == run


def test_probable_errors_come_first_then_other_mistakes_the_most_certain_first(
    taught: tuple[Project, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run = taught
    assert asked(project, run) == [
        ("1.mp4", "wave", "label"),
        ("2.mp4", "wave", "unsure"),
        ("=3.mp4", "up", "unsure"),
    ]
    monkeypatch.setattr("onlooker.serve.training.CHECKED", 1)
    first = training_of(project, run).to_check()
    assert (first["count"], len(first["items"])) == (3, 1)


@pytest.mark.parametrize(
    "change", ["set_label(clip, 'wave')", "set_label(clip, 'up')", "delete_clip(clip)"]
)
def test_a_label_is_asked_about_until_it_is_corrected_or_confirmed(
    taught: tuple[Project, Path], change: str
) -> None:
    project, run = taught
    clip = training_of(project, run).to_check()["items"][0]["clip"]
    eval(f"project.{change}", {"project": project, "clip": clip})
    assert [name for name, _, _ in asked(project, run)] == ["2.mp4", "=3.mp4"]
    project.undo()
    assert asked(project, run)[0][0] == "1.mp4"


@pytest.mark.parametrize("share", [0.5, 12.5 / 24])
def test_a_model_that_is_no_better_than_guessing_doubts_no_label(
    taught: tuple[Project, Path], share: float
) -> None:
    project, run = taught
    interval = [share - 0.2, share + 0.2]
    write_json(
        run / "evaluation.json", MEASURED | {"accuracy": share, "accuracy_interval": interval}
    )
    assert training_of(project, run).to_check() == {"count": 0, "items": [], "guessing": True}


@pytest.mark.parametrize("folder", ["", "final"])
def test_a_run_is_matched_with_its_clips_by_their_path_and_the_newest_one_counts(
    taught: tuple[Project, Path], tmp_path: Path, folder: str
) -> None:
    project, of_page = taught
    run = shutil.copytree(of_page, tmp_path / "elsewhere" / "mine")
    settings = ServeSettings(run=run, runs=of_page.parent)
    training = Training(project, of_page.parent, Models(settings))
    assert training.newest_run() == of_page
    for clips in (tmp_path / "others", project.folder):
        write_json(run / folder / "config.json", {"clips": str(clips)})
        made = time.time_ns() + (60 if clips == project.folder else 30) * 10**9
        os.utime(run / "model" / "recognizer.json", ns=(made, made))  # trained again
        assert training.newest_run() == (run if clips == project.folder else of_page)
    items = training.to_check()["items"]
    assert [item["name"] for item in items] == ["1.mp4", "2.mp4", "=3.mp4"]
    project.set_label(items[0]["clip"], "wave")
    assert training.to_check()["count"] == 2
    (run / "model" / "recognizer.json").unlink()
    assert training.newest_run() == of_page


def test_a_class_folder_that_macos_has_named_is_that_of_its_class(
    taught: tuple[Project, Path],
) -> None:
    project, run = taught
    nfd = "e\u0301t\u00e9"
    (project.folder / "up").rename(project.folder / nfd)
    for file in (run / "scores.csv", run / "evaluation.json"):
        file.write_text(
            file.read_text().replace('"up', '"\u00e9t\u00e9').replace("up", "\u00e9t\u00e9")
        )
    project.refresh()
    project.remember(clips={clip.relative: clip.id for clip in project.all_clips()})
    training = training_of(project, run)
    assert training.results()["classes"] == [nfd, "wave"]
    assert "0.mp4" in [clip["name"] for clip in training.tested(nfd, nfd)]
    labels = {item["label"] for item in training.to_check()["items"]}
    assert labels == {nfd, "wave"}


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


def ended(*jobs: Job) -> list[str]:
    for job in jobs:
        while not job.finished:
            time.sleep(0.01)
    return [job.state for job in jobs]


@contextmanager
def blocked(jobs: Jobs) -> Iterator[Job]:
    """A job that waits until the end of the block."""
    begun = Event()
    go = Event()

    def wait(_: Job) -> dict[str, Any]:
        begun.set()
        return {"waited": go.wait(180)}

    job = jobs.submit(wait)
    begun.wait(180)
    yield job
    go.set()


def test_jobs_run_in_turn(jobs: Jobs) -> None:
    order = list[str]()
    with blocked(jobs) as first:
        others = [
            jobs.submit(lambda _, name=name: {"done": order.append(name)}) for name in "ab"
        ]  # type: ignore[misc]
        assert [job.describe()["state"] for job in (first, *others)] == [
            "running",
            "queued",
            "queued",
        ]
    assert ended(*others) == ["done", "done"]
    assert order == ["a", "b"]
    assert first.describe()["result"] == {"waited": True}


def test_an_error_is_of_its_job_alone(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    errors = ClipError("a.mp4", "no frame", "again"), KeyError("x")
    clip, other = (jobs.submit(Mock(side_effect=error)) for error in errors)
    assert ended(clip, other, jobs.submit(lambda _: {"a": 1})) == ["failed", "failed", "done"]
    assert [job.describe()["error"]["code"] for job in (clip, other)] == [
        "not_decodable",
        "internal",
    ]
    assert "KeyError" in caplog.text  # the terminal says more


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(jobs: Jobs) -> None:
    begun = Event()

    def endless(job: Job) -> dict[str, Any]:
        begun.set()
        while True:
            job.report("looking", 0.5)

    running = jobs.submit(endless)
    waiting = jobs.submit(lambda _: {"ran": True})
    begun.wait(180)
    waiting.cancelled = True
    running.cancelled = True
    assert ended(running, waiting, jobs.submit(lambda _: {})) == [
        "cancelled",
        "cancelled",
        "done",
    ]
    assert waiting.result is None


def test_a_job_of_its_own_does_not_wait(jobs: Jobs) -> None:
    with blocked(jobs) as first:
        job = jobs.submit(lambda _: {"run": "b"}, at_once=True)
        assert (ended(job), first.state) == (["done"], "running")
    assert jobs.get(job.id).describe()["result"] == {"run": "b"}


def test_unknown_and_old_jobs_are_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.serve.jobs.MAX_FINISHED", 1)
    first, *others = (jobs.submit(lambda _: {}) for _ in range(3))
    assert ended(first, *others) == ["done"] * 3
    jobs.submit(lambda _: {})
    for gone in ("nobody", first.id):
        with pytest.raises(Problem, match="no_job"):
            jobs.get(gone)


def test_the_page_trains_with_its_quiet_time(training: Callable[..., Training]) -> None:
    made = training(READING, "model", DRAWING)
    recording = made.project.incoming() / "a.part"
    recording.write_bytes(b"quiet")
    made.project.add_quiet(recording, 30.0)
    with patch.object(onlooker, "train", wraps=onlooker.train) as train:
        made.run(Job())
    (file,) = train.call_args.kwargs["background"]
    assert file.read_bytes() == b"quiet"
