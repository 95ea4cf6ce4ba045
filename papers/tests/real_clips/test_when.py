"""When events happen: stitched streams and their figures, counted naively, and live as offline in a
clear case.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onlooker.base.decision import Decision
from onlooker.base.files import read_json
from onlooker.base.records import Clip, Segment
from onlooker.models.linear import LinearClassifier
from onlooker.stream.segmenters import WindowSegmenter
from onlooker_papers.real_clips import when as measured
from onlooker_papers.real_clips.streams import Pace, Part, mostly_nothing, stitch, with_pauses
from onlooker_papers.real_clips.when import (
    SETTINGS,
    Fitted,
    Played,
    figures_of,
    fitted,
    play,
    reported,
)

CLASSES = ("fall", "fight", "nothing")
RATE = 4.0


def parts(count: int = 30, seed: int = 0) -> list[Part]:
    """Clips in which one of two groups of channels comes and goes, or nothing does but noise."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(count):
        label = CLASSES[i % 3]
        frames = int(random.integers(7, 10))
        features = random.normal(0, 0.02, (frames, 64, 2, 2))
        if label != "nothing":
            channels = slice(0, 8) if label == "fall" else slice(8, 16)
            features[:, channels] += np.sin(np.linspace(0, np.pi, frames))[:, None, None, None]
        made.append(Part(features.astype(np.float16), label, f"{seed} recording {i}"))
    return made


@pytest.fixture(scope="module")
def model(all_methods: None) -> Fitted:
    torch.manual_seed(0)
    return fitted(
        LinearClassifier(3, "conv4", window=8, size=16).eval(), parts(), CLASSES, rate=RATE
    )


@pytest.fixture(scope="module")
def played(model: Fitted) -> Played:
    test = parts(18, seed=1)
    return Played.of(model, stitch(test, with_pauses(test, np.random.default_rng(0)), model.pace))


def test_a_stream_has_its_clips_frames_and_events_in_order() -> None:
    clips = [
        part._replace(features=np.full((10, 1, 1, 1), i, np.float16))
        for i, part in enumerate(parts(4))
    ]
    stream = stitch(clips, [2, 0, 2, 1], Pace(rate=2.0, step=2.5))
    assert stream.clip.tolist() == [2] * 4 + [0] * 4 + [2] * 4 + [1] * 4
    assert stream.place.tolist() == [0, 2, 5, 8] * 4, (
        "the nearest of 0, 2.5, 5 and 7.5; halves to the even one"
    )
    assert stream.events == [Segment("fall", 2.0, 4.0), Segment("fight", 6.0, 8.0)]
    assert stream.times == [t / 2 for t in range(16)]
    assert stream.features(3, 5).flatten().tolist() == [2, 0]


def test_at_a_step_of_one_frame_streams_have_all_frames() -> None:
    assert Pace(4.0, 1.0).frames(5).tolist() == [0, 1, 2, 3, 4]
    assert Pace(4.0, 1.5).frames(5).max() < 5


def test_every_event_comes_once_between_clips_of_nothing() -> None:
    clips = parts(12)
    order = with_pauses(clips, np.random.default_rng(3))
    events = [i for i in order if clips[i].label != "nothing"]
    assert sorted(events) == [i for i, part in enumerate(clips) if part.label != "nothing"]
    assert clips[order[0]].label == clips[order[-1]].label == "nothing"
    assert all("nothing" in (clips[a].label, clips[b].label) for a, b in pairwise(order))


def test_in_a_stream_of_mostly_nothing_events_are_rare() -> None:
    clips = parts(12)
    order = mostly_nothing(clips, 8000, np.random.default_rng(0))
    assert 8000 <= sum(len(clips[i].features) for i in order) < 8020
    nothing = [i for i in order if clips[i].label == "nothing"]
    assert len(order) / len(nothing) == pytest.approx(1.1, abs=0.05)
    assert np.ptp(np.unique(nothing, return_counts=True)[1]) <= 1


