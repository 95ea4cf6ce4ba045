"""The demo trains as `onlooker train` does, once, on clips that it generates."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from commands import call

from onlooker.cli import train as commands
from onlooker.recognizer import load
from onlooker.run import train as runs


def test_the_demo_trains_once_and_writes_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "demo"
    clips = tmp_path / "demo-clips"
    monkeypatch.setattr(commands, "_DEMO_ACTIONS", ("jump", "walk"))
    monkeypatch.setattr(commands, "_DEMO_CLIPS", 3)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "train_run", Mock(side_effect=KeyboardInterrupt))
        assert (
            "stopped; run the same command to continue"
            in call("demo", "--run", run, ok=False).stderr
        )
    clip = clips / "jump" / "000.mp4"
    written = clip.stat().st_mtime_ns
    output = call("demo", "--run", run).output
    assert f"clips: {clips}; classify one: onlooker predict {run} " in output.replace("\n", "")
    assert clip.stat().st_mtime_ns == written
    measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert measured["videos"] == 6
    assert measured["cross_validated"]
    assert (run / "report.html").exists()
    assert load(run).classes == ("jump", "walk")
    monkeypatch.setattr(runs, "train_run", Mock(side_effect=AssertionError("trains again")))
    assert "report: " in call("demo", "--run", run).output
