"""The models as the authors' code has them: each setting does what it says, and without them they are the library's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer, load
from onlooker_papers.videolstm import real_tables, recipe
from onlooker_papers.videolstm.on_features import OURS
from onlooker_papers.videolstm.published import PREFIX, Published
from onlooker_papers.videolstm.target_clips import data

NAMES = ("lstm", "alstm", "convlstm", "convalstm", "motion")
SMALL = {"encoder": "conv4", "hidden": 4, "size": 48}


def published(name: str, **settings: Any) -> Published:
    flow = {"in_channels": 5, "flow_channels": 2} if name == "motion" else {}
    net = create_model(f"{PREFIX}{name}", 3, **{**SMALL, "head_units": 8, **flow, **settings})
    assert isinstance(net, Published)
    return net.eval()


@pytest.mark.parametrize("name", NAMES)
def test_without_its_settings_a_model_is_that_of_the_library(name: str) -> None:
    plain = create_model(name, 3, **SMALL).eval()
    same = published(name, **{**OURS, **({"glimpse": "sum"} if name == "alstm" else {}), "dropout_twice": False})
    same.load_state_dict(plain.state_dict())
    video = torch.randn(2, 3, 5 if name == "motion" else 3, 48, 48)
    assert torch.equal(same(video).logits, plain(video).logits)


def test_the_layers_before_the_classes_read_the_whole_map() -> None:
    net = published("convalstm")
    assert [type(layer).__name__ for layer in net.head] == ["Linear", "Tanh", "Dropout", "Linear"]  # type: ignore[arg-type]
    hidden = torch.randn(2, 4, *net.grid)
    moved = hidden.flip(3)  # the same mean, at other locations
    assert torch.allclose(hidden.mean((2, 3)), moved.mean((2, 3)))
    assert not torch.allclose(net.classify(hidden), net.classify(moved))
    mean = published("convalstm", flatten=False)
    assert torch.allclose(mean.classify(hidden), mean.classify(moved), atol=1e-6)


def test_the_other_settings() -> None:
    for name in NAMES:
        cells = [part for part in published(name).modules() if isinstance(part, LSTM | ConvLSTM)]
        biases: list[Any] = [part.from_features.bias for part in cells]
        assert sum(len(bias) for bias in biases), name
        assert not any(bias.any() for bias in biases), name
    assert [published(name).init for name in NAMES] == ["zeros", *["clip-mean"] * 4]
    dropouts = {
        name: [part.p for part in published(name).head.modules() if isinstance(part, torch.nn.Dropout)]
        for name in NAMES
    }
    assert dropouts["lstm"] == dropouts["alstm"] == [0.5, 0.5]
    assert dropouts["convlstm"] == dropouts["convalstm"] == dropouts["motion"] == [0.7]
    assert published("motion").cell.glimpse == published("convalstm").cell.glimpse == "product"
    assert not published("motion").streams


def test_a_saved_model_is_the_same(tmp_path: Path) -> None:
    net = published("convlstm", in_channels=1, size=64)
    Recognizer(net, ("a", "b", "c"), data("rgb")).save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu").model
    video = torch.randn(1, 3, 1, 64, 64)
    assert torch.equal(again(video).logits, net(video).logits)


def test_every_variant_differs_and_the_last_has_all() -> None:
    models = [variant.model for variant in recipe.VARIANTS]
    assert models[-1] == {key: value for each in models[:-1] for key, value in each.items()}
    training = [variant.training for variant in recipe.VARIANTS]
    assert training[-1] == {key: value for each in training[:-1] for key, value in each.items()}
    for variant in recipe.VARIANTS:
        published("convalstm", **{**OURS, **variant.model})
        assert all(OURS[key] != value for key, value in variant.model.items()), variant.name


def test_the_table_of_settings_names_what_each_variant_measures(
    monkeypatch: pytest.MonkeyPatch, make_clip: Any
) -> None:
    named = {row[-1] for row in recipe.SETTINGS}
    assert named == {"", "tv-l1", "motion", *(variant.name for variant in recipe.VARIANTS)}
    monkeypatch.setattr(recipe, "flow", lambda frames, method: np.full((len(frames) - 1, 2, 2, 2), len(method), float))
    flows = recipe.compare_flow(make_clip(frames=5))
    assert (flows["pairs"], flows["difference"]) == (4, pytest.approx(2**0.5))
    found = {variant.name: {"difference": [0.01, -0.02, 0.04], "ours": 0.3} for variant in recipe.VARIANTS}
    results = {
        recipe.FILE: {**found, "tv-l1": flows},
        "videolstm-real": {"jhmdb": {"motion": 0.5, "motion-random": 0.4}},
    }
    page = real_tables.recipe(results).markdown()
    assert "+1.0 (-2.0 to +4.0)" in page
    assert "+10.0 over random weights" in page
    assert "mean distance of the vectors 1.41 pixels" in page
