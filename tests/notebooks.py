"""Runs a notebook from top to bottom without Jupyter: `python tests/notebooks.py FILE` writes its outputs into it.

Cells are run in order in one namespace, and the value of a cell's last line is shown, as in Jupyter. Nothing of Jupyter
needs to be installed to see that a notebook works, and no server, port or time limit can make that fail.
"""

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

# How a value may show itself, in Jupyter's words.
SHOWN = {"image/png": "_repr_png_", "image/jpeg": "_repr_jpeg_"}


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells with code, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run the code of all cells, replace their outputs, and return their namespace."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code(notebook), 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = _execute("".join(cell["source"]), f"cell {number}", names)
        cell["execution_count"] = number
        cell["outputs"] = _outputs(printed.getvalue(), value, number)
    return names


def _execute(source: str, name: str, names: dict[str, Any]) -> Any:
    body = ast.parse(source, name).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names) if last else None


def _outputs(printed: str, value: Any, number: int) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = []
    if printed:
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)})
    if value is not None:
        data: dict[str, Any] = {}
        for kind, method in SHOWN.items():
            content = getattr(value, method, lambda: None)()
            if content is not None:
                data[kind] = base64.b64encode(content).decode()
        data["text/plain"] = repr(value).splitlines(keepends=True)
        outputs.append({"output_type": "execute_result", "execution_count": number, "data": data, "metadata": {}})
    return outputs


def main(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    run(notebook)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(temporary.replace(path), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
