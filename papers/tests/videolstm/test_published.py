"""The models as the authors' code has them: each setting does what it says, and without them they
are the library's.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from onlooker.base.config import DataConfig, ModelConfig, Settings
from onlooker.base.decision import Decision
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.registry import configured, create_model, find_recipe
from onlooker.recognizer import Recognizer, load
from onlooker.training.fitters import complete
from onlooker_papers.videolstm.moving_target import data
from onlooker_papers.videolstm.published import NAMES, MotionInit, Published, _settings

SMALL = {"encoder": "conv4", "hidden": 4, "size": 48}
# The settings of the library, as arguments of `Published`.
OURS = {
    "glimpse": "scaled",
    "clip_mean": False,
    "head_units": 0,
    "dropout": 0.5,
    "flatten": False,
    "forget_bias": 1.0,
}


def published(name: str, **settings: Any) -> Published:
    given = {**find_recipe(name).settings, **_settings(name), **SMALL, "head_units": 8, **settings}
    return Published(3, **given).eval()


@pytest.mark.parametrize("name", NAMES)
def test_without_its_settings_a_model_is_that_of_the_library(name: str) -> None:
    plain = create_model(name, 3, **SMALL).eval()
    same = published(name, **{**OURS, **({"glimpse": "sum"} if name == "alstm" else {})})
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
    assert [published(name).clip_mean for name in NAMES] == [False, True, False, True, True]
    dropouts = {
        name: [
            part.p for part in published(name).head.modules() if isinstance(part, torch.nn.Dropout)
        ]
        for name in NAMES
    }
    assert dropouts["lstm"] == dropouts["alstm"] == [0.5]
    assert dropouts["convlstm"] == dropouts["convalstm"] == dropouts["motion"] == [0.7]
    assert published("motion").cell.glimpse == published("convalstm").cell.glimpse == "product"
    assert not published("motion").streams


def test_a_run_gets_the_published_settings_unless_others_are_given() -> None:
    data = DataConfig(frames=2, size=48)
    settings = complete(Settings(ModelConfig("published-alstm", "conv4"), data))
    net = configured(settings, 3)
    assert isinstance(net, Published)
    assert (net.clip_mean, net.cell.num_hidden) == (True, 512)
    smaller = settings._replace(model=replace(settings.model, hidden=8))
    assert configured(smaller, 3).cell.num_hidden == 8


@torch.no_grad()
@pytest.mark.parametrize("name", ["lstm", "alstm", "convlstm", "convalstm", "report"])
def test_the_first_state_is_the_tanh_of_the_mean_features(name: str) -> None:
    net: Any = published(name, clip_mean=True)
    features = torch.randn(2, 5, net.encoder.num_features, *net.grid)
    mean = features.sum(1) / 5
    state = net.learned_init(mean)
    for part, layer in zip(state, net.learned_init.parts, strict=True):
        if name in ("lstm", "alstm"):
            expected = torch.tanh(mean.flatten(2).mean(2) @ layer.weight.T + layer.bias)
        else:
            expected = torch.tanh(
                torch.nn.functional.conv2d(mean, layer.weight, layer.bias, padding=1)
            )
        torch.testing.assert_close(part, expected)
    zeros = published(name, clip_mean=False).initial_state(2)
    assert [part.shape for part in state] == [part.shape for part in zeros]
    torch.testing.assert_close(
        net.forward_features(features).logits, net.forward_features(features, state=state).logits
    )


def test_the_first_state_is_learned_and_needs_the_clip() -> None:
    net: Any = published("alstm").train()
    net(torch.rand(2, 2, 3, 48, 48)).logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.learned_init.parameters())
    with pytest.raises(
        ValueError, match="the first state of this model is predicted from the whole clip"
    ):
        net.step(torch.rand(1, 3, 48, 48))


def test_the_first_state_of_motion_comes_from_rgb_by_3x3_and_from_flow_by_1x1_kernels() -> None:
    net: Any = published("motion")
    first = net.learned_init
    assert isinstance(first, MotionInit)
    features = torch.randn(2, sum(first.sizes), 3, 3)
    state = first(features)
    rgb, flow = features.split(first.sizes, 1)
    for part, upper, lower in zip(state, first.upper.parts, first.lower, strict=True):
        expected = torch.nn.functional.conv2d(rgb, upper.weight, upper.bias, padding=1)
        assert torch.allclose(part[:, :4], expected.tanh(), atol=1e-6)
        weighted = (
            torch.einsum("bdhw,od->bohw", flow, lower.weight[:, :, 0, 0])
            + lower.bias[:, None, None]
        )
        assert torch.allclose(part[:, 4:], weighted.tanh(), atol=1e-6)


def test_a_saved_model_is_the_same(tmp_path: Path) -> None:
    net = published("convlstm", in_channels=1, size=64)
    Recognizer(net, data("rgb"), Decision(("a", "b", "c"))).save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu").model
    video = torch.randn(1, 3, 1, 64, 64)
    assert torch.equal(again(video).logits, net(video).logits)
