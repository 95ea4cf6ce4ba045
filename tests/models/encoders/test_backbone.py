"""timm networks as encoders: any number of channels, clear errors, and a grid computed without side
effects.
"""

import functools
import os
import subprocess
import sys

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


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(
        ValueError,
        match=r"unknown encoder 'resnet1e6'; there are conv4.* vgg16 .*close to.*onlooker-papers",
    ):
        build_encoder("resnet1e6", 3, 32)
    with pytest.raises(ValueError, match=r"^unknown encoder 'smal'; did you mean small\b"):
        build_encoder("smal", 3, 32)
    with pytest.raises(ValueError, match=r"timm has no network 'qqqqqqq'$"):
        Backbone("qqqqqqq")


def test_an_unknown_suffix_is_an_error():
    with pytest.raises(
        ValueError, match="encoder 'vgg16:map' ends in 'map', expected NAME or NAME:vector"
    ):
        build_encoder("vgg16:map", 3, 32)


def test_weights_that_cannot_be_loaded_say_what_to_do(tmp_path):
    # In a separate process: the hub reads its environment once, on import.
    code = "from onlooker.models.encoders import build_encoder; build_encoder('test_resnet', 3, 64, True)"
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("HF_HUB_CACHE", None)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    last = result.stderr[result.stderr.rindex("\nRuntimeError: ") :]
    assert "the ImageNet weights of test_resnet cannot be loaded (" in last
    assert "give their file (model.safetensors of timm/test_resnet.r160_in1k) by --weights" in last


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("vector", [False, True])
@torch.no_grad()
def test_weights_are_read_from_a_file(tmp_path, suffix, vector):
    torch.manual_seed(0)
    whole = timm.create_model("test_resnet").eval()
    file = tmp_path / f"weights.{suffix}"
    save_file(whole.state_dict(), file) if suffix == "safetensors" else torch.save(
        whole.state_dict(), file
    )
    torch.manual_seed(1)
    encoder = Backbone("test_resnet", pretrained=str(file), size=64, vector=vector).eval()
    frames = torch.rand(2, 3, 64, 64)
    expected = whole.forward_features(frames)
    expected = (
        whole.forward_head(expected, pre_logits=True)[..., None, None] if vector else expected
    )
    torch.testing.assert_close(encoder(frames), expected)
    flow = Backbone("test_resnet", 4, pretrained=str(file)).net.state_dict()
    first = next(iter(flow))
    torch.testing.assert_close(
        flow[first], whole.state_dict()[first].mean(1, keepdim=True).repeat(1, 4, 1, 1)
    )


def test_files_without_fitting_weights_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save(Evil(), tmp_path / "evil.pth")
    save_file({"other": torch.rand(3, 3)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    for name, found in {
        "evil.pth": "weights_only=True blocked",
        "other.safetensors": "",
        "broken.safetensors": "Safetensor",
    }.items():
        with pytest.raises(RuntimeError, match=f"{name}: .*weights of test_resnet.*{found}"):
            Backbone("test_resnet", pretrained=str(tmp_path / name))
    assert not (tmp_path / "executed").exists()
    with pytest.raises(FileNotFoundError):
        Backbone("test_resnet", pretrained=str(tmp_path / "none.pth"))
    with pytest.raises(
        ValueError, match="small is no timm network, and only these take weights from a file"
    ):
        build_encoder("small", 3, 64, "weights.safetensors")


def test_a_model_from_a_file_of_weights_is_saved_with_them(tmp_path):
    whole = timm.create_model("test_resnet")
    file = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), file)
    model = configured(
        ModelConfig("lstm", "test_resnet", weights=str(file)), DataConfig(size=64), 2
    )
    assert not any(weight.requires_grad for weight in model.encoder.parameters()), (
        "frozen, as pretrained ones are"
    )
    model.save_pretrained(tmp_path / "model")
    file.unlink()
    again = Classifier.from_pretrained(tmp_path / "model")
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight)
    with pytest.raises(ValueError, match="weights is a file, and pretrained is false"):
        configured(
            ModelConfig("lstm", "test_resnet", pretrained=False, weights=str(file)),
            DataConfig(size=64),
            2,
        )


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


