"""timm networks as encoders: any number of channels, clear errors, and a grid computed without side
effects.
"""

import copy
import functools
import os
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from onlooker.base.config import DataConfig, ModelConfig
from onlooker.models.classifier import Classifier
from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.backbone import Backbone
from onlooker.models.registry import configured

BackboneVector = functools.partial(Backbone, vector=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet1e6", r"'resnet1e6'; there are conv4.* vgg16 .*close to.*onlooker-papers"),
        ("smal", r"^unknown encoder 'smal'; did you mean small\b"),
        ("vgg16:map", "encoder 'vgg16:map' ends in 'map', expected NAME or NAME:vector"),
    ],
)
def test_an_unknown_name_or_suffix_is_an_error(name, message):
    with pytest.raises(ValueError, match=message):
        build_encoder(name, 3, 32)
    with pytest.raises(ValueError, match=r"timm has no network 'qqqqqqq'$"):
        Backbone("qqqqqqq")


def test_weights_that_cannot_be_loaded_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = (
        r"(?s)the ImageNet weights of test_resnet cannot be loaded \(.*give their file "
        r"\(model.safetensors of timm/test_resnet.r160_in1k\) by --weights"
    )
    with pytest.raises(RuntimeError, match=message):
        build_encoder("test_resnet", 3, 64, True)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("vector", [False, True])
@torch.no_grad()
def test_weights_are_read_from_a_file(tmp_path, suffix, vector):
    whole = timm.create_model("test_resnet").eval()
    file = tmp_path / f"weights.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(whole.state_dict(), file)
    encoder = Backbone("test_resnet", pretrained=str(file), size=64, vector=vector).eval()
    frames = torch.rand(2, 3, 64, 64)
    expected = whole.forward_features(frames)
    if vector:
        expected = whole.forward_head(expected, pre_logits=True)[..., None, None]
    torch.testing.assert_close(encoder(frames), expected)


def test_files_without_fitting_weights_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save(Evil(), tmp_path / "evil.pth")
    save_file({"other": torch.rand(3, 3)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    for name, problem in {
        "evil.pth": "weights_only=True blocked",
        "other.safetensors": "",
        "broken.safetensors": "Safetensor",
    }.items():
        with pytest.raises(RuntimeError, match=f"{name}: .*weights of test_resnet.*{problem}"):
            Backbone("test_resnet", pretrained=str(tmp_path / name))
    assert not (tmp_path / "executed").exists()
    with pytest.raises(FileNotFoundError):
        Backbone("test_resnet", pretrained=str(tmp_path / "none.pth"))
    message = "small is no timm network, and only these take weights from a file"
    with pytest.raises(ValueError, match=message):
        build_encoder("small", 3, 64, "weights.safetensors")


def test_a_model_from_a_file_of_weights_is_saved_with_them(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    settings = ModelConfig("lstm", "test_resnet", weights=str(file))
    model = configured(settings, DataConfig(size=64), 2)
    assert not any(weight.requires_grad for weight in model.encoder.parameters()), (
        "frozen, as pretrained ones are"
    )
    model.save_pretrained(tmp_path / "model")
    file.unlink()
    again = Classifier.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(again.state_dict(), model.state_dict())
    with pytest.raises(ValueError, match="weights is a file, and pretrained is false"):
        configured(replace(settings, pretrained=False), DataConfig(size=64), 2)


@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@torch.no_grad()
def test_frames_of_any_number_of_channels(kind, channels):
    encoder = kind("test_resnet", channels).eval()
    frames = torch.rand(1, channels, 40, 56)
    features = encoder(frames)
    assert features.shape == (1, encoder.num_features, *encoder.grid(40, 56))
    frames[:, -1] = 0
    assert not torch.equal(features, encoder(frames)), "the last channel is not looked at"


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout"])  # mambaout gives N h w D
@pytest.mark.parametrize(("row", "column"), [(0, 5), (3, 0)])
@torch.no_grad()
def test_a_cell_of_the_map_responds_to_its_part_of_the_frame(name, row, column):
    encoder = Backbone(name).eval()
    frames = torch.zeros(1, 3, 128, 192)
    before = encoder(frames)
    frames[:, :, 32 * row + 12 : 32 * row + 20, 32 * column + 12 : 32 * column + 20] = 1
    change = (encoder(frames) - before)[0].abs().sum(0)
    assert change.shape == (4, 6)
    y, x = divmod(int(change.argmax()), 6)
    assert abs(y - row) <= 1, "convolutions may smear a spot into the next place"
    assert abs(x - column) <= 1


@pytest.mark.parametrize("training", [True, False])
def test_asking_for_the_grid_changes_nothing(training):
    encoder = Backbone("test_resnet").train(training)
    before = copy.deepcopy(encoder.state_dict())
    random_state = torch.get_rng_state()
    encoder.grid(48, 48)
    assert {module.training for module in encoder.modules()} == {training}
    torch.testing.assert_close(encoder.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
def test_a_size_that_a_network_cannot_take_is_an_error_that_names_both(kind):
    encoder = kind("vit_tiny_patch16_224", size=8)
    message = r"vit_tiny_patch16_224 cannot take frames of 8x8 pixels \(.*use .*\(--size 224\)"
    with pytest.raises(ValueError, match=message):
        encoder.grid(8, 8)
    assert encoder.training, "as before"


@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@torch.no_grad()
def test_transformers_accept_only_the_size_that_they_are_built_for(kind):
    encoder = kind("vit_tiny_patch16_224", 1, size=48).eval()
    features = encoder(torch.rand(2, 1, 48, 48))
    grid = (3, 3) if kind is Backbone else (1, 1)
    assert features.shape == (2, 192, *grid)
    assert encoder.grid(48, 48) == grid


# A network with steps, one with patches, one that gives N h w D; one channel, single pairs and
# stacks of ten.
@pytest.mark.parametrize("channels", [1, 2, 20])
@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
def test_pretrained_networks_for_flow_start_from_the_mean_of_the_colors(
    name, kind, channels, tmp_path
):
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model(name).state_dict(), file)
    color = kind(name, 3, str(file)).state_dict()
    adapted = kind(name, channels, str(file)).state_dict()
    (first,) = (key for key in color if color[key].shape != adapted[key].shape)
    filters = color.pop(first)
    filters = filters.sum(1, keepdim=True) if channels == 1 else filters.mean(1, keepdim=True)
    expected = filters.expand(-1, channels, -1, -1)
    torch.testing.assert_close(adapted.pop(first), expected)
    torch.testing.assert_close(adapted, color, rtol=0, atol=0)


def test_networks_whose_first_layer_is_not_a_convolution_of_colors(monkeypatch):
    monkeypatch.setattr(
        timm, "create_model", lambda name, in_chans, **_: nn.Linear(in_chans * 16, 4)
    )
    message = r"of test_resnet do not begin with filters .*\(weight is \(4, 48\)\): use an"
    with pytest.raises(RuntimeError, match=message):
        Backbone("test_resnet", 20, pretrained=True)
