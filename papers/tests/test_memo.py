"""A result is computed once, and reused only for equal settings."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import onlooker
from onlooker.base.files import read_json, write_bytes
from onlooker_papers.memo import memo


def test_a_result_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> dict[str, Any]:
        calls.append(1)
        return {"accuracy": 0.5}

    path = tmp_path / "table" / "cell.json"
    for _ in range(3):
        assert memo(path, {"epochs": 3}, compute) == {"accuracy": 0.5}
    assert len(calls) == 1
    assert read_json(path) == {
        "settings": {"epochs": 3},
        "origin": onlooker.__version__,
        "figures": {"accuracy": 0.5},
    }


def test_interrupted_computation_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    with pytest.raises(KeyboardInterrupt):
        memo(path, {"epochs": 3}, Mock(side_effect=KeyboardInterrupt))
    assert [p.name for p in tmp_path.iterdir()] == ["cell.in_progress.json"]
    assert memo(path, {"epochs": 3}, lambda: {"loss": 1.0}) == {"loss": 1.0}
    assert [p.name for p in tmp_path.iterdir()] == ["cell.json"]


def test_interrupted_computation_continues_only_under_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    with pytest.raises(KeyboardInterrupt):
        memo(path, {"digits": 3600}, Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(
        ValueError, match=r"cell.in_progress.json: made with other settings \(digits\)"
    ):
        memo(path, {"digits": 54000}, dict)


@pytest.mark.parametrize(
    "other", [{"epochs": 4, "lr": 1.0}, {"epochs": 3}, {"epochs": 3, "lr": 1.0, "seed": 0}]
)
def test_other_settings_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "cell.json"
    memo(path, {"epochs": 3, "lr": 1.0}, dict)
    with pytest.raises(
        ValueError,
        match=r"cell.json: made with other settings \((epochs|lr|seed)\); choose another",
    ):
        memo(path, other, dict)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    write_bytes(tmp_path / "cell.json", b'{"settings": {')
    with pytest.raises(ValueError, match="not a complete JSON file"):
        memo(tmp_path / "cell.json", {}, dict)
    write_bytes(tmp_path / "cell.json", b"{}")
    with pytest.raises(
        ValueError, match="not a memo file, which has settings and figures; remove it"
    ):
        memo(tmp_path / "cell.json", {}, dict)
