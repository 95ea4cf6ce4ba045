"""A recording has the same events everywhere: Python, command line, interface for programs, and
page.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from eventful import stateful
from fastapi.testclient import TestClient
from moving_squares import frames_of, recording
from numpy.typing import NDArray
from serving import ADDRESS, OWN, wait_for_job

import onlooker
import onlooker.recognizer
from onlooker.base.decision import Decision
from onlooker.base.files import read_csv, read_json
from onlooker.export import export
from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.video.resize import resize
from onlooker.video.write import write

ACTIONS = ("left", "right", "grow")
ORDER = (*ACTIONS, "right", "left")
FPS = 10
EVENT = 16  # frames


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run trained on short clips, and a recording that it has not seen."""
    folder = tmp_path_factory.mktemp("events")
    for action in ACTIONS:
        for number in range(7):
            clip = folder / "clips" / action / f"{number}.mp4"
            write(
                clip,
                np.stack(frames_of(action, EVENT, 40 + 12 * number, 2 + 3 * number)),
                fps=FPS,
            )
    settings = ("--encoder", "conv4", "--size", 32, "--frames", 16, "--eyes", "pictures")
    call("train", folder / "clips", "--run", folder / "runs" / "own", *settings)
    write(folder / "day.mp4", recording(ORDER, 70)[0], fps=FPS)
    return folder / "runs" / "own", folder / "day.mp4"


def plain(segments: Sequence[Any]) -> list[tuple[str, float, float]]:
    """Class, begin and end of events, in the order of time."""
    given = [each if isinstance(each, dict) else vars(each) for each in segments]
    return sorted(
        ((each["label"], round(each["start"], 1), round(each["end"], 1)) for each in given),
        key=lambda e: e[1],
    )


