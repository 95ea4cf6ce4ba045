"""The demo trains as `onlooker train` does, once, on clips that it generates."""

from pathlib import Path

import pytest

from onlooker.recognizer import load
from onlooker.runs import demo as demo_module
from onlooker.runs.demo import clips_of, demo


def test_the_demo_writes_the_report_of_a_training_and_trains_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "demo"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(demo_module, "train_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            demo(run, ("jump", "walk"), clips=3)
    clip = clips_of(run) / "jump" / "000.mp4"
    written = clip.stat().st_mtime_ns
    measured = demo(run, ("jump", "walk"), clips=3)
    assert clip.stat().st_mtime_ns == written
    assert measured["videos"] == 6
    assert measured["cross_validated"]
    assert (run / "report.html").exists()
    assert load(run).classes == ("jump", "walk")
    monkeypatch.setattr(demo_module, "train_run", interrupted)
    assert demo(run, ("jump", "walk"), clips=3) == measured
