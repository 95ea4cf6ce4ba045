"""Where the target is: figures of perfect and of blind attention, and parameters chosen by
labels alone.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from onlooker.models.registry import create_model
from onlooker.recognizer import Classification, Recognizer
from onlooker_papers.mnist import split_mnist
from onlooker_papers.videolstm.blanking import (
    CANDIDATES,
    blank_outside,
    box_mask,
    explanation_cost,
)
from onlooker_papers.videolstm.boxes import BoxParameters
from onlooker_papers.videolstm.localization import choose_for, localization_figures, localized
from onlooker_papers.videolstm.moving_target import CLASSES, SIZE, TargetClips, data

SEEN = BoxParameters(foreground="background", threshold=0.05)


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


def test_attention_on_the_target_finds_it_and_guesses_do_not(clips: TargetClips) -> None:
    found = localization_figures(knowing(clips), attending(clips), clips, SEEN)
    # the cell of a narrow digit's middle may have its own middle next to the digit
    assert found["pointing"] > 0.9
    assert found["video_map_50"] > 0.9
    assert found["cor_loc"] > 0.8
    assert found["video_map_20"] >= found["video_map_50"] >= found["video_map_50_95"] > 0
    assert set(found["baselines"]) == {"motion", "map"}
    assert found["localization"] == {
        "foreground": "background",
        "extent": "attention",
        "threshold": 0.05,
    }


def test_the_wrong_class_or_place_finds_nothing(clips: TargetClips) -> None:
    for scores, maps in (
        (np.roll(knowing(clips), 1, axis=-1), attending(clips)),
        (knowing(clips), np.full((6, 10, 8, 8), 1 / 64, np.float32)),
    ):
        found = localization_figures(scores, maps, clips, SEEN)
        assert found["video_map_20"] == found["frame_map_20"] == found["cor_loc"] == 0


class Looking:
    """Knows the class while it sees enough of the target's pixels, and always looks at the target."""

    data = data("both")

    def __init__(self, clips: TargetClips) -> None:
        self.maps = torch.from_numpy(attending(clips))
        self.labels = clips.batch.targets
        self.ink = clips.frames()[..., 0].sum((1, 2, 3))
        self.still = torch.from_numpy(np.median(clips.images[..., 0], axis=1)).sum((1, 2)) * 10

    def classify(self, samples: torch.Tensor) -> Classification:
        seen = samples[..., 0].sum((1, 2, 3))
        share = (seen / (self.ink - self.still)).clip(0, 1)[:, None, None]
        sure = torch.nn.functional.one_hot(self.labels, 10)[:, None].float()
        return Classification(
            (share * sure + (1 - share) / 10).expand(-1, 10, -1).numpy(), self.maps.numpy()
        )

    def aggregate(self, frame_scores: np.ndarray) -> np.ndarray:
        return frame_scores.mean(0)


def test_parameters_are_chosen_without_a_true_box(clips: TargetClips) -> None:
    blind = clips.seen_as("both")
    blind.batch = SimpleNamespace(targets=clips.batch.targets)  # type: ignore[assignment]
    recognizer: Any = Looking(clips)
    chosen = choose_for(recognizer, blind)
    assert chosen in CANDIDATES
    assert chosen.foreground != "none"
    found = localization_figures(knowing(clips), attending(clips), clips, chosen)
    assert found["video_map_50"] > 0.9


def test_a_model_from_its_answers_to_its_figures(clips: TargetClips) -> None:
    config = data("both")
    model = create_model(
        "motion",
        10,
        in_channels=3,
        flow_channels=config.flow_channels,
        size=SIZE,
        hidden=8,
        dropout=0.0,
    )
    found = localized(Recognizer(model, CLASSES, config), clips, clips)
    assert 0 <= found["video_map_50"] <= 1
    still = create_model("convnet", 10, in_channels=1, size=SIZE)
    assert (
        localized(
            Recognizer(still, CLASSES, data("rgb")), clips.seen_as("rgb"), clips.seen_as("rgb")
        )
        == {}
    )
    with pytest.raises(ValueError, match="the model does not attend"):
        choose_for(Recognizer(still, CLASSES, data("rgb")), clips.seen_as("rgb"))


def test_blanking_keeps_only_the_boxes() -> None:
    samples = np.random.default_rng(0).integers(1, 100, (2, 5, 6, 3), dtype=np.uint8)
    mask = box_mask([np.array([-4.2, 3.0, 2.0, 9.0]), None], (5, 6))
    assert mask[0].sum() == 2 * 2
    assert not mask[1].any()
    blanked = blank_outside(samples, mask, [0, 128, 128])
    assert np.array_equal(blanked[mask], samples[mask])
    assert (blanked[~mask] == [0, 128, 128]).all()


def test_the_cost_is_lowest_for_the_smallest_region_that_determines_the_class() -> None:
    names = ("exact", "too large", "a part", "elsewhere")
    areas = (0.04, 0.5, 0.02, 0.04)
    kept = (0.95, 0.95, 0.9, 0.1)
    deleted = (0.05, 0.05, 0.4, 0.95)
    costs = dict(zip(names, explanation_cost(areas, kept, deleted), strict=True))
    assert min(costs, key=lambda name: costs[name]) == "exact"
    assert costs["exact"] == pytest.approx(0.04 + 0.05 + 0.05)
    assert max(costs, key=lambda name: costs[name]) == "elsewhere"
    assert explanation_cost(1.0, 1.0, 0.0) == 1  # all of the frame
