"""Where nothing was shown for longer than a model remembers, a recording is answered as two: no event
and no bout is in both parts, in every container, by `predict` and by `watch`.
"""

import json
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from clips import paint
from commands import call
from eventful import eventful, stateful
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import onlooker.recognizer
from onlooker.base.records import NO_PICTURE, Segment
from onlooker.measure.timeline import Timeline
from onlooker.recognizer import Recognizer
from onlooker.report.plots import ethogram
from onlooker.stream import sources

RATE = 10
COUNT = 40
quick = settings(derandomize=True, deadline=None, max_examples=2)
FILES = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video"}
Plain = list[tuple[str, float, float, float]]


def states(seed: int) -> list[NDArray[np.uint8]]:
    """Frames that are dark or bright for a second or more."""
    chance = np.random.default_rng(seed)
    grays = np.repeat(chance.permutation([20, 230, 20, 230]), 10)
    return [np.full((48, 64, 3), gray, np.uint8) for gray in grays.tolist()]


def events(seed: int) -> list[NDArray[np.uint8]]:
    chance = np.random.default_rng(seed)
    return [paint(number) for number in chance.integers(0, 1000, COUNT).tolist()]


MODELS: dict[str, tuple[Callable[[], Recognizer], Callable[[int], list[NDArray[np.uint8]]]]] = {
    "events": (lambda: eventful(frame_rate=float(RATE)), events),
    "states": (stateful, states),
}