def test_the_vector_is_the_input_of_the_classifier_of_the_network():
    encoder = BackboneVector("test_resnet").eval()
    network = timm.create_model("test_resnet", pretrained=False).eval()
    missing, unexpected = network.load_state_dict(encoder.net.state_dict(), strict=False)
    assert missing == ["fc.weight", "fc.bias"]
    assert unexpected == []
    frames = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.fc(encoder(frames)[:, :, 0, 0]), network(frames), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_asking_for_the_grid_changes_nothing(training):
    encoder = Backbone("test_resnet").train(training)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    random_state = torch.get_rng_state()
    encoder.grid(48, 48)
    assert encoder.training is training
    assert all(module.training is training for module in encoder.modules())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [("vgg16", 16, "Output size is too small"), ("vit_tiny_patch16_224", 8, "Kernel size")],
)
def test_a_size_that_a_network_cannot_take_is_an_error_that_names_both(kind, name, size, reason):
    encoder = kind(name, size=size)
    expected = (
        rf"{name} cannot take frames of {size}x{size} pixels \(.*{reason}.*; "
        r"use another size.*own \(--size 224\)"
    )
    with pytest.raises(ValueError, match=expected):
        encoder.grid(size, size)
    assert encoder.training, "as before"


@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@torch.no_grad()
def test_transformers_accept_only_the_size_that_they_are_built_for(kind):
    encoder = kind("vit_tiny_patch16_224", 1, size=48).eval()
    features = encoder(torch.rand(2, 1, 48, 48))
    grid = (3, 3) if kind is Backbone else (1, 1)
    assert features.shape == (2, 192, *grid)
    assert encoder.grid(48, 48) == grid


@pytest.fixture
def trained(monkeypatch):
    """Random weights instead of ImageNet's, the same for every call."""
    create = timm.create_model

    def from_nowhere(name, pretrained=False, **options):
        if not pretrained:
            return create(name, pretrained=False, **options)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            net = create(name, pretrained=False, **{**options, "in_chans": 3})
        if options["in_chans"] != 3:  # what timm itself does
            assert options["in_chans"] == 1
            state = {
                k: v.sum(1, keepdim=True) if v.shape[1:2] == (3,) else v
                for k, v in net.state_dict().items()
            }
            net = create(name, pretrained=False, **options)
            net.load_state_dict(state)
        return net

    monkeypatch.setattr(timm, "create_model", from_nowhere)


# A network with steps, one with patches, one that gives N h w D; single pairs and stacks of ten.
@pytest.mark.parametrize("channels", [2, 20])
@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
def test_pretrained_networks_for_flow_start_from_the_mean_of_the_colors(
    trained, name, kind, channels
):
    color = kind(name, 3, True).state_dict()
    adapted = kind(name, channels, True).state_dict()
    assert color.keys() == adapted.keys()
    others = [key for key in color if color[key].shape != adapted[key].shape]
    assert len(others) == 1
    for key in color:
        if key in others:
            assert adapted[key].shape == (len(color[key]), channels, *color[key].shape[2:])
            for channel in range(channels):
                torch.testing.assert_close(adapted[key][:, channel], color[key].mean(1))
        else:
            assert torch.equal(color[key], adapted[key])


def test_one_channel_has_the_sum_of_the_color_filters_as_in_timm(trained):
    color = Backbone("test_resnet", 3, True).state_dict()
    gray = Backbone("test_resnet", 1, True).state_dict()
    (key,) = (key for key in color if color[key].shape != gray[key].shape)
    torch.testing.assert_close(gray[key], color[key].sum(1, keepdim=True))


def test_networks_whose_first_layer_is_not_a_convolution_of_colors(monkeypatch):
    monkeypatch.setattr(
        timm, "create_model", lambda name, in_chans, **_: nn.Linear(in_chans * 16, 4)
    )
    with pytest.raises(
        RuntimeError,
        match=r"of test_resnet do not begin with filters .*\(weight is \(4, 48\)\): use an",
    ):
        Backbone("test_resnet", 20, pretrained=True)
