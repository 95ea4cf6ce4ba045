"""The example that uses a model's answers live: a counter of repetitions."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.config import DataConfig
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.structures import Step

COUNTER = Path(__file__).parents[1] / "examples" / "count_repetitions.py"


def test_the_example_is_short() -> None:
    assert len(COUNTER.read_text(encoding="utf-8").splitlines()) <= 40


def test_a_repetition_is_counted_once_however_its_class_flickers() -> None:
    of_open = [0.1, 0.7, 0.55, 0.7, 0.3, 0.5, 0.65, 0.9, 0.2, 0.59, 0.1]
    steps = [Step(i, i / 5, np.array([p, 1 - p], np.float32), ("open", "closed")) for i, p in enumerate(of_open)]
    repetitions = runpy.run_path(str(COUNTER))["repetitions"]
    assert list(repetitions(steps, "open")) == [1 / 5, 6 / 5]
    assert list(repetitions(steps, "open", 0.8)) == [7 / 5]


def test_the_counter_reads_a_clip(
    tmp_path: Path, make_clip: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = create_model("lstm", 2, size=16, hidden=4)
    recognizer = Recognizer(model, ("open", "closed"), DataConfig(size=16, normalization="half"))
    run, clip = recognizer.save(tmp_path / "run"), make_clip(frames=6)
    first = next(iter(recognizer.watch(clip)))
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), first.label, str(first.score - 0.001)])
    runpy.run_path(str(COUNTER), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[0].split() == ["0.00", "s", "1"]
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "jump"])
    with pytest.raises(SystemExit, match=r"jump is no class of .*; its classes are open, closed"):
        runpy.run_path(str(COUNTER), run_name="__main__")
