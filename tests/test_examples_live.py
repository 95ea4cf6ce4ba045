"""The example that uses a model's answers live: a counter of repetitions."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eventful import eventful

from onlooker.base.records import Event, Step
from onlooker.report.events import EventCurve

COUNTER = Path(__file__).parents[1] / "examples" / "count_repetitions.py"


def test_the_example_is_short() -> None:
    assert len(COUNTER.read_text(encoding="utf-8").splitlines()) <= 40


def test_every_event_of_the_class_is_a_repetition() -> None:
    scores = np.array([0.5, 0.5], np.float32)
    events = {
        2: [("open", 0.1, 0.3)],
        5: [("closed", 0.4, 0.7), ("open", 0.8, 0.9)],
        7: [("open", 1.0, 1.3)],
    }
    steps = [
        Step(
            i,
            i / 5,
            scores,
            ("open", "closed"),
            events=tuple(Event(*each) for each in events.get(i, ())),
        )
        for i in range(9)
    ]
    repetitions = runpy.run_path(str(COUNTER))["repetitions"]
    assert list(repetitions(steps, "open")) == [0.3, 0.9, 1.3]
    assert list(repetitions(steps, "closed")) == [0.7]


def test_the_counter_reads_a_clip(
    tmp_path: Path,
    make_clip: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recognizer = eventful(("open", "closed"))
    recognizer.curve = EventCurve([0.0, 2.0], [1.0, 0.0], [0.0, 0.0], [3.0, 0.0], 0.0, 1.0, [])
    run = recognizer.save(tmp_path / "run")
    clip = make_clip(frames=30)
    ends = [
        event.end
        for step in recognizer.watch(clip)
        for event in step.events
        if event.label == "closed"
    ]
    assert len(ends) > 1
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "closed"])
    runpy.run_path(str(COUNTER), run_name="__main__")
    expected = [[f"{end:.2f}", "s", str(number)] for number, end in enumerate(ends, 1)]
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == expected
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "closed", "2"])
    runpy.run_path(str(COUNTER), run_name="__main__")
    assert capsys.readouterr().out == "", "fewer false alarms are accepted"
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "jump"])
    with pytest.raises(SystemExit, match=r"jump is no class of .*; its classes are open, closed"):
        runpy.run_path(str(COUNTER), run_name="__main__")
