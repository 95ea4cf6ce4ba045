"""Localization of a stream equals naive versions over the whole clip."""

import numpy as np
import pytest

from onlooker.localization.boxes import find_boxes
from onlooker.localization.online import EventState, find_box, make_causal, update_event
from onlooker.localization.parameters import LocalizationParameters


def scene(frames: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A bright square that moves to the right, and a noisy map that follows it."""
    chance = np.random.default_rng(0)
    pictures, maps = np.full((frames, 48, 48, 3), 30, np.uint8), chance.uniform(0, 0.01, (frames, 6, 6))
    for t in range(frames):
        pictures[t, 16:24, 3 * t : 3 * t + 8] = 210
        maps[t, 2, (3 * t + 4) // 8] += 1
    return pictures, (maps / maps.sum((1, 2), keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("foreground", ["none", "causal-motion", "contrast"])
def test_boxes_are_those_of_the_clip(foreground: str) -> None:
    parameters = LocalizationParameters(foreground=foreground, threshold=0.1)
    pictures, maps = scene()
    for t, expected in enumerate(find_boxes(maps, pictures, parameters)):
        box, _ = find_box(pictures[t - 1] if t else None, maps[t], pictures[t], parameters)
        assert len(box) == 1
        np.testing.assert_array_equal(box.corners, expected.corners)
        np.testing.assert_array_equal(box.point, expected.point)


@pytest.mark.parametrize(("onset", "level"), [(0.0, 0.0), (0.05, 0.0), (0.5, 1.5), (0.5, 9.0), (1.0, 0.0)])
def test_an_event_is_where_the_share_reaches_the_onset(onset: float, level: float) -> None:
    parameters = LocalizationParameters(onset=onset, level=level)
    evidence = 2 * np.random.default_rng(3).standard_normal(60).cumsum() / np.sqrt(np.arange(1, 61))
    here, said, naive = EventState(), [], []
    for t, of_frame in enumerate(evidence):
        here = update_event(here, float(of_frame), parameters)
        said.append(here.happening)
        share = np.exp(of_frame - max(level, evidence[: t + 1].max()))
        naive.append(share >= onset and share > 0)
    assert said == naive
    assert here.highest == evidence.max()
    if (onset, level) in ((0.05, 0.0), (0.5, 1.5)):
        assert np.diff(said).any(), "it begins or ends"


def test_uniform_attention_gives_no_box() -> None:
    even = np.full((6, 6), 1 / 36, np.float32)
    box, _ = find_box(None, even, scene()[0][0], LocalizationParameters())
    assert not len(box)
    assert np.isnan(box.point).all()


def test_a_frame_of_another_size_is_a_first_one() -> None:
    pictures, maps = scene()
    parameters = LocalizationParameters(foreground="causal-motion")
    for last in (pictures[0, :24], pictures[1, :, :24]):
        box, _ = find_box(last, maps[1], pictures[1], parameters)
        np.testing.assert_array_equal(box.corners, find_box(None, maps[1], pictures[1], parameters)[0].corners)


def test_foregrounds_that_need_later_frames_are_replaced() -> None:
    for name, expected in (("motion", "causal-motion"), ("background", "causal-motion"), ("contrast", "contrast")):
        assert make_causal(LocalizationParameters(foreground=name)).foreground == expected
