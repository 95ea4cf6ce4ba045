"""Networks for video of torchvision: their features, weights of files, errors."""

from dataclasses import replace
from unittest.mock import Mock
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models import _api

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.models.encoders.video import torchvision_video
from onlooker.models.registry import create_model, resolve


def windows(size, span=16):
    """Two windows normalized as `half`, and the same with values from 0 to 1."""
    colors = torch.rand(2, span, 3, size, size, generator=torch.Generator().manual_seed(1))
    return (colors - 0.5) / 0.25, colors


def normalized(colors, mean, std):
    """`N L C H W` to the input of torchvision's networks, `N C L H W`."""
    return (
        (colors - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    ).transpose(1, 2)


def whole(name, tmp_path, suffix="pth"):
    """A network of torchvision with its classifier, and a file with its weights."""
    net = torchvision.models.get_model(name).eval()
    file = tmp_path / f"weights.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(net.state_dict(), file)
    return net, file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r3d_81", r"no network for video 'r3d_81'; did you mean r3d_18"),
        ("resnet18", "no network for video 'resnet18'"),
        ("mvit_v2_s", "no network for video 'mvit_v2_s'"),
        ("swin3d_t", "no network for video 'swin3d_t'"),
    ],
)
def test_wrong_names_are_errors_that_say_what_to_use(name, message):
    with pytest.raises(ValueError, match=message):
        torchvision_video(name, 32)
    for encoder in ("torchvison:r3d_18", "torchvision:r3d_18"):
        message = rf"'{encoder}' .*or with model linear torchvision:NAME"
        with pytest.raises(ValueError, match=message):
            create_model("convlstm", 2, encoder=encoder)


KINETICS = ([0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989])


@torch.no_grad()
def test_the_map_of_r3d_is_the_mean_of_its_last_layer_over_time(tmp_path):
    net, file = whole("r3d_18", tmp_path, "safetensors")
    video, pixels = windows(32)
    layers = torch.nn.Sequential(net.stem, net.layer1, net.layer2, net.layer3, net.layer4)
    expected = layers(normalized(pixels, *KINETICS)).mean(2)
    encoder = torchvision_video("r3d_18", 32, str(file)).eval()
    torch.testing.assert_close(encoder(video), expected)
    assert not any("fc" in key for key in encoder.state_dict())


@torch.no_grad()
def test_the_map_of_s3d_is_the_mean_of_its_features_for_any_size(tmp_path):
    net, file = whole("s3d", tmp_path)
    for size, grid in {40: 1, 100: 3}.items():
        encoder = torchvision_video("s3d", size, str(file)).eval()
        (video, pixels) = windows(size)
        torch.testing.assert_close(
            encoder(video), net.features(normalized(pixels, *KINETICS)).mean(2)
        )
        assert encoder(video).shape[2:] == encoder.grid(size, size) == (grid, grid)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "grid", "classifier"),
    [
        ("r3d_18", 40, 3, "fc"),
        ("r2plus1d_18", 32, 2, "fc"),
        ("mc3_18", 32, 2, "fc"),
        ("s3d", 224, 7, "classifier"),  # its classifier needs 224 pixels
    ],
)
@torch.no_grad()
def test_the_classifier_of_a_network_gives_its_logits_from_the_map(
    tmp_path, name, size, grid, classifier
):
    net, file = whole(name, tmp_path)
    encoder = torchvision_video(name, size, str(file)).eval()
    video, pixels = windows(size)
    features = encoder(video)
    assert features.shape == (2, encoder.num_features, grid, grid)
    assert encoder.grid(size, size) == (grid, grid)
    mean = features.mean((2, 3))
    logits = getattr(net, classifier)(
        mean[..., None, None, None] if name == "s3d" else mean
    ).flatten(1)
    torch.testing.assert_close(logits, net(normalized(pixels, *KINETICS)), rtol=1e-3, atol=1e-3)


def test_weights_that_cannot_be_loaded_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(_api, "load_state_dict_from_url", Mock(side_effect=URLError("no network")))
    save_file({"other": torch.rand(3)}, tmp_path / "other.safetensors")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"no weights")
    for weights, message in {
        True: r"s3d: the weights of s3d .* \(.*no network.*put https://.*/s3d-.*\.pth into .*checkp",
        "broken.safetensors": "broken.safetensors: the weights of s3d cannot be loaded",
        "broken.pth": "broken.pth: the weights of s3d cannot be loaded",
        "other.safetensors": r"other.safetensors: the weights of s3d cannot .*Missing.*--weights",
    }.items():
        source = weights if weights is True else str(tmp_path / weights)
        with pytest.raises(RuntimeError, match=message):
            torchvision_video("s3d", 32, source)


def test_the_encoder_normalizes_and_its_weights_are_not_downloaded_unless_asked():
    r3d = ModelConfig(encoder="torchvision:r3d_18")
    model, data, _ = resolve(r3d, DataConfig(), TrainConfig())
    assert (model.pretrained, data.normalization) == (False, "half")
    model, data, _ = resolve(replace(r3d, weights="file.pth"), DataConfig(), TrainConfig())
    assert (model.pretrained, data.normalization) == (True, "half")
    with pytest.raises(
        ValueError, match="normalization is 'imagenet', and torchvision:r3d_18 has its own"
    ):
        resolve(model, DataConfig(normalization="imagenet"), TrainConfig())