def test_a_stream_is_played_in_parts_as_a_whole(model: Fitted) -> None:
    clips = parts(60, seed=2)
    stream = stitch(clips, range(60), model.pace)
    assert len(stream.clip) > 2 * 128
    with torch.no_grad():
        windows = model.net.forward_features(
            stream.features(0, len(stream.clip))[None].float()
        ).windows
    assert windows is not None
    expected = model.decision.calibrated(windows.scores[0]).numpy()
    for place, length in enumerate(model.net.lengths):
        found = play(model, stream)[length - 1 :, place]
        np.testing.assert_allclose(found, expected[length - 1 :, place], atol=1e-4)


def test_motion_words_of_a_stream_are_those_since_the_frame_before() -> None:
    motion = np.arange(30, dtype=np.float16).reshape(10, 3)
    clips = [part._replace(motion=motion + i) for i, part in enumerate(parts(2))]
    clips = [part._replace(features=np.zeros((10, 1, 1, 1), np.float16)) for part in clips]
    stream = stitch(clips, [1, 0], Pace(rate=2.0, step=2.5))
    shown = stream.eyes(0, 8)["motion"]
    of_clip = [motion[:1].sum(0), motion[1:3].sum(0), motion[3:6].sum(0), motion[6:9].sum(0)]
    counts = np.array([1, 2, 3, 3])
    expected = np.concatenate([np.array(of_clip) + counts[:, None], of_clip])
    np.testing.assert_array_equal(shown.numpy(), expected)
    alone = stitch(clips, [0], Pace(rate=2.0, step=2.5)).eyes(0, 4)["motion"]
    np.testing.assert_array_equal(alone.numpy(), of_clip)


def test_events_that_only_motion_tells_are_named() -> None:
    """All clips look as falls do, but those of fights move in another way."""
    random = np.random.default_rng(0)

    def moving(seed: int) -> list[Part]:
        seen = {"fall": 0, "fight": 0, "nothing": 2}
        shown = parts(60, seed=seed)
        return [
            shown[i - i % 3 + seen[part.label]]._replace(
                label=part.label,
                recording=part.recording,
                motion=_words(CLASSES.index(part.label), random, len(shown[i - i % 3].features)),
            )
            for i, part in enumerate(shown)
        ]

    torch.manual_seed(0)
    net = LinearClassifier(3, "conv4", window=8, size=16).eval()
    of = fitted(net, moving(0), CLASSES, rate=RATE)
    assert of.net.eyes["motion"] == 64
    test = moving(1)
    stream = stitch(test, with_pauses(test, np.random.default_rng(0)), of.pace)
    assert figures_of([Played.of(of, stream)])["segment_map"]["live"]["0.3"] > 0.8


def _words(label: int, random: np.random.Generator, frames: int) -> np.ndarray:
    """A block in each frame, and 64 sums, of which a class has its own ones."""
    sums = random.normal(0, 0.1, (frames, 64))
    sums[:, label::3] += 1
    return np.concatenate([np.ones((frames, 1)), sums], 1).astype(np.float16)


def test_clear_events_are_found_live_as_offline(played: Played) -> None:
    figures = figures_of([played])
    assert figures["found"] == figures["named"] == 1
    assert figures["false_alarms_per_hour"] == 0
    assert figures["by_chance"]["named"] < figures["by_chance"]["found"] < 1
    assert figures["same"] == 1
    assert 0 < figures["delay"] < 2
    assert figures["segment_map"]["offline"] == figures["segment_map"]["live"]
    assert figures["events"] == 12
    assert figures["hours"] == pytest.approx(len(played.times) / RATE / 3600)


