"""Streams give the same scores and events as recordings, in constant memory and independent of
other streams.
"""

import gc
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import Make
from eventful import CLASSES, DATA, LENGTHS, eventful, untrained
from senders import Sender, cut, slowly, transport_stream

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError, Step
from onlooker.data.transforms import to_video
from onlooker.recognizer import Recognizer
from onlooker.stream.streams import Streams
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize
from onlooker.video.write import write


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def expected(of: Recognizer, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The scores of the model for all frames at once; with an event layer, of the windows that end
    at a frame.
    """
    pixels = np.stack([frame for _, _, frame in VideoReader(path)])
    small = torch.from_numpy(resize(pixels, of.data.size, of.data.channels))
    with torch.no_grad():
        output = of.model(to_video(small[None], of.data.normalization))
    scores = output.logits[0].softmax(-1)
    if output.windows is not None:
        scores = output.windows.scores[0]
    return scores.numpy(), None if output.attention is None else output.attention[0].numpy()


def check(steps: list[Step], of: Recognizer, path: Path) -> None:
    scores, attention = expected(of, path)
    assert [step.index for step in steps] == list(range(len(scores)))
    found = [step.scores if step.rows is None else step.rows[0] for step in steps]
    np.testing.assert_allclose(found, scores, atol=1e-5)
    if attention is None:
        assert all(step.attention is None for step in steps)
    else:
        # of differences of frames, in which rounding to 16 bits counts more than in scores
        np.testing.assert_allclose([step.attention for step in steps], attention, atol=5e-5)


@pytest.mark.parametrize(
    ("name", "channels", "normalization"),
    [
        ("convalstm", 3, "half"),
        ("convalstm", 1, "imagenet"),
        ("lstm", 1, "half"),
        ("convnet", 3, "imagenet"),
        ("report", 3, "half"),
    ],
)
def test_steps_equal_the_whole_clip(
    make_clip: Make, name: str, channels: int, normalization: str
) -> None:
    path = make_clip(frames=14)
    data = replace(DATA, channels=channels, normalization=normalization)
    of = untrained(name, data=data)
    steps = list(of.watch(path))
    check(steps, of, path)
    frames = [pixels for _, _, pixels in VideoReader(path)]
    np.testing.assert_array_equal([step.pixels for step in steps], frames)
    assert [step.time for step in steps] == pytest.approx([i / 10 for i in range(14)])
    assert {(step.source, step.classes, step.dropped) for step in steps} == {
        (str(path), CLASSES, 0)
    }


def test_streams_may_start_and_end_at_any_time(make_clip: Make) -> None:
    of = untrained()
    streams = Streams(of.model, DATA, of.decision)
    frames = list(VideoReader(make_clip(frames=8)))
    scores, _ = expected(of, make_clip(frames=8))
    places: dict[str, int] = {"a": 0, "b": 0, "c": 0}
    batches: list[int] = []
    of.model.encoder.register_forward_hook(lambda _, given, __: batches.append(len(given[0])))
    for names in ("a", "ab", "bc", "c", "abc", "ca", "b"):
        seen = streams.step({name: frames[places[name]] for name in names})
        assert set(seen) == set(names)
        for name in names:
            np.testing.assert_allclose(seen[name].scores, scores[places[name]], atol=1e-5)
            places[name] += 1
    assert batches == [1, 2, 2, 1, 3, 2, 1]
    assert streams.step({}) == {}
    assert streams.end("a") is None
    assert set(streams.memories) == {"b", "c"}, "its state is freed"
    assert streams.end("a") is None, "it is gone already"


def test_a_failing_source_does_not_stop_the_others(make_clip: Make, tmp_path: Path) -> None:
    of = untrained()
    good = make_clip(frames=30)
    bad = tmp_path / "gone.mp4"
    steps: list[Step] = []
    with pytest.raises(ClipError, match=r"gone.mp4: no such file"):
        steps.extend(of.watch([bad, good]))
    errors: list[ClipError] = []
    steps = list(of.watch([bad, good], on_error=errors.append))
    check(steps, of, good)
    assert [error.path for error in errors] == [bad]


def test_a_state_that_is_not_finite_ends_its_stream_alone(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = untrained()
    good = make_clip(frames=12)
    bad = make_clip("bad.mp4", frames=12)
    steps_of = Streams.steps

    def damaged(self: Streams, frames: dict[str, Any], *given: Any, **named: Any) -> list[Step]:
        for source, (index, _time, _pixels) in frames.items():
            if source == str(bad) and index == 5:
                memory = self.memories[source]
                nan = [torch.full_like(part, torch.nan) for part in memory.model]
                self.memories[source] = replace(memory, model=type(memory.model)(*nan))
        return steps_of(self, frames, *given, **named)

    monkeypatch.setattr(Streams, "steps", damaged)
    errors: list[ClipError] = []
    steps = list(of.watch([bad, good], on_error=errors.append))
    assert [error.path for error in errors] == [bad]
    assert [step.index for step in steps if step.source == str(good)] == list(range(12))
    assert len([step for step in steps if step.source == str(bad)]) == 5
    check([step for step in steps if step.source == str(good)], of, good)


def test_leaving_the_loop_ends_the_threads(make_clip: Make) -> None:
    with Sender(lambda: slowly(cut(transport_stream(60), 4), 0.02)) as sender:
        for step in untrained().watch(
            [sender.address, make_clip(frames=50)], StreamConfig(timeout=180)
        ):
            if step.index == 2:
                break


def test_sources_that_differ_in_what_is_not_shown_are_two_streams() -> None:
    sources = [f"tcp://ann:{password}@127.0.0.1:9/?token=1" for password in ("a", "b", "c")]
    errors: list[ClipError] = []
    assert [*untrained().watch(sources, StreamConfig(attempts=0), on_error=errors.append)] == []
    shown = "tcp:/***@127.0.0.1:9/?token=***"
    names = [f"{shown}{number}" for number in ("", " (2)", " (3)")]
    assert sorted(str(error.path) for error in errors) == names


@pytest.mark.parametrize(
    ("model", "sources", "message"),
    [
        ("convalstm", [], "no source to watch"),
        ("convalstm", ["a.mp4", Path("a.mp4")], "given twice"),
        (
            "convalstm",
            ["rtsp://a:b@h?token=1"] * 2,
            r"rtsp://\*\*\*@h\?token=\*\*\* is given twice",
        ),
        ("convalstm", ["a.mp4", "rtsp://"], "expected an address"),
        ("tracks", "tcp://127.0.0.1:9", "tracks reads groups of frames of whole clips"),
    ],
)
def test_sources_are_checked_before_any_is_opened(
    model: str, sources: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        untrained(model).watch(sources)


@pytest.mark.parametrize("threshold", [None, 0.4, 0.99])
def test_a_model_without_an_event_layer_answers_each_frame_by_the_threshold(
    make_clip: Make, threshold: float | None
) -> None:
    of = untrained(threshold=threshold)
    for step in of.watch(make_clip(frames=8)):
        best = int(step.scores.argmax())
        reached = threshold is None or step.scores[best] >= threshold
        assert step.label == (CLASSES[best] if reached else "nothing")
        assert step.score == pytest.approx(
            step.scores[best] if reached else 1 - step.scores[best]
        )
        assert (step.happening, step.event, step.events, step.rows) == (None, None, (), None)
    with pytest.raises(ValueError, match="this model finds no events; train the default model"):
        of.predict_recording(make_clip(frames=8))


def plain(events: Any) -> list[tuple[str, float, float, float]]:
    return [(each.label, each.start, each.end, each.score) for each in events]


def test_the_events_of_a_stream_are_those_of_the_windows_of_its_recording(
    make_clip: Make,
) -> None:
    of = eventful()
    path = make_clip(frames=47)
    *steps, last = of.watch(path)
    check(steps, of, path)
    segmenter = of.streams().segmenter
    memory = segmenter.start
    for step in steps:
        (windows,) = step.rows
        result = segmenter.step(memory, step.time, windows)
        memory = result.memory
        now = next(iter(result.ongoing), None)
        assert plain(step.events) == plain(result.final)
        assert (step.event, step.happening) == (now, now is not None)
        assert step.label == (now.label if now else "nothing")
        assert step.score == pytest.approx(now.score if now else 1 - windows.max())
        assert {box.label for box in step.boxes} <= {step.label}
    assert [step.event for step in steps[:3]] == [None] * 3, "no window has ended"
    assert any(step.event for step in steps)
    events = [event for step in (*steps, last) for event in step.events]
    assert {each.source for each in (*steps, *events)} == {str(path)}
    # What is not final at the end comes with the last step again.
    assert len(events) > len(last.events) > 0
    assert plain(last.events) == plain(segmenter.finish(memory))
    assert (last.index, last.time, last.event, last.pixels) == (46, steps[-1].time, None, None)
    assert (last.label, last.happening, last.boxes) == ("nothing", False, ())
    assert last.score > 1 - segmenter.threshold, "no window that is left may be an event"


def test_the_box_of_an_event_is_the_mean_of_those_while_it_lasts(make_clip: Make) -> None:
    *steps, last = eventful().watch(make_clip(frames=47))
    events = [event for step in (*steps, last) for event in step.events]
    assert any(event.box for event in events)
    for event in events:
        during = [
            step.box.corners
            for step in steps
            if step.box and event.start <= step.time < event.end
        ]
        assert event.box == (pytest.approx(np.mean(during, 0)) if during else None)


def test_a_class_of_nothing_is_no_event_of_a_stream(make_clip: Make) -> None:
    of = eventful()
    path = make_clip(frames=30)
    (common, *_) = {event.label for step in of.watch(path) for event in step.events}
    of = eventful(nothing=common)
    steps = [step for step in of.watch(path) if step.pixels is not None]
    assert common not in {event.label for step in steps for event in step.events}
    quiet = [step for step in steps if step.label == common]
    assert quiet
    for step in quiet:
        events = dict(zip(step.classes, step.scores.tolist(), strict=True))
        shown = events.pop(common)
        assert step.score == pytest.approx(shown) == 1 - max(events.values())


def test_streams_in_a_batch_are_those_of_single_streams(make_clip: Make) -> None:
    of = eventful()
    paths = [
        make_clip(f"{length}.mp4", frames=length, size=size)
        for length, size in ((23, (64, 48)), (40, (48, 40)))
    ]
    together = list(of.watch(paths))
    for path in paths:
        seen = [step for step in together if step.source == str(path)]
        check([step for step in seen if step.pixels is not None], of, path)
        alone = [event for step in of.watch(path) for event in plain(step.events)]
        assert alone
        assert [event for step in seen for event in plain(step.events)] == [
            (event[0], *(pytest.approx(value, abs=1e-4) for value in event[1:]))
            for event in alone
        ]


def test_memory_is_constant(tmp_path: Path) -> None:
    path = write(
        tmp_path / "long.mp4",
        (np.full((32, 32, 3), t % 256, np.uint8) for t in range(900)),
        fps=25,
    )
    of = untrained("lstm")
    after = {}
    tracemalloc.start()
    for step in of.watch(path):
        if step.index in (400, 800):  # until then, libraries fill their caches
            gc.collect()
            after[step.index] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert step.index == 899
    # eight frames that wait, and less than 100 bytes a frame
    assert after[800] < after[400] + 35_000


def test_what_is_kept_of_a_stream_does_not_grow() -> None:
    chance = np.random.default_rng(0)
    streams = eventful().streams()
    longest = LENGTHS[-1]
    for index in range(100):
        frame = chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        streams.step({"a": (index, index / 10, frame)})
        memory = streams.memories["a"]
        assert len(memory.segments.times) <= longest
        assert len(memory.segments.pending) <= len(LENGTHS) * (longest // 3 + 2)
        assert len(memory.boxes) <= longest + longest // 3 + 2
        assert memory.last.pixels is None
