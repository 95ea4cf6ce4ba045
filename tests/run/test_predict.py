"""`onlooker predict`: clips are printed by name, and each is drawn to a separate file."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock
from weakref import WeakSet

import av
import clips as painted
import numpy as np
import pytest
from clips import Make
from commands import call, fails
from eventful import eventful, untrained

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision, TierStates
from onlooker.base.files import NotWritableError
from onlooker.base.records import Prediction
from onlooker.cli import app
from onlooker.data.samples import Sample
from onlooker.recognizer import Recognizer
from onlooker.run import predict as predict_module
from onlooker.run.predict import predict_clips
from onlooker.run.results import ResultsFile, distinct_names
from onlooker.video import video_file
from onlooker.video.reader import read
from onlooker.video.sampling import Timing

DATA = DataConfig(frames=4, size=32, normalization="half")
BRIEF = DataConfig(frames=2, size=16, channels=1, normalization="half")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return untrained("convnet", ["[bold]up", "[/down]"], BRIEF).save(tmp_path / "run")


def drawn(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.mp4"))


def test_a_line_of_arrays_is_that_of_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.run.results._ROWS", 3)
    clip = tmp_path / "ä.mp4"
    clip.touch()
    chance = np.random.default_rng(0)
    arrays = {
        "label": "wävé",
        "times": np.arange(7) / 3,
        "attention": chance.random((6, 2, 2), np.float32),
        "scores": np.zeros((0, 3)),
        "points": None,
        "segments": [{"start": 0.5}],
    }
    with closing(ResultsFile(tmp_path / "results.json", "0")) as results:
        results.add(clip, arrays)
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    lists = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in arrays.items()
    }
    expected = {**json.loads(text), **lists}
    assert text == json.dumps(expected, ensure_ascii=False) + "\n"


def test_clips_of_equal_name_in_different_folders_have_separate_drawings(
    run: Path, make_clip: Make
) -> None:
    clips = [make_clip(f"{way}/q/1.mp4", frames=2) for way in ("p", "r")]
    clips += [make_clip("s/q-1.mp4-2.mp4", frames=2)]
    before = [clip.read_bytes() for clip in clips]
    out = run.parent / "seen"
    assert predict_clips(run, clips, out=out, json=None) == []
    assert drawn(out) == ["p-q-1.mp4", "q-1.mp4-2.mp4", "r-q-1.mp4"]
    assert [clip.read_bytes() for clip in clips] == before
    assert json.loads((out / "p-q-1.json").read_text())["tubes"] == [], (
        "a model without attention"
    )


def test_a_clip_that_is_called_as_the_times_of_another_one_has_its_own_files(
    run: Path, make_clip: Make
) -> None:
    clips = [make_clip(f"{name}.mp4", frames=2) for name in ("a", "a-segments")]
    out = run.parent / "seen"
    assert predict_clips(run, clips, out=out) == []
    assert drawn(out) == ["0-a.mp4", "1-a-segments.mp4"]
    assert len([*out.iterdir()]) == 6


@pytest.mark.parametrize("link", [False, True])
def test_overwriting_a_clip_is_an_error_before_any_is_drawn(
    run: Path, make_clip: Make, link: bool
) -> None:
    first = make_clip("a/first.mp4", frames=2)
    second = make_clip("b/second.mp4", frames=2)
    out = second.parent
    if link:
        out = run.parent / "c"
        out.mkdir()
        (out / "second.mp4").symlink_to(second)
    before = drawn(out)
    with pytest.raises(
        FileExistsError,
        match=r"second\.mp4: exists, and is not of an earlier prediction; choose another --out",
    ):
        predict_clips(run, [first, second], out=out, json=None)
    assert drawn(out) == before
    with pytest.raises(NotWritableError, match=r"first.mp4: a file is in its place"):
        predict_clips(run, [second], out=first)


@pytest.mark.parametrize(
    "name", ["first.mp4", "first.csv", "first.json", "first-segments.json"]
)
def test_only_files_of_an_earlier_prediction_are_replaced(
    run: Path, make_clip: Make, tmp_path: Path, name: str
) -> None:
    clip = make_clip("a/first.mkv", frames=2)
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("[]")
    with pytest.raises(FileExistsError, match=f"{name}: exists, and is not of an earlier"):
        predict_clips(run, [clip], out=out, times=["csv"])
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, "[]")]
    (out / name).unlink()
    for _ in range(2):
        predict_clips(run, [clip], out=out, times=["csv"])
    assert len([*out.iterdir()]) == 4


def test_a_clip_is_one_row_with_its_runner_up(
    tmp_path: Path,
    make_clip: Make,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognizer = untrained()
    run = recognizer.save(tmp_path / "run")
    clip = make_clip("a.mp4", frames=8)
    prediction = recognizer.predict(clip)
    (first, score), (second, other), _ = prediction.ranking
    (row,) = (
        line for line in call("predict", run, clip).stdout.splitlines() if "a.mp4" in line
    )
    for words in (
        first,
        f"{100 * score:.0f} %",
        f"{second} {100 * other:.0f} %",
        *prediction.when,
        prediction.where,
    ):
        assert words
        assert words in row
    monkeypatch.setenv("COLUMNS", "60")
    app(["predict", str(run), str(clip)], standalone_mode=False)
    assert "…" not in capsys.readouterr().out, "paths are folded, not cut off"
    monkeypatch.setenv("COLUMNS", "200")
    app(["predict", str(run), str(clip), "--threshold", ".99"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "an event needs a probability of 99 %, else it is nothing" in said
    assert f"nothing {100 - 100 * score:.0f} %" in said


def test_of_many_events_a_terminal_says_where_they_are_and_a_pipe_has_all_in_one_line(
    tmp_path: Path,
    make_clip: Make,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognizer = eventful(frame_rate=10.0)
    run = recognizer.save(tmp_path / "run")
    clips = [make_clip(f"{frames}.mp4", frames=frames) for frames in (9, 300)]
    few, many = (recognizer.predict(clip) for clip in clips)
    count = len(many.segments)
    assert count > 20
    monkeypatch.chdir(tmp_path)  # a long name of the folder would be wrapped
    printed = call("predict", run, *clips, "--out", "seen").stdout
    assert f"{count} events, see seen" in printed
    assert len(printed.splitlines()) < 15
    printed = call("predict", run, *clips).stdout
    assert f"{count} events, --out FOLDER writes them" in printed
    monkeypatch.delenv("COLUMNS", raising=False)
    app(["predict", str(run), *map(str, clips), "--threshold", ".05"], standalone_mode=False)
    written = capsys.readouterr()
    header, *rows = (line.split("\t") for line in written.out.splitlines())
    assert header == ["clip", "class", "runner-up", "seconds", "box: x1 y1 x2 y2"]
    assert [row[0] for row in rows] == [*map(str, clips)], "one line each, without a width"
    assert rows[1][3] == ", ".join(recognizer.predict(clips[1], threshold=0.05).when)
    assert rows[0][4] == few.where != ""
    assert "an event needs a probability of 5 %, else it is nothing" in written.err
    assert "about right" not in written.err
    curve = AlarmCurve([0.0], [1.0], [0.0], [0.0], 0.0, 1.0, [], border_error=0.21)
    of = eventful(frame_rate=10.0, curve=curve)
    of.save(tmp_path / "exact")
    said = "times are about right: half are off by 0.3 s at most"
    assert said in call("predict", tmp_path / "exact", *clips).stdout.replace("\n", " ")
    exact = of.predict(clips[1])
    assert said in str(exact)
    assert said not in str(of.predict(clips[0])), "the event of a clip is all of it"
    assert exact.to_dict()["border_error"] == 0.21


def test_rows_are_in_standard_output_while_a_cluster_prints_to_standard_error(
    run: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map_clips(start: Any, clips: list[Path], address: str) -> Iterator[tuple[Path, Any]]:
        with redirect_stdout(sys.stderr):  # as the real one does
            work = start()
            for clip in clips:
                yield clip, work(clip)

    monkeypatch.setattr(predict_module, "map_clips", map_clips)
    monkeypatch.setattr(predict_module, "BATCH", 1)
    clip = make_clip("a.mp4", frames=2)
    assert str(clip) in call("predict", run, clip, "--ray", "local").stdout


def test_a_recording_is_told_from_the_clips_of_the_training(
    tmp_path: Path, make_clip: Make
) -> None:
    run = untrained("convnet", data=replace(BRIEF, frames=4), frame_rate=5).save(
        tmp_path / "run"
    )
    # 10 a second
    short, long, longer = (make_clip(f"{frames}.mp4", frames=frames) for frames in (8, 60, 80))
    result = call("predict", run, short, long, longer)
    (note,) = (line for line in result.stderr.splitlines() if "longer" in line)
    assert note.startswith(f"{long} and 1 more: much longer than the clips of the training; ")
    assert note.endswith("the default model, `onlooker train CLIPS`, finds each event")
    assert call("predict", run, short).stderr == ""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b.mp4"], ["b"]),
        (["b.mp4", "x/c.mp4"], ["b", "c"]),
        (["b.mp4", "x/c.mp4", "y/C.mp4"], ["b", "x-c", "y-C"]),
        (["b.mp4", "x/c.mp4", "y/C.mp4", "y/c.avi"], ["0-b", "1-x-c", "2-y-C", "3-y-c"]),
        (["a/b.mp4", "a-b.mp4", "A/B.mp4"], ["0-a-b", "1-a-b", "2-A-B"]),
    ],
)
def test_clips_have_distinct_names(
    names: list[str], expected: list[str], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in names]
    assert distinct_names(paths) == expected
    with pytest.raises(ValueError, match=r"mp4: given twice; give each clip once"):
        distinct_names([*paths, tmp_path / "x" / ".." / names[0]])


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def predict_until_killed(run: Path, clips: list[Path], out: Path, number: int) -> None:
    """In another process, which is killed while it predicts the clip of this number."""

    def work() -> None:
        predict = Recognizer.predict
        calls = iter(range(number))
        Recognizer.predict = lambda *given, **more: (  # type: ignore[method-assign]
            predict(*given, **more)
            if next(calls, None) is not None
            else os.kill(os.getpid(), signal.SIGKILL)
        )
        predict_clips(run, clips, json=out)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_clips_are_decoded_during_predictions(
    run: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    clips = [make_clip("1.mp4"), make_clip("2.mp4")]
    second = Event()
    read = Recognizer.read_ahead
    predict = Recognizer.predict

    def noted(self: Recognizer, path: Path | str) -> Sample | Timing:
        sample = read(self, path)
        if path == clips[1]:
            second.set()
        return sample

    def waiting(*given: Any, **more: Any) -> Prediction:
        assert second.wait(180), "the second clip is read before the first one is predicted"
        return predict(*given, **more)

    monkeypatch.setattr(Recognizer, "read_ahead", noted)
    monkeypatch.setattr(Recognizer, "predict", waiting)
    assert predict_clips(run, clips) == []


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The clips that are predicted from now on."""
    paths = list[Path]()
    predict = Recognizer.predict
    monkeypatch.setattr(
        Recognizer,
        "predict",
        lambda self, path, *given, **more: (
            paths.append(path),
            predict(self, path, *given, **more),
        )[1],
    )
    return paths


