"""Settings are validated when they are created, survive JSON, and have descriptions."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onlooker.config import DataConfig, ModelConfig, SetConfig, SharedConfig, StreamConfig, TrainConfig
from onlooker.data.transforms import NORMALIZATIONS
from onlooker.experiments.memo import read_memo
from onlooker.files import DiskFullError, read_json, write_json
from onlooker.models.cells.attentive import GLIMPSES
from onlooker.settings import OFF, choices
from onlooker.video.flow import FLOWS

CONFIGS = (DataConfig, ModelConfig, SetConfig, SharedConfig, StreamConfig, TrainConfig)


@pytest.mark.parametrize(
    ("config", "changed", "message"),
    [
        (DataConfig, {"frames": 0}, "frames is 0, expected at least 1"),
        (DataConfig, {"size": 7}, "size is 7, expected at least 8 and at most 4096. Height and width in pixels"),
        (DataConfig, {"channels": 2}, r"channels is 2, expected 1 \(grayscale\) or 3 \(RGB\)"),
        (DataConfig, {"flow": "magic"}, "flow is 'magic', expected dis, farneback or tvl1"),
        (DataConfig, {"translate": -0.1}, "translate is -0.1, expected at least 0 and below 1"),
        (DataConfig, {"degrees": 200.0}, "degrees is 200.0, expected at least 0 and at most 180. Maximum rotation"),
        (DataConfig, {"scale": 1.0}, "scale is 1.0, expected at least 0 and below 1"),
        (DataConfig, {"temporal_crops": -1}, "temporal_crops is -1, expected at least 0"),
        (DataConfig, {"motion_crop": 1.1}, "motion_crop is 1.1, expected at least 0 and at most 1"),
        (DataConfig, {"flow_length": 0}, "flow_length is 0, expected at least 1"),
        (DataConfig, {"modality": "sound"}, "modality is 'sound', expected rgb, flow or both. Model input"),
        (
            DataConfig,
            {"normalization": "x"},
            "normalization is 'x', expected auto, half, imagenet, kinetics, mnist or mvit",
        ),
        (ModelConfig, {"hidden": 0}, "hidden is 0, expected at least 1"),
        (ModelConfig, {"head_units": -1}, "head_units is -1, expected at least 0"),
        (ModelConfig, {"init": "ones"}, "init is 'ones', expected zeros, first-frame or clip-mean"),
        (ModelConfig, {"glimpse": "peek"}, "glimpse is 'peek', expected auto, product, scaled or sum"),
        (ModelConfig, {"dropout": 1.0}, "dropout is 1.0, expected at least 0 and below 1"),
        (TrainConfig, {"epochs": 0}, "epochs is 0, expected at least 1"),
        (TrainConfig, {"batch": 0}, "batch is 0, expected at least 1"),
        (TrainConfig, {"lr": 0.0}, "lr is 0.0, expected above 0"),
        (TrainConfig, {"label_smoothing": 1.0}, "label_smoothing is 1.0, expected at least 0 and below 1"),
        (TrainConfig, {"patience": -1}, "patience is -1, expected at least 0"),
        (TrainConfig, {"workers": -2}, "workers is -2, expected at least 0"),
        (TrainConfig, {"seed": -3}, "seed is -3, expected at least 0"),
        (TrainConfig, {"schedule": "steps"}, "schedule is 'steps', expected auto, one-cycle, cosine or constant"),
        (TrainConfig, {"grad_clip": -1.0}, "grad_clip is -1.0, expected at least 0"),
        (TrainConfig, {"lr": float("nan")}, "lr is nan, expected above 0"),
        (TrainConfig, {"loss": "first"}, "loss is 'first', expected auto, every or last"),
        (TrainConfig, {"aggregation": "loudest"}, "aggregation is 'loudest', expected auto, mean, product or last"),
        (TrainConfig, {"aggregation": "product", "loss": "last"}, "aggregation is 'product' and loss is 'last'"),
        (TrainConfig, {"precision": "16"}, "precision is '16', expected auto, 32 or bf16"),
        (StreamConfig, {"drop": "some"}, "drop is 'some', expected latest or none. If a live source is faster"),
        (StreamConfig, {"rate": float("inf")}, "rate is inf, expected at least 0. Frames per second"),
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
def test_a_clip_is_scored_as_it_was_trained_unless_aggregation_is_given(
    settings: dict[str, Any], aggregation: str
) -> None:
    assert TrainConfig(**settings).resolved_aggregation == aggregation


def test_choices_are_the_names_in_the_tables_of_the_library() -> None:
    allowed = {field.name: set(choices(field.type)) for config in CONFIGS for field in dataclasses.fields(config)}
    assert allowed["flow"] == set(FLOWS)
    assert allowed["normalization"] == {"auto", *NORMALIZATIONS}
    assert allowed["glimpse"] == {"auto", *GLIMPSES}


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_survive_json(config: Any) -> None:
    assert config.from_dict(json.loads(json.dumps(config().to_dict()))) == config()


def test_settings_that_older_figures_do_not_name_are_left_out_where_they_are_off() -> None:
    off, on = TrainConfig().to_dict(), TrainConfig(sync_batchnorm=True).to_dict()
    assert {name: on[name] for name in set(on) - set(off)} == {"sync_batchnorm": True}
    assert TrainConfig.from_field({"training": off}, "training") == TrainConfig()
    assert TrainConfig.from_field({"training": on}, "training") == TrainConfig(sync_batchnorm=True)
    assert TrainConfig.from_field({"training": {**off, "mixup": 0.0, "ema": 0.0}}, "training") == TrainConfig()
    with pytest.raises(ValueError, match=r"mixup is 0\.2, and this setting no longer exists"):
        TrainConfig.from_field({"training": {**off, "mixup": 0.2}}, "training")
    with pytest.raises(ValueError, match=r"training has no epochs, lr$"):
        TrainConfig.from_field(
            {"training": {key: off[key] for key in set(off) - {"epochs", "lr"}}},
            "training",
        )


def test_removed_settings_of_older_files_are_ignored_where_they_are_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OFF, "momentum", 0.9)
    new = TrainConfig().to_dict()
    old = new | {"momentum": 0.9}
    assert TrainConfig.from_field({"training": old}, "training") == TrainConfig()
    write_json(tmp_path / "a.json", {"settings": {"training": old}, "figures": {"a": 1}})
    assert read_memo(tmp_path / "a.json", {"training": new}) == {"a": 1}
    with pytest.raises(ValueError, match=r"momentum is 0\.5, and this setting no longer exists"):
        TrainConfig.from_dict(old | {"momentum": 0.5})


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"TrainConfig has no setting learning_rate; .*batch, .*lr.*, workers"):
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
        "init": "zeros",
        "attention_loss": False,
    }


def test_cell_and_glimpse_default_to_those_of_the_model() -> None:
    assert not {"cell", "glimpse"} & set(ModelConfig().settings())
    given = {"cell": "separable", "glimpse": "product"}
    assert ModelConfig(**given).settings().items() >= given.items()


def test_json_is_written_as_utf8_into_new_folders(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"Größe": 1})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n  "Größe": 1\n}\n'


def test_values_that_json_cannot_represent_leave_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [1, Path("x")])
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == [1]


def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", [1])

    def killed(part: Path, target: Path) -> None:
        raise SystemExit(9)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        write_json(tmp_path / "a.json", [2])
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == [1]
    assert [p.name for p in tmp_path.glob("*.json")] == ["a.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, on_full_disk: Callable[[Path], None]) -> None:
    write_json(tmp_path / "a.json", [1])
    on_full_disk(tmp_path / ".a.json.*.part")
    said = r"a\.json: no space left for this file in .*: 0\.0 kB needed, .* free; free some space, and run the same"
    with pytest.raises(DiskFullError, match=said):
        write_json(tmp_path / "a.json", [2])
    assert [(p.name, json.loads(p.read_bytes())) for p in tmp_path.iterdir()] == [("a.json", [1])]


@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_truncated_json_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"config\.json: not a complete JSON file .*; restore it, or make it again"):
        read_json(path)
