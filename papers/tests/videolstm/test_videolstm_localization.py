"""Where the target is: figures of perfect and of blind attention, by the library's boxes."""

import numpy as np
import pytest

from onlooker.base.decision import Decision
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker_papers.mnist import split_mnist
from onlooker_papers.videolstm.localization import localization_figures, localized
from onlooker_papers.videolstm.moving_target import CLASSES, SIZE, TargetClips, data


@pytest.fixture(scope="module")
def clips() -> TargetClips:
    return TargetClips(split_mnist().test, 6, seed=2)


def attending(clips: TargetClips) -> np.ndarray:
    """All of the attention on the cell of the target's middle."""
    boxes = clips.batch.boxes[:, :, 0].numpy()
    column, row = np.moveaxis(((boxes[..., :2] + boxes[..., 2:]) / 2 // 8).astype(int), -1, 0)
    maps = np.zeros((*boxes.shape[:2], 8, 8), np.float32)
    np.put_along_axis(maps.reshape(*boxes.shape[:2], 64), (8 * row + column)[..., None], 1, axis=-1)
    return maps


def knowing(clips: TargetClips) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[clips.batch.targets.numpy()][:, None].repeat(10, axis=1)


def test_attention_on_the_target_finds_it(clips: TargetClips) -> None:
    found = localization_figures(knowing(clips), attending(clips), clips)
    assert found["peak_in_box"] > 0.9
    assert found["video_map_20"] > 0.9
    assert found["video_map_20"] >= found["video_map_50"] >= found["video_map_50_95"] > 0


def test_even_attention_is_what_moves_and_the_wrong_class_finds_nothing(clips: TargetClips) -> None:
    even = np.full((6, 10, 8, 8), 1 / 64, np.float32)
    found = localization_figures(knowing(clips), even, clips)
    assert found["baselines"]["motion"].items() <= found.items()
    assert found["peak_in_box"] > 0.9
    wrong = localization_figures(np.roll(knowing(clips), 1, axis=-1), attending(clips), clips)
    assert wrong["video_map_20"] == 0


def test_a_model_from_its_answers_to_its_figures(clips: TargetClips) -> None:
    config = data("both")
    flow = config.flow_channels
    model = create_model(
        "motion", 10, in_channels=3, flow_channels=flow, size=SIZE, hidden=8, dropout=0.0
    )
    found = localized(Recognizer(model, config, Decision(CLASSES)), clips)
    assert 0 <= found["video_map_50"] <= 1
    still = create_model("convnet", 10, in_channels=1, size=SIZE)
    assert localized(Recognizer(still, data("rgb"), Decision(CLASSES)), clips.seen_as("rgb")) == {}
