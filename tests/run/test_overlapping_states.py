"""Two things at once: labels that overlap are states in groups, of which each has one at a time."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from commands import call, fails
from test_states import WORDS

import onlooker
from onlooker.base.records import ClipError
from onlooker.data.sets import read_set
from onlooker.video.write import write

FPS = 10


def film(path: Path, seed: int) -> list[tuple[str, float, float]]:
    """It is dark or bright for seconds, and now and then a square moves; rows of both."""
    rng = np.random.default_rng(seed)
    place = np.kron(rng.normal(0, 18, (6, 8, 1)), np.ones((8, 8, 1)))
    n = 200
    level = np.full(n, 60)
    rows = []
    for start in range(0, n, 50):
        light = "day" if start % 100 else "night"
        level[start : start + 50] = 150 if light == "day" else 60
        rows.append((light, start / FPS, (start + 50) / FPS))
    frames = np.zeros((n, 48, 64, 3))
    for t in range(n):
        frames[t] = level[t] + place + rng.normal(0, 3, (48, 64, 3))
    for start in (15, 65, 90, 130, 165):  # 90: across the border of night and day
        for t in range(20):
            x = 4 + 2 * t
            frames[start + t, 20:32, x : x + 12] = 250 if t % 2 else 0
        rows.append(("move", start / FPS, (start + 20) / FPS))
    write(path, np.clip(frames, 0, 255).astype(np.uint8), fps=FPS)
    return rows


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stable")
    for name, files in (("list", range(3)), ("test", range(3, 4))):
        rows = [("path", "start", "end", "label")]
        for number in files:
            rows += [
                (f"{number}.mp4", str(start), str(end), label)
                for label, start, end in film(folder / f"{number}.mp4", number)
            ]
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def test_overlapping_labels_are_states_of_two_groups(stable: Path) -> None:
    words = ("train", stable / "list.csv", *WORDS, "--eyes", "pictures")
    trained = call(*words, "--run", stable / "run")
    said = trained.stderr
    assert "times: states, because intervals with different labels overlap" in said
    assert re.search(r"when: states: day, night: \d+ % .*; move: \d+ % of the time right", said)
    # what is true in one group is no mistake in the other one
    assert re.search(r"cross-validation: day, night: \d+ % of the time right", trained.stdout)
    figures = onlooker.TrainedRun.read(stable / "run").figures
    assert figures is not None
    assert figures.labels_to_check is None
    shown = trained.stdout + (stable / "run" / "report.html").read_text()
    for claim in ("clips right", "accuracy ", "Most confused", "is recognized", "Mistakes"):
        assert claim not in shown
    said_of_clips = fails("evaluate", stable / "run", stable / "test.csv")
    assert (
        "the model tells several states at a time; give a list of recordings" in said_of_clips
    )
    recognizer = onlooker.load(stable / "run")
    day, move, night = 0, 1, 2
    chains = [chain.classes for chain in recognizer.decision.states]
    assert sorted(chains) == [[day, night, -1], [move, -1]]
    prediction = recognizer.predict(stable / "3.mp4")
    budget = {part.label: part for part in prediction.budget()}
    assert budget["day"].seconds + budget["night"].seconds == pytest.approx(20, abs=1)
    assert budget["move"].bouts == 5
    over = next(bout for bout in prediction.segments if bout.label == "move" and bout.start > 8)
    light = [bout for bout in prediction.segments if bout.label != "move"]
    assert any(bout.start < over.start < bout.end for bout in light)
    output = call("evaluate", stable / "run", "--recordings", stable / "test.csv").stdout
    assert "In recordings: day, night: 100 % of the time right" in output
    assert output.count(" of the time right") == 2  # of both groups; live it is the same
    report = (stable / "run" / "recordings-test" / "report.html").read_text()
    assert "Timelines" in report
    assert "bouts found" in report


def test_what_tells_no_states_refuses_overlapping_labels(stable: Path, tmp_path: Path) -> None:
    assert "no problems" not in call("check", stable / "list.csv").stdout
    words = ("train", stable / "list.csv", *WORDS, "--run", tmp_path / "run")
    text = r"line 2 (night, 0 to 5 s) and line 6 (move, 1.5 to 3.5 s) of "
    for options in (("--when", "events"), ("--model", "convnet")):
        said = fails(*words, *options)
        assert text in said
        assert "or fit states, which may overlap: --when states" in said
    checked = " ".join(call("check", stable / "list.csv", "--when", "events").stdout.split())
    assert text in checked
    assert "or fit states, which may overlap: --when states" in checked
    one = read_set(stable / "test.csv")
    with pytest.raises(ClipError, match="overlap, like 5 other pairs"):
        one.require_apart()


def test_check_refuses_a_whole_file_beside_its_intervals_as_training_does(
    stable: Path, tmp_path: Path
) -> None:
    lines = (stable / "list.csv").read_text().splitlines()
    path = stable / "whole.csv"
    path.write_text("\n".join([*lines, "2.mp4,,,day"]))
    checked = " ".join(call("check", path).stdout.split())
    said = fails("train", path, *WORDS, "--run", tmp_path / "run")
    for text in (checked, said):
        assert f"line {len(lines) + 1} (day, the whole file)" in text
        assert "remove the row of the whole file, or give it a start and an end" in text


def test_the_same_times_with_two_labels_are_two_clips(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "list.csv").write_text("path,start,end,label\na.mp4,1,2,x\na.mp4,1,2,y\n")
    clips = read_set(tmp_path / "list.csv")
    assert [(clip.path.name, clip.label) for clip in clips.clips] == [
        ("a.mp4#t=1,2", "x"),
        ("a.mp4#t=1,2", "y"),
    ]
    assert clips.overlaps is not None
