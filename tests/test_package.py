"""What is installed, imported, shown and sent: the package's page, its extras and the messages that
name them, pinned versions; public names exist, papers and documents use only these, and importing
the package is fast; telemetry of libraries is off, and no command opens a connection unless
requested.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import pytest
import typer
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from network_guard import guarded
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import onlooker
from onlooker.cli import app
from onlooker.cli.serve import serve
from onlooker.serve.settings import ServeSettings
from onlooker.storage import StorageError, _explained

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ALL_COMMANDS = {*typer.main.get_command(app).commands}
LINK = re.compile(r"""(?:\]\(|src=")([^)"]+)""")


def metadata() -> ProjectMetadata:
    return ProjectMetadata(str(ROOT), PluginManager())


def test_addresses_that_are_not_given_are_left_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    given = settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]
    core = metadata().core
    assert core.urls == {name: address for name, address in given.items() if address}
    assert given["source"] or core.readme == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_works_where_it_is_shown_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLOOKER_SOURCE", source := "https://forge.example.org/team/onlooker")
    monkeypatch.setenv("ONLOOKER_ISSUES", f"{source}/issues")
    core = metadata().core
    assert core.urls == {"source": source, "issues": f"{source}/issues"}
    links = LINK.findall(core.readme)
    assert len(links) > 20
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(source):
            kind, path = re.fullmatch(rf"{source}/(raw|blob)/HEAD/([^#]+).*", link).groups()
            assert (ROOT / path).is_file(), link
            assert (kind == "raw") == path.endswith(".png"), link


def test_all_extras_are_in_all() -> None:
    extras = PROJECT["optional-dependencies"]
    (named,) = re.findall(r"\[(.*)\]", extras["all"][0])
    assert named.split(",") == sorted(set(extras) - {"all", "dev"})


def test_every_extra_that_a_message_names_exists() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = re.findall(r'pip install "onlooker\[(\w+)\]"', text)
    assert set(named) <= set(PROJECT["optional-dependencies"])
    assert {"export", "s3", "serve"} <= set(named)


def test_a_missing_file_system_is_named_with_its_extra() -> None:
    message = r'pip install "onlooker\[s3\]"'
    with pytest.raises(StorageError, match=message), _explained("s3://b/clips"):
        raise ImportError("Install it")


def test_the_container_has_what_it_copies_and_runs() -> None:
    """No container engine is needed: files, extras, port and options are those of the project."""
    text = (ROOT / "Dockerfile").read_text()
    compose = (ROOT / "compose.yaml").read_text()
    compose = re.sub(r"\$\{\w+:[-+?]([^}]*)\}", r"\1", compose)  # as if all variables were set
    context = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        name
        for line in re.findall(r"^COPY (?!--)(.*)", text, re.M)
        for name in line.split()[:-1]
    ]
    assert sorted(copied) == sorted(context)
    assert all((ROOT / name).exists() for name in copied)
    assert set(re.search(r'"\.\[(.*)\]"', text)[1].split(",")) <= set(
        PROJECT["optional-dependencies"]
    )
    assert not re.search("^USER (root|0)", text, re.M)
    command = json.loads(re.search(r"^CMD (\[.*\])", text, re.M)[1])
    fields = {field.name: field.default for field in dataclasses.fields(ServeSettings)}
    named = re.findall(
        r"--([\w-]+)", " ".join([*command, *re.findall(r"command: (serve.*)", compose)])
    )
    assert {"token", "public"} < set(named)
    assert {name.replace("-", "_") for name in named} <= {
        *fields,
        *inspect.signature(serve).parameters,
    }
    port = fields["port"]
    assert f"EXPOSE {port}\n" in text
    assert f"'127.0.0.1', {port}" in text
    assert f"127.0.0.1:{port}:{port}" in compose


CONSTRAINTS = ROOT / "constraints.txt"
HASHES = ROOT / "requirements-hashes.txt"


def pinned() -> dict[str, str]:
    lines = (line.partition("==") for line in CONSTRAINTS.read_text(encoding="utf-8").split())
    return {canonicalize_name(name): version for name, _, version in lines}


def stated() -> list[str]:
    """What the library, its tests and the papers need."""
    library, papers = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for folder in ("", "papers")
    )
    return [
        *library["dependencies"],
        *library["optional-dependencies"]["dev"],
        *papers["dependencies"],
    ]


@cache
def required(name: str, extra: str = "") -> frozenset[str]:
    """The packages that an installed package needs directly, here and with an extra."""
    return direct(distribution(name).requires or [], extra)


def direct(requirements: list[str], extra: str = "") -> frozenset[str]:
    needs = [Requirement(text) for text in requirements]
    needs = [
        need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})
    ]
    names = {canonicalize_name(need.name) for need in needs}
    return frozenset(
        names.union(*(required(need.name, extra) for need in needs for extra in need.extras))
    )


def test_exactly_the_required_packages_are_pinned() -> None:
    needed = set[str]()
    new = direct(stated()) - {"onlooker"}
    while new:
        needed |= new
        new = frozenset(need for name in new for need in required(name)) - needed
    assert needed == set(pinned()), "make constraints.txt anew (CONTRIBUTING), then make hashes"


def test_every_pinned_version_has_hashes() -> None:
    text = HASHES.read_text(encoding="utf-8").replace("\\\n", " ")
    hashed = {
        line.split()[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
        for line in text.splitlines()
    }
    assert set(hashed) == {f"{name}=={version}" for name, version in pinned().items()}, (
        "make hashes"
    )
    assert all(hashed.values())


@pytest.mark.parametrize("file", [CONSTRAINTS, HASHES])
def test_no_file_names_a_host(file: Path) -> None:
    assert not [
        line for line in file.read_text().splitlines() if "/" in line or line.startswith("-")
    ]


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
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.ipynb")),
]


def test_every_public_name_exists() -> None:
    assert [name for name in onlooker.__all__ if getattr(onlooker, name, None) is None] == []
    assert set(onlooker.__all__) <= set(dir(onlooker))


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'magic'; it has Box, Checked"):
        _ = onlooker.magic


def test_every_module_defines_the_names_in_its_all() -> None:
    exported = [
        (module, name)
        for module in MODULES
        for name in getattr(importlib.import_module(module), "__all__", ())
    ]
    assert [pair for pair in exported if not hasattr(sys.modules[pair[0]], pair[1])] == []
    assert [pair for pair, count in Counter(exported).items() if count > 1] == []


def test_papers_and_documents_import_public_names_only() -> None:
    assert [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in [*PAPERS, *PAGES]
        for module, name in sorted(set(imported(code(path))))
        if name not in getattr(importlib.import_module(module), "__all__", ())
    ] == []


def test_no_module_imports_a_private_name_of_another() -> None:
    """Also commands and the web page, which are parts of the library: names without an underscore."""
    imports = {
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in (ROOT / "src" / "onlooker").rglob("*.py")
        for module, name in imported(code(path))
    }
    assert "src/onlooker/serve/teach.py: onlooker.video.reader.SUFFIXES" in imports
    assert [line for line in imports if re.search(r"\._(?!_)\w+$", line)] == []


def test_a_name_is_public_in_one_place_where_somebody_else_uses_it() -> None:
    """Papers, or a program in the documentation; or it is mentioned there in code."""
    public = [
        (module, name)
        for module in MODULES
        for name in getattr(importlib.import_module(module), "__all__", ())
    ]
    exported = {f"onlooker.{module}.{name}" for name, module in onlooker._MODULE_OF.items()}
    assert not exported & {f"{module}.{name}" for module, name in public}
    used = {name for path in [*PAPERS, *PAGES] for name in imported(code(path))}
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    mentioned = set(re.findall(r"`(?:[\w.]+\.)?(\w+)[`(]", text))
    assert [
        f"{module}.{name}"
        for module, name in public
        if (module, name) not in used and name not in mentioned
    ] == []


def test_records_take_at_most_three_arguments_by_position() -> None:
    """As functions, whose parameters ruff counts (PLR0917)."""
    folders = (ROOT / "src", ROOT / "papers" / "onlooker_papers", ROOT / "benchmarks")
    trees = {
        path: [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        for folder in folders
        for path in folder.rglob("*.py")
    }
    records = {
        node.name
        for nodes in trees.values()
        for node in nodes
        if isinstance(node, ast.ClassDef)
        and {"dataclass", "NamedTuple"}
        & {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    }
    assert {"Evaluation", "ClipStatistics"} <= records
    assert [
        f"{path.name}:{node.lineno}: {node.func.id}"
        for path, nodes in trees.items()
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in records
        and len(node.args) > 3
    ] == []


def test_the_name_of_a_class_means_one_thing() -> None:
    """But those of the schema of the API, which are named as their records."""
    source = ROOT / "src" / "onlooker"
    files = defaultdict[str, list[str]](list)
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(path.relative_to(source).as_posix())
    schemas = {name for name, places in files.items() if "serve/api.py" in places}
    assert {"Prediction", "Tube"} < schemas
    assert {name: places for name, places in files.items() if len(places) > 1} == {
        name: files[name] for name in ("Prediction", "Tube")
    }


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


# By FFmpeg, which is C: no hook of Python sees it.
PROBE = """
import av, network_guard
try:
    av.open("tcp://192.0.2.1:80", timeout=2)