def film(path: Path, frames: Sequence[NDArray[np.uint8]], slots: Sequence[int]) -> Path:
    rate = 25 if path.suffix == ".ts" else RATE  # MPEG-2 has few rates
    with av.open(str(path), "w") as container:
        codec = FILES[path.suffix]
        stream = container.add_stream(codec, rate=rate, options={"bf": "2"})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p"
        for pixels, slot in zip(frames, slots, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts = slot * rate // RATE
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def plain(segments: Sequence[Segment]) -> Plain:
    found = [
        (one.label, one.start, one.end, one.score)
        for one in sorted(segments, key=lambda one: (one.start, one.label))
    ]
    return [(label, *(round(number, 2) for number in numbers)) for label, *numbers in found]  # type: ignore[misc]


def watched(recognizer: Recognizer, path: Path) -> Plain:
    return plain([event for step in recognizer.watch(path) for event in step.events])


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_recording_with_a_pause_is_answered_as_two(kind: str, suffix: str) -> None:
    make, frames_of = MODELS[kind]
    recognizer = make()

    @quick
    @given(st.integers(0, 9), st.integers(12, 28), st.sampled_from([70, 200, 6000]))
    def check(seed: int, place: int, pause: int) -> None:
        frames = frames_of(seed)
        place -= place % 2  # a slot of the model of states
        slots = [*range(place), *range(place + pause, COUNT + pause)]
        with TemporaryDirectory() as name:
            folder = Path(name)
            path = film(folder / f"whole{suffix}", frames, slots)
            whole = recognizer.predict(path)
            again = (place + pause) / RATE
            (unseen,) = whole.pauses
            assert unseen == pytest.approx((place / RATE, again), abs=0.21)
            assert plain(whole.segments) == watched(recognizer, path)
        assert whole.segments
        for segment in whole.segments:
            assert segment.end <= place / RATE + 0.3 or segment.start >= again - 0.01

    check()


@pytest.mark.parametrize("kind", MODELS)
def test_each_part_is_answered_as_if_it_were_alone(tmp_path: Path, kind: str) -> None:
    make, frames_of = MODELS[kind]
    recognizer = make()
    frames = frames_of(2)
    whole = film(tmp_path / "whole.avi", frames, [*range(20), *range(220, 240)])
    first = film(tmp_path / "first.avi", frames[:20], range(20))
    last = film(tmp_path / "last.avi", frames[20:], range(20))
    expected = [
        (segment.label, segment.start + later, segment.end + later)
        for path, later in ((first, 0.0), (last, 22.0))
        for segment in recognizer.predict_recording(path)[0].segments
    ]
    found = [(one.label, one.start, one.end) for one in recognizer.predict(whole).segments]
    assert [label for label, *_ in sorted(found)] == [label for label, *_ in sorted(expected)]
    np.testing.assert_allclose(
        [times for _, *times in sorted(found)],
        [times for _, *times in sorted(expected)],
        atol=0.1,  # each file is encoded anew
    )


def test_no_segment_of_a_pipe_spans_time_without_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = eventful(frame_rate=float(RATE))
    path = film(tmp_path / "a.ts", events(2), [*range(20), *range(220, 240)])
    end = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(sources, "_PIPE", f"pipe:{end}")
    steps = [*recognizer.watch("-")]
    os.close(end)
    found = [event for step in steps for event in step.events]
    assert any(event.start >= 22 for event in found)
    for event in found:
        assert event.end <= 2.3 or event.start >= 21.9
    (pause,) = (step.pause for step in steps if step.pause)
    assert pause == pytest.approx((2.1, 22.1), abs=0.21)


def test_time_without_a_picture_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = stateful()
    slots = [*range(30), *range(230, 240)]
    path = film(tmp_path / "a.mkv", states(1), slots)
    prediction = recognizer.predict(path)
    budget = {row.label: row for row in prediction.budget()}
    assert budget[NO_PICTURE].seconds == pytest.approx(20, abs=0.21)
    assert budget[NO_PICTURE].bouts == 1
    one_tier = [row.share for label, row in budget.items() if label != "sit"]
    assert sum(one_tier) <= 1.001
    assert f"{NO_PICTURE} 83 %" in str(prediction)
    assert prediction.to_dict()["no_picture"] == [
        [pytest.approx(3, abs=0.21), pytest.approx(23)]
    ]
    steps = [step for step in recognizer.watch(path) if step.pause]
    assert [step.to_dict()["no_picture"] for step in steps] == [
        [pytest.approx(3, abs=0.21), pytest.approx(23)]
    ]
    with monkeypatch.context() as patch:  # in pieces, the first of which ends in the pause
        patch.setattr(onlooker.recognizer, "_PIECE", 5.0)
        pieces = recognizer.predict(path)
    assert pieces.pauses == prediction.pauses
    assert plain(pieces.segments) == plain(prediction.segments)
    timeline = Timeline(prediction.segments, prediction.end, prediction.pauses)
    figure = ethogram((timeline, timeline), recognizer.classes)
    assert NO_PICTURE in figure.axes[0].get_legend_handles_labels()[1]
    run = recognizer.save(tmp_path / "run")
    said = call(
        "predict", run, path, "--out", tmp_path / "out", "--json", tmp_path / "all.jsonl"
    )
    assert f"{NO_PICTURE}: 3.0 to 23.0 s" in said.output.replace("\n", " ")
    assert f"{NO_PICTURE} seconds" in (tmp_path / "out" / "budget.csv").read_text()
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert any("no_picture" in row for row in rows)
    assert f"a.mkv: {NO_PICTURE} from 3." in call("watch", run, path).output


@pytest.mark.parametrize("kind", MODELS)
def test_no_segment_ends_after_its_video_where_stamps_jump(tmp_path: Path, kind: str) -> None:
    make, frames_of = MODELS[kind]
    recognizer = make()
    slots = [*range(20), *range(954_430, 954_450)]
    path = film(tmp_path / "a.mkv", frames_of(3), slots)
    prediction, live = recognizer.predict_recording(path)
    assert prediction.segments
    assert plain(prediction.segments) == plain(live)
    assert all(segment.end - segment.start < 3 for segment in live)
    assert max(segment.end for segment in live) <= slots[-1] / RATE + 0.3


def test_pictures_that_are_far_apart_are_shown_for_a_moment_each(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", events(0), [150 * place for place in range(COUNT)])
    prediction = stateful().predict(path)
    budget = {row.label: row.seconds for row in prediction.budget()}
    assert budget[NO_PICTURE] == pytest.approx(39 * (15 - 1 / 5), abs=0.01)
    assert sum(budget.values()) < 600 + 2 * COUNT / 5  # of two tiers
    said = prediction.pauses_text
    assert said.startswith("no picture: 0.2 to 15.0, 15.2 to 30.0,")
    assert said.endswith(" to 75.0 s, and 34 times more")


def test_frames_that_a_model_remembers_are_no_pause(tmp_path: Path) -> None:
    recognizer = eventful(frame_rate=float(RATE))
    slots = [*range(20), *range(29, 49)]
    path = film(tmp_path / "a.mkv", events(0), slots)
    steps = [step for step in recognizer.watch(path) if step.pixels is not None]
    assert len(steps) == 49
    assert not any(step.pause for step in steps)
    assert all(after.time - before.time < 0.15 for before, after in pairwise(steps))
    assert recognizer.predict_recording(path)[0].pauses == ()
