"""Stick figures, from files to figures: a tiny run of the whole, and scores that know a perfect and a blind model."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onlooker.config import DataConfig
from onlooker.data.folder import find_clips
from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.registry import create_model
from onlooker.recognizer import Classification, Recognizer
from onlooker.structures import Clip
from onlooker.video.sampling import equally_spaced
from onlooker_papers.figures import reproduce as figures

ACTIONS = ("bend", "walk")
FRAMES, SIZE = 8, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    drawn = StickFigures(frames=16, fps=8, size=(64, 96), people=3, background="plain", bystanders=0.0)
    return write_set(tmp_path_factory.mktemp("figures") / "clips", 3, figures=drawn, actions=ACTIONS)


class Knowing(Recognizer):
    """Looks at the person, and knows what is done while it is done; told what to know."""

    clips: list[Clip]
    truth: dict[str, Any]
    blind = False

    def classify(self, samples: torch.Tensor) -> Classification:
        indices = equally_spaced(16, FRAMES)
        scores = np.full((len(samples), FRAMES, 2), 0.5, np.float32)
        maps = np.full((len(samples), FRAMES, 4, 4), 1 / 16, np.float32)
        for b, clip in enumerate(self.clips):
            about = self.truth["clips"][f"{clip.label}/{clip.path.name}"]
            for t, index in enumerate(indices):
                if about["event"][0] <= index <= about["event"][1]:
                    label = ACTIONS.index(clip.label)
                    scores[b, t] = np.eye(2)[1 - label if self.blind else label]
                x1, y1, x2, y2 = about["boxes"][index]
                maps[b, t] = 1e-3
                maps[b, t, int((y1 + y2) / 2 / 16), int((x1 + x2) / 2 / 24)] = 1
        return Classification(torch.from_numpy(scores), torch.from_numpy(maps / maps.sum((2, 3), keepdims=True)))


@pytest.fixture
def knowing(folder: Path) -> Knowing:
    data = DataConfig(frames=FRAMES, size=SIZE, normalization="half")
    model = create_model("alstm", 2, size=SIZE, hidden=4, dropout=0.0, attention_loss=True)
    where = LocalizationParameters(foreground="contrast", threshold=0.05, onset=0.9)
    made = Knowing(model, ACTIONS, data, localization=where)
    made.clips, made.truth = find_clips(folder), json.loads((folder / "truth.json").read_text())
    return made


def test_who_knows_is_right_and_who_does_not_is_not(knowing: Knowing) -> None:
    found = figures.score(knowing, knowing.clips, knowing.truth, knowing.localization)
    assert found["pointing"] > 0.7
    assert found["pointing"] > 2 * found["uniform"]
    assert found["segments"]["memory"]["segment_map_50"] == 1.0
    assert found["segments"]["whole"]["segment_map_50_95"] < 1.0
    assert set(found["segments"]) == {"memory", "attended", "whole"}
    assert found["video_map_20"] > 0.8
    assert found["in_picture"]["video_map_20"] == found["video_map_20"], "this one sees the image"
    assert found["baselines"]["frame"]["video_map_50"] == 0
    knowing.blind = True
    wrong = figures.score(knowing, knowing.clips, knowing.truth, knowing.localization)
    assert wrong["segments"]["memory"]["segment_map_20"] == wrong["video_map_20"] == wrong["cor_loc"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda truth, name: truth["clips"].pop(name), "truth.json says nothing of {name}; take the one"),
        (
            lambda truth, name: truth["clips"][name].update(boxes=truth["clips"][name]["boxes"][:8]),
            "{name} has 16 frames of {size} pixels, and truth.json is of 8 frames of {size}; take the one",
        ),
        (lambda truth, name: truth["settings"].update(size=[10, 20]), "and truth.json is of 16 frames of 20×10;"),
    ],
)
def test_the_truth_of_other_clips_is_refused(
    knowing: Knowing, change: Callable[[dict[str, Any], str], Any], message: str
) -> None:
    clip = knowing.clips[0]
    name, size = f"{clip.label}/{clip.path.name}", "×".join(map(str, reversed(knowing.truth["settings"]["size"])))
    change(knowing.truth, name)
    with pytest.raises(ValueError, match=re.escape(message.format(name=name, size=size))):
        figures.score(knowing, knowing.clips, knowing.truth, knowing.localization)


def test_boxes_are_those_of_the_event(knowing: Knowing) -> None:
    about = {"boxes": [[t, 0, t + 1, 2] for t in range(16)], "event": [4, 9]}
    boxes = figures.event_boxes(about, np.arange(0, 16, 2))
    assert np.isfinite(boxes).all(1).tolist() == [False, False, True, True, True, False, False, False]
    assert boxes[2].tolist() == [4, 0, 5, 2]


def test_from_files_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figures.BUDGETS, "tiny", figures.Budget(3, 3, 1, ACTIONS))
    monkeypatch.setattr(figures, "DATA", DataConfig(frames=4, size=32, modality="flow"))
    report = figures.reproduce(tmp_path / "run", "tiny", tmp_path / "results")
    assert report.exists()
    stored = json.loads((tmp_path / "results" / "stick-figures.json").read_text())
    found = stored["figures"]
    assert stored["command"] == "onlooker reproduce figures --tiny --results results"
    assert found["budget"]["actions"] == list(ACTIONS)
    assert found["videos"] == 2
    assert set(found["baselines"]) == {"center", "frame", "motion", "map"}
    assert 0 <= found["in_picture"]["grad_cam"]["cor_loc"] <= 1
    assert 0 <= found["video_map_50"] <= found["video_map_20"] <= 1
    # What is there is not made again.
    (tmp_path / "run" / "clips" / "bend" / "000.mp4").unlink()
    assert figures.reproduce(tmp_path / "run", "tiny") == report
    monkeypatch.setitem(figures.BUDGETS, "tiny", figures.Budget(3, 3, 2, ACTIONS))
    with pytest.raises(ValueError, match="made with other settings"):
        figures.reproduce(tmp_path / "run", "tiny")
    with pytest.raises(ValueError, match="budget is 'huge', expected one of quick, standard, full, tiny"):
        figures.reproduce(tmp_path / "run", "huge")
