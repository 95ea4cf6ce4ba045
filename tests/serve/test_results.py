"""What a training has reached: clips of each cell of the confusion matrix; doubtful labels, until
they are settled.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import teach_run

from onlooker.base.files import write_json
from onlooker.base.records import Evaluation
from onlooker.report.metrics import write_scores
from onlooker.serve import training
from onlooker.serve.models import Models
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.serve.settings import ServeSettings
from onlooker.serve.training import Training, _scores, keep_results

# Name, true class, predicted class, scores of up and wave. The last one is not in the folder any
# more.
SCORES = [
    ("up/0.mp4", "up", "up", 0.9, 0.1),
    ("up/1.mp4", "up", "wave", 0.05, 0.95),
    ("up/2.mp4", "up", "wave", 0.45, 0.55),
    ("wave/=3.mp4", "wave", "up", 0.52, 0.48),
    ("wave/4.mp4", "wave", "wave", 0.1, 0.9),
    ("wave/gone.mp4", "wave", "up", 0.5, 0.5),
]
MEASURED = {
    "videos": 6,
    "classes": ["up", "wave"],
    "accuracy": 2 / 6,
    "accuracy_interval": [0.1, 0.7],
    "majority_share": 0.5,
    "confusion": [[1, 2], [2, 1]],
    "labels_to_check": [{"name": "up/1.mp4"}],
    "statistics": "changes and order",
}


@pytest.fixture
def taught(tmp_path: Path) -> Iterator[tuple[Project, Path]]:
    for name, *_ in SCORES[:-1]:
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / name).write_text(name)
    run = tmp_path / "made"
    write_json(run / "evaluation.json", MEASURED)
    write_json(run / "model" / "recognizer.json", {})
    with (run / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "truth", "predicted", "p(up)", "p(wave)"])
        writer.writerows(SCORES)
    (tmp_path / "runs").mkdir()
    teach_run(run, tmp_path / "clips", tmp_path / "runs")
    project = Project(tmp_path / "clips")
    yield project, tmp_path / "runs" / "clips-page-1"
    project.close()


def training_of(project: Project, run: Path) -> Training:
    return Training(project, run.parent, Models(ServeSettings(runs=run.parent)))


def asked(project: Project, run: Path) -> list[tuple[str, str, str]]:
    asked = training_of(project, run).to_check()
    assert asked["count"] == len(asked["items"])
    return [
        (project.clip(item["clip"]).path.name, item["suggested"], item["why"])
        for item in asked["items"]
    ]


def test_figures_and_the_clips_of_each_cell(taught: tuple[Project, Path]) -> None:
    project, run = taught
    shown = training_of(project, run).results()
    assert {name: shown[name] for name in ("classes", "confusion", "clips")} == {
        "classes": ["up", "wave"],
        "confusion": [[1, 2], [2, 1]],
        "clips": 6,
    }
    assert "accuracy 2 of 6" in shown["conclusion"]
    classes = shown["classes"]
    cells = [
        [[clip["name"] for clip in project.tested(row, column)] for column in classes]
        for row in classes
    ]
    assert cells == [[["0.mp4"], ["1.mp4", "2.mp4"]], [["=3.mp4"], ["4.mp4"]]]
    assert [clip["name"] for clip in project.tested()] == ["1.mp4", "2.mp4", "=3.mp4"]


def test_scores_and_margins_are_of_the_answers(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    scores = np.array([[0.3, 0.7], [0.3, 0.7], [0.9, 0.1]])
    given = names, ("fall", "nothing"), np.array([0, 1, 1]), scores, ()
    for threshold, expected in (
        (0.2, [("fall", 0.3, -0.4), ("fall", 0.3, 0.4), ("fall", 0.9, -0.8)]),
        (None, [("nothing", 0.7, -0.4), ("nothing", 0.7, 0.4), ("fall", 0.9, -0.8)]),
    ):
        write_scores(tmp_path / "scores.csv", Evaluation(*given, threshold=threshold))
        found = [
            (predicted, score, margin)
            for _, _, predicted, score, margin in _scores(tmp_path, ("fall", "nothing"))
        ]
        assert [predicted for predicted, *_ in found] == [predicted for predicted, *_ in expected]
        np.testing.assert_allclose([of[1:] for of in found], [of[1:] for of in expected], atol=1e-6)
    others = Evaluation(names[:1], ("fall", "walk"), np.array([0]), scores[:1], (), threshold=0.8)
    write_scores(tmp_path / "scores.csv", others)
    ((*_, predicted, score, margin),) = _scores(tmp_path, others.answer_names)
    assert (predicted, score, margin) == ("nothing", pytest.approx(0.3), pytest.approx(0))


def test_probable_errors_come_first_then_other_mistakes_the_most_certain_first(
    taught: tuple[Project, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run = taught
    assert asked(project, run) == [
        ("1.mp4", "wave", "label"),
        ("2.mp4", "wave", "unsure"),
        ("=3.mp4", "up", "unsure"),
    ]
    monkeypatch.setattr(training, "CHECKED", 1)
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


def test_a_run_without_results_says_so(taught: tuple[Project, Path]) -> None:
    project, run = taught
    (run / "scores.csv").unlink()
    with pytest.raises(Problem, match="no results yet"):
        training_of(project, run).results()


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
    keep_results(project, run, {clip.relative: clip.id for clip in project.all_clips()})
    assert training_of(project, run).results()["classes"] == [nfd, "wave"]
    assert [clip["name"] for clip in project.tested(nfd, nfd)] == ["0.mp4"]
    labels = {item["label"] for item in training_of(project, run).to_check()["items"]}
    assert labels == {nfd, "wave"}
