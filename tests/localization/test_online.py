"""Online localization equals causal localization of the whole clip."""

import numpy as np
import pytest

from onlooker.localization.boxes import find_boxes
from onlooker.localization.online import EventState, PlaceState, make_causal, update_event, update_place
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import event_frames
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
@pytest.mark.parametrize("smoothing", [0.0, 2.0])
def test_a_stream_gives_the_boxes_of_a_clip_processed_causally(foreground: str, smoothing: float) -> None:
    parameters = LocalizationParameters(foreground=foreground, threshold=0.1, smoothing=smoothing, causal=True)
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
def test_a_stream_gives_the_events_of_a_clip_processed_causally(onset: float, level: float, smoothing: float) -> None:
    parameters = LocalizationParameters(onset=onset, level=level, score_smoothing=smoothing, causal=True)
    evidence = 2 * np.random.default_rng(3).standard_normal(60).cumsum() / np.sqrt(np.arange(1, 61))
    here, said = EventState(), []
    for of_frame in evidence:
        here = update_event(here, float(of_frame), parameters)
        said.append(here.happening)
    np.testing.assert_array_equal(said, event_frames(evidence, parameters))
    assert here.highest == evidence.max()
    if (onset, level) in ((0.05, 0.0), (0.5, 1.5)):
        assert np.diff(said).any(), "it begins or ends"


@pytest.mark.parametrize(("onset", "level"), [(0.5, 2.0), (0.1, 0.0)])
def test_the_delay_of_smoothing_equals_its_formula(onset: float, level: float) -> None:
    n = 10.0
    parameters = LocalizationParameters(onset=onset, level=level, score_smoothing=n, causal=True)
    evidence = np.full(120, level - 20)
    evidence[10:70] = level
    said = np.flatnonzero(event_frames(evidence, parameters))
    assert said[0] == 10 + np.ceil(n * np.log(1 / (1 - onset))) - 1  # its first frame is already one
    assert said[-1] == 70 + np.floor(n * np.log(1 / onset)) - 1


def test_uniform_attention_gives_no_box() -> None:
    even = np.full((6, 6), 1 / 36, np.float32)
    places = update_place(PlaceState(), even, scene()[0][0], LocalizationParameters(causal=True))
    assert places.best is None
    assert np.isnan(places.point).all()


def test_the_state_does_not_grow_with_time() -> None:
    pictures, maps = scene()
    places, parameters = PlaceState(), LocalizationParameters(foreground="contrast", causal=True)
    for t in range(300):
        places = update_place(places, maps[t % 12], pictures[t % 12], parameters)
        assert len(places.tracks.active) <= 1 + parameters.gap


def test_settings_that_need_later_frames_are_replaced_or_errors() -> None:
    for name, expected in (("motion", "causal-motion"), ("background", "causal-motion"), ("contrast", "contrast")):
        assert make_causal(LocalizationParameters(foreground=name)).foreground == expected
    with pytest.raises(ValueError, match="need later frames; use make_causal"):
        update_place(PlaceState(), np.ones((2, 2)) / 4, scene()[0][0], LocalizationParameters())
    with pytest.raises(ValueError, match="need later frames; use make_causal"):
        update_event(EventState(), 0.0, LocalizationParameters())
    with pytest.raises(ValueError, match="finite"):
        update_event(EventState(), float("nan"), LocalizationParameters(causal=True))
