"""Streams give the same scores as whole clips, in constant memory and independent of other streams."""

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from senders import Sender, cut, slowly, transport_stream

from onlooker.config import DataConfig, StreamConfig
from onlooker.data.samples import read_sample
from onlooker.data.transforms import to_video
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.streaming import Streams, join_steps
from onlooker.structures import Box, ClipError, Step
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize
from onlooker.video.write import write

CLASSES = ("clap", "run", "wave")
DATA = DataConfig(frames=6, size=16, normalization="half")
CONFIG = StreamConfig(drop="none", timeout=2, attempts=0)
Make = Callable[..., Path]


def recognizer(name: str = "convalstm", data: DataConfig = DATA, **settings: Any) -> Recognizer:
    torch.manual_seed(0)
    settings = {"in_channels": data.in_channels, "size": data.size, "hidden": 8, **settings}
    return Recognizer(create_model(name, len(CLASSES), **settings), CLASSES, data)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def expected(of: Recognizer, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The scores of the model for all frames at once, as for a clip."""
    pixels = np.stack([frame for _, _, frame in VideoReader(path)])
    small = torch.from_numpy(resize(pixels, of.data.size, of.data.channels))
    with torch.no_grad():
        logits, attention = of.model(to_video(small[None], of.data.normalization))
    return logits[0].softmax(-1).numpy(), None if attention is None else attention[0].numpy()


def check(steps: list[Step], of: Recognizer, path: Path) -> None:
    scores, attention = expected(of, path)
    assert [step.index for step in steps] == list(range(len(scores)))
    np.testing.assert_allclose([step.scores for step in steps], scores, atol=1e-5)
    if attention is None:
        assert all(step.attention is None for step in steps)
    else:
        np.testing.assert_allclose([step.attention for step in steps], attention, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "channels", "normalization", "settings"),
    [
        ("convalstm", 3, "half", {}),
        ("convalstm", 1, "imagenet", {}),
        ("lstm", 1, "half", {}),
        ("convnet", 3, "imagenet", {}),
        ("report", 3, "half", {}),
    ],
)
def test_steps_equal_the_whole_clip(
    make_clip: Make, name: str, channels: int, normalization: str, settings: dict[str, Any]
) -> None:
    path, data = make_clip(frames=14), replace(DATA, channels=channels, normalization=normalization)
    of = recognizer(name, data, **settings)
    steps = list(of.watch(path))
    check(steps, of, path)
    assert [step.time for step in steps] == pytest.approx([i / 10 for i in range(14)])
    assert {(step.source, step.classes, step.dropped) for step in steps} == {(str(path), CLASSES, 0)}


@pytest.mark.parametrize("streams", ["rgb", "both"])
def test_a_step_has_its_frame(make_clip: Make, streams: str) -> None:
    data = replace(DATA, modality=streams, flow_length=2)
    settings = {"flow_channels": data.flow_channels} if streams == "both" else {}
    path = make_clip(frames=8)
    steps = list(recognizer("convalstm", data, **settings).watch(path, CONFIG))
    frames = [pixels for _, _, pixels in VideoReader(path)]
    assert len(steps) == (8 if streams == "rgb" else 6)
    for step in steps:
        np.testing.assert_array_equal(step.pixels, frames[step.index])


def test_every_step_of_a_model_with_attention_has_a_box_in_its_frame(make_clip: Make) -> None:
    path = make_clip(frames=8)
    of = recognizer()
    height, width = next(iter(VideoReader(path)))[2].shape[:2]
    steps = list(of.watch(path))
    boxes = [step.box for step in steps if step.box is not None]
    assert len(boxes) > 4
    for step in steps:
        if step.box is not None:
            x1, y1, x2, y2 = step.box.corners
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert (step.box.label, step.box.frame) == (step.label, step.index)
            assert 0 <= step.box.score <= step.score
    assert all(step.box is None for step in recognizer("lstm").watch(path))


def test_a_stream_that_ends_frees_its_state(make_clip: Make) -> None:
    of, frame = recognizer(), next(iter(VideoReader(make_clip())))
    streams = Streams(of.model, CLASSES, of.data)
    streams.step({"a": frame, "b": frame})
    assert set(streams.states) == {"a", "b"}
    streams.forget("a")
    assert set(streams.states) == {"b"}


def test_streams_in_a_batch_equal_single_streams(make_clip: Make) -> None:
    of = recognizer()
    paths = [make_clip(f"{length}.mp4", frames=length, size=size) for length, size in ((9, (64, 48)), (15, (48, 40)))]
    steps = list(of.watch(paths))
    for path in paths:
        check([step for step in steps if step.source == str(path)], of, path)


@pytest.mark.parametrize(
    ("name", "streams", "length", "size"),
    [("motion", "both", 1, (64, 48)), ("convlstm", "flow", 3, (64, 48)), ("motion", "both", 2, (320, 280))],
)
def test_flow_equals_that_of_the_whole_clip(
    make_clip: Make, name: str, streams: str, length: int, size: tuple[int, int]
) -> None:
    data = replace(DATA, frames=9, modality=streams, flow_length=length)
    settings = {"flow_channels": data.flow_channels} if streams == "both" else {}
    of, path = recognizer(name, data, **settings), make_clip(frames=9, size=size)
    seen = of.predict(path)  # of all of its frames
    steps = list(of.watch(path))
    assert [step.index for step in steps] == list(range(9 - length))  # the last frames have no whole stack after them
    assert [step.time for step in steps] == seen.times[:-length].tolist()
    np.testing.assert_allclose([step.scores for step in steps], seen.frame_scores[:-length], atol=1e-5)
    # At a lower rate it is still the flow to the very next frames.
    sample = torch.from_numpy(read_sample(path, data).pixels[: 9 - length : 5])
    with torch.no_grad():
        logits = of.model(to_video(sample[None], "half", data.flow_channels)).logits[0]
    slow = list(of.watch([path], StreamConfig(rate=2)))
    assert [step.index for step in slow] == list(range(0, 9 - length, 5))
    np.testing.assert_allclose([step.scores for step in slow], logits.softmax(-1), atol=1e-5)


def test_streams_may_start_and_end_at_any_time(make_clip: Make) -> None:
    of = recognizer()
    streams = Streams(of.model, CLASSES, DATA)
    frames = list(VideoReader(make_clip(frames=8)))
    scores, _ = expected(of, make_clip(frames=8))
    places: dict[str, int] = {"a": 0, "b": 0, "c": 0}
    batches: list[int] = []
    of.model.encoder.register_forward_hook(lambda _, given, __: batches.append(len(given[0])))  # type: ignore[union-attr]
    for names in ("a", "ab", "bc", "c", "abc", "ca", "b"):
        seen = streams.step({name: frames[places[name]] for name in names})
        assert set(seen) == set(names)
        for name in names:
            np.testing.assert_allclose(seen[name].scores, scores[places[name]], atol=1e-5)
            places[name] += 1
    assert batches == [1, 2, 2, 1, 3, 2, 1]
    assert streams.step({}) == {}


def test_a_failing_source_does_not_stop_the_others(make_clip: Make, tmp_path: Path) -> None:
    of, good, bad = recognizer(), make_clip(frames=30), tmp_path / "gone.mp4"
    steps: list[Step] = []
    with pytest.raises(ClipError, match=r"gone.mp4: no such file"):
        steps.extend(of.watch([bad, good]))
    errors: list[ClipError] = []
    steps = list(of.watch([bad, good], on_error=errors.append))
    check(steps, of, good)
    assert [error.path for error in errors] == [bad]


def test_a_state_that_is_not_finite_ends_its_stream_alone(make_clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    of, good, bad, step = recognizer(), make_clip(frames=12), make_clip("bad.mp4", frames=12), Streams.step

    def damaged(self: Streams, frames: dict[str, Any]) -> dict[str, Step]:
        for source, (index, _time, _pixels) in frames.items():
            if source == str(bad) and index == 5:
                state = self.states[source]
                nan = [torch.full_like(part, torch.nan) for part in state.model]
                self.states[source] = replace(state, model=type(state.model)(*nan))
        return step(self, frames)

    monkeypatch.setattr(Streams, "step", damaged)
    errors: list[ClipError] = []
    steps = list(of.watch([bad, good], on_error=errors.append))
    assert [error.path for error in errors] == [bad]
    assert [step.index for step in steps if step.source == str(good)] == list(range(12))
    assert len([step for step in steps if step.source == str(bad)]) == 5
    check([step for step in steps if step.source == str(good)], of, good)


def test_leaving_the_loop_ends_the_threads(make_clip: Make) -> None:
    with Sender(lambda: slowly(cut(transport_stream(60), 4), 0.02)) as sender:
        for step in recognizer().watch([sender.address, make_clip(frames=50)], StreamConfig(timeout=5)):
            if step.index == 2:
                break


def test_memory_is_constant(tmp_path: Path) -> None:
    path = write(tmp_path / "long.mp4", (np.full((32, 32, 3), t % 256, np.uint8) for t in range(900)), fps=25)
    of, after = recognizer("lstm"), {}
    tracemalloc.start()
    for step in of.watch(path):
        if step.index in (400, 800):  # until then, libraries fill their caches
            gc.collect()
            after[step.index] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert step.index == 899
    assert after[800] < after[400] + 35_000  # eight frames that wait, and less than 100 bytes a frame


def test_models_that_cannot_stream_are_reported_before_anything_is_opened() -> None:
    with pytest.raises(ValueError, match="single-frame needs whole clips"):
        recognizer("single-frame").watch("tcp://127.0.0.1:9")


def test_sources_are_checked_before_any_is_opened(make_clip: Make) -> None:
    path = make_clip()
    for sources, message in (
        ([], "no source to watch"),
        ([path, str(path)], "given twice"),
        ([path, "rtsp://"], "expected an address"),
    ):
        with pytest.raises(ValueError, match=message):
            recognizer().watch(sources)


def step_of(index: int, scores: list[float], box: float | None = None, threshold: float | None = None) -> Step:
    corners = () if box is None else (Box("", index, (box, 0, box + 2, 4)),)
    pixels = np.zeros((8, 16, 3), np.uint8)
    return Step(
        index, index / 10, np.array(scores, np.float32), ("nothing", "run", "wave"), boxes=corners, pixels=pixels,
        attention=np.full((2, 2), 0.25, np.float32), point=None if box is None else (box, 1), threshold=threshold,
    )  # fmt: skip


def test_steps_of_a_recording_become_one_prediction() -> None:
    quiet, run, wave = [0.8, 0.1, 0.1], [0.0, 0.75, 0.25], [0.1, 0.2, 0.7]
    steps = [step_of(0, quiet), step_of(1, run, 3), step_of(2, run), step_of(3, quiet), step_of(4, wave, 5)]
    joined = join_steps("a.mp4", iter(steps), 0.52)
    found = [(each.label, each.start, each.end, round(each.score, 3)) for each in joined.segments]
    assert found == [
        ("run", 0.1, pytest.approx(0.3), 0.75),
        ("wave", 0.4, 0.52, 0.7),
    ]  # the last one until the recording ends
    np.testing.assert_allclose(joined.scores, np.mean([run, run, wave], 0), atol=1e-6)  # of the events alone
    assert [(tube.label, tube.frames.tolist()) for tube in joined.tubes] == [("run", [1]), ("wave", [4])]
    np.testing.assert_allclose(joined.tubes[1].boxes, [[5, 0, 7, 4]])
    assert (joined.size, joined.label, len(joined.times)) == ((8, 16), "run", 5)
    assert joined.points is not None
    np.testing.assert_array_equal(np.isnan(joined.points[:, 0]), [True, False, True, True, False])


def test_a_recording_without_events_is_answered_by_all_its_steps() -> None:
    joined = join_steps("a.mp4", [step_of(0, [0.8, 0.1, 0.1]), step_of(1, [0.6, 0.2, 0.2])], 0.2)
    assert (joined.label, joined.segments, joined.tubes) == ("nothing", (), ())
    np.testing.assert_allclose(joined.scores, [0.7, 0.15, 0.15], atol=1e-6)
    single = join_steps("a.mp4", [step_of(0, [0.1, 0.8, 0.1])], 0.1)
    assert [(each.label, each.start, each.end) for each in single.segments] == [("run", 0, 0.1)]
    with pytest.raises(ClipError, match="too short"):
        join_steps("a.mp4", [], 0)