def test_the_command_continues_after_a_kill(
    run: Path, make_clip: Make, tmp_path: Path, predicted: list[Path]
) -> None:
    clips = [make_clip(f"{number}.mp4", frames=2 + number) for number in range(6)]
    whole = tmp_path / "whole" / "results.jsonl"
    out = tmp_path / "results.jsonl"
    predict_clips(run, clips, json=whole)
    predict_until_killed(run, clips, out, 3)
    assert [each["path"] for each in read_results(out)] == [*map(str, clips[:3])]
    # as of a process killed while it writes
    half = out.read_bytes().splitlines(keepends=True)[0][:200]
    out.write_bytes(out.read_bytes() + half)
    predicted.clear()
    predict_clips(run, [*clips, clips[0]], json=out)
    assert predicted == clips[3:]
    assert out.read_bytes() == whole.read_bytes()


def test_clips_that_failed_or_are_new_are_predicted_by_the_next_call(
    run: Path,
    make_clip: Make,
    tmp_path: Path,
    predicted: list[Path],
) -> None:
    first = make_clip("1.mp4", frames=2)
    out = tmp_path / "results.jsonl"
    assert len(predict_clips(run, [first, tmp_path / "2.mp4"], json=out)) == 1
    second, third = (make_clip(f"{number}.mp4", frames=2) for number in (2, 3))
    result = call("predict", run, first, second, third, "--json", out)
    assert predicted == [first, second, third]
    assert "1 of 3 clips were predicted before" in result.stderr
    assert [Path(each["path"]) for each in read_results(out)] == [first, second, third]
    # drawings that are missing
    assert predict_clips(run, [first, second], out=tmp_path / "drawn", json=out) == []
    assert len(read_results(out)) == 3


