"""Where, on real video: the true tubes, and models that are not trained."""

from pathlib import Path

import numpy as np
import pytest

from onlooker.base.decision import Decision
from onlooker.base.records import Clip, Prediction, Tube
from onlooker_papers.videolstm import where_real
from onlooker_papers.videolstm.where_real import truth_of


def test_boxes_are_halved() -> None:
    tube = Tube("Surfing", np.arange(2), np.float32([[10, 20, 30, 40]] * 2))
    annotated = {"Surfing/v_Surfing_g01_c01": [tube]}
    clip = Clip(Path("ucf/Surfing/v_Surfing_g01_c01.mp4"), "Surfing")
    assert truth_of(clip, annotated)[0].boxes.tolist() == [[5, 10, 15, 20]] * 2
    assert truth_of(Clip(Path("ucf/Surfing/other.mp4"), "Surfing"), annotated) == []


def test_tubes_in_clips_of_other_classes_are_false_positives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # in the middle, at half the size
    tube = Tube("Surfing", np.arange(4), np.float32([[80, 60, 160, 120]] * 4))
    annotated = {"Surfing/v_Surfing_g01_c01": [tube]}
    monkeypatch.setattr(where_real, "ucf101_24", lambda path: annotated)
    monkeypatch.setattr(where_real, "data_folder", Path)
    clips = [
        Clip(Path("Surfing/v_Surfing_g01_c01.mp4"), "Surfing"),
        Clip(Path("Archery/v_Archery_g01_c01.mp4"), "Archery"),
    ]

    def predict(surfing: float) -> where_real.Predict:
        """The first clip has probability .5 of its class, and the second one this of the same
        class.
        """

        def of_clip(clip: Clip) -> Prediction:
            share = 0.5 if clip.label == "Surfing" else surfing
            scores = np.float32([1 - share, share])
            return Prediction(
                clip.path,
                Decision(("Archery", "Surfing")),
                np.tile(scores, (4, 1)),
                scores,
                np.arange(4) / 4,
                np.arange(4),
                size=(90, 120),
                points=np.full((4, 2), np.nan, np.float32),
            )

        return of_clip

    found = where_real.score(clips, predict(0.4))
    assert (found["clips"], found["all_clips"]) == (1, 2)
    assert found["methods"]["center"]["video_map_20"] == 1
    assert found["methods"]["boxes"]["shown"] == 0
    assert where_real.score(clips, predict(0.6))["methods"]["center"]["video_map_20"] == 0.5
