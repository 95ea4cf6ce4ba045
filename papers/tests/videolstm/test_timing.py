"""When the target moves: evidence that knows it, evidence that does not, and guesses that need none."""

import numpy as np
import pytest

from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker_papers.mnist import split_digits
from onlooker_papers.videolstm.target_clips import CLASSES, SIZE, TargetClips, data
from onlooker_papers.videolstm.timing import EVENT, FRAMES, GUESSES, timed, timing_figures

CHOSEN = LocalizationParameters(onset=0.05, level=3.0)


@pytest.fixture(scope="module")
def clips() -> TargetClips:
    return TargetClips(split_digits().test, 12, 2, frames=FRAMES, event=EVENT)


def knowing(clips: TargetClips) -> np.ndarray:
    scores = np.full((len(clips), 10), 0.01, np.float32)
    scores[np.arange(len(clips)), clips.batch.targets.numpy()] = 0.91
    return scores


def test_the_event_fills_a_part_of_the_clip(clips: TargetClips) -> None:
    assert clips.images.shape == (12, FRAMES, SIZE, SIZE, 1)
    share = clips.batch.moving.float().mean(1)
    assert 0.2 < share.min() <= share.max() < 0.8


def test_evidence_of_the_true_frames_is_the_true_segment(clips: TargetClips) -> None:
    scores, moving = knowing(clips), clips.batch.moving.numpy()
    constant = np.repeat(scores[:, None], FRAMES, 1)
    found = timing_figures(scores, np.where(moving, 3.0, -3.0), constant, clips, CHOSEN)
    assert found["segment_map_50_95"] == found["iou"] == 1.0
    assert found["causal"]["iou"] == 1.0
    assert set(found["baselines"]) == set(GUESSES)
    # One thing moves and nothing else does; a class that is said all the time says no time.
    assert found["baselines"]["motion"]["segment_map_50"] == 1.0
    assert found["baselines"]["whole"] == found["baselines"]["class"]
    assert found["baselines"]["whole"]["iou"] == pytest.approx(moving.mean(1).mean(), abs=0.03)
    other = timing_figures(scores, np.where(moving, -3.0, 3.0), constant, clips, CHOSEN)
    assert other["segment_map_20"] == 0


def test_the_wrong_class_at_the_right_time_counts_nothing(clips: TargetClips) -> None:
    scores = np.zeros((len(clips), 10), np.float32)
    scores[np.arange(len(clips)), (clips.batch.targets.numpy() + 1) % 10] = 1
    evidence = np.where(clips.batch.moving.numpy(), 3.0, -3.0)
    found = timing_figures(scores, evidence, np.repeat(scores[:, None], FRAMES, 1), clips, CHOSEN)
    assert found["segment_map_50"] == 0
    assert found["iou"] == 1.0


def test_the_onset_is_chosen_without_a_true_time(clips: TargetClips) -> None:
    config = data("both", FRAMES)
    model = create_model("mil", 10, in_channels=3, flow_channels=2, size=SIZE, hidden=8)
    blind = TargetClips(split_digits().validation, 4, 1, frames=FRAMES, event=EVENT)
    blind.batch.moving.zero_()
    found = timed(Recognizer(model, CLASSES, config, "last"), blind, clips)
    assert 0 <= found["segment_map_50"] <= 1
    assert 0 <= found["accuracy"] <= 1
