"""The demo trains as `onlooker train` does, once, on clips that it generates."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from kills import killed_in

from onlooker.recognizer import load
from onlooker.runs import demo as demo_module
from onlooker.runs.demo import clips_of, demo


def test_the_demo_trains_once_and_writes_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "demo"
    with killed_in(demo_module, "train_run"):
        demo(run, ("jump", "walk"), clips=3)
    clip = clips_of(run) / "jump" / "000.mp4"
    written = clip.stat().st_mtime_ns
    measured = demo(run, ("jump", "walk"), clips=3)
    assert clip.stat().st_mtime_ns == written
    assert measured["videos"] == 6
    assert measured["cross_validated"]
    assert (run / "report.html").exists()
    assert load(run).classes == ("jump", "walk")
    monkeypatch.setattr(demo_module, "train_run", Mock(side_effect=AssertionError("trains again")))
    assert demo(run, ("jump", "walk"), clips=3) == measured