def test_clear_events_begin_and_end_where_they_do(model: Fitted) -> None:
    """Of three streams; where no windows of .84 and 1.15 medians end, it is .76."""
    streams = list[Played]()
    for seed in (1, 2, 3):
        test = parts(18, seed=seed)
        order = with_pauses(test, np.random.default_rng(0))
        streams.append(Played.of(model, stitch(test, order, model.pace)))
    figures = figures_of(streams)
    assert figures["segment_map"]["live"]["0.5"] > 0.9
    assert figures["borders"]["error"] < 0.2
    assert figures["calibration_error"] < 0.15


def scripted(events: list[Segment], true: list[Segment], seconds: int = 200) -> Played:
    """A stream in which the windows of these events have their scores, and all others none."""
    lengths = sorted({round(each.end - each.start) for each in events})
    scores = np.zeros((seconds, len(lengths), 3))
    for each in events:
        last = round(each.end) - 1
        scores[last, lengths.index(round(each.end - each.start)), CLASSES.index(each.label)] = (
            each.score
        )
    return Played(
        list(map(float, range(seconds))),
        scores,
        true,
        WindowSegmenter(Decision(CLASSES), lengths, 0.02),
        0.5,
    )


def naive(found: list[Segment], true: list[Segment], seconds: float) -> dict[str, float]:
    def together(one: Segment, other: Segment) -> bool:
        return min(one.end, other.end) > max(one.start, other.start)

    near = [[each for each in found if together(each, event)] for event in true]
    alarms = [each for each in found if not any(together(each, event) for event in true)]
    outside = seconds - sum(event.end - event.start for event in true)
    return {
        "found": sum(map(bool, near)) / len(true),
        "named": sum(
            event.label in {e.label for e in of} for event, of in zip(true, near, strict=True)
        )
        / len(true),
        "false_alarms_per_hour": len(alarms) / outside * 3600,
    }


def test_found_events_and_alarms_are_those_of_a_naive_count() -> None:
    random = np.random.default_rng(0)
    starts = np.arange(5, 185, 15)
    true = [
        Segment(CLASSES[i % 2], float(start), float(start + 6))
        for i, start in enumerate(starts.tolist())
    ]
    guesses = [
        Segment(CLASSES[random.integers(2)], start, start + 5, float(random.uniform(0.1, 1)))
        for start in (starts + random.integers(-9, 6, len(starts))).clip(0).astype(float).tolist()
    ]
    stream = scripted(guesses, true)
    offline = stream.segmenter.find(stream.times, stream.scores)
    assert len(offline) > 8
    for threshold in (0.02, 0.5, 0.8):
        kept = [each for each in offline if each.score >= threshold]
        figures = reported([stream], thresholds=[threshold], seconds=[200.0])
        assert figures["same"] == 1, "events that overlap no other are the same live"
        expected = naive(kept, true, 200.0)
        assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert 0 < expected["found"] < 1
    assert expected["named"] < expected["found"]


def test_calibration_and_borders_are_those_of_a_naive_count() -> None:
    true = [Segment("fall", 20.0, 30.0), Segment("fight", 60.0, 64.0), Segment("fall", 90.0, 98.0)]
    guesses = [
        Segment("fall", 21.0, 30.0, 0.9),  # a tenth late
        Segment("fight", 59.0, 65.0, 0.7),  # a quarter early, and a quarter late
        Segment("fight", 91.0, 96.0, 0.3),  # the wrong class
        Segment("fall", 130.0, 139.0, 0.2),
    ]
    figures = figures_of([scripted(guesses, true)])
    # five bins, of an event at most: the distances of scores from 1, 1, 0 and 0
    assert figures["calibration_error"] == pytest.approx((0.1 + 0.3 + 0.3 + 0.2) / 4)
    assert figures["borders"] == pytest.approx(
        {"error": np.median([0.1, 0, 0.25, 0.25]), "begin": (0.1 - 0.25) / 2, "end": 0.25 / 2}
    )
    nothing = figures_of([scripted([Segment("fall", 130.0, 139.0, 0.2)], true)])
    assert nothing["borders"] is None


