"""The examples: a counter of repetitions, an exported model in a web page, the notebook."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eventful import eventful, untrained

from onlooker.base.config import DataConfig
from onlooker.export import export
from onlooker.report.events import EventCurve

COUNTER = Path(__file__).parents[1] / "examples" / "count_repetitions.py"


def test_the_counter_reads_a_clip(
    tmp_path: Path,
    make_clip: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recognizer = eventful(("open", "closed"))
    recognizer.curve = EventCurve([0.0, 2.0], [1.0, 0.0], [0.0, 0.0], [3.0, 0.0], 0.0, 1.0, [])
    run = recognizer.save(tmp_path / "run")
    clip = make_clip(frames=30)
    ends = [
        event.end
        for step in recognizer.watch(clip)
        for event in step.events
        if event.label == "closed"
    ]
    assert len(ends) > 1
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "closed"])
    runpy.run_path(str(COUNTER), run_name="__main__")
    expected = [[f"{end:.2f}", "s", str(number)] for number, end in enumerate(ends, 1)]
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == expected
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "closed", "2"])
    runpy.run_path(str(COUNTER), run_name="__main__")
    assert capsys.readouterr().out == "", "fewer false alarms are accepted"
    monkeypatch.setattr(sys, "argv", [str(COUNTER), str(run), str(clip), "jump"])
    with pytest.raises(
        SystemExit, match=r"jump is no class of .*; its classes are open, closed"
    ):
        runpy.run_path(str(COUNTER), run_name="__main__")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channels"), [("convalstm", 3), ("lstm", 1)])
def test_a_page_gives_the_scores_of_the_model(name: str, channels: int, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="no playwright, which drives a browser")
    if not (
        shutil.which("npm") and (shutil.which("chromium") or shutil.which("google-chrome"))
    ):
        pytest.skip("no npm, which installs onnxruntime-web, or no Chromium")
    import bench_browser

    data = DataConfig(frames=5, size=32, channels=channels, normalization="half")
    exported = export(untrained(name, data=data), tmp_path / "export")
    try:
        folder = bench_browser.example_with(exported, tmp_path / "example")
    except subprocess.CalledProcessError:
        pytest.skip("npm cannot install onnxruntime-web here")
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 32, channels), np.uint8)
    expected = bench_browser.run_here(
        exported, frames
    ).scores  # those of the model: test_export
    found = bench_browser.run_in_browser(folder, frames).scores
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.std(expected, 0).max() > 1e-4  # else anything would be equal to it


EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "where-and-when.ipynb"


def test_the_stored_notebook_is_small_and_has_all_outputs() -> None:
    text = EXAMPLE.read_text("utf-8")
    assert len(text) < 1_000_000
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, 1 + len(cells)))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result"}
    assert (
        sum(
            bool({"image/png", "image/jpeg"} & set(output.get("data", {})))
            for output in outputs
        )
        == 3
    )
    assert all(output.get("name") != "stderr" for output in outputs)
    assert "/home/" not in text
    assert "/tmp/" not in text
