"""What a program in Python asks of a model besides one prediction: many clips, frames in memory,
features, tables, plots; and wrong types of arguments.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import Make, make_images, paint
from eventful import CLASSES, DATA, eventful, untrained
from matplotlib.figure import Figure

import onlooker
from onlooker.base.decision import Decision
from onlooker.base.records import ClipError, Prediction, Segment
from onlooker.recognizer import Recognizer
from onlooker.video.reader import VideoReader


def test_a_recognizer_is_shown_in_a_few_words() -> None:
    assert repr(untrained()) == "Recognizer(Classifier, ('clap', 'run', 'wave'))"
    assert len(repr(untrained(classes=[f"class {i}" for i in range(99)]))) < 120


@pytest.mark.parametrize("count", [9, 30])
@pytest.mark.parametrize("modality", ["rgb", "flow"])
def test_frames_in_memory_are_predicted_as_those_of_a_file(
    tmp_path: Path, count: int, modality: str
) -> None:
    of = eventful(frame_rate=10.0)
    if modality == "flow":
        of = untrained("convlstm", data=replace(DATA, modality="flow"))
    folder = make_images(tmp_path / "clip", [f"{i:02}.png" for i in range(count)])
    (folder / "frame_rate.txt").write_text("12.5")
    frames = np.stack([paint(number) for number in range(count)])
    expected = of.predict(folder)
    seen = of.predict(frames, rate=12.5)
    assert seen.to_dict() == expected.to_dict()
    assert (seen.size, seen.end, seen.assumes_rate) == (expected.size, expected.end, False)
    assert seen.path == Path("frames")
    steps = zip(VideoReader(frames, 12.5), VideoReader(folder), strict=True)
    for (index, time, pixels), of_file in steps:
        assert (index, time) == of_file[:2]
        np.testing.assert_array_equal(pixels, of_file[2])


@pytest.mark.parametrize(
    ("frames", "rate", "message"),
    [
        (
            np.zeros((5, 3, 8, 8), np.uint8),
            10,
            r"frames are uint8 \(5, 3, 8, 8\), expected uint8",
        ),
        (
            np.zeros((5, 8, 8, 3)),
            10,
            r"frames are float64 \(5, 8, 8, 3\), expected uint8 T H W 3",
        ),
        (np.zeros((0, 8, 8, 3), np.uint8), 10, r"frames are uint8 \(0, 8, 8, 3\), expected"),
        (
            np.zeros((5, 8, 8, 3), np.uint8),
            None,
            "rate is None, expected the frames per second",
        ),
        (np.zeros((5, 8, 8, 3), np.uint8), 0, "rate is 0, expected the frames per second"),
        ("clip.mp4", 10, "clip.mp4: rate is 10, and a file has its own; leave it out"),
    ],
)
def test_frames_that_are_none(frames: Any, rate: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        untrained().predict(frames, rate=rate)


def test_many_clips_are_predicted_in_their_order_and_bad_ones_are_reported(
    make_clip: Make, tmp_path: Path
) -> None:
    of = eventful(frame_rate=10.0)
    clips = [make_clip(f"{frames}.mp4", frames=frames) for frames in (9, 30, 5)]
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    given = [clips[0], str(tmp_path / "bad.mp4"), *clips[1:]]
    errors = list[ClipError]()
    reported = list[tuple[str, int, int]]()
    seen = of.predict_many(
        iter(given),
        threshold=0.3,
        on_error=errors.append,
        quiet=True,
        progress=lambda *stage: reported.append(stage),
    )
    expected = [of.predict(clip, threshold=0.3) for clip in clips]
    assert [each.to_dict() for each in seen] == [each.to_dict() for each in expected]
    assert [error.path.name for error in errors] == ["bad.mp4"]
    assert [done for stage, done, _ in reported if stage == "predicting clips"] == [
        0,
        1,
        2,
        3,
        4,
    ]
    with pytest.raises(ClipError, match=r"bad.mp4: "):
        of.predict_many(given, quiet=True)
    assert of.predict_many([], quiet=True) == []


def test_the_progress_of_a_recording_is_reported_also_among_many(make_clip: Make) -> None:
    of = eventful(frame_rate=10.0)
    recording = make_clip("long.mp4", frames=30)
    alone = list[tuple[str, int, int]]()
    of.predict(recording, progress=lambda *stage: alone.append(stage))
    assert [done for _, done, _ in alone] == sorted(done for _, done, _ in alone)
    assert len(alone) > 3
    among = list[tuple[str, int, int]]()
    of.predict_many([recording], quiet=True, progress=lambda *stage: among.append(stage))
    assert [stage for stage in among if stage[0] == alone[0][0]] == alone


@pytest.mark.parametrize("aggregation", ["last", "mean"])
@pytest.mark.parametrize("make", [untrained, eventful])
def test_the_head_classifies_the_embedding(
    make: Callable[..., Recognizer], aggregation: str, make_clip: Make
) -> None:
    of = make(aggregation=aggregation)
    clip = make_clip(frames=9)
    embedding, maps = of.features(clip)
    frames = torch.from_numpy(of.read(clip).pixels)
    assert maps.shape == (6, of.model.encoder.num_features, *of.model.grid)
    video = ((frames.float() / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)
    with torch.no_grad():
        np.testing.assert_allclose(maps, of.model.encode(video).numpy(), atol=1e-5)
        logits = of.model.head(torch.from_numpy(embedding))
        output = of.model(video[None]).logits[0]
    expected = output[-1] if aggregation == "last" else output.mean(0)
    np.testing.assert_allclose(logits.numpy(), expected.numpy(), atol=1e-4)
    assert of.model.head._forward_pre_hooks == {}


def test_evaluate_takes_a_folder_of_clips(make_clip: Make, tmp_path: Path) -> None:
    of = untrained()
    for number, label in enumerate(("run", "clap", "run")):
        make_clip(f"set/{label}/{number}.mp4", frames=6 + number)
    (tmp_path / "set/clap/bad.mp4").write_bytes(b"no video")
    for given in (tmp_path / "set", str(tmp_path / "set")):
        evaluation = of.evaluate(given)
        assert evaluation.names == ("clap/1.mp4", "run/0.mp4", "run/2.mp4")
        assert evaluation.targets.tolist() == [0, 1, 1]
        assert [error.path.name for error in evaluation.skipped] == ["bad.mp4"]
    make_clip("set/jump/1.mp4")
    with pytest.raises(ClipError, match=r"set: classes jump; the model knows clap, run, wave"):
        of.evaluate(tmp_path / "set")


def predictions() -> list[Prediction]:
    return [
        Prediction(
            Path(f"{name}.mp4"),
            Decision(CLASSES),
            np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], np.float32),
            scores=np.array(scores, np.float32),
            times=np.array([0.0, 0.5]),
            indices=np.array([0, 5]),
            segments=segments,
        )
        for name, scores, segments in (
            ("a", [0.25, 0.5, 0.25], (Segment("run", 2, 3, 0.9), Segment("clap", 0, 1, 0.8))),
            ("b", [0.75, 0.125, 0.125], ()),
        )
    ]


def test_predictions_become_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert onlooker.to_frame(iter(predictions())).to_dict("list") == {
        "path": ["a.mp4", "b.mp4"],
        "label": ["run", "clap"],
        "score": [0.5, 0.75],
        "events": [2, 0],
        "p(clap)": [0.25, 0.75],
        "p(run)": [0.5, 0.125],
        "p(wave)": [0.25, 0.125],
    }
    assert onlooker.to_frame(predictions(), events=True).to_dict("list") == {
        "path": ["a.mp4", "a.mp4"],
        "label": ["clap", "run"],
        "score": [0.8, 0.9],
        "start": [0, 2],
        "end": [1, 3],
    }
    assert [*onlooker.to_frame([], events=True)] == ["path", "label", "score", "start", "end"]
    with pytest.raises(TypeError, match=r"predictions is .*, expected a list"):
        onlooker.to_frame(predictions()[0])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RuntimeError, match="pandas is not installed; pip install pandas"):
        onlooker.to_frame([])


def test_a_table_names_a_clip_at_an_address_as_the_results_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path))
    copy = tmp_path / "addresses" / "read" / "s3=3A=2F=2Fclips" / "files" / "clips" / "a.mp4"
    prediction = replace(predictions()[0], path=copy)
    for events in (False, True):
        table = onlooker.to_frame([prediction], events=events)
        assert {*table["path"]} == {"s3://clips/a.mp4"}


def test_a_prediction_is_plotted_with_its_events() -> None:
    prediction, _ = predictions()
    drawn = onlooker.plot(prediction, Figure().subplots())
    lines = {line.get_label(): line.get_ydata().tolist() for line in drawn.get_lines()}
    np.testing.assert_allclose(lines["run"], [0.7, 0.3])
    assert [*lines] == ["run", "clap", "wave"], "the most probable first"
    colors = {line.get_label(): line.get_color() for line in drawn.get_lines()}
    areas = {area.get_x(): (area.get_width(), area.get_facecolor()) for area in drawn.patches}
    assert {x: width for x, (width, _) in areas.items()} == {2: 1, 0: 1}
    assert areas[2][1][:3] == pytest.approx(
        [int(colors["run"][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    )
    dollar = replace(prediction, decision=Decision(("$a$", "b", "c")), segments=())
    onlooker.plot(dollar, axes := Figure().subplots())
    axes.figure.canvas.draw()
    assert axes.get_legend_handles_labels()[1] == ["b", r"\$a\$", "c"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda of: onlooker.load(5), "run is 5, expected a path or text$"),
        (
            lambda of: onlooker.train(["a", "b"]),
            r"clips is \['a', 'b'\], expected a path or text$",
        ),
        (lambda of: onlooker.check(None), "clips is None, expected a path or text or ClipSet$"),
        (lambda of: of.predict(5), "clip is 5, expected a path or text or ndarray$"),
        (
            lambda of: of.predict(torch.zeros(2, 9)),
            "clip is tensor.* expected a path or text or",
        ),
        (
            lambda of: of.predict("a.mp4", threshold="a"),
            "threshold is 'a', expected a number or",
        ),
        (lambda of: of.predict_many("a.mp4"), "paths is 'a.mp4', expected a list$"),
        (
            lambda of: of.evaluate(["a"]),
            r"samples is \['a'\], expected ClipFrames or a path or",
        ),
        (
            lambda of: of.watch(1.5),
            "source is 1.5, expected a whole number or text or a path or",
        ),
        (lambda of: of.watch("a.mp4", 5), "config is 5, expected StreamConfig or none$"),
        (lambda of: of.save(5), "folder is 5, expected a path or text$"),
        (
            lambda of: of.overlay("a.mp4", "b.mp4", "c"),
            "prediction is 'c', expected Prediction or",
        ),
        (lambda of: VideoReader(5), "path is 5, expected a path or text or ndarray$"),
        (lambda of: onlooker.create_model("lstm", "a"), "num_classes is 'a', expected a whole"),
        (lambda of: Recognizer("x", DATA, of.decision), "model is 'x', expected VideoModel$"),
        (lambda of: Recognizer(of.model, {}, of.decision), "data is {}, expected DataConfig$"),
        (
            lambda of: Recognizer(of.model, DATA, CLASSES),
            r"decision is \('clap', .*, expected Decision$",
        ),
    ],
)
def test_a_wrong_type_is_one_sentence(
    call: Callable[[Recognizer], object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        call(untrained())


def test_a_device_of_pytorch_is_one(tmp_path: Path) -> None:
    run = untrained().save(tmp_path / "run")
    assert next(onlooker.load(run, torch.device("cpu")).model.parameters()).device.type == "cpu"
