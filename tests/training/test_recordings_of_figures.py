"""Events in recordings of people who sway between them, and do other things: found from clips alone."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from swaying_figures import FPS, Figures, record

from onlooker.base.decision import Decision
from onlooker.base.records import Segment
from onlooker.data.transforms import to_video
from onlooker.measure.events import segment_map
from onlooker.measure.timeline import Pair, Timeline
from onlooker.models.linear import LinearClassifier
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.training.footage import Footage
from onlooker.training.linear import ClipStatistics
from onlooker.training.linear_fitter import fit_layers
from onlooker.video.resize import resize

ACTIONS = ("bend", "jumping_jack", "wave")
OTHERS = ("kick", "raise_arm")
WINDOW = 16
SIDE = 32


class Fitted(NamedTuple):
    """A model, and its scores `T L K` for recordings of people it has not seen."""

    net: LinearClassifier
    decision: Decision
    recordings: list[Figures]
    scores: list[NDArray[np.floating]]


def figures_of(person: int) -> Figures:
    order = np.random.default_rng(person).permutation(ACTIONS * 2)
    return record(order.tolist(), person=person, others=OTHERS)


@torch.inference_mode()
def encoded(net: LinearClassifier, pixels: NDArray[np.uint8]) -> torch.Tensor:
    return net.encode(to_video(torch.from_numpy(resize(pixels, SIDE, 3)), "half"))


def live_events(
    finder: WindowSegmenter, times: list[float], scores: NDArray[np.floating]
) -> list[Segment]:
    """The events as they become final."""
    memory = finder.start
    events = list[Segment]()
    for time, of_frame in zip(times, scores, strict=True):
        step = finder.step(memory, time, of_frame)
        memory = step.memory
        events += step.final
    return sorted([*events, *finder.finish(memory)], key=lambda event: event.start)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    torch.manual_seed(0)
    net = LinearClassifier(len(ACTIONS), "conv4", window=WINDOW, size=SIDE).eval()
    features = list[torch.Tensor]()
    labels = list[int]()
    people = list[str]()
    for person in range(8):
        figures = figures_of(person)
        for event in figures.events:
            features.append(encoded(net, figures.clip(event, margin=0.15)))
            labels.append(ACTIONS.index(event.label))
            people.append(str(person))
    sampled = [clip[np.linspace(0, len(clip) - 1, WINDOW).round()] for clip in features]
    with torch.inference_mode():
        x = net.statistics(torch.stack(sampled))[:, -1].double().numpy()
    clips = ClipStatistics(x, np.array(labels), np.array(people), num_classes=len(ACTIONS))
    stream_clips = {number: Footage(clip) for number, clip in enumerate(features)}
    decision = Decision(ACTIONS, frame_rate=FPS)
    _, decision = fit_layers(net, clips, decision, stream_clips=stream_clips)
    recordings = [figures_of(person) for person in (20, 21, 22)]
    scores = list[NDArray[np.floating]]()
    for figures in recordings:
        with torch.inference_mode():
            windows = net.forward_features(encoded(net, figures.pixels)[None]).windows
        assert windows is not None
        scores.append(windows.scores[0].numpy())
    return Fitted(net, decision, recordings, scores)


def test_events_are_found_where_people_act_also_live(fitted: Fitted) -> None:
    """Where pauses of training hold a picture, it is below .7."""
    found = list[Pair]()
    live = list[Pair]()
    for figures, scores in zip(fitted.recordings, fitted.scores, strict=True):
        finder = WindowSegmenter(Decision(ACTIONS), fitted.net.lengths, 0.02)
        times = (np.arange(len(scores)) / FPS).tolist()
        seconds = len(scores) / FPS
        true = Timeline(figures.events, seconds)
        found.append((true, Timeline(finder.find(times, scores), seconds)))
        live.append((true, Timeline(live_events(finder, times, scores), seconds)))
    for pairs in (found, live):
        assert segment_map(pairs, (0.5,))[0] > 0.77


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5])
def test_events_found_afterwards_are_those_found_live(fitted: Fitted, threshold: float) -> None:
    finder = WindowSegmenter(Decision(ACTIONS), fitted.net.lengths, threshold)
    for scores in fitted.scores:
        times = (np.arange(len(scores)) / FPS).tolist()
        live = live_events(finder, times, scores)
        assert live == finder.find(times, scores)
        assert live
