"""States of recordings: what is written for them, and what a row holds."""

import csv
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from onlooker import Clip
from onlooker.base.files import write_json
from onlooker.data.split import Split
from onlooker.video.reader import VideoReader
from onlooker.video.write import write
from onlooker_papers.real_clips import states as measured


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven people, and three actions of 4 frames of each."""
    frames = tmp_path / "data" / "clips" / "weizmann" / "frames"
    rows = ["clip,recording"]
    for k, action in enumerate(("bend", "jack", "run")):
        for person in range(1, 8):
            folder = frames / action / f"{person:02}"
            folder.mkdir(parents=True)
            shade = 20 * person + 60 * np.eye(3, dtype=int)[k]
            for t in range(4):
                image = np.full((16, 16, 3), shade + t, np.uint8)
                write_image(folder / f"{t}.jpg", image)
            rows.append(f"{action}/{person:02},{person}")
    (frames / "recordings.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path / "data"))
    return tmp_path


def write_image(path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), image[..., ::-1])


def test_actions_follow_each_other_without_pauses(people: Path) -> None:
    measured.weizmann(people / "looped")
    files = {}
    for name in ("train", "test"):
        with (people / "looped" / f"{name}.csv").open(newline="") as file:
            rows = [*csv.DictReader(file)]
        files[name] = {row["path"] for row in rows}
        for path in files[name]:
            own = [row for row in rows if row["path"] == path]
            ends = [float(row["end"]) for row in own]
            assert [float(row["start"]) for row in own] == [0.0, *ends[:-1]]
            assert VideoReader(people / "looped" / path).seconds == pytest.approx(ends[-1])
            assert all(a["label"] != b["label"] for a, b in pairwise(own))
    assert (len(files["train"]), len(files["test"])) == (5, 2)
    tests = [files["test"]]
    for fold in (1, 2):
        measured.weizmann(people / f"fold{fold}", fold)
        tests.append(
            {line.path for line in measured.read_list(people / f"fold{fold}" / "test.csv")}
        )
    assert sorted(path for test in tests for path in test) == [f"{k}.mp4" for k in range(1, 8)]


def test_gestures_have_pauses_and_clips_of_the_test_are_not_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clips" / "hand_gestures"
    for label in measured._HANDS:
        (folder / label).mkdir(parents=True)
        for number in range(4):
            images = np.full((32, 16, 16, 3), 60 * number, np.uint8)
            write(folder / label / f"{number}.mp4", images, fps=30)
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    measured.hands(tmp_path / "hands")
    for name, grays in (("train", {0, 60}), ("test", {180})):
        lines = measured.read_list(tmp_path / "hands" / f"{name}.csv")
        assert {line.label for line in lines} <= {label[3:] for label in measured._HANDS}
        own = [line for line in lines if line.path == lines[0].path]
        assert len(own) == 8
        assert all(1 <= b.start - a.end <= 5.1 for a, b in pairwise(own))
        assert all(a.end - a.start == pytest.approx(16 / 7.5) for a in own)
        pixels = VideoReader(tmp_path / "hands" / lines[0].path).get(range(60)).pixels
        assert {round(float(gray) / 60) * 60 for gray in pixels.mean((1, 2, 3))} <= grays


def test_postures_and_actions_are_lists_of_their_own_and_one_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ("stand", "wave", "sit_down", "sit", "stand_up", "walk")

    def generated(*words: object) -> None:
        folder = Path(str(words[2]))
        folder.mkdir()
        for name in ("train", "test"):
            lines = [measured.Line("a.mp4", k, k + 1, label) for k, label in enumerate(plan)]
            measured.write_list(folder / f"{name}.csv", lines)

    monkeypatch.setattr(measured, "onlooker", generated)
    folder = tmp_path / "both"
    measured.figures_overlapping(folder)
    postures = measured.read_list(folder / "posture-test.csv")
    assert [line[1:4] for line in postures] == [(0, 2, "upright"), (2, 5, "low"), (5, 6, "upright")]
    actions = measured.read_list(folder / "action-train.csv")
    assert [(line.start, line.label) for line in actions] == [
        (1, "wave"),
        (2, "sit_down"),
        (4, "stand_up"),
        (5, "walk"),
    ]
    assert measured.read_list(folder / "train.csv") == [*actions, *postures]
    assert "2.0,3.0,sit_down,action" in (folder / "train.csv").read_text()


def test_recordings_of_one_group_have_each_class_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = list[Clip]()
    for group in ("g01", "g02", "g03"):
        for label in ("Archery", "Surfing"):
            for number in (1, 2):
                path = tmp_path / f"v_{label}_{group}_c{number}.mp4"
                write(path, np.zeros((300, 16, 16, 3), np.uint8), fps=25)
                clips.append(Clip(path, label))
    split = Split(tuple(clips[4:8]), tuple(clips[8:]), tuple(clips[:4]))
    monkeypatch.setattr(measured, "splits_of", lambda _: {"split1": split})
    measured.ucf101_18(tmp_path / "made")
    for name, groups in (("train", ["g02", "g03"]), ("test", ["g01"])):
        lines = measured.read_list(tmp_path / "made" / f"{name}.csv")
        assert sorted({line.path for line in lines}) == [f"{group}.mp4" for group in groups]
        assert sorted(line.label for line in lines) == sorted(["Archery", "Surfing"] * len(groups))
        assert all(2 <= line.end - line.start <= 10 for line in lines)


def test_a_row_has_states_beside_events(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {
        "accuracy": 0.9,
        "macro_f1": 0.8,
        "segmental_f1": {"50": 70.0},
        "edit": 60.0,
        "kappa": 0.5,
        "bouts": {"true": 3},
        "states": {},
    }
    asked: list[tuple[object, ...]] = []

    def called(*words: object) -> None:
        asked.append(words)
        if words[0] == "evaluate":
            run = Path(str(words[1]))
            key = "states" if run.name.endswith("states") else "as_states"
            folder = run / "recordings-test"
            folder.mkdir(parents=True)
            own = {**chain, "macro_f1": 0.6 + int(run.name.split("-")[1]) / 10}
            write_json(folder / "evaluation.json", {key: [chain], "live": {key: [own]}})
        if words[0] == "predict":
            bout = {"label": "run", "start": 0.5, "end": 2.0, "score": 0.9}
            name = f"{Path(str(words[2])).stem}.json"
            write_json(Path(str(words[-1])) / name, {"segments": [bout]})

    monkeypatch.setattr(measured, "onlooker", called)
    row = measured.measure("weizmann", people)
    trained = [words for words in asked if words[0] == "train"]
    assert [words[5] for words in trained] == ["states", "events"] * 3
    assert {Path(str(words[1])).name for words in trained} == {"train.csv"}
    assert {Path(str(words[-1])).name for words in asked if words[0] == "evaluate"} == {"test.csv"}
    assert [*row] == ["states", "events", "ethogram"]
    assert row["ethogram"]["found"] == [["run", 0.5, 2.0]]
    ends = [end for _, _, end in row["ethogram"]["labeled"]]
    assert [start for _, start, _ in row["ethogram"]["labeled"]] == [0.0, *ends[:-1]]
    assert row["events"]["offline"]["segmental_f1"] == {"50": 70.0}
    assert row["events"]["live"]["macro_f1"] == pytest.approx(0.7), "the mean of three folds"
    assert row["events"]["live"]["bouts"] == {"true": 9}
