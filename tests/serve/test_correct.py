"""Results whose cells name clips, the inbox of doubtful clips, the map and its outliers; after each correction."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import moving_squares
import numpy as np
import pytest

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.sets import read_set
from onlooker.files import read_json, write_json
from onlooker.recognizer import load
from onlooker.runs.clip_map import clip_map
from onlooker.runs.train import train_run
from onlooker.serve.background import Background
from onlooker.serve.correct import (
    Guess,
    guess,
    inbox,
    is_unsure,
    map_points,
    results,
)
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project, ProjectClip
from onlooker.serve.training import _STAGES
from onlooker.structures import Prediction
from onlooker.training.stages import reporting

WRONG = "left/up-00.mp4"  # a clip that moves up


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with one wrong label, and `run` with a run on them."""
    folder = tmp_path_factory.mktemp("correct")
    moving_squares.make_set(folder / "squares", clips=8)
    (folder / "squares" / "up" / "00.mp4").rename(folder / "squares" / WRONG)
    for name in ("down", "right"):
        shutil.rmtree(folder / "squares" / name)
    clips, model, stages = read_set(folder / "squares"), ModelConfig("linear", "conv4"), []
    with reporting(lambda stage, done, total: stages.append((stage, done, total))):
        train_run(clips, folder / "run", model, DataConfig(frames=6, size=32), TrainConfig(), quiet=True)
    write_json(folder / "stages.json", stages)
    return folder


@pytest.fixture
def project(folder: Path, tmp_path: Path) -> Iterator[Project]:
    project = Project(shutil.copytree(folder / "squares", tmp_path / "squares"))
    yield project
    project.close()


def ids_of(project: Project) -> dict[str, str]:
    return {f"{clip.label}/{clip.name}": clip.id for clip in project.clips()}


def test_every_stage_that_training_reports_is_expected_in_its_order(folder: Path) -> None:
    stages = read_json(folder / "stages.json", list)
    order = [stage for number, (stage, _, _) in enumerate(stages) if not number or stages[number - 1][0] != stage]
    assert order == [*_STAGES][1:]
    reading = [(done, total) for stage, done, total in stages if stage == "reading clips"]
    assert reading == [(number, 16) for number in range(17)]
    ends = {stage: (done, total) for stage, done, total in stages}
    assert all(done == total > 0 for done, total in ends.values())


def test_the_cells_of_the_confusion_matrix_name_its_clips(folder: Path, project: Project) -> None:
    ids = ids_of(project)
    shown = results(folder / "run", ids)
    assert shown["classes"] == ["left", "up"]
    assert [[len(cell) for cell in row] for row in shown["cells"]] == shown["confusion"]
    assert sorted(clip for row in shown["cells"] for cell in row for clip in cell) == sorted(ids.values())
    labels = {clip: name.split("/")[0] for name, clip in ids.items()}
    assert [{labels[clip] for cell in row for clip in cell} for row in shown["cells"]] == [
        {k} for k in shown["classes"]
    ]
    right = sum(shown["confusion"][k][k] for k in range(2))
    assert shown["accuracy"] == pytest.approx(right / 16)
    assert shown["interval"][0] < shown["accuracy"] < shown["interval"][1]
    assert shown["conclusion"].startswith(f"accuracy {right} of 16") or "not better" in shown["conclusion"]
    assert [point["clips_per_class"] for point in shown["curve"]] == sorted(
        point["clips_per_class"] for point in shown["curve"]
    )


def test_a_run_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no results yet") as error:
        results(tmp_path, {})
    assert error.value.status == 404
    with pytest.raises(Problem, match="no map yet"):
        map_points(tmp_path / "map.json", [], {})
    assert inbox([], tmp_path, {}, {}) == []


def test_a_wrong_label_is_in_the_inbox_until_it_is_corrected_or_confirmed(folder: Path, project: Project) -> None:
    ids = ids_of(project)
    clip = ids[WRONG]

    def asked() -> list[str]:
        clips = [each for each in project.clips() if each.id not in project.settled]
        return [doubt.clip for doubt in inbox(clips, folder / "run", ids, {})]

    doubts = inbox(project.clips(), folder / "run", ids, {})
    first = doubts[0]
    assert (first.clip, first.label, first.suggested, first.why) == (clip, "left", "up", "label")
    assert len({doubt.clip for doubt in doubts}) == len(doubts)
    project.move_clip(clip, "up")
    assert clip not in asked(), "the run saw it with another label"
    project.undo()
    assert clip in asked()
    project.settle(clip, "left")
    assert clip not in asked(), "the user knows better"
    project.undo()
    assert clip in asked()
    project.delete_clip(clip)
    assert clip not in asked()


def test_a_class_that_was_renamed_after_the_training_keeps_its_doubtful_clips(folder: Path, project: Project) -> None:
    ids, clip, seen = ids_of(project), ids_of(project)[WRONG], project.class_version
    before = inbox(project.clips(), folder / "run", ids, {})
    project.rename_class("left", "west")
    project.rename_class("up", "left")

    def renamed(name: str) -> str:
        return project.present_name(name, seen)

    doubts = inbox(project.clips(), folder / "run", ids, {}, renamed)
    assert (doubts[0].clip, doubts[0].label, doubts[0].suggested, doubts[0].why) == (clip, "west", "left", "label")
    assert [doubt.clip for doubt in doubts] == [doubt.clip for doubt in before]
    known = load(folder / "run")
    assert guess(known, project.clip(clip)) is None
    assert guess(known, project.clip(clip), renamed) is not None


