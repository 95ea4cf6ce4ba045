"""Steps equal the forward pass, a saved model equals the model, and invalid input is an error."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from onlooker.models.classifier import AGGREGATIONS, Classifier, clip_scores
from onlooker.models.registry import MODELS, create_model
from onlooker.models.video_model import count_parameters

CLASSES = 4
SIZE = 32
NAMES = [name for name, recipe in MODELS.items() if recipe.model is Classifier]
every_model = pytest.mark.parametrize("name", NAMES)


def made(name, **changes):
    """A seeded model in evaluation mode, with distinct scores and batch-norm statistics of some
    data.
    """
    torch.manual_seed(0)
    pair = {"in_channels": 3, "flow_channels": 2} if name == "motion" else {}  # gray and one field
    model = create_model(name, CLASSES, **{"size": SIZE, "hidden": 8, **pair, **changes})
    with torch.no_grad():
        model(torch.rand(2, 4, model.in_channels, model.size, model.size))
        for parameter in model.head.parameters():
            parameter.mul_(10)
    return model.eval()


def made_video(T=6, B=2, channels=3, size=SIZE):
    return torch.rand(B, T, channels, size, size, generator=torch.Generator().manual_seed(1))


def stepped(model, video):
    state = model.initial_state(len(video))
    outputs = []
    for frame in video.unbind(1):
        output, state = model.step(frame, state)
        outputs.append(output)
    attention = (
        None if outputs[0].attention is None else torch.stack([o.attention for o in outputs], 1)
    )
    return torch.stack([o.logits for o in outputs], 1), attention


@every_model
@pytest.mark.parametrize("changes", [{}, {"in_channels": 4}, {"head_units": 5}], ids=str)
@torch.no_grad()
def test_step_equals_forward(name, changes):
    model = made(name, **changes)
    video = made_video(channels=model.in_channels)
    logits, attention, windows = model(video)
    assert windows is None
    assert logits.shape == (2, 6, CLASSES)
    assert logits.std() > 0.01
    step_logits, step_attention = stepped(model, video)
    assert (logits - step_logits).abs().max() < 1e-5
    if attention is None:
        assert step_attention is None
    else:
        assert attention.shape == (2, 6, *model.grid)
        assert (attention - step_attention).abs().max() < 1e-5
        assert torch.allclose(attention.sum((2, 3)), torch.ones(2, 6), atol=1e-5)


@every_model
@torch.no_grad()
def test_step_equals_forward_in_half_precision(name):
    # bf16 keeps 8 bits of a number, so it rounds to 1/256 of it; on, and then off again.
    model = made(name)
    video = made_video()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(video).logits.float()
        assert (half - stepped(model, video)[0].float()).abs().max() < 0.05 * half.abs().max()
    logits = model(video).logits
    assert logits.dtype == torch.float32
    assert (half - logits).abs().max() < 0.1 * logits.abs().max()
    assert (logits - stepped(model, video)[0]).abs().max() < 1e-5


@every_model
@torch.no_grad()
def test_one_model_serves_two_streams(name):
    model = made(name)
    video = made_video()
    expected = model(video).logits
    states = [model.initial_state(1), model.initial_state(1)]
    for t in range(6):
        for n in (1, 0):
            output, states[n] = model.step(video[n : n + 1, t], states[n])
            assert (output.logits[0] - expected[n, t]).abs().max() < 1e-5


@pytest.mark.parametrize("name", [name for name in NAMES if name != "convnet"])
@torch.no_grad()
def test_a_model_with_memory_depends_on_the_order_of_frames(name):
    model = made(name)
    video = made_video()
    backward = model(video.flip(1)).logits.flip(1)
    assert (model(video).logits - backward).abs().max() > 1e-3
    assert (
        made("convnet")(video).logits - made("convnet")(video.flip(1)).logits.flip(1)
    ).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(3, 31, 32), (3, 32, 40), (1, 32, 32), (4, 32, 32)])
def test_frames_of_another_size_or_number_of_channels_are_an_error(shape):
    model = made("convalstm")
    numbers = ", ".join(map(str, shape))
    expected = rf"frames are \({numbers}\), this model was built for \(3, 32, 32\) \(C H W\)"
    with pytest.raises(ValueError, match=expected):
        model(torch.zeros(1, 2, *shape))
    with pytest.raises(ValueError, match=expected):
        model.step(torch.zeros(1, *shape), model.initial_state(1))


@every_model
@torch.no_grad()
def test_precomputed_features_give_the_same_output(name):
    model = made(name)
    video = made_video()
    features = model.encode(video.flatten(0, 1)).unflatten(0, (2, 6))
    for given in (
        features,
        features.contiguous(),
        features.movedim(2, -1).contiguous().movedim(-1, 2),
    ):
        found = model.forward_features(given)
        expected = model(video)
        assert (found.logits - expected.logits).abs().max() < 1e-5
        if expected.attention is not None:
            assert (found.attention - expected.attention).abs().max() < 1e-5


@pytest.mark.parametrize("count", [0, -1])
def test_no_classes_is_an_error(count):
    with pytest.raises(ValueError, match=f"num_classes is {count}, expected at least 1"):
        Classifier(count)


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
    assert torch.allclose(model.classify(hidden), inner @ last.weight.T + last.bias, atol=1e-5)
    assert torch.allclose(model.classify(hidden), model.classify(hidden.mean((2, 3))), atol=1e-5)


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
        np.testing.assert_allclose(got.sum(1), np.ones(3), rtol=1e-5)
        assert got.dtype == torch.float32
        assert torch.equal(clip_scores(torch.tensor(frames[0]), aggregation), got[0]), "one clip"
    # What one sure frame says outvotes the others in a product, not in a mean.
    sure = torch.tensor([[1.0, 0], [0.05, 0.95], [0.05, 0.95]])
    assert [clip_scores(sure, aggregation).argmax().item() for aggregation in AGGREGATIONS] == [
        1,
        0,
        1,
    ]


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
    weights = again.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    video = made_video()
    for ours, theirs in zip(model(video), again(video), strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def test_a_saved_model_is_plain_json_and_safetensors(tmp_path):
    made("convalstm", encoder="conv4", in_channels=1, dropout=0.25).save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"README.md", "config.json", "model.safetensors"}
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


def change_weights(folder, change):
    path = folder / "model.safetensors"
    weights = dict(load_file(path))
    change(weights)
    save_file(weights, path)


def test_a_missing_weight_is_an_error(tmp_path):
    made("convalstm").save_pretrained(tmp_path)
    change_weights(tmp_path, lambda weights: weights.pop("cell.cell.from_hidden.weight"))
    with pytest.raises(
        ValueError,
        match=r"(?s)not the weights of this model.*Missing key\(s\) in state_dict: \"cell.cell.from_hidden.weight\"",
    ):
        Classifier.from_pretrained(tmp_path)


def test_pickled_weights_are_not_read(tmp_path):
    model = made("lstm")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        Classifier.from_pretrained(tmp_path)


def test_a_model_that_started_from_imagenet_is_loaded_without_its_weights(tmp_path, monkeypatch):
    # The weights are all in the file: neither network nor a cache of ImageNet's may be needed.
    made("lstm", encoder="test_resnet").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "pretrained": True}))
    import timm

    asked = []
    create = timm.create_model

    def watched(*arguments, pretrained=False, **options):
        asked.append(pretrained)
        return create(*arguments, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", watched)
    Classifier.from_pretrained(tmp_path)
    assert asked
    assert not any(asked)


@every_model
def test_gradients_reach_every_parameter(name):
    model = made(name, head_units=5).train()
    clip_scores(model(made_video()).logits.softmax(-1))[:, 0].log().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_video_without_frames_is_an_error() -> None:
    model = create_model("alstm", 3, size=16)
    with pytest.raises(ValueError, match=r"2 clips of 0 frames, expected at least one of each"):
        model(torch.rand(2, 0, 3, 16, 16))


@pytest.mark.parametrize(
    ("name", "changes"), [("alstm", {"encoder": "lenet"}), ("report", {"size": 8})], ids=str
)
def test_attention_over_a_single_location_is_an_error(name, changes):
    expected = (
        r"encoder '\w+' makes one location of a frame of \d+ pixels, "
        r"where attention '\w+' could only ever give it the"
    )
    with pytest.raises(ValueError, match=expected):
        create_model(name, 3, **changes)
    assert create_model(name, 3, **changes, attention=None).grid == (1, 1), (
        "without attention there is nothing to say"
    )


def test_the_attention_loss_needs_attention():
    with pytest.raises(
        ValueError, match="attention_loss classifies what is attended, and this model does not"
    ):
        create_model("convlstm", 3, attention_loss=True)
    with pytest.raises(
        ValueError, match="no scores of what it attends to; build it with attention_loss=True"
    ):
        create_model("alstm", 3).attended_logits(
            torch.zeros(1, 1, 64, 8, 8), torch.zeros(1, 1, 8, 8)
        )
