"""The notebook runs, its statements hold, and it is stored with its outputs."""

import json
from pathlib import Path
from typing import Any

import notebooks
import numpy as np
import pytest
import torch

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "where-and-when.ipynb"


@pytest.fixture
def notebook() -> dict[str, Any]:
    return json.loads(EXAMPLE.read_text("utf-8"))


@pytest.mark.slow
def test_the_notebook_runs_and_its_statements_hold(
    notebook: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = notebooks.run(notebook)
    assert found["measured"]["accuracy"] >= 0.7, "a third by chance"
    assert found["prediction"].label == found["clip"].label
    assert np.mean(found["pointing"]) > 1.5 * np.mean(found["even"])
    assert np.mean(found["overlap"]) > 1.1 * np.mean(found["middle"])
    assert abs(found["segment"].start - found["first"] / 12) < 0.5
    assert found["difference"] < 1e-4
    at_most = found["blanked"]["random"][-1] - 0.2
    assert found["blanked"]["attended"][-1] < at_most, "what it looks at matters more than what it does not"
    shown = [kind for output in outputs(notebook) for kind in output.get("data", {})]
    assert shown.count("image/png") == 5


def test_the_stored_notebook_is_small_and_has_all_outputs(notebook: dict[str, Any]) -> None:
    assert EXAMPLE.stat().st_size < 1_000_000
    assert [cell["execution_count"] for cell in notebooks.code(notebook)] == list(
        range(1, 1 + len(notebooks.code(notebook)))
    )
    kinds = [output["output_type"] for output in outputs(notebook)]
    assert set(kinds) == {"stream", "execute_result"}
    pictures = [output for output in outputs(notebook) if {"image/png", "image/jpeg"} & set(output.get("data", {}))]
    assert len(pictures) == 5
    assert all(output.get("name") != "stderr" for output in outputs(notebook))
    text = EXAMPLE.read_text("utf-8")
    assert "/home/" not in text
    assert "/tmp/" not in text


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebooks.code(notebook) for output in cell["outputs"]]


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": ["old"], "execution_count": 9}


def test_cells_share_names_and_show_their_last_value() -> None:
    made = {"cells": [{"cell_type": "markdown", "source": ["x"]}, cell("a = 2\nprint('two')\n"), cell("b = a\nb + 1")]}
    assert notebooks.run(made)["b"] == 2
    first, second = notebooks.code(made)
    assert first["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["two\n"]}]
    assert second["outputs"][0]["data"] == {"text/plain": ["3"]}
    assert [first["execution_count"], second["execution_count"]] == [1, 2]


def test_an_error_names_its_cell_and_nothing_is_written(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps({"cells": [cell("1"), cell("a = 1\na / 0")]}), "utf-8")
    before = broken.read_text("utf-8")
    with pytest.raises(ZeroDivisionError) as error:
        notebooks.main(broken)
    assert any(
        entry.path.name == "cell 2" if hasattr(entry.path, "name") else entry.path == "cell 2"
        for entry in error.traceback
    )
    assert broken.read_text("utf-8") == before


def test_outputs_are_written(tmp_path: Path) -> None:
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps({"cells": [cell("6 * 7")]}), "utf-8")
    notebooks.main(path)
    assert notebooks.code(json.loads(path.read_text("utf-8")))[0]["outputs"][0]["data"] == {"text/plain": ["42"]}
    assert list(tmp_path.iterdir()) == [path]
