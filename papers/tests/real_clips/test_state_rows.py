"""States of recordings: what is written for them, and what a row holds."""

import csv
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from onlooker.base.files import write_json
from onlooker.video.reader import VideoReader
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
    assert (len(files["train"]), len(files["test"])) == (6, 1)


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
            write_json(folder / "evaluation.json", {key: [chain], "live": {key: [chain]}})
        if words[0] == "predict":
            bout = {"label": "run", "start": 0.5, "end": 2.0, "score": 0.9}
            name = f"{Path(str(words[2])).stem}.json"
            write_json(Path(str(words[-1])) / name, {"segments": [bout]})

    monkeypatch.setattr(measured, "onlooker", called)
    row = measured.measure("weizmann", people)
    trained = [words for words in asked if words[0] == "train"]
    assert [words[-1] for words in trained] == ["states", "events"]
    assert {Path(str(words[1])).name for words in trained} == {"train.csv"}
    assert {Path(str(words[-1])).name for words in asked if words[0] == "evaluate"} == {"test.csv"}
    assert [*row] == ["states", "events", "ethogram"]
    assert row["ethogram"]["found"] == [["run", 0.5, 2.0]]
    ends = [end for _, _, end in row["ethogram"]["labeled"]]
    assert [start for _, start, _ in row["ethogram"]["labeled"]] == [0.0, *ends[:-1]]
    assert row["events"]["live"] == {name: chain[name] for name in chain if name != "states"}
