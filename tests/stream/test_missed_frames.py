"""Models count frames as time: where frames are missing, the last one is repeated, in every kind of
live source; for a model with an event layer, the features of a few are interpolated.
"""

import io
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import Make, painted_number
from commands import call
from eventful import eventful, untrained
from made_heads import event_heads
from numpy.typing import NDArray
from PIL import Image
from senders import Sender, cut, slowly, transport_stream
from torch import Tensor

from onlooker.base.config import StreamConfig
from onlooker.base.records import Step
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer
from onlooker.serve.look import Viewer, decode_jpeg
from onlooker.stream import sources
from onlooker.stream.sources import Frame, LiveClock
from onlooker.stream.streams import Streams

RATE = 10.0
PARTS = ("center", "scale", "weight", "bias")  # of a layer
Pixels = NDArray[np.uint8]
Plain = tuple[str, float, float, float]


def jpeg(number: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(clips.paint(number)).save(content, "jpeg")
    return content.getvalue()


def random_places(seed: int, count: int = 40, share: float = 0.5) -> list[int]:
    """The slots in which frames arrive: the first, at least every seventh, and this share of the
    others.
    """
    chance = np.random.default_rng(seed)
    places = [0]
    for place in range(1, count):
        if chance.random() < share or place == places[-1] + 7:
            places.append(place)
    return places


def held(places: list[int]) -> list[int]:
    """The frame that is shown in each slot until the last: that of the last place before it."""
    return [max(place for place in places if place <= slot) for slot in range(places[-1] + 1)]


def every_frame(of: Recognizer, frames: list[Pixels]) -> list[Step]:
    """The steps of a model to which these frames are given, one in each slot."""
    streams = of.streams(rate=0)
    return [
        streams.step({"": (place, place / RATE, frame)})[""]
        for place, frame in enumerate(frames)
    ]


def every_slot(of: Recognizer, places: list[int], frames: list[Pixels]) -> list[Step]:
    """The steps of a model with an event layer to which the features of all slots are given: those
    of the frames that arrived in some places, and between them, if at most four are missing, their
    weighted means.
    """
    streams = of.streams()
    encoded = [
        streams._encode({"": (0, 0.0, frame)}, {"": streams._start})[""].features
        for frame in frames
    ]
    features = list[Tensor]()
    for (place, there), (after, then) in pairwise(zip(places, encoded, strict=True)):
        count = after - place
        for passed in range(count):
            share = passed / count if count <= 5 else 0.0
            features.append((1 - share) * there + share * then)
    features.append(encoded[-1])
    streams = of.streams(rate=0)
    with pytest.MonkeyPatch.context() as patch:
        given = iter(features)
        patch.setattr(of.model, "encode", lambda _: next(given))
        return [
            streams.step({"": (slot, slot / RATE, frames[0])})[""]
            for slot in range(len(features))
        ]


def scores_of(steps: list[Step]) -> NDArray[np.floating]:
    return np.stack([step.scores if step.rows is None else step.rows[0] for step in steps])


def events_of(steps: list[Step]) -> list[Plain]:
    return [
        (event.label, round(event.start, 3), round(event.end, 3), round(event.score, 4))
        for step in steps
        for event in step.events
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [eventful, partial(untrained, "convalstm")])
def test_missed_slots_repeat_the_last_frame_or_are_interpolated(
    make: partial[Recognizer], seed: int
) -> None:
    of = make(frame_rate=RATE)
    chance = np.random.default_rng(seed)
    places = random_places(seed, share=chance.uniform(0.3, 1))
    if of.model.lengths:
        expected = every_slot(of, places, [clips.paint(place) for place in places])
    else:
        expected = every_frame(of, [clips.paint(place) for place in held(places)])
    late = 0.4 * chance.random(len(places)) / RATE
    late[0] = 0
    frames = {
        place: (place, place / RATE + delay, clips.paint(place))
        for place, delay in zip(places, late.tolist(), strict=True)
    }
    streams = of.streams()
    steps = [step for frame in frames.values() for step in streams.steps({"": frame})]
    assert [step.index for step in steps] == held(places)
    np.testing.assert_allclose(
        [step.time for step in steps], np.arange(len(steps)) / RATE, atol=0.05
    )
    np.testing.assert_allclose(scores_of(steps), scores_of(expected), atol=1e-5)
    # one answer for each frame, and no event is lost
    streams = of.streams()
    answers = [streams.step({"": frame})[""] for frame in frames.values()]
    assert [step.index for step in answers] == places
    assert events_of(answers) == events_of(steps)
    np.testing.assert_allclose(scores_of(answers), scores_of(expected)[places], atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_more_frames_than_in_training_are_no_more_time(seed: int) -> None:
    of = eventful(frame_rate=RATE)
    chance = np.random.default_rng(seed)
    rate = chance.uniform(1, 6) * RATE
    times = np.cumsum(chance.uniform(0.5, 1.5, 80) / rate)
    streams = of.streams()
    for index, moment in enumerate(times.tolist()):
        step = streams.step({"": (index, moment, clips.paint(index))})[""]
        assert (step.index, step.time, step.pixels is None) == (index, moment, False)
        assert step.too_slow is None
    slots = (times[-1] - times[0]) * RATE
    state = streams.memories[""]
    assert state.slot - int(times[0] * RATE + 0.1) == pytest.approx(slots, abs=1.6)
    assert len(state.segments.times) == min(9, state.slot + 1)


def test_streams_that_miss_different_frames_are_one_batch() -> None:
    of = eventful(frame_rate=RATE)
    alone = {name: of.streams() for name in "abc"}
    together = of.streams()
    missed = {name: random_places(seed, 30) for seed, name in enumerate("abc")}
    encoded = list[int]()
    for place in range(30):
        frames: dict[str, Frame] = {
            name: (place, place / RATE, clips.paint(place, (64, 48 + 8 * ord(name) % 32)))
            for name, places in missed.items()
            if place in places
        }
        steps = together.steps(frames)
        for name, frame in frames.items():
            single = alone[name].steps({name: frame})
            own = [step for step in steps if step.source == name]
            assert [step.time for step in own] == [step.time for step in single]
            np.testing.assert_allclose(scores_of(own), scores_of(single), atol=1e-4)
        encoded.append(len(frames))
    assert max(encoded) == 3


def test_a_repeated_frame_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    of = eventful(frame_rate=RATE)
    streams = of.streams()
    encoded = list[int]()
    encode = type(of.model).encode

    def counted(self: object, frames: object) -> object:
        encoded.append(len(frames))  # type: ignore[arg-type]
        return encode(self, frames)  # type: ignore[arg-type]

    monkeypatch.setattr(type(of.model), "encode", counted)
    for place in (0, 3, 6, 50):
        steps = streams.steps({"": (place, place / RATE, clips.paint(place))})
    assert encoded == [1, 1, 1, 1]
    assert len(steps) == streams.hold + 1 == 10, "no more than the longest window"


def test_a_clock_that_begins_again_is_no_gap() -> None:
    streams = eventful(frame_rate=RATE).streams()
    for index, moment in enumerate((100.0, 100.1, 5.0, 5.1, 0.0, 0.1)):
        assert len(streams.steps({"": (index, moment, clips.paint(index))})) == 1


@pytest.mark.parametrize(("share", "expected"), [(1, None), (1.2, None), (1.5, 6.7), (3, 3.3)])
def test_a_stream_that_lacks_more_than_a_fifth_is_too_slow(
    share: float, expected: float | None
) -> None:
    streams = eventful(frame_rate=RATE).streams()
    chance = np.random.default_rng(0)
    seen = list[tuple[float, float] | None]()
    moment = 0.0
    for index in range(80):
        step = streams.step({"": (index, moment, clips.paint(0))})[""]
        seen += [step.too_slow] if moment > 8 else []
        moment += share / RATE * chance.uniform(0.8, 1.2)
    if expected is None:
        assert not any(seen)
        return
    assert all(seen)
    assert np.mean([each[0] for each in seen if each]) == pytest.approx(expected, rel=0.1)
    assert step.to_dict()["too_slow"] == [round(step.too_slow[0], 1), RATE]


def of_layers(which: str) -> Recognizer:
    """A model with layers for complete streams, "sparse" ones for streams that lack frames, or
    "both".
    """
    of = eventful(frame_rate=RATE)
    assert isinstance(of.model, LinearClassifier)
    event, classes = (
        [getattr(of.model.heads[name], part).clone() for part in PARTS]
        for name in ("event", "window")
    )
    sparse = ([*event[:3], event[3] - 4], [*classes[:3], classes[3].flip(0)])
    complete = (event, classes) if which != "sparse" else sparse
    lacking = sparse if which == "both" else ()
    of.model.set_heads(event_heads(*complete, *lacking), of.model.lengths)
    return of


def test_while_a_stream_is_too_slow_its_windows_have_layers_of_their_own() -> None:
    """From one place on, one of two streams lacks frames, and later no more."""
    missed = {place for place in range(30, 80) if place % 3}
    steps = dict[str, list[Step]]()
    for which in ("both", "complete", "sparse"):
        streams = of_layers(which).streams()
        steps[which] = []
        for place in range(160):
            names = "a" if place in missed else "ab"
            frame = (place, place / RATE, clips.paint(place))
            steps[which] += streams.steps(dict.fromkeys(names, frame))
    too_slow = [step.too_slow is not None for step in steps["both"]]
    assert {step.source for step in steps["both"] if step.too_slow} == {"b"}
    assert 40 < sum(too_slow) < 100
    assert not too_slow[-1]
    for slow, mine, complete, sparse in zip(
        too_slow, steps["both"], steps["complete"], steps["sparse"], strict=True
    ):
        expected = sparse if slow else complete
        assert mine.rows is not None
        np.testing.assert_array_equal(mine.rows, expected.rows)
        assert mine.unusual == expected.unusual
    assert np.abs(complete.rows - sparse.rows).max() > 0.1  # type: ignore[operator]


def test_a_recording_with_few_frames_is_not_too_slow(make_clip: Make) -> None:
    path = make_clip(pts=[*range(0, 9000, 300)], frames=30)
    both, complete = (of_layers(which).watch(path) for which in ("both", "complete"))
    for mine, expected in zip(both, complete, strict=True):
        assert mine.too_slow is None
        np.testing.assert_array_equal(mine.rows, expected.rows)


@pytest.mark.parametrize("seed", range(3))
def test_the_page_counts_time_as_the_library_does(seed: int) -> None:
    of = eventful(frame_rate=RATE)
    places = random_places(seed, share=0.4)
    viewer = Viewer(of)
    answers = [viewer.step(0.0, place / RATE, jpeg(place)) for place in places]
    expected = every_slot(of, places, [decode_jpeg(jpeg(place)) for place in places])
    for place, answer in zip(places, answers, strict=True):
        assert answer["label"] == expected[place].label
        assert answer["score"] == pytest.approx(expected[place].score, abs=1e-4)
    got = [event["start"] for answer in answers for event in answer["events"]]
    assert got == [round(event[1], 3) for event in events_of(expected)]
    assert answers[0]["too_slow"] is None
    assert answers[-1]["too_slow"][1] == RATE


def camera(places: list[int], number: int, clock: LiveClock) -> Iterator[sources._Arrival]:
    """A camera whose frames arrive in some slots."""
    for place in places:
        yield sources._Arrival(clock(place / RATE), partial(clips.paint, place))


@pytest.mark.parametrize("seed", range(3))
def test_watch_repeats_what_a_camera_does_not_send(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    of = eventful(frame_rate=RATE)
    places = random_places(seed, share=0.5)
    monkeypatch.setattr(sources, "_of_camera", partial(camera, places))
    steps = [
        step
        for step in of.watch(0, StreamConfig(drop="none", attempts=0))
        if step.pixels is not None
    ]
    assert [painted_number(step.pixels) for step in steps] == held(places)
    expected = every_slot(of, places, [clips.paint(place) for place in places])
    np.testing.assert_allclose(scores_of(steps), scores_of(expected), atol=1e-5)
    assert any(step.too_slow for step in steps)


def test_frames_that_a_slow_model_drops_are_repeated_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = eventful(frame_rate=25.0)
    encoded = Streams._encode

    def slowly_encoded(self: Streams, *given: dict[str, object]) -> object:
        time.sleep(0.15)
        return encoded(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Streams, "_encode", slowly_encoded)
    pieces = cut(transport_stream(100), 10)
    with Sender(lambda: slowly(pieces, 4 / len(pieces))) as sender:
        steps = list(of.watch(sender.address, StreamConfig(timeout=180, attempts=0)))
    steps = [step for step in steps if step.pixels is not None]
    assert steps[-1].dropped > 30
    indices = [step.index for step in steps]
    slots = np.diff([round(step.time * 25) for step in steps])
    # the model gets every slot, or, after a long gap, as many as it remembers
    assert all(
        after <= 2 or indices[place : place + 10] == [indices[place]] * 10
        for place, after in enumerate(slots.tolist())
    )
    assert len(indices) > 2 * len(set(indices))
    assert steps[-1].too_slow


def test_a_frame_of_a_file_is_held_until_the_next_one(make_clip: Make) -> None:
    path = make_clip(pts=[0, 100, 1000, 1100, 1200], frames=5)
    of = eventful(frame_rate=10.0)
    steps = [step for step in of.watch(path) if step.pixels is not None]
    assert [step.index for step in steps] == [0, *[1] * 9, 2, 3, 4]
    assert [painted_number(step.pixels) for step in steps] == [step.index for step in steps]
    assert [step.time for step in steps] == pytest.approx(np.arange(13) / 10, abs=0.01)
    long = make_clip("long.mp4", pts=[0, 100, 5000, 5100, 5200], frames=5)
    indices = [step.index for step in of.watch(long) if step.pixels is not None]
    assert indices == [0, 1, 2, 3, 4], "nothing was shown for longer than a model remembers"
    assert not any(step.too_slow for step in of.watch(long)), "unchanged frames are left out"


def test_watch_says_once_that_a_source_is_too_slow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = eventful(frame_rate=RATE).save(tmp_path)
    monkeypatch.setattr(sources, "_of_camera", partial(camera, [*range(0, 90, 2)]))
    said = call("watch", run, 0, "--drop", "none", "--attempts", 0).stderr
    assert said.count("0: too slow for this model: 5 of 10 frames a second\n") == 1
    assert said.count("too slow") == 1
