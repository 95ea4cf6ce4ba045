"""Settings are validated when they are created, survive JSON, and have descriptions."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from onlooker.base.config import (
    DataConfig,
    ModelConfig,
    SetConfig,
    SharedConfig,
    StreamConfig,
    TrainConfig,
)
from onlooker.base.files import write_json
from onlooker.data.transforms import NORMALIZATIONS

CONFIGS = (DataConfig, ModelConfig, SetConfig, SharedConfig, StreamConfig, TrainConfig)


@pytest.mark.parametrize(
    ("config", "changed", "message"),
    [
        (
            DataConfig,
            {"size": 7},
            "size is 7, expected at least 8 and at most 4096. Height and width in pixels",
        ),
        (DataConfig, {"channels": 2}, r"channels is 2, expected 1 \(grayscale\) or 3 \(RGB\)"),
        (
            DataConfig,
            {"frames": 10_000, "size": 4096},
            "503,316.5 MB, at most 4,295.0 MB are possible; use fewer",
        ),
        (DataConfig, {"scale": 1.0}, "scale is 1.0, expected at least 0 and below 1"),
        (
            DataConfig,
            {"modality": "sound"},
            "modality is 'sound', expected rgb, flow or both. Model input",
        ),
        (DataConfig, {"hflip": 1}, "hflip is 1, expected true or false. Mirror half"),
        (ModelConfig, {"hidden": True}, "hidden is True, expected a whole number"),
        (ModelConfig, {"pretrained": "yes"}, "pretrained is 'yes', expected true or false or none"),
        (TrainConfig, {"batch": 0}, "batch is 0, expected at least 1"),
        (TrainConfig, {"lr": 0.0}, "lr is 0.0, expected above 0"),
        (TrainConfig, {"lr": float("nan")}, "lr is nan, expected above 0"),
        (
            TrainConfig,
            {"aggregation": "product", "loss": "last"},
            "aggregation is 'product' and loss is 'last'",
        ),
        (
            StreamConfig,
            {"rate": float("inf")},
            "rate is inf, expected a finite number. Frames per second",
        ),
    ],
)
def test_invalid_settings_are_errors(config: Any, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changed)


@pytest.mark.parametrize(
    ("settings", "aggregation"),
    [
        ({}, "mean"),
        ({"loss": "last"}, "last"),
        ({"aggregation": "product"}, "product"),
        ({"aggregation": "last"}, "last"),
    ],
)
def test_clips_are_scored_as_trained_unless_aggregation_is_given(
    settings: dict[str, Any], aggregation: str
) -> None:
    assert TrainConfig(**settings).resolved_aggregation == aggregation


def test_choices_are_the_names_in_the_tables_of_the_library() -> None:
    allowed = {
        field.name: set(get_args(field.type))
        for config in CONFIGS
        for field in dataclasses.fields(config)
    }
    assert allowed["normalization"] == {"auto", *NORMALIZATIONS}


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_survive_json(config: Any) -> None:
    assert config.from_dict(json.loads(json.dumps(config().to_dict()))) == config()


def test_a_file_with_other_settings_is_an_error_that_names_them() -> None:
    known = TrainConfig().to_dict()
    assert TrainConfig.from_field({"training": known}, "training") == TrainConfig()
    with pytest.raises(ValueError, match=r"TrainConfig has no setting speed"):
        TrainConfig.from_field({"training": {**known, "speed": 0.2}}, "training")
    some = {key: known[key] for key in set(known) - {"epochs", "lr"}}
    with pytest.raises(ValueError, match=r"training has no epochs, lr$"):
        TrainConfig.from_field({"training": some}, "training")


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"TrainConfig has no setting learning_rate; .*batch, .*lr.*, weight_decay"
    ):
        TrainConfig.from_dict({"learning_rate": 0.1})


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_has_a_description(config: Any) -> None:
    for field in dataclasses.fields(config):
        assert field.metadata["help"].endswith("."), field.name


def test_the_name_is_not_among_a_models_settings() -> None:
    assert ModelConfig(name="lstm", hidden=8).settings() == {
        "encoder": "small",
        "hidden": 8,
        "head_units": 0,
        "dropout": 0.5,
        "attention_loss": False,
    }


def test_values_that_json_cannot_represent_leave_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [1, Path("x")])
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == [1]
