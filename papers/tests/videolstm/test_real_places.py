"""Points and boxes of real clips against true tubes, in pixels of the video; the choice of parameters from files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker import recognizer as recognizing
from onlooker.config import DataConfig
from onlooker.data.clips import prepare
from onlooker.data.samples import Sample
from onlooker.localization.maps import FOREGROUNDS
from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.structures import Clip, Tube
from onlooker.tuning import choose_spatial_parameters
from onlooker_papers.videolstm.real_places import Seen, choose_from_files, figures_of, point_in_box, true_boxes

Make = Callable[..., Path]
DATA = DataConfig(frames=4, size=32, channels=3, normalization="half")
CLASSES = ("Basketball", "Surfing")


def test_what_is_chosen_from_files_is_what_is_chosen_from_samples(
    tmp_path: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip(make_clip(f"{i}.mp4", frames=4 + i), ("jump", "wave")[i % 2]) for i in range(8)]
    torch.manual_seed(0)
    of = Recognizer(create_model("convalstm", 2, size=32, hidden=4, dropout=0.0), ("jump", "wave"), DATA)
    samples, _ = prepare(clips, of.classes, DATA, tmp_path / "cache")
    pixels = torch.stack([frames for frames, _, _ in samples])
    chosen = choose_spatial_parameters(of, pixels, list(pixels.numpy()), samples.targets)
    assert chosen != of.localization
    assert choose_from_files(of, clips, 40) == chosen
    # However few large clips are classified together.
    monkeypatch.setattr(recognizing, "_PIXELS_PER_BATCH", 1)
    assert choose_from_files(of, clips, 40) == chosen
    # Of temporal crops the middle one is used, and on seven clips nothing is chosen.
    cropped = Recognizer(of.model, of.classes, replace(DATA, temporal_crops=3))
    assert choose_from_files(cropped, clips, 40).foreground in FOREGROUNDS
    assert choose_from_files(of, clips[:7], 40) is of.localization
    assert choose_from_files(of, clips, 0) is of.localization


def seen(box: tuple[float, float, float, float], scores: tuple[float, float] = (1.0, 0.0)) -> Seen:
    """A clip of 8 frames of 40×80 pixels, sampled at four, whose attention is on the upper left quarter."""
    attention = np.zeros((4, 4, 4), np.float32)
    attention[:, :2, :2] = 0.25
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    indices = np.array([0, 2, 4, 7])
    sample = Sample(pixels, indices / 8, indices, np.arange(4)[None], (40, 80), pixels)
    tube = Tube("Basketball", np.arange(8), np.tile(np.float32(box), (8, 1)))
    return Seen("clip", sample, np.tile(np.float32(scores), (4, 1)), {"attention": attention}, [tube])


def test_attention_on_the_box_finds_it_and_elsewhere_does_not() -> None:
    parameters = LocalizationParameters(onset=0.0)
    there = figures_of([seen((0, 0, 40, 20))], "attention", CLASSES, parameters)
    assert there["video_map_50"] == there["frame_map_50"] == there["point_in_box"] == there["peak_in_box"] == 1
    elsewhere = figures_of([seen((60, 30, 80, 40))], "attention", CLASSES, parameters)
    assert elsewhere["video_map_20"] == elsewhere["point_in_box"] == elsewhere["peak_in_box"] == 0
    wrong = figures_of([seen((0, 0, 40, 20), (0.0, 1.0))], "attention", CLASSES, parameters)
    assert (wrong["video_map_20"], wrong["point_in_box"]) == (0, 1)  # the place, but not the class
    center = figures_of([seen((20, 10, 60, 30))], "center", CLASSES, parameters)
    assert center["video_map_50"] == center["point_in_box"] == 1
    assert "peak_in_box" not in center


def test_frames_without_a_box_are_left_out() -> None:
    one = seen((0, 0, 40, 20))
    later = Tube("Basketball", np.arange(4, 8), np.tile(np.float32((0, 0, 40, 20)), (4, 1)))
    boxes = true_boxes(Seen(one.name, one.sample, one.scores, one.maps, [later]))
    assert np.isfinite(boxes).all(-1)[:, 0].tolist() == [False, False, True, True]
    inside = point_in_box(np.tile((5.0, 5.0), (4, 1)), boxes)
    assert np.isnan(inside[:2]).all()
    assert inside[2:].tolist() == [1, 1]