def test_a_clip_that_was_replaced_is_predicted_again(
    run: Path, make_clip: Make, tmp_path: Path, predicted: list[Path]
) -> None:
    clips = [make_clip(f"{number}.mp4", frames=2) for number in (1, 2)]
    out = tmp_path / "results.jsonl"
    predict_clips(run, clips, json=out)
    make_clip("1.mp4", frames=3)
    predict_clips(run, clips, json=out)
    assert predicted == [*clips, clips[0]]
    assert [Path(result["path"]) for result in read_results(out)] == [clips[1], clips[0]]
    clips[1].unlink()
    assert predict_clips(run, clips, json=out) == []


def test_the_run_and_a_clip_in_each_others_place(run: Path, make_clip: Make) -> None:
    clip = make_clip("1.mp4", frames=2)
    assert "not of clips; give the run first, and the clips after it" in fails(
        "predict", clip, run
    )
    message = "1.mp4: a clip, and the run is given first, before the clips"
    assert message in fails("watch", clip, run)
    assert message in fails("export", clip)


def test_results_of_another_model_or_command_are_not_continued(
    run: Path, make_clip: Make, tmp_path: Path
) -> None:
    clips = [make_clip("1.mp4", frames=2)]
    out = tmp_path / "results.jsonl"
    predict_clips(run, clips, json=out)
    message = r"line 1 is not a result of this model with this threshold; choose another file, or remove"
    other = untrained("convnet", ["a", "b"], BRIEF).save(tmp_path / "other")
    notes = tmp_path / "notes.txt"
    notes.write_text("the only copy of my notes")
    for model, file, threshold in ((run, out, 0.5), (other, out, None), (run, notes, None)):
        with pytest.raises(ValueError, match=message):
            predict_clips(model, clips, json=file, threshold=threshold)
    assert notes.read_text() == "the only copy of my notes"
    with (
        closing(ResultsFile(tmp_path / "busy.json", "0")),
        pytest.raises(ValueError, match="another command writes"),
    ):
        predict_clips(run, clips, json=tmp_path / "busy.json")