except OSError:
    print(network_guard.refused())
"""


def test_the_telemetry_of_libraries_is_off(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    code = "import onlooker, onnxruntime, huggingface_hub.constants as hub; assert hub.HF_HUB_DISABLE_TELEMETRY"
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
    }
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""},
    )
    # What onnxruntime would leave: a number for this device, and a database of what it has to
    # report.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_no_command_uses_the_network(tmp_path: Path) -> None:
    log = guarded(tmp_path / "guarded")
    assert {entry["command"][0] for entry in log} == ALL_COMMANDS
    assert [entry for entry in log if entry["reached"] or entry["refused_by_the_kernel"]] == []
    reports = [
        path for path in (tmp_path / "guarded" / "home").rglob("*") if "icrosoft" in str(path)
    ]
    assert reports == []


def test_the_log_of_all_commands_is_in_the_results() -> None:
    figures = json.loads((ROOT / "results" / "network-guard.json").read_text(encoding="utf-8"))[
        "figures"
    ]
    assert set(figures) == ALL_COMMANDS, (
        "python tests/support/network_guard.py --results results"
    )
    assert all(counts["runs"] and not counts["attempts"] for counts in figures.values())


def test_the_guard_detects_connections_from_python_and_c() -> None:
    words = [
        *(["unshare", "-rn"] if shutil.which("unshare") else []),
        sys.executable,
        "-c",
        PROBE,
    ]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")},
    )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("no separate network for a process here")
    assert int(done.stdout) >= 1, done.stderr
