"""Public names exist, papers, docs and the web page use only these, and importing the package is
fast.
"""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import onlooker

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "cv2",
    "av",
    "matplotlib",
    "sklearn",
    "mlxtend",
    "numpy",
)
SLOW = ("torchmetrics", "torchvision", "matplotlib", "sklearn", "scipy.signal", "onnxruntime")
MODULES = [module.name for module in pkgutil.walk_packages(onlooker.__path__, "onlooker.")]
PAPERS = sorted((ROOT / "papers" / "onlooker_papers").rglob("*.py"))
SERVE = sorted((ROOT / "src" / "onlooker" / "serve").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.ipynb")),
]


@pytest.mark.parametrize("name", onlooker.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(onlooker, name) is not None
    assert name in dir(onlooker)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'magic'; it has Box, Checked"):
        _ = onlooker.magic


@pytest.mark.parametrize("name", MODULES)
def test_every_module_defines_the_names_in_its_all(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [name for name in exported if not hasattr(module, name)] == []
    assert len(set(exported)) == len(exported)


@pytest.mark.parametrize(
    "path", [*PAPERS, *PAGES, *SERVE], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_papers_pages_and_the_web_page_import_public_names_only(path: Path) -> None:
    private = [
        f"{module}.{name}"
        for module, name in sorted(set(imported(code(path))))
        if name not in getattr(importlib.import_module(module), "__all__", ())
    ]
    assert private == []


def code(path: Path) -> str:
    """The Python code of a file, of a page's blocks or of a notebook's cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return "\n".join(
            re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        )
    if path.suffix == ".ipynb":
        cells = [
            cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
        ]
        lines = [line for cell in cells for line in "".join(cell).splitlines()]
        return "\n".join(line for line in lines if not line.startswith(("%", "!")))
    return text


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Each name that is imported from the library or used as an attribute of its modules, with its
    module.
    """
    tree = ast.parse(text)
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not f"{node.module}.".startswith(
            "onlooker."
        ):
            continue
        for alias in node.names:
            if (whole := f"{node.module}.{alias.name}") in MODULES:
                modules[alias.asname or alias.name] = whole
            else:
                yield str(node.module), alias.name
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        ):
            yield modules[node.value.id], node.attr


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [("onlooker, onlooker.cli", HEAVY), ("onlooker.run.train, onlooker.serve.app", SLOW)],
)
def test_importing_does_not_load_heavy_libraries(modules: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == ([], "")
