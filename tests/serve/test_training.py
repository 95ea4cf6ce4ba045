"""Training the project: progress and time left, cancel, one at a time, continuing after a restart, failures."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import moving_squares
import pytest
from fastapi.testclient import TestClient

import onlooker
from onlooker.files import read_json, write_json
from onlooker.serve import training as module
from onlooker.serve.correct import results
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.serve.training import Forecast, Training, newest_run, present_names, trained_clips

# A process that trains as fast as its lines say: those are steps; "model" writes one, "wait" waits; "split" is what it
# has read.
_CHILD = """
import json, pathlib, sys, time
pathlib.Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
for line in json.loads(sys.argv[1]):
    if line == "wait":
        time.sleep(60)
    elif line == "fail":
        sys.exit(3)
    elif line == "model":
        model = pathlib.Path(sys.argv[3], "model")
        model.mkdir()
        (model / "recognizer.json").write_text("{}")
    elif "split" in line:
        pathlib.Path(sys.argv[3], "split.json").write_text(json.dumps(line["split"]))
    else:
        print(json.dumps(line), flush=True)
"""
READING = {"stage": "reading clips", "done": 1, "total": 2}
PART = {"accuracy": 1.0, "clips": 1, "classes": ["a", "b"], "confusion": [[1, 0], [0, 0]], "curve": []}
WHOLE = {**PART, "accuracy": 0.5, "clips": 2, "confusion": [[1, 0], [1, 0]]}
DRAWING = {"stage": "drawing clips", "done": 0, "total": 1}
FIGURES = {"figures": {"accuracy": 0.5}}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / f"{name}.mp4").write_text(name)
    project = Project(tmp_path / "clips")
    yield project
    project.close()


def training(project: Project, *lines: object) -> Training:
    made = Training(project, project.folder.parent / "runs", lambda run: f"model of {run.name}")
    made.child = (sys.executable, "-c", _CHILD, json.dumps(lines))
    return made


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not within a minute")


def test_progress_is_told_and_the_model_is_live_before_its_results(project: Project) -> None:
    reports: list[tuple[str, float | None, dict[str, Any]]] = []

    class Recorded(Job):
        def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
            super().report(note, progress, **partial)
            reports.append((note, progress, partial))

    made = training(project, READING, {"results": PART}, {"results": WHOLE}, "model", DRAWING, FIGURES)
    result = made.run(Recorded("1" * 16))
    assert result == {"run": "clips-page-1", "seconds_left": 0, "accuracy": 0.5, "model": "model of clips-page-1"}
    notes = [note for note, _, _ in reports]
    assert notes == ["starting", *["reading clips"] * 3, "drawing clips", "drawing clips"]
    assert [partial["results"] for _, _, partial in reports if "results" in partial] == [PART, WHOLE]
    shares = [share for _, share, _ in reports if share is not None]
    assert shares == sorted(shares)
    assert 0 < shares[1] == shares[3] < shares[4] < 1
    assert all(partial["seconds_left"] > 0 for _, _, partial in reports[1:] if "results" not in partial)
    assert reports[-1][2]["model"] == "model of clips-page-1"
    assert made.interrupted is None
    run = newest_run(project, made.runs)
    assert run == made.runs / "clips-page-1"
    ids = {f"{clip.label}/{clip.name}": clip.id for clip in project.clips()}
    assert trained_clips(project, run) == ids
    assert trained_clips(project, run.with_name("another")) == {}


def test_a_cancelled_training_leaves_nothing(project: Project) -> None:
    made = training(project, READING, "wait")
    jobs = Jobs()
    job = jobs.start(made.run)
    until(lambda: job.note == "reading clips")
    begun = time.monotonic()
    job.cancel()
    until(lambda: job.finished)
    assert time.monotonic() - begun < 5
    assert job.state == "cancelled"
    assert not [*made.runs.iterdir()]
    assert made.interrupted is None
    jobs.stop()


def test_a_training_goes_on_after_the_server_has_ended(project: Project) -> None:
    made, jobs = training(project, READING, "wait"), Jobs()
    job = jobs.start(made.run)
    until(lambda: job.note == "reading clips")
    made.stop()
    until(lambda: job.finished)
    jobs.stop()
    again = training(project, READING, "model", FIGURES)
    assert again.interrupted == job.id
    result = again.run(Job(again.interrupted))
    assert result["run"] == "clips-page-1", "the run that was begun"
    assert again.interrupted is None


def note_training(project: Project, run: Path) -> None:
    """As the training of a run of this project does."""
    write_json(
        project.store / "trained" / f"{run.name}.json", {"run": str(run.resolve()), "clips": {"wave/0.mp4": "0"}}
    )


def test_the_runs_of_another_folder_with_the_same_name_are_not_shown(project: Project) -> None:
    runs = project.folder.parent / "runs"
    for name in ("clips-page-1", "clips-page-2"):
        write_json(runs / name / "model" / "recognizer.json", {})
    assert newest_run(project, runs) is None
    note_training(project, runs / "clips-page-1")
    assert newest_run(project, runs) == runs / "clips-page-1"


@pytest.mark.parametrize("named", ["../precious", "clips-page-1", "{}"])
def test_no_folder_is_deleted_because_a_file_of_the_project_names_it(project: Project, named: str) -> None:
    folder = project.folder.parent
    kept = [folder / "precious" / "file", folder / "runs" / "clips-page-1" / "model" / "recognizer.json"]
    for file in kept:
        write_json(file, {})
    name = named.format(folder / "precious")
    write_json(project.store / "training.json", {"job": "0" * 16, "run": name})
    assert training(project, "model", FIGURES).run(Job("0" * 16))["run"] == "clips-page-2"
    assert all(file.exists() for file in kept)


def test_classes_that_are_renamed_after_a_training_are_followed_also_after_a_restart(project: Project) -> None:
    (project.folder / "a" / "by hand.mp4").write_text("another program")
    assert project.version == 1, "which the next start does not know"
    made = training(project, "model", FIGURES)
    run = made.runs / made.run(Job())["run"]
    project.close()
    project = Project(project.folder)
    assert [*map(present_names(project, run), "ab")] == ["a", "b"]
    project.rename_class("a", "c")
    project.rename_class("b", "a")
    project.close()
    project = Project(project.folder)
    assert [*map(present_names(project, run), "abx")] == ["c", "a", "x"]
    project.delete_class("c")
    assert [*map(present_names(project, run), "ab")] == ["a", "a"], "a class that was deleted keeps its old name"
    note_training(project, run)
    assert [*map(present_names(project, run), "ab")] == ["a", "b"], "earlier versions have not noted the classes"
    project.close()


def test_runs_are_numbered_and_unfinished_ones_are_not_the_newest(project: Project) -> None:
    runs = project.folder.parent / "runs"
    assert newest_run(project, runs) is None
    for name in ("clips-page-2", "clips-page-10", "clips-page-x", "other-page-12"):
        write_json(runs / name / "model" / "recognizer.json", {})
        note_training(project, runs / name)
    (runs / "clips-page-11").mkdir()
    assert newest_run(project, runs) == runs / "clips-page-10"
    assert training(project, "model", FIGURES).run(Job())["run"] == "clips-page-12"


@pytest.mark.parametrize(
    ("lines", "code", "message"),
    [
        ([{"error": ["clips are gone", "put them back"]}], "training_failed", "clips are gone.*put them back"),
        ([READING, "fail"], "training_ended", "ended with status 3"),
        ([], "training_ended", "ended with status 0"),
    ],
)
def test_a_training_that_fails_says_why_and_leaves_nothing(
    project: Project, lines: list[object], code: str, message: str
) -> None:
    made = training(project, *lines)
    with pytest.raises(Problem, match=message) as error:
        made.run(Job())
    assert error.value.code == code
    assert not [*made.runs.iterdir()]
    assert made.interrupted is None


@pytest.mark.parametrize(
    ("line", "message"), [({"error": ["no space", "free some"]}, "no space"), ("fail", "ended with status 3")]
)
def test_a_report_that_fails_says_why_and_the_model_stays(project: Project, line: object, message: str) -> None:
    made, jobs = training(project, "model", DRAWING, line), Jobs()
    job = jobs.wait(jobs.start(made.run).id, 60)
    jobs.stop()
    assert job.state == "failed"
    assert message in str(job.error)
    assert job.result is not None
    assert job.result["model"] == "model of clips-page-1"
    assert newest_run(project, made.runs) == made.runs / "clips-page-1"
    assert trained_clips(project, made.runs / "clips-page-1")
    assert made.interrupted is None


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (["a/1", "a/2", "b/1", "b/2"], None),
        (["a/1", "a/2", "b/1"], None),  # b/2 cannot be decoded
        (["a/1", "b/1"], "1 clip was renamed, moved or deleted before the training had read it: a/2.mp4: .* train"),
        (["c/1", "c/2", "b/1", "b/2"], "2 clips were renamed, .* such as a/1.mp4"),
    ],
)
def test_a_training_whose_clips_were_renamed_before_it_has_read_them_says_so(
    project: Project, read: list[str], message: str | None
) -> None:
    class Renaming(Job):
        def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
            if note == "reading clips" and "a" in project.classes():
                project.rename_class("a", "c")

    split = {"training": [{"path": f"{name}.mp4"} for name in read[1:]], "test": [{"path": f"{read[0]}.mp4"}]}
    made = training(project, READING, {"split": split}, "model", DRAWING, FIGURES)
    if message is None:
        assert made.run(Renaming())["run"] == "clips-page-1"
        return
    with pytest.raises(Problem, match=message) as error:
        made.run(Renaming())
    assert (error.value.status, error.value.code) == (409, "clips_changed")
    assert not [*made.runs.iterdir()]
    assert made.interrupted is None


def test_a_second_training_waits_for_the_first(page: TestClient, make_clip: Callable[..., Path]) -> None:
    folder = page.app.state.project.folder  # type: ignore[attr-defined]
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_clip(folder / f"{name}.mp4")
    teaching = page.app.state.teaching  # type: ignore[attr-defined]
    teaching.training.child = (sys.executable, "-c", _CHILD, json.dumps([READING, "wait"]))
    job = page.post("/api/project/train").json()["job"]
    second = page.post("/api/project/train")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "training")
    until(lambda: (page.get("/api/project").json()["training"] or {}).get("note") == "reading clips")
    shown = page.get("/api/project").json()["training"]
    assert shown["job"] == job
    assert shown["result"]["seconds_left"] > 0
    page.delete(f"/api/jobs/{job}")
    until(lambda: page.get("/api/project").json()["training"] is None)
    assert page.get(f"/api/jobs/{job}").json()["state"] == "cancelled"


def test_the_time_left_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is four times slower than expected, a long training is seen to take four times as long."""
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    forecast = Forecast(1000)
    expected = sum(fixed + each * 1000 for fixed, each in module._STAGES.values())
    _, left = forecast.after("starting", 0, 1)
    assert left == pytest.approx(expected, rel=0.01)
    now[0] = 4 * (expected - module._STAGES["drawing clips"][0])
    share, left = forecast.after("drawing clips", 0, 1)
    assert share == pytest.approx(1 - module._STAGES["drawing clips"][0] / expected)
    assert left == pytest.approx(4 * module._STAGES["drawing clips"][0], abs=1)
    assert forecast.after("reading clips", 0, 1)[0] == share, "it never goes back"


