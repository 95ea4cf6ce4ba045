"""States of recordings: trained on a dense list, predicted, watched and evaluated."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime
import pytest
from commands import call, fails
from moving_squares import frames_of
from receivers import Collected
from sklearn.metrics import cohen_kappa_score
from test_export import without_pytorch

import onlooker
import onlooker.recognizer
from onlooker.base.config import DataConfig, ModelConfig, Settings, StreamConfig, When
from onlooker.base.records import Event, Prediction, Recording, Segment
from onlooker.data import samples
from onlooker.run.predict import predict_clips
from onlooker.run.train import train_run
from onlooker.stream.segmenters.semi_markov import Decoder
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize
from onlooker.video.write import write

FPS = 10


def film(
    path: Path, plan: list[tuple[str, float]], gray: int
) -> list[tuple[str, float, float]]:
    """Squares that move in steps, or rest where it is bright; pauses have no label."""
    rng = np.random.default_rng(gray)
    frames: list[np.ndarray] = []
    rows = []
    for action, seconds in plan:
        n = round(seconds * FPS)
        if action != "pause":
            rows.append((action, len(frames) / FPS, (len(frames) + n) / FPS))
        moves = action if action in ("left", "right") else None
        frames += frames_of(moves, n, gray + 100 * (action == "rest"))
    place = np.kron(rng.normal(0, 18, (6, 8, 1)), np.ones((8, 8, 1)))  # no copy of the others
    noise = place + rng.normal(0, 3, (len(frames), 48, 64, 3))
    write(path, np.clip(np.stack(frames) + noise, 0, 255).astype(np.uint8), fps=FPS)
    return rows


ACTS = [("pause", 1), ("left", 1), ("pause", 1.4), ("right", 1.2), ("pause", 1)]


@pytest.fixture(scope="module")
def pen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labeled recordings with acts of a second and rests of 8 s, and one more to test."""
    folder = tmp_path_factory.mktemp("pen")
    for name, files in (("list", range(4)), ("test", range(4, 5))):
        rows = [("path", "start", "end", "label")]
        for number in files:
            plan = [*ACTS, ("rest", 8), *ACTS, *ACTS[1:]]
            rows += [
                (f"{number}.mp4", str(start), str(end), label)
                for label, start, end in film(folder / f"{number}.mp4", plan, 30 + 12 * number)
            ]
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


WORDS = ("--frames", "6", "--size", "32", "--encoder", "conv4")


@pytest.fixture(scope="module")
def run(pen: Path) -> Path:
    with patch.object(samples, "read_all_frames") as read_all_frames:
        said = call(
            "train", pen / "list.csv", *WORDS, "--eyes", "pictures", "--run", pen / "run"
        ).stderr
    assert not read_all_frames.called
    assert "times: states, because intervals cover" in said
    assert "on recordings that it was not fitted to (4)" in said
    return pen / "run"


@pytest.fixture(scope="module")
def prediction(run: Path, pen: Path) -> Prediction:
    """Of the recording to test."""
    return onlooker.load(run).predict(pen / "4.mp4")


def test_bouts_are_predicted_in_order_of_time(run: Path, prediction: Prediction) -> None:
    recognizer = onlooker.load(run)
    assert recognizer.classes == ("left", "rest", "right")
    labels = [bout.label for bout in prediction.segments]
    assert labels == ["left", "right", "rest", "left", "right", "left", "right"]
    rest = prediction.segments[2]
    assert rest.start == pytest.approx(5.6, abs=0.6)
    assert rest.end == pytest.approx(13.6, abs=0.6)
    assert prediction.frame_scores.shape == (len(prediction.times), 3)
    budgets = {budget.label: budget for budget in prediction.budget()}
    assert (budgets["rest"].bouts, budgets["left"].bouts) == (1, 3)
    assert budgets["rest"].share == pytest.approx(8 / 23.8, abs=0.05)
    assert budgets["left"].latency == pytest.approx(1, abs=0.5)
    assert str(prediction) == f"4.mp4: {prediction.budget_text}"
    assert prediction.budget_text.startswith("rest 3")
    assert prediction.budget_text.endswith(" · 7 bouts")


def test_a_stream_has_the_state_now_and_bouts_that_are_final(
    run: Path, pen: Path, prediction: Prediction
) -> None:
    recognizer = onlooker.load(run)
    steps = [*recognizer.watch(pen / "4.mp4", StreamConfig())]
    final = [event for step in steps for event in step.events]
    assert [event.label for event in final] == [bout.label for bout in prediction.segments]
    resting = [step for step in steps if 10 < step.time < 13]
    assert {step.label for step in resting} == {"rest"}
    assert {round(step.states[0].start, 1) for step in resting} == {round(final[2].start, 1)}
    assert all(step.time < event.end + 5 for step in steps[:-1] for event in step.events)
    assert "states" in resting[0].to_dict()
    lines = call("watch", run, pen / "4.mp4").stdout.splitlines()
    assert any("  rest  " in line and "  since 5." in line for line in lines)
    assert sum(line.startswith("state: ") for line in lines) == 7
    assert lines[-1].startswith("state: "), "after the end, no state goes on"