def test_new_clips_are_asked_about_if_the_model_doubts_them(folder: Path, project: Project) -> None:
    known = load(folder / "run")
    (new,) = [clip for clip in project.clips() if ids_of(project)[WRONG] == clip.id]
    made = guess(known, new)
    assert made is not None
    prediction = known.predict(new.path)
    assert made.label == known.classes[int(prediction.scores.argmax())]
    assert made.score == pytest.approx(float(prediction.scores.max()))
    sure, unsure, agreed = Guess("up", 0.9, 0.8), Guess("left", 0.4, 0.1), Guess("left", 0.9, 0.8)
    doubts = [inbox([new], None, {}, {new.id: each}) for each in (sure, unsure, agreed, None)]
    assert [[doubt.why for doubt in each] for each in doubts] == [["label"], ["uncertain"], [], []]
    many = [ProjectClip(str(number), "left", new.path) for number in range(20)]
    assert len(inbox(many, None, {}, {clip.id: sure for clip in many})) == 20


@pytest.mark.parametrize(
    ("scores", "threshold", "unsure"),
    [([0.9, 0.1], None, False), ([0.55, 0.45], None, True), ([0.1, 0.9], 0.95, True), ([0.1, 0.9], 0.5, False)],
)
def test_answers_are_unsure_by_their_margin_and_below_the_threshold(
    scores: list[float], threshold: float | None, unsure: bool
) -> None:
    values = np.array(scores, np.float32)
    frames = values[None], values, np.zeros(1), np.zeros(1, np.int64)
    prediction = Prediction(Path("a.mp4"), ("left", "up"), *frames, threshold=threshold)
    assert is_unsure(prediction) is unsure


def test_a_model_says_nothing_about_classes_that_it_does_not_know(folder: Path, project: Project) -> None:
    clip = project.clips()[0]
    assert guess(load(folder / "run"), ProjectClip(clip.id, "wave", clip.path)) is None
    assert guess(load(folder / "run"), ProjectClip(clip.id, clip.label, clip.path.with_name("gone.mp4"))) is None


def test_the_map_shows_the_clips_with_their_labels_of_today(folder: Path, project: Project, tmp_path: Path) -> None:
    write_json(tmp_path / "map.json", clip_map(folder / "run"))
    ids = ids_of(project)
    clip, gone = ids[WRONG], ids["up/01.mp4"]
    project.move_clip(clip, "up")
    project.delete_clip(gone)
    points = {point["clip"]: point for point in map_points(tmp_path / "map.json", project.clips(), ids)}
    assert set(points) == set(ids.values()) - {gone}
    assert points[clip]["label"] == "up"
    assert max(abs(point[axis]) for point in points.values() for axis in "xy") <= 1
    assert len({(point["x"], point["y"]) for point in points.values()}) > 12


def test_a_map_that_another_program_has_changed_shows_no_foreign_clips(project: Project, tmp_path: Path) -> None:
    write_json(tmp_path / "map.json", {"up/99.mp4": [0, 0, False]})
    assert map_points(tmp_path / "map.json", project.clips(), ids_of(project)) == []


def test_background_values_are_computed_once_and_again_for_a_clip_that_has_changed(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("1")
    computed: list[tuple[str, str]] = []

    def compute(clip: ProjectClip, about: str) -> str:
        computed.append((clip.path.read_text(), about))
        return clip.path.read_text()

    background = Background(compute)
    clip = ProjectClip("id", "wave", tmp_path / "clip.mp4")

    def value(about: str = "") -> str:
        for _ in range(1000):
            if known := background.of([clip], about):
                return known["id"]
            time.sleep(0.01)
        raise AssertionError("not within 10 s")

    assert [value(), value(), value("model")] == ["1", "1", "1"]
    (tmp_path / "clip.mp4").write_text("22")
    assert value() == "22"
    assert computed == [("1", ""), ("1", "model"), ("22", "")]


def test_small_clips_are_computed_first_and_a_slow_one_does_not_hold_up_the_others(tmp_path: Path) -> None:
    slow, computed = threading.Event(), []

    def compute(clip: ProjectClip, about: str) -> str:
        if clip.id == "slow":
            slow.wait(30)
        computed.append(clip.id)
        return clip.id

    sizes = {"slow": 1, "large": 3000, "small": 10, "medium": 200}
    clips = [ProjectClip(name, "wave", tmp_path / name) for name in sizes]
    for clip in clips:
        clip.path.write_bytes(bytes(sizes[clip.id]))
    background, deadline = Background(compute), time.monotonic() + 10
    while len(known := background.of(clips)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "slow" not in known
    assert computed == ["small", "medium", "large"]
    slow.set()
    while len(background.of(clips)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert computed == ["small", "medium", "large", "slow"], "each once"
