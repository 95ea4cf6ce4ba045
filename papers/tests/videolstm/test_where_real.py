"""Where, on real video: points and boxes against true tubes, in pixels of the video."""

from pathlib import Path

import numpy as np
import pytest

from onlooker.data.samples import Sample
from onlooker.localization.parameters import LocalizationParameters
from onlooker.structures import Clip, Tube
from onlooker_papers.videolstm import where_real
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip
from onlooker_papers.videolstm.where_real import Seen, figures_of, point_in_box, true_boxes, truth_of

CLASSES = ("Basketball", "Surfing")


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


def test_boxes_are_halved() -> None:
    tube = Tube("Surfing", np.arange(2), np.float32([[10, 20, 30, 40]] * 2))
    annotated = {"Surfing/v_Surfing_g01_c01": AnnotatedClip("Surfing/v_Surfing_g01_c01", 2, (tube,))}
    clip = Clip(Path("ucf/Surfing/v_Surfing_g01_c01.mp4"), "Surfing")
    assert truth_of(clip, annotated)[0].boxes.tolist() == [[5, 10, 15, 20]] * 2
    assert truth_of(Clip(Path("ucf/Surfing/other.mp4"), "Surfing"), annotated) == []


def test_a_model_that_is_not_trained_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Path
) -> None:
    monkeypatch.setenv("ONLOOKER_DATA", str(real_data))
    with pytest.raises(FileNotFoundError, match=r"motion/model/model.safetensors"):
        where_real.reproduce(tmp_path, tmp_path / "results", 1)
