"""The notebook is stored with its outputs; `make test-all` and `make notebook` run it, and it
checks what it says.
"""

import json
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "where-and-when.ipynb"


def test_the_stored_notebook_is_small_and_has_all_outputs() -> None:
    text = EXAMPLE.read_text("utf-8")
    assert len(text) < 1_000_000
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, 1 + len(cells)))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result"}
    assert (
        sum(bool({"image/png", "image/jpeg"} & set(output.get("data", {}))) for output in outputs)
        == 3
    )
    assert all(output.get("name") != "stderr" for output in outputs)
    assert "/home/" not in text
    assert "/tmp/" not in text