def test_the_last_bout_ends_with_the_recording_at_any_frame_rate(
    run: Path, tmp_path: Path
) -> None:
    recognizer = onlooker.load(run)
    for fps, count in ((37, 76), (1, 12), (25, 1)):
        file = tmp_path / f"{fps}.mp4"
        write(file, np.stack(frames_of(None, count, 190)).astype(np.uint8), fps=fps)
        answer = recognizer.predict(file)
        assert {bout.label for bout in answer.segments} == {"rest"}
        assert answer.segments[-1].end == pytest.approx(answer.end)
        assert answer.end == pytest.approx(count / fps, abs=1e-3)
        assert sum(part.share for part in answer.budget()) == pytest.approx(1)
        watched = [event for step in recognizer.watch(file) for event in step.events]
        assert watched[-1].end == pytest.approx(answer.end)


def test_the_budget_of_a_clip_begins_with_the_clip(prediction: Prediction) -> None:
    # a sample may begin after it
    whole = [Segment("rest", 0.0, prediction.end, score=1.0)]
    sampled = replace(prediction, times=prediction.times + 0.04, segments=whole)
    (rest,) = (part for part in sampled.budget() if part.bouts)
    assert (rest.share, rest.latency) == (1.0, 0.0)


def test_sinks_get_the_begin_and_the_end_of_each_bout(
    run: Path, pen: Path, tmp_path: Path
) -> None:
    sink = Collected()
    steps = [*onlooker.load(run).watch(pen / "4.mp4", sinks=[sink, tmp_path / "4.vtt"])]
    sent = [bout for bout in sink.calls if isinstance(bout, Event)]
    labels = ["left", "right", "rest", "left", "right", "left", "right"]
    begins = [bout for bout in sent if bout.phase == "begin"]
    ends = [bout for bout in sent if bout.phase == "end"]
    assert [bout.label for bout in begins] == [bout.label for bout in ends] == labels
    assert [(bout.id, bout.start) for bout in begins] == [
        (bout.id, bout.start) for bout in ends
    ]
    assert [event for step in steps for event in step.events] == ends
    assert [event for step in steps for event in step.begun] == begins
    times = [bout.end if bout.phase == "end" else bout.start for bout in sent]
    assert times == sorted(times)
    # a rest of 8 s is known to have begun long before it is over
    (resting,) = (step for step in steps if "rest" in [bout.label for bout in step.begun])
    assert resting.time < begins[2].start + 4.5 < ends[2].end
    (values,) = resting.to_dict()["begun"]
    assert (values["state"], values["end"]) == ("begin", None)
    assert values["start"] == pytest.approx(begins[2].start)
    assert ends[2].to_dict()["state"] == "end"
    assert (tmp_path / "4.vtt").read_text().count("-->") == len(labels)


def test_states_are_the_same_in_python_on_the_command_line_and_in_an_export(
    run: Path, pen: Path, prediction: Prediction, tmp_path: Path
) -> None:
    file = pen / "4.mp4"
    recognizer = onlooker.load(run)
    call("predict", run, file, "--json", tmp_path / "all.jsonl")
    (line,) = (tmp_path / "all.jsonl").read_text().splitlines()
    stored = json.loads(line)
    np.testing.assert_allclose(stored["frame_scores"], prediction.frame_scores, atol=1e-6)
    bouts = [(bout.label, bout.start, bout.end) for bout in prediction.segments]
    assert [(bout["label"], bout["start"], bout["end"]) for bout in stored["segments"]] == bouts
    watched = np.concatenate([step.rows for step in recognizer.watch(file)])
    call("export", run, "--out", tmp_path / "export")
    about = json.loads((tmp_path / "export" / "step.json").read_text())
    delay = about["bouts"]["delay"]
    session = onnxruntime.InferenceSession(tmp_path / "export" / "step.onnx")
    names = [output.name for output in session.get_outputs()]
    state = {
        name: np.zeros([1, *part["shape"][1:]], np.float32)
        for name, part in about["state"].items()
    }
    images = VideoReader(file).get(prediction.indices).pixels
    exported = []
    for image in [*images, *[images[-1]] * delay]:
        frame = resize(image[None], about["frame"]["size"], 3)
        answer = dict(zip(names, session.run(None, {"frame": frame, **state}), strict=True))
        state = {name: answer[part["next"]] for name, part in about["state"].items()}
        exported.append(answer)
    scores = np.concatenate([answer["scores"] for answer in exported[delay:]])
    np.testing.assert_allclose(scores, prediction.frame_scores, atol=1e-4)
    posteriors = np.concatenate([answer["states"] for answer in exported[delay:]])
    np.testing.assert_allclose(posteriors, watched, atol=1e-4)
    (chain,) = about["states"]
    labels = [None if k == -1 else about["classes"][k] for k in chain["classes"]]
    decoder = Decoder(
        labels,
        chain["medians"],
        chain["spreads"],
        weight=chain["weight"],
        rate=about["bouts"]["rate"],
    )
    found = decoder.decode(prediction.times.tolist(), posteriors)
    assert [(bout.label, bout.start, bout.end) for bout in found] == bouts
    done = without_pytorch(tmp_path / "export", file)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(prediction.times)
    for words, time, row in zip(lines, prediction.times, prediction.frame_scores, strict=True):
        assert float(words[0]) == pytest.approx(time, abs=0.006)
        assert float(words[3]) == pytest.approx(100 * row.max(), abs=0.2)
        assert words[2] == recognizer.classes[row.argmax()]


