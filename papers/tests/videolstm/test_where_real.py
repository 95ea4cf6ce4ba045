"""Where, on real video: the true tubes, and models that are not trained."""

from pathlib import Path

import numpy as np
import pytest

from onlooker.structures import Clip, Tube
from onlooker_papers.videolstm import where_real
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip
from onlooker_papers.videolstm.where_real import truth_of


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
