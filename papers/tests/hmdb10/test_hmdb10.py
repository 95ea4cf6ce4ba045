"""The HMDB-51 report made again: the whole command on a tiny tree in the published layout."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import moving_squares
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import Result
from kills import killed_in
from pages import self_contained
from torch import Tensor, nn
from typer.testing import CliRunner

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.files import read_json
from onlooker.cli import app
from onlooker.models.encoders import ENCODERS, EncoderSpec
from onlooker.video.write import write
from onlooker_papers.hmdb10 import draws
from onlooker_papers.hmdb10 import reproduce as module
from onlooker_papers.hmdb10.reproduce import PUBLISHED, Hmdb10Budget, reproduce

CLASSES = ("brush_hair", "cartwheel", "wave")
TINY = Hmdb10Budget(
    "pooled",
    pretrained=False,
    data=DataConfig(frames=4, size=32, translate=0.0, scale=0.0),
    training=TrainConfig(epochs=6, batch=4, label_smoothing=0.0, patience=0, precision="32"),
    draws=2,
    rates=(0.05,),
    complete=False,
)


class Pooled(nn.Module):
    """An encoder that knows something without training: the mean colors of 4×4 parts of a frame."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([20.0]))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return 4, 4

    def forward(self, frames: Tensor) -> Tensor:
        return self.scale * F.adaptive_avg_pool2d(frames, 4)


@pytest.fixture(scope="module", autouse=True)
def _pooled() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        pooled = EncoderSpec(lambda in_channels, size, pretrained: Pooled())
        patch.setitem(ENCODERS, "pooled", pooled)
        yield


@pytest.fixture(scope="module")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut-down HMDB-51: of each class, a color, two clips of each of four films."""
    root = tmp_path_factory.mktemp("hmdb51")
    for k, label in enumerate(CLASSES):
        (root / label).mkdir()
        for film in range(4):
            for number in range(2):
                name = f"Film_{film}_{label}_f_cm_np1_fr_med_{number}.avi"
                video = np.full((6, 48, 64, 3), 40, np.uint8)
                video[..., k] = 200 + 10 * film + number
                clip = write(tmp_path_factory.mktemp("clip") / "clip.mp4", video, fps=10)
                (root / label / name).write_bytes(clip.read_bytes())
    return root


@pytest.fixture(scope="module")
def made(hmdb51: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its results."""
    folder = tmp_path_factory.mktemp("made")
    reproduce(
        folder / "run", hmdb51=hmdb51, classes=CLASSES, budget=TINY, results=folder / "results"
    )
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=3, frames=6)


def call(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["reproduce", "hmdb10", *map(str, words)])


def words_of(page: Path) -> str:
    """The page's source, with plain spaces."""
    return page.read_text(encoding="utf-8").replace("\u00a0", " ")


def test_what_is_published() -> None:
    data = PUBLISHED.data
    training = PUBLISHED.training
    assert (PUBLISHED.encoder, PUBLISHED.pretrained, PUBLISHED.complete) == ("vgg16", True, True)
    assert (data.frames, data.size, data.translate, data.scale, data.hflip) == (
        30,
        224,
        0,
        0,
        False,
    )
    assert (training.batch, training.epochs, training.patience) == (15, 10, 0)


def test_figures_are_those_of_every_draw(made: Path) -> None:
    figures = read_json(made / "results" / "hmdb10.json")["figures"]["HMDB-51"]
    assert list(figures["models"]) == ["report", "convlstm", "lstm", "convnet"]
    assert [sum(counts.values()) for counts in figures["clips"]] == [24, 24]
    for found in figures["models"].values():
        assert len(found["each"]) == 2
        assert np.mean(found["each"]) == pytest.approx(found["frame_accuracy"])
        for losses in found["losses"].values():
            assert [len(draw) for draw in losses] == [6, 6]
    assert figures["models"]["convnet"]["frame_accuracy"] == 1  # a color is easily learned
    assert figures["models"]["convnet"]["parameters"] == 3 * 3 + 3