def test_every_value_of_the_decision_is_in_the_digest() -> None:
    recognizer = eventful(novelty_limit=2.0)
    others = {
        "classes": ("jump", *recognizer.classes[1:]),
        "aggregation": "product",
        "temperature": 2.0,
        "threshold": 0.4,
        "curve": AlarmCurve([1.0], [1.0], [0.0], [0.0], 0.0, 1.0, []),
        "clip_seconds": 1.5,
        "states": (TierStates([0], [1.0], [1.0], weight=1.0),),
        "novelty_limit": 3.0,
        "class_shares": range(1, 1 + len(recognizer.classes)),
        "nothing": "",
        "frame_rate": 7.0,
    }
    assert {*others} == {field.name for field in fields(Decision)}
    before = recognizer.decision
    digests = {predict_module._digest(recognizer, None)}
    for name, value in others.items():
        recognizer.decision = replace(before, **{name: value})
        digests.add(predict_module._digest(recognizer, None))
    assert len(digests) == 1 + len(others)


def test_a_file_that_another_command_locks_meanwhile_is_left_to_it(
    run: Path, make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip("1.mp4", frames=2)
    out = tmp_path / "results.jsonl"
    predict_clips(run, [clip], json=out)
    make_clip("1.mp4", frames=4)  # its result is removed, in a new file
    answers = iter([True, False])
    monkeypatch.setattr(
        "onlooker.run.results.lock_descriptor", lambda *_, blocking: next(answers)
    )
    with pytest.raises(ValueError, match="another command writes to it"):
        predict_clips(run, [clip], json=out)


def test_memory_holds_the_predictions_of_a_batch_alone(
    run: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_module, "BATCH", 2)
    clips = [make_clip(f"{number}.mp4", frames=2) for number in range(12)]
    predictions = WeakSet[Prediction]()
    alive = list[int]()

    def count(of_batch: Sequence[Prediction]) -> None:
        predictions.update(of_batch)
        alive.append(len(predictions))

    assert predict_clips(run, clips, on_predictions=count) == []
    assert len(alive) == 6
    assert max(alive) <= 4, "those of a batch and of the one before"


@pytest.mark.parametrize(
    ("full", "found", "left"),
    [
        (".a.mp4.part", "a.mp4: no space left for this video", "b.mp4"),
        (".a.json.*.part", "a.json: no space left for this file", "b.json"),
    ],
)
def test_a_clip_whose_results_have_no_space_does_not_end_the_others(
    run: Path,
    make_clip: Make,
    on_full_disk: Callable[[Path], None],
    full: str,
    found: str,
    left: str,
) -> None:
    clips = [make_clip(f"{name}.mp4", frames=2) for name in "ab"]
    out = run.parent / "seen"
    out.mkdir()
    on_full_disk(out / full)
    answered = list[Prediction]()
    results = run.parent / "answers.json"
    (error,) = predict_clips(run, clips, out=out, json=results, on_predictions=answered.extend)
    assert found in str(error)
    assert (out / left).exists()
    assert [each["path"] for each in read_results(results)] == [str(clip) for clip in clips]
    assert [prediction.path for prediction in answered] == clips


def test_every_clip_gets_boxes_times_and_a_drawn_clip(tmp_path: Path, make_clip: Make) -> None:
    run = untrained(data=DATA).save(tmp_path / "run")
    clips = [make_clip("a.mp4", frames=8), make_clip("b.mp4", frames=8)]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    answered = list[Prediction]()
    out = tmp_path / "out"
    failed = predict_clips(run, [*clips, broken], out=out, on_predictions=answered.extend)
    assert [error.path for error in failed] == [broken]
    assert [prediction.path for prediction in answered] == clips
    assert all(prediction.attention is None for prediction in answered), "maps are large"
    assert {path.name for path in out.iterdir()} == {
        f"{clip}{end}" for clip in "ab" for end in (".mp4", ".json", "-segments.json")
    }
    assert json.loads((out / "a.json").read_text())["tubes"]
    assert len(read(out / "a.mp4")) == len(read(clips[0]))


def test_the_threshold_is_that_of_the_events_of_clips_and_of_recordings(
    tmp_path: Path, make_clip: Make
) -> None:
    recognizer = eventful(frame_rate=10.0)
    run = recognizer.save(tmp_path / "run")
    clips = [make_clip("short.mp4", frames=8), make_clip("long.mp4", frames=60)]
    usual = [recognizer.predict(clip) for clip in clips]
    scores = sorted({event.score for event in usual[1].segments})
    assert len(usual[0].segments) == 1
    assert len(scores) > 1
    for threshold in (scores[1], 1.0):
        json = tmp_path / f"{threshold}.jsonl"
        assert predict_clips(run, clips, json=json, threshold=threshold) == []
        for clip, before, result in zip(clips, usual, read_results(json), strict=True):
            segments = [event.score for event in before.segments if event.score >= threshold]
            assert [event["score"] for event in result["segments"]] == segments
            prediction = recognizer.predict(clip, threshold=threshold)
            assert [event.score for event in prediction.segments] == segments
            assert prediction.decision.threshold == threshold
            assert (prediction.label == "nothing") == (not segments)
    curve = AlarmCurve([1.0], [1.0], [0.0], [0.0], 0.0, 1.0, [])
    recognizer.decision = replace(recognizer.decision, curve=curve)
    assert recognizer.predict(clips[1]).segments == ()
    assert recognizer.predict(clips[1], threshold=0.0).segments == usual[1].segments, "lower"
    with pytest.raises(ValueError, match=r"not a result of this model with this threshold"):
        predict_clips(run, clips, json=json)
    with pytest.raises(
        ValueError, match=r"threshold is 1.5, expected at least 0 and at most 1"
    ):
        recognizer.predict(clips[0], threshold=1.5)


def test_a_recording_is_decoded_once_and_nothing_of_it_is_sampled(
    tmp_path: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = eventful(frame_rate=10.0)
    run = recognizer.save(tmp_path / "run")
    long = make_clip("long.mp4", frames=60)
    expected = recognizer.predict(long, recognizer.read(long))
    opened = Mock(wraps=av.open)
    decoded = Mock(wraps=video_file.decode_file)
    monkeypatch.setattr(av, "open", opened)
    monkeypatch.setattr(video_file, "decode_file", decoded)
    monkeypatch.setattr(video_file, "decode_indexed", Mock(side_effect=AssertionError))
    found = list[Prediction]()
    assert predict_clips(run, [long], on_predictions=found.extend) == []
    assert found[0].segments == expected.segments != ()
    assert found[0].end == expected.end == pytest.approx(6)
    assert decoded.call_count == 1
    assert opened.call_count == 3, "for its times, whether it states a rate, and to be decoded"


def test_an_unsure_answer_has_boxes_and_times_and_one_below_the_threshold_has_none(
    tmp_path: Path, make_clip: Make
) -> None:
    classes = tuple(f"class {k}" for k in range(9))
    unsure = untrained(classes=classes, data=DATA)
    run = unsure.save(tmp_path / "run")
    clip = make_clip("a.mp4", frames=8)
    (expected,) = unsure.predict(clip).segments
    assert (expected.label in classes, expected.start, expected.end) == (
        True,
        0,
        pytest.approx(0.8),
    ), "all of it"
    for threshold, there in ((None, True), (0.3, False)):
        out = tmp_path / str(threshold)
        assert predict_clips(run, [clip], out=out, threshold=threshold) == []
        seen = json.loads((out / "a.json").read_text())
        assert seen["tubes"]
        assert all(0 < tube["score"] < 0.3 for tube in seen["tubes"])
        assert seen["label"] == (expected.label if there else "nothing")
        of_clip = {
            "label": expected.label,
            "segment": [0.0, 0.8],
            "score": pytest.approx(expected.score),
        }
        results = json.loads((out / "a-segments.json").read_text())["results"]
        assert results == {"a": [of_clip] if there else []}


def test_of_damaged_clips_what_can_be_read_is_predicted_and_the_others_are_named(
    run: Path, make_clip: Make, tmp_path: Path
) -> None:
    """Every kind of damage in every container."""
    suffixes = (".mp4", ".avi", ".mkv", ".webm", ".gif", ".mov", ".ts")
    whole = [make_clip(f"clip{suffix}", frames=24, options={"g": "8"}) for suffix in suffixes]
    files = list[Path]()
    for seed, (kind, source) in enumerate(product(painted.DAMAGES, whole)):
        path = Path(shutil.copy(source, tmp_path / f"{seed:03} {kind}{source.suffix}"))
        files.append(painted.damage(path, kind, seed))
    failed = predict_clips(
        run, [whole[0], *files, whole[1]], out=None, json=tmp_path / "out.json"
    )
    answered = [Path(each["path"]) for each in read_results(tmp_path / "out.json")]
    assert [answered[0], answered[-1]] == whole[:2]
    assert sorted([*answered[1:-1], *(error.path for error in failed)]) == sorted(files)
    assert all(error.found and error.remedy for error in failed)
    kinds = {path.stem.partition(" ")[2] for path in answered[1:-1]}
    assert not kinds & {"zero bytes", "text", "audio only"}, "no frame of these can be used"
    assert {"one frame", "truncated"} <= kinds, "their intact part is used"