def test_the_process_tells_what_is_wrong_with_the_clips(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / f"{name}.mp4").write_text("no video")
    steps = [*module._steps(tmp_path / "clips", tmp_path / "run", io.StringIO())]
    assert steps[0] == {"stage": "starting", "done": 0, "total": 1}
    (found, _) = steps[1]["error"]
    assert "none of 4 clips can be read" in found


@pytest.mark.slow
def test_the_process_trains_a_run_that_every_command_reads_and_the_next_one_uses_corrections(tmp_path: Path) -> None:
    project = Project(moving_squares.make_set(tmp_path / "squares", clips=5))
    made, grown = Training(project, tmp_path / "runs", lambda run: run.name), list[dict[str, Any]]()

    class Recorded(Job):
        def report(self, note: str, progress: float | None = None, **partial: Any) -> None:
            super().report(note, progress, **partial)
            grown.extend([partial["results"]] if "results" in partial else [])

    run = tmp_path / "runs" / made.run(Recorded())["run"]
    assert [each["clips"] for each in grown][:5] == [4, 8, 12, 16, 20]
    assert [len(each["curve"]) for each in grown][-1] == 3
    final = results(run, trained_clips(project, run))
    assert {name: final[name] for name in grown[-1]} == grown[-1]
    assert onlooker.load(run).classes == ("down", "left", "right", "up")
    assert read_json(run / "evaluation.json")["videos"] == 20
    until(module.map_file(project, run).exists)
    assert len(read_json(module.map_file(project, run))) == 20
    corrected = [clip.id for clip in project.classes()["down"][:3]]
    for clip in corrected:
        project.settle(clip, "up")
    again = tmp_path / "runs" / made.run(Job())["run"]
    ids = trained_clips(project, again)
    assert {name.split("/")[0] for name, clip in ids.items() if clip in corrected} == {"up"}
    split = read_json(again / "split.json")
    labels = [clip["label"] for part in ("training", "validation", "test") for clip in split[part]]
    assert (labels.count("down"), labels.count("up")) == (2, 8)
    project.close()
