"""The whole way in one: clips to a run with a page that shows everything by itself, and the demo."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import moving_squares
import pytest
import torch

import saccade
from saccade.config import DataConfig, ModelConfig, TrainConfig
from saccade.experiments import demo as demo_module
from saccade.experiments.clips import evaluate, read_curves, train
from saccade.experiments.demo import TRAINING, demo, split_digits

TINY = TrainConfig(epochs=2, batch=8, precision="32")
KEYS = {
    "videos", "frames", "classes", "accuracy", "accuracy_interval", "frame_accuracy", "mean_class_accuracy",
    "class_accuracy", "log_loss", "calibration_error", "brier", "majority_share", "confusion", "skipped",
}  # fmt: skip


class Loads(HTMLParser):
    """What a page fetches by itself, and how many videos and pictures it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.seen: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        names = ("src", "srcset", "poster", "data") if tag == "a" else ("src", "srcset", "poster", "data", "href")
        self.fetched += [value for name, value in attrs if name in names and value and not value.startswith("#")]


def self_contained(path: Path) -> dict[str, int]:
    """Checks that a page needs nothing but itself; counts its elements."""
    text, page = path.read_text(encoding="utf-8"), Loads()
    page.feed(text)
    assert page.fetched
    assert all(value.startswith("data:") for value in page.fetched), [v[:60] for v in page.fetched if v[:5] != "data:"]
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in style
    assert not re.search(r"url\((?!['\"]?data:)", style)
    return page.seen


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    threads, patch = torch.get_num_threads(), pytest.MonkeyPatch()
    patch.setenv("SACCADE_CACHE", str(tmp_path_factory.mktemp("cache")))
    torch.set_num_threads(1)
    yield
    patch.undo()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares")


def test_from_clips_to_a_report(squares: Path, tmp_path: Path) -> None:
    data = DataConfig(frames=4, size=16, channels=1)
    run = tmp_path / "run"
    measured = train(squares, run, ModelConfig(name="convalstm", hidden=8), data, TINY, quiet=True)
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8")) == measured
    assert set(measured) == KEYS
    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    assert measured["videos"] == len(split["test"])
    assert measured["frames"] == 4 * measured["videos"]
    assert measured["classes"] == sorted(moving_squares.WAYS)
    elements = self_contained(run / "report.html")
    assert elements["video"] == measured["videos"]
    assert elements["img"] == 3  # confusion, calibration, curves
    assert len((run / "scores.csv").read_text(encoding="utf-8").splitlines()) == 1 + measured["videos"]
    assert (run / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.rglob("*.part*"))
    curves = read_curves(run)
    assert curves is not None
    assert len(curves["training"]["loss"]) == 2

    # The run answers by itself: a program can load it, and evaluating again finds the same.
    recognizer = saccade.load(run)
    right = sum(recognizer.predict(squares / name).label == name.split("/")[0] for name in split["test"])
    assert right == round(measured["accuracy"] * measured["videos"])
    assert recognizer.data.normalization == "half"
    shutil.rmtree(run / "checkpoints")
    assert evaluate(run) == measured


def test_a_run_that_was_killed_while_reporting_goes_on(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model, run = DataConfig(frames=4, size=16, channels=1), ModelConfig(name="convnet"), tmp_path / "run"
    from saccade.experiments import clips

    def killed(*_: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(clips, "_report", killed)
        with pytest.raises(SystemExit):
            train(squares, run, model, data, TINY, quiet=True)
    (run / ".model.part").mkdir()  # what a kill while saving leaves
    (run / ".model.part" / "rest").touch()
    resumed = train(squares, run, model, data, replace(TINY, epochs=9), resume=True, quiet=True)
    assert resumed == train(squares, tmp_path / "other", model, data, TINY, quiet=True)


def test_the_demo_trains_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = replace(TRAINING, epochs=1, precision="32")
    results = tmp_path / "results" / "demo.json"
    page = demo(tmp_path, budget, videos=64, tests=32, results=results)
    stored = json.loads(results.read_text(encoding="utf-8"))
    assert stored["figures"]["budget"]["videos"] == 64
    assert {"accuracy", "peak_on_digit", "uniform_on_digit"} <= set(stored["figures"]["alstm"])
    assert page == tmp_path / "report.html"
    elements = self_contained(page)
    assert elements["video"] == 12
    measured = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    assert set(measured) == {"alstm", "lstm", "convnet"}
    assert 0 < measured["alstm"]["uniform_on_digit"] < 1
    assert "peak_on_digit" not in measured["lstm"]
    assert capsys.readouterr().out.count("of unseen videos right") == 3

    def again(*_: object, **__: object) -> None:
        raise AssertionError("the demo trains again")

    monkeypatch.setattr(demo_module, "fit", again)
    assert demo(tmp_path, budget, videos=64, tests=32) == page
    assert json.loads((tmp_path / "demo.json").read_text(encoding="utf-8")) == measured
    with pytest.raises(ValueError, match="holds a demo with another budget; choose another --run"):
        demo(tmp_path, replace(budget, epochs=2), videos=64, tests=32)


def test_no_digit_is_on_two_sides() -> None:
    sides = split_digits()
    counts = [len(sides.training), len(sides.validation), len(sides.test)]
    assert counts == [3600, 400, 1000]
    pixels = [image.tobytes() for side in (sides.training, sides.validation, sides.test) for image in side.images]
    assert len(set(pixels)) == len(pixels)