def test_nothing_is_reported_at_a_threshold_that_no_score_reaches(played: Played) -> None:
    figures = reported([played], thresholds=[2.0], seconds=[100.0])
    assert figures["found"] == figures["false_alarms_per_hour"] == 0
    assert figures["delay"] is None


def test_a_delay_is_that_of_the_first_event_that_overlaps_a_true_one() -> None:
    true = [Segment("fall", 20.0, 26.0), Segment("fight", 60.0, 66.0)]
    stream = scripted([Segment("fall", 20.0, 26.0, 0.9), Segment("fall", 63.0, 69.0, 0.9)], true)
    figures = reported(
        [stream],
        thresholds=[0.5],
        seconds=[200.0],
    )
    assert figures["delay"] == np.median([2.0, 5.0]), (
        "a third of six seconds after its end, 26 and 69"
    )
    assert (figures["found"], figures["named"]) == (1, 0.5)


def test_background_is_cut_into_minutes_of_which_half_are_quiet_time(model: Fitted) -> None:
    quiet = [part for part in parts(30) if part.label == "nothing"]
    hours = 0.1
    background = measured._background(quiet, hours, model.pace)
    assert (len(background.fitted), len(background.held_out)) == (3, 3)
    pieces = [background.read(path)[0] for path in (*background.fitted, *background.held_out)]
    assert sum(map(len, pieces)) == round(3600 * hours * model.pace.rate)
    assert {piece.shape[1:] for piece in pieces} == {quiet[0].features.shape[1:]}
    net = LinearClassifier(3, "conv4", window=8, size=16).eval()
    given = fitted(net, parts(), CLASSES, rate=RATE, quiet=quiet, hours=hours).decision.curve
    known = model.decision.curve
    assert given is not None
    assert known is not None
    assert given.hours - known.hours == pytest.approx(hours / 2, abs=0.01)


def test_whatever_is_reported_where_no_event_happens_counts() -> None:
    events = [Segment("fall", 21.0, 30.0, 0.9), Segment("fight", 59.0, 65.0, 0.4)]
    figures = measured.reported_elsewhere([scripted(events, [])] * 2)
    assert figures == {"reported": 2, "hours": 2 * 200 / 3600, "thresholds": [0.5]}


def test_a_model_of_one_place_plays_streams_of_another_at_its_own_rate() -> None:
    setting = SETTINGS["weizmann_on_jhmdb"]
    test = parts(9)
    order = measured._order(setting, test, np.random.default_rng(0))
    assert sorted(order) == [*range(9)], "every clip once"
    assert SETTINGS[setting.elsewhere].of == "jhmdb"
    mostly = replace(SETTINGS["background_ucf101_18"], rate=RATE, hours=0.1, streams=2)
    frames = sum(
        len(test[i].features) for i in measured._order(mostly, test, np.random.default_rng(0))
    )
    assert frames == pytest.approx(0.05 * 3600 * RATE, rel=0.05)


def test_classes_of_a_setting() -> None:
    labels = ("Archery", "CricketShot", "Surfing")
    found = {
        name: [SETTINGS[name].label(Clip(Path("a.mp4"), label)) for label in labels]
        for name in SETTINGS
    }
    assert found["ucf101_18"] == ["Archery", "CricketShot", "nothing"]
    assert found["background_ucf101_18"] == ["Archery", "nothing", "nothing"]
    assert found["weizmann"] == [None, None, None]


def test_each_row_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def measure(name: str) -> dict[str, Any]:
        return {"hours": 3.0 if (tmp_path / "when.json").exists() and again else 1.0}

    again = False

    monkeypatch.setattr(measured, "measure", measure)
    measured.when(results=tmp_path)
    again = True
    measured.when("jhmdb", tmp_path)
    figures = read_json(tmp_path / "when.json")["figures"]
    expected = dict.fromkeys(SETTINGS, 1.0) | {"jhmdb": 3.0}
    assert {name: of["hours"] for name, of in figures.items()} == expected