def test_a_long_recording_is_continued_within_a_piece_of_where_it_was_killed(
    run: Path,
    pen: Path,
    prediction: Prediction,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = pen / "4.mp4"
    recognizer = onlooker.load(run)
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(onlooker.recognizer, "_PIECE", 4.0)
    monkeypatch.setattr(onlooker.recognizer, "_HEAT_SECONDS", 20.0)
    watch_piece = onlooker.recognizer._piece
    watched = list[int]()

    def killed_in_the_third(*given: Any, **more: Any) -> Any:
        watched.append(given[2])
        if watched == [0, 1, 2]:
            raise SystemExit(9)
        return watch_piece(*given, **more)

    monkeypatch.setattr(onlooker.recognizer, "_piece", killed_in_the_third)
    out = tmp_path / "all.jsonl"
    with pytest.raises(SystemExit):
        predict_clips(run, [file], json=out)
    assert not out.read_text()
    assert predict_clips(run, [file], json=out) == []
    assert watched == [0, 1, 2, 2, 3, 4, 5]
    stored = json.loads(out.read_text())
    assert (stored["times"], stored["indices"]) == (
        prediction.times.tolist(),
        prediction.indices.tolist(),
    )
    np.testing.assert_allclose(stored["frame_scores"], prediction.frame_scores, atol=1e-6)
    np.testing.assert_allclose(stored["attention"], prediction.attention, atol=1e-6)
    bouts = [(bout["label"], bout["start"], bout["end"]) for bout in stored["segments"]]
    assert bouts == [(bout.label, bout.start, bout.end) for bout in prediction.segments]
    again = recognizer.predict(file)  # without a cache, and as it is
    assert watched[7:] == [*range(6)]
    assert again.segments == prediction.segments
    assert (again.heat is None, prediction.heat is None) == (True, False)
    boxes, expected = (
        np.concatenate([tube.boxes for tube in found.tubes]) for found in (again, prediction)
    )
    assert np.median(np.abs(boxes - expected)) < 0.1


def test_predict_prints_and_writes_time_budgets(run: Path, pen: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert " · 7 bouts" in call("predict", run, pen / "4.mp4", "--out", out).stdout
    stored = json.loads((out / "4.json").read_text())
    assert len(stored["segments"]) == 7
    call("predict", run, pen / "3.mp4", "--out", out, "--threshold", "0.999999")
    recognizer = onlooker.load(run)
    (chain,) = recognizer.decision.states
    strict = replace(recognizer.decision, states=(replace(chain, threshold=1.0),))
    recognizer.decision = strict
    assert not recognizer.predict(pen / "4.mp4").segments
    assert len(recognizer.predict(pen / "4.mp4", threshold=0.0).segments) == 7
    with (out / "budget.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["recording"] for row in rows] == [str(pen / "4.mp4"), str(pen / "3.mp4")]
    assert [row["rest bouts"] for row in rows] == ["1", "0"]
    assert float(rows[0]["rest seconds"]) == pytest.approx(8, abs=1)
    assert float(rows[0]["seconds"]) == pytest.approx(23.8, abs=0.1)
    (out / "budget.csv").write_text("my,notes\n1,2\n")
    text = fails("predict", run, pen / "4.mp4", "--out", out)
    assert "is no table of these time budgets" in text


def test_recordings_are_evaluated_by_the_measures_of_segmentation(run: Path, pen: Path) -> None:
    output = call("evaluate", run, "--recordings", pen / "test.csv").stdout
    assert "F1@10/25/50 100/100/" in output
    assert "7 of 7 bouts found" in output
    assert re.search(r"rest: .* min in 1 bout of .*; live: .*; labeled: ", output)
    assert f"report: {run / 'recordings-test' / 'report.html'}" in output
    figures = json.loads((run / "recordings-test" / "evaluation.json").read_text())
    (chain,) = figures["states"]
    assert chain["classes"] == ["left", "rest", "right"]
    assert chain["accuracy"] > 0.85
    assert figures["live"]["states"][0]["bouts"]["true"] == 7


def test_the_agreement_of_two_scorers_is_beside_that_of_the_model(run: Path, pen: Path) -> None:
    with (pen / "test.csv").open(newline="") as file:
        rows = [*csv.reader(file)]
    # the second one marks two of the five acts that are not rests, and is not sure of one
    second = [
        (*row[:3], "" if number == 1 else row[3], "bob") for number, row in enumerate(rows[1:5])
    ]
    lines = [(*rows[0], "scorer"), *((*row, "ann") for row in rows[1:]), *second]
    with (pen / "two.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    output = call("evaluate", run, "--recordings", pen / "two.csv").stdout
    assert "Two scorers agree with a kappa of 0." in output
    folder = run / "recordings-two"
    (agreement,) = json.loads((folder / "evaluation.json").read_text())["scorers"]
    assert agreement["recordings"] == 1
    times = np.arange(0, 23.8, 1 / onlooker.load(run).decision.frame_rate)
    ann, bob = (np.full(len(times), 3) for _ in range(2))
    for start, end, label, scorer in [line[1:] for line in lines[1:]]:
        span = (times > float(start) - 1e-3) & (times < float(end) - 1e-3)
        labels = ann if scorer == "ann" else bob
        labels[span] = ("left", "rest", "right").index(label) if label else -1
    ann = ann[bob >= 0]
    bob = bob[bob >= 0]
    assert agreement["scorers"] == pytest.approx(cohen_kappa_score(ann, bob), abs=0.02)
    assert agreement["scorers"] < agreement["model"]
    assert "Two scorers agree with a kappa of 0." in (folder / "report.html").read_text()


def test_a_resumed_training_knows_of_which_times_nobody_knows_what_happens(
    pen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown_times = []

    def interrupted(*_: object, recordings: Sequence[Recording], when: When) -> None:
        unknown_times.append(
            {part.path: [*part.unknown] for part in recordings if part.unknown}
        )
        raise KeyboardInterrupt(when)

    monkeypatch.setattr("onlooker.run.train.plan_times", interrupted)
    rows = [
        f"{pen}/0.mp4,0,1,",
        f"{pen}/1.mp4,2,3.5,",
        *(f"{pen}/{number}.mp4,1,2,left" for number in (0, 2)),
        *(f"{pen}/{number}.mp4,3.4,4.6,right" for number in (0, 2)),
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,start,end,label", *rows]) + "\n")
    settings = Settings(ModelConfig(encoder="conv4"), DataConfig(frames=6, size=32))
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            train_run(
                tmp_path / "list.csv", tmp_path / "run", settings, resume=resume, quiet=True
            )
    assert unknown_times == 2 * [
        {(pen / "0.mp4").resolve(): [(0.0, 1.0)], (pen / "1.mp4").resolve(): [(2.0, 3.5)]}
    ]


def test_the_report_of_a_training_has_the_ethograms_of_its_recordings(
    run: Path, pen: Path
) -> None:
    figures = json.loads((run / "evaluation.json").read_text())
    states = figures["states"]
    assert states["classes"] == ["left", "rest", "right"]
    assert [recording["name"] for recording in states["recordings"]] == [
        f"{number}.mp4" for number in range(4)
    ]
    with (pen / "list.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    for recording in states["recordings"]:
        given = [row for row in rows if row["path"] == recording["name"]]
        assert [label for label, *_ in recording["labeled"]] == [row["label"] for row in given]
        starts = [float(row["start"]) for row in given]
        assert [start for _, start, _ in recording["labeled"]] == pytest.approx(starts, abs=0.2)
        assert recording["seconds"] == pytest.approx(23.8, abs=0.2)
        assert "rest" in [label for label, *_ in recording["found"]]
    page = (run / "report.html").read_text().replace("\u00a0", " ")
    assert states["sentence"] in page.split("<details")[0]
    assert re.search(r"\d+ of \d+ clips right", page.split("<details")[1])
    assert "States in recordings that it was not fitted to" in page
    assert all(f"<figcaption>{number}.mp4</figcaption>" in page for number in range(4))
    call("evaluate", run)
    assert json.loads((run / "evaluation.json").read_text()) == figures


def test_a_model_that_tells_no_states_is_not_asked_for_them(pen: Path, tmp_path: Path) -> None:
    words = ("train", pen / "list.csv", *WORDS, "--run", tmp_path / "no", "--model", "convnet")
    text = fails(*words, "--when", "states")
    assert "convnet tells no states; leave out --when states" in text