def test_the_page_has_the_published_figure_next_to_ours(made: Path) -> None:
    page = made / "run" / "report.html"
    seen = self_contained(page)
    text = words_of(page)
    (published,) = re.findall(r"<tr>[^\n]*?published: ten classes of HMDB-51.*?</tr>", text)
    assert ">82.0<" in published
    assert "random weights" in text
    assert seen["img"] == 2  # curves, attention


def test_results_have_a_key_for_each_set(made: Path, squares: Path, tmp_path: Path) -> None:
    stored = read_json(made / "results" / "hmdb10.json")
    figures = stored["figures"]["HMDB-51"]
    assert str(made) not in json.dumps(stored)
    results = Path(shutil.copytree(made / "results", tmp_path / "results"))
    reproduce(tmp_path / "run", clips=squares, budget=TINY, results=results)
    both = read_json(results / "hmdb10.json")
    assert both["figures"]["HMDB-51"] == figures
    assert list(both["figures"]) == ["HMDB-51", "squares/"]


def test_a_finished_run_computes_nothing_again(
    made: Path, hmdb51: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(draws, "fit", Mock(side_effect=AssertionError("computed again")))
    (made / "run" / "report.html").unlink()
    results = tmp_path / "results"
    again = reproduce(
        made / "run", hmdb51=hmdb51, classes=CLASSES[::-1], budget=TINY, results=results
    )
    assert again.exists()
    known = read_json(made / "results" / "hmdb10.json")["figures"]
    assert read_json(results / "hmdb10.json")["figures"] == known


def test_a_run_that_was_killed_continues_with_equal_results(
    made: Path, hmdb51: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    results = tmp_path / "results"
    with killed_in(draws, "measure"):
        reproduce(run, hmdb51=hmdb51, classes=CLASSES, budget=TINY)
    assert not list(run.glob("draw0/*e-3.json"))
    longer = replace(TINY, training=replace(TINY.training, epochs=7))
    with pytest.raises(ValueError, match=r"made with other settings \(epochs\)"):
        reproduce(run, hmdb51=hmdb51, classes=CLASSES, budget=longer)
    reproduce(run, hmdb51=hmdb51, classes=CLASSES, budget=TINY, results=results)
    known = read_json(made / "results" / "hmdb10.json")["figures"]
    assert read_json(results / "hmdb10.json")["figures"] == known


def test_a_run_of_other_clips_is_refused(made: Path, hmdb51: Path, squares: Path) -> None:
    with pytest.raises(ValueError, match=r"made with other settings \(.*split\)"):
        reproduce(made / "run", hmdb51=hmdb51, classes=CLASSES[:2], budget=TINY)
    with pytest.raises(ValueError, match=r"made with other settings \(.*split\)"):
        reproduce(made / "run", clips=squares, budget=TINY)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--hmdb51 {hmdb51} --clips {squares}",
            "give either --hmdb51 DIR (HMDB-51 itself) or --clips DIR",
        ),
        (
            "--hmdb51 {hmdb51} --classes wave,cartweel",
            "has no class 'cartweel'; did you mean cartw",
        ),
        ("--clips {squares} --classes up,don", "squares has no class 'don'; "),
        ("--hmdb51 {tmp}/none", "none/brush_hair: 0 .avi files, the published class has 107"),
        ("--clips {tmp}/none", "none: no such folder; give a folder with one sub-folder per class"),
        ("--hmdb51 {hmdb51} --classes wave,cartwheel", "8 .avi files, the published class has 107"),
    ],
)
def test_errors_leave_no_run(
    hmdb51: Path, squares: Path, tmp_path: Path, words: str, message: str
) -> None:
    given = words.format(hmdb51=hmdb51, squares=squares, tmp=tmp_path).split()
    result = call(*given, "--run", tmp_path / "run")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_options_of_the_command_reach_the_run(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.BUDGETS, "published", TINY)
    run = tmp_path / "run"
    result = call("--clips", squares, "--classes", "up, down", "--run", run)
    assert result.exit_code == 0, result.output
    assert f"report: {run / 'report.html'}" in result.output.replace("\n", "")
    assert "down, up; 6 epochs" in words_of(run / "report.html")
