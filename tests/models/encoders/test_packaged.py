"""Encoders with packaged weights: their first filters, when they are loaded, and damaged files."""

import hashlib
import json
from pathlib import Path
from typing import cast

import pytest
import torch
from hatchling.builders.wheel import WheelBuilder
from packaged_weights import put_weights
from safetensors import safe_open

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.models.encoders import TERMS, build_encoder, small
from onlooker.models.registry import configured, create_model, resolve
from onlooker.models.video_model import VideoModel
from onlooker_papers.encoder.tables import card

ROOT = Path(__file__).resolve().parents[3]
FIRST = "layers.0.0.weight"
PACKAGED = [name for name in TERMS if name not in ("lite0", "pose")]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    return put_weights(tmp_path, monkeypatch)


def built(in_channels: int = 3) -> torch.nn.Module:
    encoder = build_encoder("small", in_channels, 64, pretrained=True)
    assert isinstance(encoder, torch.nn.Module)
    return encoder


def test_weights_and_statistics_are_those_of_the_file_in_single_precision(
    weights: dict[str, torch.Tensor],
) -> None:
    for name, value in built().state_dict().items():
        assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)
        assert torch.equal(value, weights[name].to(value.dtype)), name


@pytest.mark.parametrize("channels", [2, 5, 20])
def test_filters_of_flow_are_the_mean_of_the_colors(
    weights: dict[str, torch.Tensor], channels: int
) -> None:
    filters = built(channels).state_dict()[FIRST]
    assert filters.shape[1] == channels
    torch.testing.assert_close(
        filters, weights[FIRST].float().mean(1, keepdim=True).expand_as(filters)
    )


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
    model, data, _ = resolve(ModelConfig.from_dict(settings), DataConfig(), TrainConfig())
    assert model.pretrained is expected
    assert (data.normalization != "half") is expected


def first_filters_of(model: VideoModel) -> torch.Tensor:
    return next(value for name, value in model.state_dict().items() if name.endswith(FIRST))


def test_configured_models_have_packaged_weights_and_create_model_random_ones(
    weights: dict[str, torch.Tensor],
) -> None:
    expected = weights[FIRST].float()
    assert torch.equal(
        first_filters_of(configured(ModelConfig("lstm", "small"), DataConfig(), 2)), expected
    )
    random = configured(ModelConfig("lstm", "small", pretrained=False), DataConfig(), 2)
    for other in (random, create_model("lstm", 2, encoder="small")):
        assert not torch.equal(first_filters_of(other), expected)


def test_one_encoder_for_rgb_and_one_for_flow(weights: dict[str, torch.Tensor]) -> None:
    model = configured(ModelConfig("motion", "small"), DataConfig(modality="both"), 2)
    state = model.state_dict()
    assert torch.equal(state[f"encoder.rgb.{FIRST}"], weights[FIRST].float())
    assert state[f"encoder.flow.{FIRST}"].shape[1] == 2


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "FOLDER", tmp_path)
    message = (
        r"small\.safetensors: the weights of small cannot be loaded .*; install onlooker again"
    )
    with pytest.raises(RuntimeError, match=message):
        built()


@pytest.mark.parametrize("damage", ["half", "empty", "text", "another network", "key"])
def test_a_damaged_file_is_named(
    weights: dict[str, torch.Tensor], tmp_path: Path, damage: str
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "small.safetensors"
    if damage == "another network":
        save_file({name: value[:1].clone() for name, value in weights.items() if value.ndim}, path)
    elif damage == "key":
        save_file({name: value for name, value in weights.items() if name != FIRST}, path)
    else:
        whole = path.read_bytes()
        path.write_bytes(
            {"half": whole[: len(whole) // 2], "empty": b"", "text": b"no weights"}[damage]
        )
    with pytest.raises(
        RuntimeError, match=r"small\.safetensors: the weights of small cannot be loaded"
    ):
        built()


def test_the_card_of_a_model_has_the_terms_of_its_weights(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    def card(model: VideoModel, name: str) -> str:
        model.save_pretrained(tmp_path / name)
        return (tmp_path / name / "README.md").read_text(encoding="utf-8")

    model = create_model("lstm", 2, encoder="small", pretrained=True)
    assert TERMS["small"] in card(model, "pretrained")
    assert TERMS["small"] in card(type(model).from_pretrained(tmp_path / "pretrained"), "loaded")
    settings = json.loads((tmp_path / "pretrained" / "config.json").read_text(encoding="utf-8"))
    assert TERMS["small"] in card(type(model).rebuild(settings), "rebuilt")
    assert "ImageNet" not in card(create_model("lstm", 2, encoder="small"), "random")
    assert "ImageNet" not in card(create_model("lstm", 2), "conv4")


@pytest.mark.parametrize(("name", "file"), [("small", "encoder"), ("small-free", "encoder-free")])
def test_the_packaged_weights_are_the_measured_ones(name: str, file: str) -> None:
    path = small.FOLDER / f"{name}.safetensors"
    figures = json.loads((ROOT / "results" / f"{file}.json").read_text(encoding="utf-8"))["figures"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == figures["sha256"]
    assert path.stat().st_size == round(1e6 * figures["megabytes"]) <= 4e6
    encoder = cast(torch.nn.Module, build_encoder(name, 3, 64, pretrained=True))
    assert all(value.isfinite().all() for value in encoder.state_dict().values())


def test_the_model_card_has_the_figures_of_these_weights() -> None:
    results = {
        name: json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))["figures"]
        for name in ("encoder", "encoder-free")
    }
    assert card(results).markdown() in (ROOT / "docs" / "encoder.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PACKAGED)
def test_the_terms_are_in_the_file_and_in_the_card_beside_it(name: str) -> None:
    with safe_open(small.FOLDER / f"{name}.safetensors", "pt") as file:
        assert TERMS[name] in file.metadata()["terms"]
    assert TERMS[name] in (small.FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_wheel_has_the_weights() -> None:
    files = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    packaged_files = {"README.md", *(f"{name}.safetensors" for name in PACKAGED)}
    assert {f"onlooker/models/encoders/weights/{name}" for name in packaged_files} <= files
    assert not [name for name in files if name.endswith((".pt", ".bin", ".ckpt"))]
