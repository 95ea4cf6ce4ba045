"""Every recipe builds the model of its paper; steps equal the forward pass, a saved model equals the
model, and invalid input is an error.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from packaged_weights import put_weights
from safetensors.torch import load_file, save_file
from stepping import stepped
from torch.testing import assert_close

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.decision import AGGREGATIONS, clip_scores
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
)
from onlooker.models.video_model import count_parameters
from onlooker.training.fitters import complete

CLASSES = 4
SIZE = 32
NAMES = [name for name, recipe in MODELS.items() if recipe.model is Classifier]
every_model = pytest.mark.parametrize("name", NAMES)


def made(name, **changes):
    """A seeded model in evaluation mode, with distinct scores and batch-norm statistics of some
    data.
    """
    torch.manual_seed(0)
    pair = (
        {"in_channels": 3, "flow_channels": 2} if name == "motion" else {}
    )  # gray and one field
    model = create_model(name, CLASSES, **{"size": SIZE, "hidden": 8, **pair, **changes})
    with torch.no_grad():
        model(torch.rand(2, 4, model.in_channels, model.size, model.size))
        for parameter in model.head.parameters():
            parameter.mul_(10)
    return model.eval()


def made_video(T=6, B=2, channels=3, size=SIZE):
    return torch.rand(B, T, channels, size, size, generator=torch.Generator().manual_seed(1))


def in_steps(model, video):
    return stepped(model.step, model.initial_state(len(video)), video)[:2]


@every_model
@pytest.mark.parametrize("changes", [{}, {"in_channels": 4}, {"head_units": 5}], ids=str)
@torch.no_grad()
def test_step_equals_forward(name, changes):
    model = made(name, **changes)
    video = made_video(channels=model.in_channels)
    logits, attention, windows, *_ = model(video)
    assert windows is None
    assert logits.shape == (2, 6, CLASSES)
    assert logits.std() > 0.01
    assert_close(in_steps(model, video), (logits, attention), atol=1e-5, rtol=0)
    if attention is not None:
        assert attention.shape == (2, 6, *model.grid)
        assert_close(attention.sum((2, 3)), torch.ones(2, 6))


@every_model
@torch.no_grad()
def test_step_equals_forward_in_half_precision(name):
    # bf16 keeps 8 bits of a number, so it rounds to 1/256 of it; on, and then off again.
    model = made(name)
    video = made_video()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(video).logits.float()
        assert (half - in_steps(model, video)[0].float()).abs().max() < 0.05 * half.abs().max()
    logits = model(video).logits
    assert logits.dtype == torch.float32
    assert (half - logits).abs().max() < 0.1 * logits.abs().max()
    assert_close(in_steps(model, video)[0], logits, atol=1e-5, rtol=0)


BUILT_FOR = r", this model was built for \(3, 32, 32\) \(C H W\)"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2, 3, 31, 32), rf"frames are \(3, 31, 32\){BUILT_FOR}"),
        ((1, 2, 4, 32, 32), rf"frames are \(4, 32, 32\){BUILT_FOR}"),
        ((2, 0, 3, 32, 32), "2 clips of 0 frames, expected at least one of each"),
    ],
)
def test_videos_that_do_not_fit_the_model_are_errors(shape, message):
    with pytest.raises(ValueError, match=message):
        made("convalstm")(torch.zeros(shape))


def test_a_frame_of_another_size_is_an_error_of_a_step():
    model = made("convalstm")
    with pytest.raises(ValueError, match=rf"frames are \(3, 31, 32\){BUILT_FOR}"):
        model.step(torch.zeros(1, 3, 31, 32), model.initial_state(1))


def test_parameters_of_convalstm_counted_by_hand():
    D = H = U = 64  # features, hidden channels, channels of the attention's inner map
    encoder = (3 * 16 * 25 + 16 * 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9) + 2 * (16 + 32 + 64 + 64)
    attention = (D * U + U) + H * U + U
    cell = (D * 4 * H * 9 + 4 * H) + H * 4 * H * 9
    head = H * 10 + 10
    model = create_model("convalstm", num_classes=10)
    assert count_parameters(model) == encoder + attention + cell + head
    model.encoder.requires_grad_(False)
    assert count_parameters(model) == attention + cell + head, "a frozen encoder is not trained"


@torch.no_grad()
def test_head_units_are_a_tanh_layer():
    # Li et al. 2016: tanh layer, then the classes; maps are averaged over their places first.
    model = made("convlstm", head_units=5)
    hidden = torch.randn(3, 8, 4, 4)
    first = model.head[0]
    last = model.head[-1]
    inner = torch.tanh(hidden.mean((2, 3)) @ first.weight.T + first.bias)
    assert_close(model.classify(hidden), inner @ last.weight.T + last.bias)
    assert_close(model.classify(hidden), model.classify(hidden.mean((2, 3))))


def test_scores_of_a_clip_are_the_mean_the_product_or_the_last_of_its_frames():
    frames = np.random.default_rng(0).dirichlet(np.ones(4), (3, 5)).astype(np.float32)
    product = np.prod(frames, 1)
    expected = {
        "mean": frames.mean(1),
        "product": product / product.sum(1, keepdims=True),
        "last": frames[:, -1],
    }
    for aggregation in AGGREGATIONS:
        got = clip_scores(torch.tensor(frames), aggregation)
        np.testing.assert_allclose(got, expected[aggregation], rtol=1e-5)
        assert got.dtype == torch.float32
        assert torch.equal(clip_scores(torch.tensor(frames[0]), aggregation), got[0]), (
            "one clip"
        )


def test_a_product_of_many_frames_is_not_lost_to_rounding():
    frames = torch.tensor([0.011, 0.010]).expand(500, 2)
    assert torch.allclose(clip_scores(frames, "product"), torch.tensor([1.0, 0.0]), atol=1e-6)
    zero = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert torch.allclose(clip_scores(zero, "product"), torch.tensor([0.5, 0.5]))


@every_model
@torch.no_grad()
def test_a_saved_model_is_loaded_bit_for_bit(name, tmp_path):
    model = made(name, head_units=3, dropout=0.25)
    model.save_pretrained(tmp_path)
    again = Classifier.from_pretrained(tmp_path)
    assert not again.training
    assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert_close(again(made_video()), model(made_video()), rtol=0, atol=0)


def test_a_saved_model_is_plain_json_and_safetensors(tmp_path):
    made("convalstm", encoder="conv4", in_channels=1, dropout=0.25).save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {
        "num_classes": CLASSES,
        "cell": "convlstm",
        "attention": "conv",
        "glimpse": "scaled",
        "encoder": "conv4",
        "hidden": 8,
        "head_units": 0,
        "dropout": 0.25,
        "in_channels": 1,
        "flow_channels": 0,
        "attention_loss": False,
        "size": SIZE,
        "pretrained": False,
    }


def test_a_missing_weight_is_an_error(tmp_path):
    made("convalstm").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["cell.cell.from_hidden.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError,
        match=r"(?s)not the weights of this model.*Missing key.*\"cell.cell.from_hidden.weight\"",
    ):
        Classifier.from_pretrained(tmp_path)


@every_model
def test_gradients_reach_every_parameter(name):
    model = made(name, head_units=5).train()
    clip_scores(model(made_video()).logits.softmax(-1))[:, 0].log().sum().backward()
    assert [
        key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()
    ] == []


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
            assert (weights(**{field: other}) == usual) == (field not in recipe.options), field


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
    assert (model.cell.num_hidden, model.in_channels, model.size, model.grid) == (
        7,
        2,
        64,
        (2, 2),
    )
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
        (
            "motion",
            {"in_channels": 5, "flow_channels": 3},
            "flow_channels is 3 of 5 channels, exp",
        ),
        ("motion", {"in_channels": 2, "flow_channels": 2}, "flow_channels is 2 of 2 channels"),
        (
            "convlstm",
            {"attention_loss": True},
            "attention_loss classifies what is attended, and this model does not",
        ),
        (
            "alstm",
            {"encoder": "lenet"},
            r"encoder 'lenet' makes one location of a frame of \d+ pixels, where attention 'soft'",
        ),
        (
            "report",
            {"size": 8},
            "one location of a frame of 8 pixels, where attention 'context'",
        ),
        ("linear", {"hidden": 8}, "linear has no setting 'hidden'; "),
        ("linear", {"flow_channels": 3}, "flow_channels is 3 of 3 channels, expected an even"),
        ("linear", {"window": 1}, "window is 1 frames, expected at least 2"),
    ],
)
def test_settings_that_do_not_fit_are_errors(name, settings, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **{"num_classes": 3, **settings})


def test_a_single_location_is_enough_without_attention():
    assert create_model("alstm", 3, encoder="lenet", attention=None).grid == (1, 1)


def resolved(name: str, training: TrainConfig) -> TrainConfig:
    return complete(Settings(ModelConfig(name), DataConfig(), training)).training


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
        data = DataConfig(size=16, modality=modality)
        return configured(complete(Settings(model, data)), 3)

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
        net = configured(complete(Settings(model, data)), 2).train()
        weights = [weight.requires_grad for weight in net.encoder.parameters()]
        assert all(weights) == any(weights) == net.encoder.training
        return all(weights)

    assert not trained(ModelConfig("lstm"))
    assert trained(ModelConfig("lstm", frozen=False))
    assert trained(ModelConfig("lstm", "conv4"))
    assert not trained(ModelConfig("lstm", "conv4", frozen=True))
    # Flow is not what it was trained on.
    assert trained(ModelConfig("lstm"), replace(data, modality="flow"))
