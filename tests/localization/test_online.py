"""Localization of a stream equals naive versions over the whole clip."""

import numpy as np
import pytest

from onlooker.localization.boxes import find_boxes
from onlooker.localization.online import EventState, PlaceState, make_causal, update_event, update_place
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import OnlineTracks, update_tracks


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
    of_clip, places = OnlineTracks(), PlaceState()
    for t, here in enumerate(find_boxes(maps, pictures, parameters)):
        of_clip = update_tracks(of_clip, here, parameters)
        places = update_place(places, maps[t], pictures[t], parameters)
        assert places.best is not None
        expected = max((track for track in of_clip.active if not track.missed), key=lambda track: track.mean)
        np.testing.assert_array_equal(places.best.corners, expected.corners)
        assert places.best.number == expected.number
        np.testing.assert_array_equal(places.point, here.point)


@pytest.mark.parametrize("smoothing", [0.0, 3.0])
@pytest.mark.parametrize(("onset", "level"), [(0.0, 0.0), (0.05, 0.0), (0.5, 1.5), (0.5, 9.0), (1.0, 0.0)])
def test_an_event_is_where_the_smoothed_share_reaches_the_onset(onset: float, level: float, smoothing: float) -> None:
    parameters = LocalizationParameters(onset=onset, level=level, score_smoothing=smoothing)
    evidence = 2 * np.random.default_rng(3).standard_normal(60).cumsum() / np.sqrt(np.arange(1, 61))
    here, said, naive, smoothed = EventState(), [], [], None
    for t, of_frame in enumerate(evidence):
        here = update_event(here, float(of_frame), parameters)
        said.append(here.happening)
        share = np.exp(of_frame - max(level, evidence[: t + 1].max()))
        share = share if share >= onset else 0.0
        weight = 1 - np.exp(-1 / smoothing) if smoothing else 1
        smoothed = share if smoothed is None else smoothed + weight * (share - smoothed)
        naive.append(smoothed >= onset and smoothed > 0)
    assert said == naive
    assert here.highest == evidence.max()
    if (onset, level) in ((0.05, 0.0), (0.5, 1.5)):
        assert np.diff(said).any(), "it begins or ends"


def test_uniform_attention_gives_no_box() -> None:
    even = np.full((6, 6), 1 / 36, np.float32)
    places = update_place(PlaceState(), even, scene()[0][0], LocalizationParameters())
    assert places.best is None
    assert np.isnan(places.point).all()


def test_the_state_does_not_grow_with_time() -> None:
    pictures, maps = scene()
    places, parameters = PlaceState(), LocalizationParameters(foreground="contrast")
    for t in range(300):
        places = update_place(places, maps[t % 12], pictures[t % 12], parameters)
        assert len(places.tracks.active) <= 1 + parameters.gap


def test_foregrounds_that_need_later_frames_are_replaced() -> None:
    for name, expected in (("motion", "causal-motion"), ("background", "causal-motion"), ("contrast", "contrast")):
        assert make_causal(LocalizationParameters(foreground=name)).foreground == expected
