"""The demo trains once, tests on unseen digits, and writes a self-contained page."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pages import self_contained

from onlooker.data.digits import split_digits
from onlooker.files import read_json
from onlooker.runs import demo as demo_module
from onlooker.runs.demo import TRAINING, demo
from onlooker.runs.folder import lock_run
from onlooker_papers.demo import record


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_demo_trains_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = replace(TRAINING, epochs=1, precision="32")
    page = demo(tmp_path, budget, videos=64, tests=32)
    stored = read_json(record(tmp_path, tmp_path / "results"))
    assert stored["figures"]["budget"]["videos"] == 64
    assert {"accuracy", "peak_on_digit", "uniform_on_digit"} <= set(stored["figures"]["alstm"])
    (origin,) = stored["origin"]
    assert "onlooker demo" in origin
    assert (tmp_path / "results" / "cells" / "demo" / "all.json").exists()
    assert page == tmp_path / "report.html"
    elements = self_contained(page)
    assert elements["video"] == 12
    measured = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    assert set(measured) == {"alstm", "lstm", "convnet"}
    assert 0 < measured["alstm"]["uniform_on_digit"] < 1
    assert "peak_on_digit" not in measured["lstm"]
    assert capsys.readouterr().out.count("of test videos classified correctly") == 3

    def again(*_: object, **__: object) -> None:
        raise AssertionError("the demo trains again")

    monkeypatch.setattr(demo_module, "fit", again)
    assert demo(tmp_path, budget, videos=64, tests=32) == page
    assert json.loads((tmp_path / "demo.json").read_text(encoding="utf-8")) == measured
    with pytest.raises(ValueError, match="holds a demo with another budget; choose another --run"):
        demo(tmp_path, replace(budget, epochs=2), videos=64, tests=32)


def test_only_one_process_computes_a_demo(tmp_path: Path) -> None:
    with lock_run(tmp_path), pytest.raises(ValueError, match="another process computes it; wait until it ends"):
        demo(tmp_path, replace(TRAINING, epochs=1))


def test_no_digit_is_in_two_splits() -> None:
    sides = split_digits()
    counts = [len(sides.training), len(sides.validation), len(sides.test)]
    assert counts == [3600, 400, 1000]
    pixels = [image.tobytes() for side in (sides.training, sides.validation, sides.test) for image in side.images]
    assert len(set(pixels)) == len(pixels)
