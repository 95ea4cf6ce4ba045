"""A cell is computed once, and believed only under its own settings."""

from pathlib import Path
from typing import Any

import pytest

from onlooker.files import read_json, write_bytes
from onlooker.runs.memo import cell


def test_a_cell_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> dict[str, Any]:
        calls.append(1)
        return {"accuracy": 0.5}

    path = tmp_path / "table" / "cell.json"
    for _ in range(3):
        assert cell(path, {"epochs": 3}, compute) == {"accuracy": 0.5}
    assert len(calls) == 1
    assert read_json(path) == {"settings": {"epochs": 3}, "figures": {"accuracy": 0.5}}


def test_a_cell_cut_off_in_its_midst_is_computed_again(tmp_path: Path) -> None:
    def killed() -> dict[str, Any]:
        raise KeyboardInterrupt

    path = tmp_path / "cell.json"
    with pytest.raises(KeyboardInterrupt):
        cell(path, {"epochs": 3}, killed)
    assert [p.name for p in tmp_path.iterdir()] == ["cell.begun.json"]
    assert cell(path, {"epochs": 3}, lambda: {"loss": 1.0}) == {"loss": 1.0}
    assert [p.name for p in tmp_path.iterdir()] == ["cell.json"]


def test_a_cell_that_was_begun_goes_on_under_its_own_settings_alone(tmp_path: Path) -> None:
    def killed() -> dict[str, Any]:
        raise KeyboardInterrupt

    path = tmp_path / "cell.json"
    with pytest.raises(KeyboardInterrupt):
        cell(path, {"digits": 3600}, killed)
    with pytest.raises(ValueError, match=r"cell.begun.json: made with other settings \(digits\)"):
        cell(path, {"digits": 54000}, dict)


@pytest.mark.parametrize("other", [{"epochs": 4, "lr": 1.0}, {"epochs": 3}, {"epochs": 3, "lr": 1.0, "seed": 0}])
def test_other_settings_are_told(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "cell.json"
    cell(path, {"epochs": 3, "lr": 1.0}, dict)
    with pytest.raises(ValueError, match=r"cell.json: made with other settings \((epochs|lr|seed)\); choose another"):
        cell(path, other, dict)


def test_a_damaged_cell_is_told(tmp_path: Path) -> None:
    write_bytes(tmp_path / "cell.json", b'{"settings": {')
    with pytest.raises(ValueError, match="not a complete JSON file"):
        cell(tmp_path / "cell.json", {}, dict)
    write_bytes(tmp_path / "cell.json", b"{}")
    with pytest.raises(ValueError, match="not a cell, which has settings and figures; remove it"):
        cell(tmp_path / "cell.json", {}, dict)
