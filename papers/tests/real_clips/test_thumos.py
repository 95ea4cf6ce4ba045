"""The evaluation of THUMOS'14: its rules by hand, and a whole run of the command."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import make_clip
from commands import CliRunner

from onlooker.config import DataConfig
from onlooker.files import read_json
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.structures import Segment
from onlooker_papers.real_clips.thumos import app, challenge_map


def test_the_rules_of_the_challenge_by_hand() -> None:
    annotated = {
        "a": [Segment("dive", 0, 10), Segment("dive", 20, 30), Segment("Ambiguous", 40, 50)],
        "b": [Segment("dive", 0, 4), Segment("jump", 10, 12)],
    }
    found = {
        "a": [
            Segment("dive", 0, 10, 0.9),  # right
            Segment("dive", 0, 10, 0.8),  # the segment is taken: false
            Segment("dive", 45, 60, 0.7),  # overlaps an ambiguous segment: does not count
            Segment("dive", 20, 25, 0.6),  # overlaps by exactly one half, which is not more than one half: false
        ],
        "b": [Segment("dive", 0, 4, 0.5)],  # right
    }
    # dive: right, false, false, right of three: precision 1 up to a recall of 1/3, then 2/4 up to 2/3.
    dive = (4 * 1.0 + 3 * 0.5 + 4 * 0.0) / 11
    assert challenge_map(found, annotated, 0.5) == pytest.approx((dive + 0.0) / 2)
    # At a lower threshold the segment of 5 s is right too: precisions 1, 3/5 … of three found.
    lower = (4 * 1.0 + 7 * 0.75) / 11
    assert challenge_map({**found, "b": []}, annotated, 0.5) < challenge_map(found, annotated, 0.5)
    found["a"].pop(1)
    assert challenge_map(found, annotated, 0.4) == pytest.approx(0.5)
    found["a"].append(Segment("dive", 0, 9, 0.85))
    assert challenge_map(found, annotated, 0.4) == pytest.approx(lower / 2)


def test_a_true_segment_takes_the_answer_that_overlaps_it_most() -> None:
    annotated = {"a": [Segment("dive", 0, 10)]}
    found = {"a": [Segment("dive", 0, 7, 0.9), Segment("dive", 0, 10, 0.1)]}
    assert challenge_map(found, annotated, 0.5) == pytest.approx(0.5)


def test_the_command(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = DataConfig(frames=4, size=16, channels=3, normalization="half")
    model = create_model("linear", 2, encoder="conv4", window=4, size=16, in_channels=3)
    recognizer = Recognizer(model.eval(), ("Diving", "nothing"), data, "last", frame_rate=5.0, threshold=0.01)
    recognizer.save(tmp_path / "run")
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "video_1.mp4", frames=40)
    (annotations := tmp_path / "annotations").mkdir()
    (annotations / "Diving_test.txt").write_text("video_1 0.4 4.0\n")
    words = [str(tmp_path / "run"), str(tmp_path / "videos"), str(annotations), "--out", str(tmp_path / "out.json")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    written = read_json(tmp_path / "out.json")
    assert written["segment_map"]["live"]["challenge"]["0.5"] == 1.0
    ((label, start, end, _),) = written["segments"]["live"]["video_1"]
    assert (label, start) == ("Diving", pytest.approx(0.4))
    assert end == pytest.approx(4.0, abs=0.2)
    assert np.isfinite(written["segment_map"]["dated"]["activitynet"]["0.1"])
    (annotations / "Diving_test.txt").write_text("video_2 0 1\n")
    done = CliRunner().invoke(app, words)
    assert "1 of 1 videos are missing (video_2)" in done.output