def test_all_ways_to_ask_give_the_same_events(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = made
    recognizer = onlooker.load(run)
    prediction, live = recognizer.predict_recording(file)
    expected = plain(prediction.segments)
    assert plain(recognizer.predict(file).segments) == expected
    call("predict", run, file, "--out", tmp_path / "out", "--times", "csv")
    with (tmp_path / "out" / "day.csv").open(encoding="utf-8") as table:
        rows = [
            {**row, "start": float(row["start"]), "end": float(row["end"])}
            for row in csv.DictReader(table)
        ]
    assert plain(rows) == expected
    figures = call("evaluate", run, "--recordings", _listed(file, tmp_path), ok=True).output
    assert f"In recordings: finds {len(ORDER)} of {len(ORDER)} events" in figures
    assert [label for label, *_ in expected] == [*ORDER]
    settings = replace(ServeSettings(), runs=run.parent, clips=tmp_path / "own")
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as page:
        answer = (
            page.post("/api/v1/predict", content=file.read_bytes()).raise_for_status().json()
        )
        assert plain(answer["segments"]) == expected
        assert 0 < answer["border_error"] == prediction.border_error < 0.8
        (model,) = page.get("/api/v1/models").json()
        begun = (
            page.post(f"/api/look?model={model['id']}", content=file.read_bytes())
            .raise_for_status()
            .json()
        )
        looked = wait_for_job(page, begun["job"])["result"]
    assert plain(looked["segments"]) == expected
    assert looked["border_error"] == prediction.border_error
    assert prediction.times_text in str(prediction)
    assert looked["label"] == prediction.label
    assert plain([event for step in recognizer.watch(file) for event in step.events]) == plain(
        live
    )
    assert plain(live) == expected, "afterwards as live"


def test_all_ways_to_ask_give_the_same_bouts_and_budget(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "pen"
    stateful().save(run / "model")
    frames = np.full((120, 48, 64, 3), 20, np.uint8)
    frames[30:60] = frames[80:100] = 235  # day
    file = write(tmp_path / "day.mp4", frames, fps=FPS)
    recognizer = onlooker.load(run)
    prediction, live = recognizer.predict_recording(file)
    expected = sorted(plain(prediction.segments))
    assert [label for label, *_ in expected] == ["eat"] * 2 + ["sit"] * 3 + ["walk"] * 2
    budget = [vars(part) for part in prediction.budget()]
    out = tmp_path / "out"
    call("predict", run, file, "--out", out, "--times", "csv", "--json", out / "all.json")
    rows = read_csv(out / "day.csv")
    segments = [{**row, "start": float(row["start"]), "end": float(row["end"])} for row in rows]
    assert sorted(plain(segments)) == expected
    (row,) = read_csv(out / "budget.csv")
    for part in budget:
        assert float(row[f"{part['label']} seconds"]) == pytest.approx(
            part["seconds"], abs=1e-3
        )
    answer = json.loads((out / "all.json").read_text())
    settings = replace(ServeSettings(), runs=run.parent, clips=tmp_path / "own")
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as page:
        sent = {"content": file.read_bytes()}
        asked = page.post("/api/v1/predict", **sent).raise_for_status().json()
        (model,) = page.get("/api/v1/models").json()
        begun = page.post(f"/api/look?model={model['id']}", **sent).raise_for_status().json()
        looked = wait_for_job(page, begun["job"])["result"]
    for given in (answer, asked, looked):
        assert sorted(plain(given["segments"])) == expected
        assert given["budget"] == budget
    final = [event for step in recognizer.watch(file) for event in step.events]
    assert sorted(plain(final)) == sorted(plain(live)) == expected


def test_pieces_of_a_long_recording_have_its_events(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file = made
    recognizer = onlooker.load(run)
    whole = recognizer.predict(file)
    monkeypatch.setattr(onlooker.recognizer, "_PIECE", 3.0)
    with monkeypatch.context() as patch:
        patch.delattr(onlooker.Recognizer, "predict_recording")
        pieces = recognizer.predict(file)
    assert pieces.times.tolist() == whole.times.tolist()
    np.testing.assert_allclose(pieces.frame_scores, whole.frame_scores, atol=1e-6)
    np.testing.assert_allclose(pieces.scores, whole.scores, atol=1e-6)
    assert plain(pieces.segments) == plain(whole.segments)
    assert len(pieces.segments) == len(ORDER)


def test_one_number_just_below_and_above_every_length_at_which_something_changes(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    """A clip, and the recording that it is when it is a little longer."""
    run, _ = made
    recognizer = onlooker.load(run)
    limits = (recognizer.model.lengths[0], EVENT, round(recognizer.longest * FPS))
    clips = [
        write(
            tmp_path / "new" / "right" / f"{frames:02}.mp4",
            np.stack(frames_of("right", frames, 55, 7)),
            fps=FPS,
        )
        for limit in limits
        for frames in (limit - 1, limit + 1)
    ]
    answers = [recognizer.predict(clip) for clip in clips]
    assert [answer.event_scores is None for answer in answers] == [True] * 5 + [False]
    for below, above in zip(answers[::2], answers[1::2], strict=True):
        assert below.label == above.label == "right"
        np.testing.assert_allclose(below.scores, above.scores, atol=0.1)
        np.testing.assert_allclose(below.score, above.score, atol=0.15)
    assert [bool(answer.times_text) for answer in answers] == [False] * 5 + [True]
    for answer in answers:
        assert answer.scores.sum() == pytest.approx(1)
        assert [event.score for event in answer.segments] == [answer.score]
    evaluation = recognizer.evaluate(tmp_path / "new")
    scores = [answer.scores for answer in answers]
    np.testing.assert_allclose(evaluation.scores, scores, atol=1e-5)
    assert evaluation.answer_texts == [answer.answer for answer in answers]
    call("evaluate", run, tmp_path / "new")
    written = run / "evaluation-new" / "scores.csv"
    rows = read_csv(written)
    for row, answer in zip(rows, answers, strict=True):
        assert row["predicted"] == answer.label
        assert float(row["score"]) == pytest.approx(answer.score, abs=1e-5)
        shares = [float(row[f"p({name})"]) for name in answer.classes]
        np.testing.assert_allclose(shares, answer.scores, atol=1e-5)
    frame = onlooker.to_frame(answers)
    np.testing.assert_allclose(frame[[f"p({name})" for name in answers[0].classes]], scores)
    assert frame["score"].tolist() == [answer.score for answer in answers]
    settings = replace(ServeSettings(), runs=run.parent, clips=tmp_path / "own")
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as page:
        for clip, answer in zip(clips[-2:], answers[-2:], strict=True):
            got = (
                page.post("/api/v1/predict", content=clip.read_bytes())
                .raise_for_status()
                .json()
            )
            assert [*got["scores"].values()] == pytest.approx(answer.scores.tolist())
            assert got["score"] == got["best"]["score"] == pytest.approx(answer.score)
            assert got["threshold"] == answer.decision.threshold


def stripes(count: int) -> NDArray[np.uint8]:
    """Frames in which stripes move."""
    shifts = 9 * np.arange(count)[:, None, None, None]
    frames = (np.arange(64)[:, None] + shifts) // 8 % 2 * np.full((48, 1, 3), 255)
    return frames.astype(np.uint8)


def test_a_clip_unlike_all_of_training_is_unusual_everywhere(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    """Stripes that move, beside a square as those of training."""
    run, _ = made
    recognizer = onlooker.load(run)
    square = np.stack(frames_of("right", EVENT, 55, 7))
    folder = tmp_path / "new" / "right"
    clips = [
        write(folder / f"{name}.mp4", frames, fps=FPS)
        for name, frames in (("stripes", stripes(EVENT)), ("square", square))
    ]
    foreign, usual = (recognizer.predict(clip) for clip in clips)
    assert (foreign.unusual, usual.unusual) == (True, False)
    assert foreign.score < 0.6 < usual.score
    assert foreign.scores.sum() == pytest.approx(1)
    assert "unlike all clips of training" in str(foreign)
    assert "unlike" not in str(usual)
    evaluation = recognizer.evaluate(tmp_path / "new")
    place = evaluation.names.index("right/stripes.mp4")
    assert evaluation.unusual.tolist() == [number == place for number in range(2)]
    np.testing.assert_allclose(evaluation.scores[place], foreign.scores, atol=1e-5)
    output = call("evaluate", run, tmp_path / "new", ok=True).output
    assert "1 of 2 clips are unlike all clips of training" in " ".join(output.split())
    assert (
        "unlike all clips of training" in (run / "evaluation-new" / "report.html").read_text()
    )
    predicted = call("predict", run, *clips, "--json", tmp_path / "all.jsonl", ok=True).output
    assert "stripes.mp4: unlike all clips of training" in predicted.replace("\n", "")
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [row["unusual"] for row in rows if "label" in row] == [True, False]
    settings = replace(ServeSettings(), runs=run.parent, clips=tmp_path / "own")
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as page:
        got = (
            page.post("/api/v1/predict", content=clips[0].read_bytes())
            .raise_for_status()
            .json()
        )
    assert got["unusual"] is True
    assert got["score"] == pytest.approx(foreign.score)


def test_a_recording_unlike_all_of_training_has_no_events_and_that_is_said(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    run, file = made
    recognizer = onlooker.load(run)
    foreign = write(tmp_path / "stripes.mp4", stripes(60), fps=FPS)
    prediction, live = recognizer.predict_recording(foreign)
    assert prediction.unusual
    assert not prediction.segments
    assert not live
    assert "unlike all clips of training" in str(prediction)
    assert recognizer.predict(file).unusual is False
    known = [step.unusual for step in recognizer.watch(foreign) if step.pixels is not None]
    first = recognizer.model.lengths[0]
    assert known == [None] * (first - 1) + [True] * (len(known) - first + 1)
    recognizer.model.heads["window"].limit = None  # as in models of earlier versions
    assert recognizer.predict_recording(foreign)[0].unusual is None


def exported_windows(folder: Path, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The scores `T L K` of windows that an exported step gives for some frames."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "step.onnx")
    size = read_json(folder / "step.json")["frame"]["size"]
    names = [output.name for output in session.get_outputs()]
    inputs = {
        part.name: np.zeros([1, *part.shape[1:]], np.float32)
        for part in session.get_inputs()
        if part.name != "frame"
    }
    windows = list[NDArray[np.float32]]()
    for pixels in frames:
        frame = resize(pixels[None], size, 3)
        outputs = dict(zip(names, session.run(None, {"frame": frame, **inputs}), strict=True))
        inputs = {name: outputs[f"next_{name}"] for name in inputs}
        windows.append(outputs["windows"][0])
    return np.stack(windows)


@pytest.mark.usefixtures("operators_read_once")
def test_an_export_has_the_calibrated_scores_of_a_stream(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    run, _ = made
    recognizer = onlooker.load(run)
    curve = recognizer.decision.curve
    assert curve is not None
    assert curve.calibration
    curve = replace(curve, calibration=[0.5, -1.0])
    recognizer.decision = replace(recognizer.decision, curve=curve)
    streams = recognizer.streams()
    frames = recording(ORDER, 70)[0][:40]
    exported = exported_windows(export(recognizer, tmp_path / "export"), frames)
    for index, pixels in enumerate(frames):
        step = streams.step({"a": (index, index / FPS, pixels)})["a"]
    assert step.rows is not None
    np.testing.assert_allclose(exported[-1], step.rows[0], atol=1e-4)


@pytest.mark.usefixtures("operators_read_once")
def test_an_export_has_the_events_of_watch(made: tuple[Path, Path], tmp_path: Path) -> None:
    """Those that are found by what `step.json` says, as in docs/export.md."""
    run, file = made
    steps = [*onlooker.load(run).watch(file)]
    frames = [step for step in steps if step.pixels is not None]
    folder = export(onlooker.load(run), tmp_path / "export")
    about = read_json(folder / "step.json")
    windows = exported_windows(folder, [step.pixels for step in frames])
    finder = WindowSegmenter(Decision(about["classes"]), **about["events"])
    found = finder.find([step.time for step in frames], windows)
    live = [event for step in steps for event in step.events]
    assert [label for label, *_ in plain(found)] == [*ORDER]
    assert plain(found) == plain(live)
    scores = [event.score for event in sorted(live, key=lambda event: event.start)]
    np.testing.assert_allclose([event.score for event in found], scores, atol=1e-4)


def test_what_was_sent_survives_a_kill(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = made
    whole = tmp_path / "whole.vtt"
    cut = tmp_path / "cut.vtt"
    call("watch", run, file, "--events", whole)
    cues = _cues(whole)
    assert len(cues) == len(ORDER)
    command = [
        sys.executable,
        "-m",
        "onlooker",
        "watch",
        str(run),
        str(file),
        "--events",
        str(cut),
        "--rate",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as watching:
        until = time.monotonic() + 60
        while not (cut.exists() and _cues(cut)):
            assert time.monotonic() < until
            assert watching.poll() is None or _cues(cut)
            time.sleep(0.005)
        os.kill(watching.pid, signal.SIGKILL)
    kept = _cues(cut)
    assert kept
    assert kept == cues[: len(kept)]
    assert cut.read_text("utf-8").startswith("WEBVTT\n")


def _cues(path: Path) -> list[str]:
    """The complete cues of a WebVTT file: times and text."""
    return [block.strip() for block in path.read_text("utf-8").split("\n\n") if "-->" in block]


def _listed(file: Path, folder: Path) -> Path:
    """A list of the recording with its true events."""
    _, events = recording(ORDER, 70)
    rows = "".join(f"{file},{each.start},{each.end},{each.label}\n" for each in events)
    (folder / "days.csv").write_text(f"path,start,end,label\n{rows}")
    return folder / "days.csv"
