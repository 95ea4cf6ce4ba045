"""False alarms and events found in stitched streams: counted by hand, and as a live stream reports them."""

import numpy as np
import pytest
import torch

from onlooker.answer import best_event
from onlooker.localization.online import EventState, update_agreement
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import Choice
from onlooker.training.regression import Method
from onlooker_papers.real_clips.nothing import at_found, stream_rule
from onlooker_papers.real_clips.stream_model import held_out_scores, play, training_windows
from onlooker_papers.real_clips.streams import (
    AGREEMENT,
    WINDOW,
    Counts,
    Part,
    count,
    reported_events,
    stitch,
    test_stream,
    training_streams,
)

test_stream.__test__ = False  # type: ignore[attr-defined]  # no test, though its name begins like one
CLASSES = ("fall", "fight", "nothing")


def parts() -> list[Part]:
    random = np.random.default_rng(0)
    labels = ("nothing", "fall", "nothing", "fight", "nothing", "nothing", "fall", "fight")
    return [
        Part(random.random((5 + 3 * i, 64, 2, 2)).astype(np.float16), label, f"class {i}", f"recording {i}")
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_reports_are_those_of_a_live_stream(threshold: float) -> None:
    random, state = np.random.default_rng(1), EventState()
    scores = np.repeat(random.dirichlet([0.6] * 3, 40), random.integers(1, 7, 40), 0)
    live = []
    for of_frame in scores:
        label = best_event(of_frame, CLASSES, threshold)
        state = update_agreement(state, label, int(of_frame.argmax()), AGREEMENT)
        live.append(state.label if state.frames >= AGREEMENT and state.label is not None else -1)
    np.testing.assert_array_equal(reported_events(scores, CLASSES, threshold), live)
    assert {-1, 0, 1} == set(live)


def test_alarms_and_events_are_counted_by_hand() -> None:
    stream = stitch(parts(), [0, 1, 2, 4, 3])  # 5 of nothing, a fall from 5 to 13, 11 and 17 of nothing, a fight at 41
    assert stream.events == [(5, 13, "fall"), (41, 55, "fight")]
    reported = np.full(len(stream.clip), -1)
    assert count(reported, stream, CLASSES) == Counts(2, 0, 0, 0)
    reported[12 : 13 + WINDOW - 1] = 1  # found by the wrong name, and reported until it has left the window
    assert count(reported, stream, CLASSES) == Counts(2, 1, 0, 0)
    reported[28:30] = 0  # in nothing, which begins at 24
    assert count(reported, stream, CLASSES) == Counts(2, 1, 0, 1)
    reported[0:2] = reported[3:5] = reported[45] = 1
    assert count(reported, stream, CLASSES) == Counts(2, 2, 1, 3)
    long = stitch(parts(), [5, 7, 5, 5, 5])
    everywhere = count(np.ones(len(long.clip), int), long, CLASSES)
    assert everywhere == Counts(1, 1, 1, -(-20 // WINDOW) + -(-(60 - WINDOW + 1) // WINDOW))


def test_a_stream_has_a_state_over_its_seams() -> None:
    net = LinearClassifier(3, "conv4", window=WINDOW, size=16).eval()
    streams = [stitch(parts(), [0, 1, 2]), stitch(parts(), [3, 0])]
    for stream, scores in zip(streams, play(net, streams, 2.0), strict=True):
        frames = np.stack([stream.parts[i].features[t] for i, t in zip(stream.clip, stream.place, strict=True)])
        with torch.no_grad():
            logits = net.forward_features(torch.from_numpy(frames)[None].float()).logits[0]
        np.testing.assert_allclose(scores, (logits / 2).softmax(-1), atol=1e-5)


def test_test_streams_are_of_nothing_with_some_events() -> None:
    stream = test_stream(parts(), 3000, np.random.default_rng(0))
    assert 3000 <= len(stream.clip) < 3060
    nothing = [i for i in stream.clip[stream.place == 0] if stream.parts[i].label == "nothing"]
    assert len(stream.events) / len(nothing) == pytest.approx(0.1, abs=0.05)
    assert max(np.bincount(nothing)[[0, 2, 4, 5]]) - min(np.bincount(nothing)[[0, 2, 4, 5]]) <= 1


def test_a_training_window_of_nothing_has_no_frame_of_an_event() -> None:
    net = LinearClassifier(3, "conv4", window=WINDOW, size=16).eval()
    marked = [part._replace(features=np.full_like(part.features, part.label != "nothing")) for part in parts() * 6]
    streams = training_streams([p._replace(recording=f"{p.recording} {i}") for i, p in enumerate(marked)])
    assert len(streams) == 5
    assert sorted(np.concatenate([s.clip[s.place == 0] for s in streams]).tolist()) == list(range(48))
    windows = training_windows(streams, net, CLASSES)
    nothing = windows.y == 2
    assert (windows.x[nothing] == 0).all()
    assert (windows.x[~nothing].max(1) > 0).all()
    assert np.bincount(windows.y)[:2].tolist() == [12, 12], "one of each event"
    assert 0 < nothing.sum() <= 24
    assert set(windows.groups) == {"0", "1", "2", "3", "4"}
    choice = Choice("mean,spread,change,largest", Method("logistic", 10.0), np.zeros((0, 3)), 1.0)
    scored = [*held_out_scores(net, streams, windows, choice)]
    threshold, _ = stream_rule(scored, CLASSES, [AGREEMENT])
    assert 0.2 < threshold < 1, "events differ from nothing, but not from one another"


def test_the_rule_has_the_fewest_false_alarms_of_those_that_find_the_events() -> None:
    stream = stitch(parts(), [0, 7, 5, 5, 5])  # a fight from 5 to 31, then nothing
    scores = np.tile([0.1, 0.1, 0.8], (len(stream.clip), 1))
    scores[8:20] = scores[55:60] = [0.1, 0.7, 0.2]  # the event for 12 frames; a false alarm of 5
    assert stream_rule([(stream, scores)], CLASSES, [3]) == (0.7, 3)
    assert count(reported_events(scores, CLASSES, 0.7, 3), stream, CLASSES) == Counts(1, 1, 1, 1)
    assert stream_rule([(stream, scores)], CLASSES, [3, 6, 12]) == (0.7, 6)
    assert count(reported_events(scores, CLASSES, 0.7, 6), stream, CLASSES) == Counts(1, 1, 1, 0)


def test_the_false_alarms_at_a_share_of_events_found() -> None:
    curve = {"false_alarms_per_hour": [9.0, 5.0, 2.0, 0.0], "found": [1.0, 0.95, 0.9, 0.2]}
    assert at_found(curve) == 2
    assert at_found(curve, 0.94) == 5
