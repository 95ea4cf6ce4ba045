"""States that motion alone tells apart: it is chosen, and files, streams, pieces of a recording and an
export have the same answer.
"""

import csv
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from commands import call
from moving_belts import RATE, belt

import onlooker
import onlooker.recognizer
from onlooker.data import samples
from onlooker.run.record import RunRecord
from onlooker.video.write import write

FRAMES = 38  # of a bout
PLAN = ("left", "right", "left", "right", "left")


@pytest.fixture(scope="module")
def belts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labeled recordings, and one more."""
    folder = tmp_path_factory.mktemp("belts")
    with (folder / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "start", "end", "label"))
        for number in range(5):
            plan = PLAN[number % 2 :]
            bouts = [belt(label, 10 * number + i, FRAMES) for i, label in enumerate(plan)]
            write(folder / f"{number}.mp4", np.concatenate(bouts), fps=RATE)
            for i, label in enumerate(plan if number < 4 else ()):
                times = (i * FRAMES / RATE, (i + 1) * FRAMES / RATE)
                rows.writerow((f"{number}.mp4", *times, label))
    return folder


@pytest.fixture(scope="module")
def run(belts: Path) -> Path:
    words = ("--frames", "6", "--size", "32", "--encoder", "conv4", "--run", belts / "run")
    read_all_frames = samples.read_all_frames
    with patch.object(samples, "read_all_frames", side_effect=read_all_frames) as reads:
        said = call("train", belts / "list.csv", *words).stderr
    with_motion = [call_of for call_of in reads.call_args_list if "motion" in call_of.args[2]]
    assert len(with_motion) < 18, (
        "clips are read without motion, but those that the report explains"
    )
    assert "eyes of states pictures and motion" in said
    return belts / "run"


def test_motion_is_chosen_and_tells_the_states_of_another_recording(
    run: Path, belts: Path
) -> None:
    assert RunRecord.read(run).settings.data.eyes == "both"
    recognizer = onlooker.load(run)
    prediction = recognizer.predict(belts / "4.mp4")
    assert tuple(bout.label for bout in prediction.segments) == PLAN
    starts = [bout.start for bout in prediction.segments]
    np.testing.assert_allclose(starts, np.arange(5) * FRAMES / RATE, atol=0.5)
    assert onlooker.TrainedRun.read(run).figures is not None
    recognizer.model.heads["state_motion"].weight.data.zero_()
    bouts = recognizer.predict(belts / "4.mp4").segments
    assert tuple(bout.label for bout in bouts) != PLAN


@pytest.mark.usefixtures("operators_read_once")
def test_files_streams_and_an_export_have_the_same_states(
    run: Path, belts: Path, tmp_path: Path
) -> None:
    recognizer = onlooker.load(run)
    prediction = recognizer.predict(belts / "4.mp4")
    watched = np.concatenate([step.rows for step in recognizer.watch(belts / "4.mp4")])
    np.testing.assert_allclose(watched, prediction.frame_scores, atol=1e-5)
    call("export", run, "--out", tmp_path / "export")  # compares it with the model
    about = json.loads((tmp_path / "export" / "step.json").read_text())
    assert about["motion"]["shape"][1] == 1 + recognizer.model.eyes["motion"]


def test_pieces_of_a_recording_have_the_motion_of_the_whole(
    run: Path, belts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = onlooker.load(run)
    whole = recognizer.predict(belts / "4.mp4")
    monkeypatch.setattr(onlooker.recognizer, "_PIECE", 1.7)
    monkeypatch.setattr(onlooker.recognizer, "_BOX_FRAMES", 0)
    pieces = recognizer.predict(belts / "4.mp4")
    assert pieces.times.tolist() == whole.times.tolist()
    np.testing.assert_allclose(pieces.frame_scores, whole.frame_scores, atol=1e-6)
    assert pieces.segments == whole.segments
