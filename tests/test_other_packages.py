"""Encoders and attentions that other packages register: commands find them by the entry point of an
installed package, a model names the packages that it needs, and a missing one is an error that says
what to install.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from commands import call
from eventful import CLASSES, DATA, untrained

from onlooker.base.config import FitConfig
from onlooker.base.decision import Decision
from onlooker.base.files import read_json, write_json
from onlooker.models import registry
from onlooker.models.cells import CELLS
from onlooker.models.cells.attentive import ATTENTIONS, SoftAttention
from onlooker.models.cells.cell import Grid
from onlooker.models.cells.lstm import ConvLSTM
from onlooker.models.encoders import ENCODERS, Conv4, load_packages
from onlooker.models.registry import (
    create_model,
    register_attention,
    register_cell,
    register_encoder,
)
from onlooker.recognizer import Recognizer, load
from onlooker.training import eyes, linear_fitter
from onlooker.training.fitters import FITTERS

MODULE = """
import torch
from dataclasses import dataclass
from torch import nn
from onlooker.base.config import FitConfig
from onlooker.base.settings import setting
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import Recipe, register_encoder, register_model
from onlooker.training.fitter import Fitted, Fitter
from onlooker.training.fitters import register_fitter

@dataclass(frozen=True)
class Shrinking(FitConfig):
    shrink: float = setting(0.0, "Share by which the weights are shrunk.", minimum=0, below=1)

class Shrunk(Fitter):
    settings = Shrinking

    def fit(self, samples, split, context):
        with torch.no_grad():
            context.model.head.weight.mul_(1 - context.settings.training.shrink)
        return Fitted(context.model, context.decision, context.settings)

class Blocks(nn.Module):
    num_features = 6

    def __init__(self, in_channels, pretrained):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, 6, 8, stride=8)
        if pretrained:
            nn.init.constant_(self.layer.bias, 0.25)

    def grid(self, height, width):
        return height // 8, width // 8

    def forward(self, frames):
        return self.layer(frames).relu()

def register():
    register_encoder(
        "blocks",
        lambda in_channels, size, pretrained: Blocks(in_channels, pretrained),
        terms="made by hand",
        package="tiny-eyes",
    )
    register_fitter("shrunk", Shrunk())
    register_model("shrunk", Recipe("by chance", model=LinearClassifier, fitter="shrunk"))
