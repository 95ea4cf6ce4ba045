"""`onlooker watch`: printed lines, JSON, errors, Ctrl-C."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from clips import Make, make_images
from commands import call, fails
from eventful import eventful, stateful, untrained
from receivers import Receiver
from senders import Sender, cut, slowly, transport_stream

from onlooker import cli
from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.decision import Decision
from onlooker.base.records import Event, Segment, Step
from onlooker.recognizer import load
from onlooker.stream.segmenters import WindowSegmenter

CLASSES = ("clap [now]", "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(classes=CLASSES).save(tmp_path_factory.mktemp("run"))


def test_a_line_per_second_and_per_change_is_printed(run: Path, make_clip: Make) -> None:
    path = make_clip(frames=35)
    done = call("watch", run, path, "--rate", 0)
    steps = list(load(run).watch(path))
    said = []
    for step in steps:
        if not said or step.label != said[-1].label or step.time - said[-1].time >= 1:
            said.append(step)
    lines = done.stdout.splitlines()
    assert len(lines) == len(said) >= 4
    for line, step in zip(lines, said, strict=True):
        assert line.split() == [
            f"{step.time:.2f}",
            "s",
            *step.label.split(),
            f"{100 * step.score:.1f}",
            "%",
        ]
    assert done.stderr == f"{path}: 35 frames, 0 dropped, 0 reconnections\n"


def test_the_default_frame_rate_is_that_of_training(
    tmp_path: Path, run: Path, make_clip: Make
) -> None:
    recognizer = load(run)
    path = make_clip(frames=20)
    recognizer.decision = replace(recognizer.decision, frame_rate=5.0)
    slow = recognizer.save(tmp_path / "slow")
    assert load(slow).decision.frame_rate == 5.0
    said, counts = call("watch", slow, path).stderr.splitlines()
    assert said == "5 frames per second, as in training; --rate 0 uses every frame"
    assert counts == f"{path}: 10 frames, 0 dropped, 0 reconnections"
    assert (
        call("watch", slow, path, "--rate", 0).stderr
        == f"{path}: 20 frames, 0 dropped, 0 reconnections\n"
    )
    assert f"{path}: 4 frames" in call("watch", slow, path, "--rate", 2).stderr


def test_at_the_end_it_says_what_predict_does_otherwise_with_a_file(
    make_clip: Make, tmp_path: Path
) -> None:
    curve = AlarmCurve([0.5, 0.7], [0.9, 0.5], [0.0, 0.0], [50.0, 5.0], 0.25, 0.5, [])
    run = eventful(frame_rate=10.0, curve=curve).save(tmp_path / "run")
    recognizer = load(run)
    recording = make_clip("recording.mp4", frames=30)
    clip = make_clip("clip.mp4", frames=6)

    def said(*words: object) -> str:
        lines = call("watch", run, *words).stderr.splitlines()
        return "".join(line for line in lines if "onlooker predict" in line)

    assert said(recording) == said(recording, "--rate", 10) == ""
    live = [event for step in recognizer.watch(recording) for event in step.events]
    assert len(live) == len(recognizer.predict(recording).segments)
    head = f"{recording}: `onlooker predict` may differ, as it "
    assert said(recording, "--rate", 5) == head + "receives 10 frames per second"
    for allowed, other in ((3, True), (6, False), (60, True)):
        text = said(recording, "--alarms-per-hour", allowed)
        assert text == (head + "reports events from a score of 0.70" if other else "")
    assert said(clip) == (
        f"{clip}: `onlooker predict` may differ, as it takes a clip that is no longer than those "
        "of training for one event"
    )
    pen = stateful().save(tmp_path / "pen")
    states = call("watch", pen, recording).stderr
    assert "decides on states when it has seen all of a recording" in states


def test_json_has_every_frame(run: Path, make_clip: Make) -> None:
    paths = [make_clip("a.mp4", frames=12), make_clip("b.mp4", frames=7)]
    done = call("watch", run, *paths, "--json", "--rate", 5)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    for path, length in zip(paths, (6, 4), strict=True):
        ours = [values for values in objects if values["source"] == str(path)]
        assert [values["index"] for values in ours] == list(range(0, 2 * length, 2))
        assert [values["time"] for values in ours] == pytest.approx(
            [0.2 * i for i in range(length)]
        )
    for values in objects:
        scores = values["scores"]
        assert set(scores) == set(CLASSES)
        assert sum(scores.values()) == pytest.approx(1)
        assert values["score"] == scores[values["label"]] == max(scores.values())
        assert sum(map(sum, values["attention"])) == pytest.approx(1)
        assert (values["dropped"], values["reconnections"], values["happening"]) == (0, 0, None)


def said_of(step: Step) -> list[str]:
    """The line of a step, and those of its events before it."""
    events = [
        f"event: {each.label} {100 * each.score:.0f} %, {each.start:.2f} to {each.end:.2f} s"
        for each in step.events
    ]
    return [*events, f"{step.time:8.2f} s  {step.label:<10}  {100 * step.score:5.1f} %"]


def test_events_have_lines_of_their_own_when_they_are_final(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scores = np.array([0.75, 0.25], np.float32)
    ongoing = Segment(CLASSES[0], 0.5, 1.0, 0.9)
    over = Event(CLASSES[0], 0.5, 1.25, 0.95, "door")
    steps = [
        Step(
            t,
            t / 4,
            scores,
            Decision(CLASSES),
            None,
            "door",
            ongoing=(ongoing,) if t in (4, 5) else (),
            events=(over,) if t == 7 else (),
            pixels=np.zeros((4, 4, 3), np.uint8),
        )
        for t in range(14)
    ]
    told = [
        *steps,
        replace(steps[-1], events=(replace(over, start=2.5, end=3.5),), pixels=None),
    ]
    known = SimpleNamespace(
        watch=lambda *_, **__: (step for step in told),
        model=SimpleNamespace(lengths=(4,)),
        decision=Decision(CLASSES),
        segmenter=WindowSegmenter(Decision(CLASSES), (4,), 0.5),
    )
    monkeypatch.setattr("onlooker.run.watch.load", lambda _: known)
    done = call("watch", tmp_path, "door")
    lines = [said_of(step) for step in told]
    expected = [*lines[0], *lines[4], *lines[6], lines[7][0], *lines[10], lines[14][0]]
    assert done.stdout.splitlines() == expected, "changes, whole seconds, and events"
    assert "event: clap [now] 95 %, 0.50 to 1.25 s" in done.stdout
    assert done.stderr.splitlines()[0].startswith(
        "events: from a score of 0.5; how many false alarms"
    )
    assert done.stderr.splitlines()[-1] == "door: 14 frames, 0 dropped, 0 reconnections"
    named = call("watch", tmp_path, "door", "yard").stdout.splitlines()
    assert named == [f"{line}  door" for line in expected]
    curve = AlarmCurve([0.5], [0.75], [0.0], [4.0], 0.25, 0.5, [])
    known.decision = Decision(CLASSES, curve=curve)
    said = "events: finds 75 % of the events, at most 13 false alarms an hour (2 in 30 min of quiet footage)"
    assert said in call("watch", tmp_path, "door").stderr
    assert (
        "events: finds no events at 1 false alarms an hour"
        in call("watch", tmp_path, "door", "--alarms-per-hour", 1).stderr
    )


def test_several_sources_are_distinguished_and_one_may_fail(
    run: Path, make_clip: Make, tmp_path: Path
) -> None:
    good = make_clip()
    gone = tmp_path / "gone.mp4"
    done = call("watch", run, good, gone, ok=False)
    assert all(line.endswith(f"  {good}") for line in done.stdout.splitlines())
    assert f"error: {gone}: no such file; check the path\n" in done.stderr
    assert f"{good}: 20 frames" in done.stderr


def test_errors_are_one_line(run: Path, tmp_path: Path) -> None:
    with Sender(list, hold=60) as silent:
        message = fails("watch", run, silent.address, "--timeout", 0.5, "--rate", 0)
    assert message.startswith(f"error: {silent.address}: no answer within 0.5 s; ")
    for words, message in (
        ((run, "RTSPX://host"), "error: source is 'RTSPX://host', expected an address of rtsp"),
        (
            (run, "pigeon://host/clip.mp4"),
            "error: pigeon://host/clip.mp4: Protocol not known: pigeon",
        ),
        (
            (run, "0", "--timeout", 0),
            "error: timeout is 0.0, expected above 0. Seconds without data",
        ),
        (
            (run, "0", "--events", tmp_path / "events.vtt"),
            "this model finds no events to send; train the default model, `onlooker train CLIPS`",
        ),
        (
            (tmp_path / "none", "0"),
            "no such folder; expected one that `onlooker train` has finished",
        ),
    ):
        assert message in fails("watch", *words)
    assert not (tmp_path / "events.vtt").exists()


def test_a_lost_source_is_reported(run: Path) -> None:
    part = transport_stream(40)
    patience = ("--rate", 0, "--attempts", 1, "--wait", 0.05, "--timeout", 60, "--drop", "none")
    with Sender(lambda: [part], lambda: [part]) as sender:
        done = call("watch", run, sender.address, "--json", *patience, ok=False)
    values = [json.loads(line) for line in done.stdout.splitlines()]
    states = [value["state"] for value in values if "state" in value]
    assert states == ["online", "reconnecting", "online", "reconnecting", "gone"]
    assert "state" in values[0]
    assert (values[40].get("index"), values[41]["state"], values[41]["source"]) == (
        39,
        "reconnecting",
        sender.address,
    )
    with Sender(lambda: [part], lambda: [part]) as sender:
        lines = call("watch", run, sender.address, *patience, ok=False).stderr.splitlines()
    assert lines[:2] == [
        f"{sender.address}: reconnecting (the sender has ended it)",
        f"{sender.address}: online",
    ]
    assert len(lines) == 5  # and lost again, with its error and counts


def test_a_model_of_an_unknown_frame_rate_asks_for_it(run: Path, make_clip: Make) -> None:
    note = call("watch", run, make_clip(frames=3)).stderr.splitlines()[0]
    assert note.startswith(
        "frame rate unknown: write the frames per second into a file frame_rate.txt"
    )
    assert note.endswith(
        "every frame is used; give --rate N, the frames per second of a training sample (0: every frame)"
    )


def test_an_image_sequence_of_unknown_rate_is_named(run: Path, tmp_path: Path) -> None:
    folder = make_images(tmp_path / "images", ("0.png", "1.png", "2.png"))
    note = f"{folder}: the frame rate is unknown, and seconds are those of 25 frames per second; give --frame-rate"
    assert call("watch", run, folder).stderr.count(note) == 1
    (folder / "frame_rate.txt").write_text("10")
    assert note not in call("watch", run, folder).stderr


def test_standard_input_is_a_stream(run: Path, make_clip: Make) -> None:
    command = [
        sys.executable,
        "-c",
        "from onlooker.cli import main; main()",
        "watch",
        str(run),
        "-",
        "--json",
    ]
    with make_clip("a.mkv", frames=12).open("rb") as video:
        done = subprocess.run(command, stdin=video, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(step["index"], step["source"]) for step in steps if "index" in step] == [
        (i, "-") for i in range(12)
    ]
    assert "-: 12 frames, 0 dropped, 0 reconnections" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
@pytest.mark.parametrize("sign", ["SIGTERM", "SIGHUP"])
def test_events_are_sent_before_a_signal_ends_the_command(
    sign: str, tmp_path: Path, make_clip: Make
) -> None:
    run = eventful().save(tmp_path / "run")
    clip = make_clip("a.mkv", frames=30).read_bytes()
    errors = tmp_path / "errors"
    with (
        Sender(lambda: [clip], hold=600) as sender,
        Receiver(answers=(503, 503, 503)) as receiver,  # each repeated after half a second
        errors.open("w") as file,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "onlooker", "watch", str(run), sender.address),
                *("--rate", "0", "--timeout", "600", "--events", receiver.address),
            ],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as process,
    ):
        printed = 0
        for line in process.stdout:
            printed += line.startswith("event: ")
            if printed == 1:
                process.send_signal(signal.Signals[sign])
                process.send_signal(signal.SIGTERM)  # as systemd sends one after the other
    sent = {each["id"] for each in receiver.got if each["state"] == "end"}
    assert len(sent) == printed > 0, errors.read_text()
    assert process.returncode == 128 + signal.Signals[sign]
    assert errors.read_text().splitlines()[-1] == "stopped"


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    # as by nohup
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *cli._ENDINGS)}
    monkeypatch.setattr(cli, "app", Mock())
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        cli.main()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_ends_in_two_lines(run: Path) -> None:
    chunks = slowly(cut(transport_stream(100), 10) * 20, 0.05)
    with Sender(lambda: chunks, hold=600) as sender:
        command = [
            sys.executable,
            "-c",
            "from onlooker.cli import main; main()",
            "watch",
            str(run),
            sender.address,
        ]
        command += ["--rate", "0", "--timeout", "60"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert "%" in process.stdout.readline()
            errors = ""
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                # once in hundreds of runs, one press of Ctrl-C has had no effect; people press again
                with suppress(subprocess.TimeoutExpired):
                    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130, errors
    seen, stopped = errors.splitlines()
    assert seen.startswith(f"{sender.address}: ")
    assert stopped == "stopped"


def test_it_is_said_once_when_a_source_has_been_unlike_training_for_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scores = np.array([0.75, 0.25], np.float32)
    unusual = [None, *[True] * 8, False, *[True] * 30]  # one frame a second
    for end, count in ((15, 0), (len(unusual), 1)):
        steps = [
            Step(t, float(t), scores, Decision(CLASSES), source="door", unusual=unusual[t])
            for t in range(end)
        ]
        known = SimpleNamespace(
            watch=lambda *_, steps=steps, **__: (step for step in steps),
            model=SimpleNamespace(lengths=()),
            decision=Decision(CLASSES),
            segmenter=None,
        )
        monkeypatch.setattr("onlooker.run.watch.load", lambda _, known=known: known)
        done = call("watch", tmp_path, "door")
        assert done.stderr.count("door: unlike all clips of training") == count
