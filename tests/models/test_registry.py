"""Every recipe builds the model of its paper, and settings override its defaults."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from packaged_weights import put_weights

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.cell import Memoryless
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker.models.cells.temporal_conv import TemporalConv
from onlooker.models.classifier import Classifier
from onlooker.models.encoders import Conv4, Paired
from onlooker.models.registry import (
    MODELS,
    configured,
    create_model,
    find_recipe,
    list_models,
    resolve,
)


def parts(model):
    """The cell's class, and the attention's name and glimpse where there is one."""
    cell = model.cell
    if isinstance(cell, AttentiveCell):
        return type(cell.cell), type(cell.attention).__name__, cell.glimpse
    return type(cell), None, None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("convnet", (Memoryless, None, None)),
        ("lstm", (LSTM, None, None)),
        ("alstm", (LSTM, "SoftAttention", "sum")),
        ("tcn", (TemporalConv, None, None)),
        ("atcn", (TemporalConv, "SoftAttention", "scaled")),
        ("convlstm", (ConvLSTM, None, None)),
        ("convalstm", (ConvLSTM, "SoftAttention", "scaled")),
        ("report", (ConvLSTM, "ContextAttention", "product")),
    ],
)
def test_a_recipe_builds_the_model_of_its_paper(name, expected):
    model = create_model(name, 3)
    assert isinstance(model, Classifier)
    assert parts(model) == expected
    assert model.num_classes == model.head[-1].out_features == 3


def test_every_recipe_builds():
    assert list_models() == list(MODELS)
    for name in list_models():
        model = create_model(name, 2, size=16, **({} if name == "linear" else {"hidden": 2}))
        assert type(model) is MODELS[name].model
        assert model(torch.rand(1, 5, model.in_channels, 16, 16)).logits.shape == (1, 5, 2)


@pytest.mark.parametrize("name", MODELS)
def test_settings_change_the_weights_except_those_that_the_model_ignores(name):
    recipe = find_recipe(name)
    pair = {"flow_channels": 2, "in_channels": 5} if recipe.modality == "both" else {}

    def weights(**changed):
        with torch.device("meta"):
            model = create_model(name, 3, **pair, **changed)
        return {key: tuple(value.shape) for key, value in model.state_dict().items()}

    usual = weights()
    for field, other in {"encoder": "resnet18", "hidden": 72, "head_units": 5}.items():
        if field in recipe.arguments:
            assert (weights(**{field: other}) == usual) == (field in recipe.ignores), field


def test_settings_override_the_recipe():
    changed = {
        "glimpse": "product",
        "hidden": 7,
        "head_units": 6,
        "dropout": 0.1,
        "encoder": "test_resnet",
    }
    model = create_model("convalstm", 5, **changed, in_channels=2, size=64)
    assert parts(model) == (ConvLSTM, "SoftAttention", "product")
    assert (model.cell.num_hidden, model.in_channels, model.size, model.grid) == (7, 2, 64, (2, 2))
    assert [getattr(layer, "out_features", None) for layer in model.head] == [6, None, None, 5]
    assert model.head[2].p == 0.1
    assert parts(create_model("convalstm", 5, attention=None)) == (ConvLSTM, None, None)
    assert parts(create_model("convalstm", 5)) == (ConvLSTM, "SoftAttention", "scaled"), (
        "the table itself is unchanged"
    )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("transformer", {}, f"unknown model 'transformer'; there are {', '.join(MODELS)}"),
        ("convlst", {}, r"did you mean convlstm or convalstm\? There are linear, convnet"),
        ("lstm", {"attention": "conv"}, "attention 'conv' does not .* a lstm cell; use soft"),
        ("lstm", {"num_classes": 0}, "num_classes is 0, expected at least 1"),
        ("lstm", {"encoder": "eye"}, "unknown encoder 'eye'"),
        ("lstm", {"color": "red"}, "lstm has no setting 'color'; there are attention, attent"),
        ("lstm", {"in_chanels": 1}, "no setting 'in_chanels'; did you mean in_channels"),
        ("motion", {"in_channels": 3}, "flow_channels is not given: motion takes frames with"),
        ("motion", {"in_channels": 5, "flow_channels": 3}, "flow_channels is 3 of 5 channels, exp"),
        ("motion", {"in_channels": 2, "flow_channels": 2}, "flow_channels is 2 of 2 channels"),
    ],
)
def test_settings_that_do_not_fit_are_errors(name, settings, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **{"num_classes": 3, **settings})


def test_motion_needs_flow_and_never_uses_rgb_channels_as_flow():
    model = create_model("motion", 10)
    assert (model.in_channels, model.encoder.flow_channels) == (5, 2)
    with pytest.raises(
        ValueError, match=r"frames are \(3, 64, 64\), this model was built for \(5, 64, 64\)"
    ):
        model(torch.rand(1, 2, 3, 64, 64))
    gray_and_field = create_model("motion", 10, in_channels=3, flow_channels=2)
    assert gray_and_field.in_channels == 3


def resolved(name: str, training: TrainConfig) -> TrainConfig:
    return resolve(ModelConfig(name), DataConfig(), training)[2]


def test_the_loss_is_that_of_the_recipe_unless_given() -> None:
    auto = TrainConfig()
    losses = [resolved(name, auto).loss for name in ("tcn", "lstm", "tracks")]
    assert losses == ["last", "every", "last"]
    assert resolved("tcn", auto).resolved_aggregation == "last"
    assert resolved("tcn", TrainConfig(loss="every")).loss == "every"
    with pytest.raises(ValueError, match="aggregation is 'mean' and loss is 'last'"):
        resolved("tcn", TrainConfig(aggregation="mean"))


def test_a_paired_model_has_a_separate_encoder_for_flow_if_there_is_flow():
    def built(modality):
        model = ModelConfig("tcn", "conv4", hidden=2)
        return configured(model, DataConfig(size=16, modality=modality), 3)

    both = built("both")
    assert isinstance(both.encoder, Paired)
    assert (both.encoder.flow_channels, both.in_channels) == (2, 5)
    for modality, channels in (("rgb", 3), ("flow", 2)):
        assert isinstance(built(modality).encoder, Conv4)
        assert built(modality).in_channels == channels


@torch.no_grad()
def test_each_of_two_encoders_sees_its_own_channels() -> None:
    pair = Paired(Conv4(3), Conv4(20), 20).eval()
    frames = torch.rand(2, 23, 32, 40)
    features = pair(frames)
    assert features.shape == (2, pair.num_features, *pair.grid(32, 40)) == (2, 128, 4, 5)
    expected = torch.cat([pair.rgb(frames[:, :3]), pair.flow(frames[:, 3:])], 1)
    torch.testing.assert_close(features, expected)


def test_a_pretrained_encoder_is_frozen_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_weights(tmp_path, monkeypatch)
    data = DataConfig(size=32, frames=2)

    def trained(model: ModelConfig, data: DataConfig = data) -> bool:
        net = configured(model, data, 2).train()
        weights = [weight.requires_grad for weight in net.encoder.parameters()]
        assert all(weights) == any(weights) == net.encoder.training
        return all(weights)

    assert not trained(ModelConfig("lstm"))
    assert trained(ModelConfig("lstm", frozen=False))
    assert trained(ModelConfig("lstm", "conv4"))
    assert not trained(ModelConfig("lstm", "conv4", frozen=True))
    # Flow is not what it was trained on.
    assert trained(ModelConfig("lstm"), replace(data, modality="flow"))