"""


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, squares: Path, operators_read_once: None
) -> tuple[Path, str]:
    """A run made by commands where the package is installed, files beside it, and what was printed;
    afterwards the package is missing.
    """
    folder = tmp_path_factory.mktemp("packages")
    installed = folder / "packages" / "tiny_eyes-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed.parent / "tiny_eyes.py").write_text(MODULE)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-eyes\nVersion: 1.0\n"
    )
    (installed / "entry_points.txt").write_text(
        "[onlooker.models]\ntiny = tiny_eyes:register\n"
    )
    trained = folder / "run"
    clip = squares / "left" / "00.mp4"
    of_clips = ["--encoder", "blocks", "--frames", 6, "--size", 32]
    tables = patch.dict(ENCODERS), patch.dict(FITTERS), patch.dict(registry._registered)
    with pytest.MonkeyPatch.context() as patched, tables[0], tables[1], tables[2]:
        patched.syspath_prepend(installed.parent)
        patched.setattr(linear_fitter, "fit_events", lambda *_, **__: None)  # which is quicker
        patched.setattr(eyes, "FOLDS", 2)  # as well
        load_packages.cache_clear()
        printed = [
            call("train", squares, "--run", trained, *of_clips, "--eyes", "pictures").stdout,
            call("predict", trained, clip, "--json", folder / "predictions.json").stdout,
            call("watch", trained, clip, "--json").stdout,
            call("export", trained, "--out", folder / "exported").stdout,
        ]
        shrunk = ["--model", "shrunk", "--shrink", 0.3, "--run", folder / "shrunk"]
        call("train", squares, *shrunk, *of_clips)
    return trained, "".join(printed)


def test_a_package_adds_an_encoder_that_trains_predicts_watches_and_exports(
    run: tuple[Path, str],
) -> None:
    folder, printed = run
    assert read_json(folder / "config.json")["model"]["encoder"] == "blocks"
    assert "weights of the encoder blocks: made by hand" in printed
    prediction = read_json(folder.with_name("predictions.json"))
    assert prediction["label"] in ("down", "left", "right", "up")
    watched = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(watched) > 5
    described = read_json(folder.with_name("exported") / "step.json")
    assert described["compared"]["largest_difference"] < 1e-4
    model = folder / "model"
    assert read_json(model / "recognizer.json")["packages"] == ["tiny-eyes"]
    assert "`pip install tiny-eyes`" in (model / "README.md").read_text()


def test_a_package_adds_a_fitter_whose_settings_are_options(run: tuple[Path, str]) -> None:
    """They are found although the package is not loaded before the command line is read."""
    settings = read_json(run[0].with_name("shrunk") / "config.json")["training"]
    assert settings.pop("shrink") == 0.3
    assert {*settings} == {field.name for field in fields(FitConfig)}


def test_a_missing_package_is_named_with_what_to_install(run: tuple[Path, str]) -> None:
    message = (
        r"recognizer.json: the model needs tiny-eyes, not installed; pip install tiny-eyes"
    )
    with pytest.raises(ValueError, match=message):
        load(run[0])


def test_a_missing_class_is_named_with_what_to_install(tmp_path: Path) -> None:
    """Also of a model that an earlier version saved, which names the package of its class alone."""
    record = untrained().save(tmp_path) / "recognizer.json"
    values = read_json(record)
    for names in ({"packages": ["my-models"]}, {"package": "my-models"}):
        write_json(record, {**values, "model": "Elsewhere", **names})
        with pytest.raises(ValueError, match="needs my-models, not installed; pip install my-"):
            load(tmp_path)
    write_json(record, {**values, "model": "Elsewhere"})
    with pytest.raises(
        ValueError, match="unknown class of models 'Elsewhere'; expected one of"
    ):
        load(tmp_path)


def test_models_of_earlier_versions_have_no_names_of_packages(tmp_path: Path) -> None:
    record = untrained().save(tmp_path) / "recognizer.json"
    values = read_json(record)
    assert values.pop("packages") == []
    write_json(record, values | {"package": "onlooker"})
    assert load(tmp_path).classes == CLASSES


@pytest.mark.parametrize("wrong", [None, "onlooker", 7, [["onlooker"]]])
def test_packages_that_are_no_names_are_errors(tmp_path: Path, wrong: object) -> None:
    record = untrained().save(tmp_path) / "recognizer.json"
    write_json(record, read_json(record) | {"packages": wrong})
    with pytest.raises(ValueError, match=re.escape(f"{record}: packages is ")):
        load(tmp_path)


@pytest.fixture
def _unchanged_tables() -> Iterator[None]:
    with patch.dict(ENCODERS), patch.dict(ATTENTIONS), patch.dict(CELLS):
        yield


def _conv(in_channels: int, size: int, pretrained: bool) -> Conv4:
    return Conv4(in_channels)


def _soft(num_features: int, hidden: int, units: int, grid: Grid) -> SoftAttention:
    return SoftAttention(num_features, hidden, units, hidden_ndim=4)


def _memory(num_features: int, hidden: int, grid: Grid) -> ConvLSTM:
    return ConvLSTM(num_features, hidden)


@pytest.mark.usefixtures("_unchanged_tables")
def test_a_model_names_the_packages_of_its_encoder_and_its_attention(tmp_path: Path) -> None:
    register_encoder("theirs", _conv, package="eyes")
    register_attention("theirs", _soft, package="maps")
    register_cell("theirs", _memory, package="cells")
    register_encoder("mine", _conv)  # of this program
    names = {
        ("theirs", "convlstm", "theirs"): ["eyes", "maps"],
        ("conv4", "convlstm", "theirs"): ["maps"],
        ("conv4", "theirs", "conv"): ["cells"],
        ("theirs", "convlstm", "conv"): ["eyes"],
        ("mine", "convlstm", "conv"): [],
    }
    for (encoder, cell, attention), packages in names.items():
        parts = {"encoder": encoder, "cell": cell, "attention": attention}
        model = create_model("convalstm", 2, **parts, hidden=4)
        assert model.packages == packages
    folder = Recognizer(model, replace(DATA, size=64), Decision(("a", "b"))).save(tmp_path)
    assert load(folder).model.packages == []  # the name is registered here


@pytest.mark.usefixtures("_unchanged_tables")
def test_a_name_belongs_to_the_package_that_registers_it() -> None:
    for _ in range(2):  # as when a cell of a notebook runs again
        register_encoder("mine", _conv)
        register_attention("mine", _soft)
        register_cell("mine", _memory)
    for name in ("mine", "lstm", "tcn"):
        with pytest.raises(ValueError, match=f"a cell '{name}' is registered already"):
            register_cell(name, _memory, package="eyes")
    for name in ("mine", "conv4", "small", "lite0"):
        with pytest.raises(ValueError, match=f"an encoder '{name}' is registered already"):
            register_encoder(name, _conv, package="eyes")
    for name in ("mine", "conv", "soft"):
        with pytest.raises(ValueError, match=f"an attention '{name}' is registered already"):
            register_attention(name, _soft, package="eyes")


@pytest.mark.usefixtures("_unchanged_tables")
def test_only_an_encoder_with_terms_has_weights_of_its_own() -> None:
    register_encoder("random", _conv)
    with pytest.raises(ValueError, match="random has no pretrained weights; use small"):
        create_model("lstm", 2, encoder="random", pretrained=True)
    asked = list[bool]()
    register_encoder(
        "own", lambda c, size, given: asked.append(given) or Conv4(c), terms="any use"
    )
    model = create_model("lstm", 2, encoder="own", pretrained=True)
    assert type(model).rebuild({**model._hub_mixin_config}).num_classes == 2
    assert asked == [True, False]  # a saved model has its weights in its file
