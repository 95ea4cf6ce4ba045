"""The programs that a results file depends on, and whether they changed since it was measured.

`results/sources.toml` names the programs that measure each results file, and their minutes. Its
sources are these, and all modules of this project that they import, also within functions. Each
row in `results/cells/NAME` has a digest of the sources with which it was measured.

`make stale` lists the files that have rows of other sources. A file may be kept for a reason:

    python -m onlooker_papers.sources NAME --measured COMMIT --because "…"

writes it, the date, the first commit that has the figures and the digest of today's sources to
`results/cells/NAME/about.json`. This exception lapses when the sources change again. Then
`--because` alone states the reason again, of all files without one if none is named.
"""

import ast
import hashlib
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker.base.files import read_json, write_json

DECLARED = "sources.toml"
# Where imported modules are looked for: the packages, and the folders of single modules.
_FOLDERS = ("src", "papers", "benchmarks", "tests", "tests/support")
# Modules that change no measurement: one writes it, and what that derives is made again whenever
# files are assembled; the other one imports all commands. They can be named as programs.
_NO_SOURCES = {"papers/onlooker_papers/results.py", "src/onlooker/cli/__init__.py"}


@cache
def digest(program: str) -> str:
    """A digest of the text of a program, which comments, docstrings, its layout, its `__all__` and
    its `__version__` do not change.
    """
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            del node.body[0]
    tree.body = [statement for statement in tree.body if not _names_itself(statement)]
    return _short(repr(_plain(tree)))


def _names_itself(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign):
        return False
    names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return bool(names & {"__all__", "__version__"})


def _plain(node: object) -> object:
    """A syntax tree as lists without empty fields, which `ast.dump` shows in some versions of
    Python.
    """
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return [type(node).__name__, *((name, _plain(value)) for name, value in fields)]
    if isinstance(node, list):
        return [_plain(element) for element in node]
    return repr(node)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def declared(results: Path) -> dict[str, dict[str, Any]]:
    """For each results file: `programs`, paths in the project, and `minutes`."""
    return tomllib.loads((results / DECLARED).read_text("utf-8"))


def sources(root: Path, programs: Iterable[str]) -> list[str]:
    """The programs, and all modules of the project that they import, directly or not: sorted paths
    in the folder `root`.

    Followed are import statements, also in functions, and the names that `onlooker` imports on
    first use. Entry points are not: a paper imports the module that registers its models.

    Raises:
        FileNotFoundError: there is no such program.
    """
    waiting = [*programs]
    known = set[str]()
    while waiting:
        path = waiting.pop()
        if path not in known:
            known.add(path)
            waiting += _imported(root, (root / path).read_text("utf-8")) - _NO_SOURCES
    return sorted(known)


@cache
def _imported(root: Path, program: str) -> frozenset[str]:
    """The paths of the modules that a program imports, with the packages that they are in."""
    paths = set[str]()
    for name in _names(program):
        parts = name.split(".")
        modules = [_path_of(root, ".".join(parts[:end])) for end in range(1, len(parts) + 1)]
        paths |= {module for module in modules if module}
        package = modules[-2] if len(parts) > 1 else None
        if not modules[-1] and package and package.endswith("__init__.py"):
            paths |= _on_first_use(root, (root / package).read_text("utf-8"), parts[-1])
    return frozenset(paths)


def _names(program: str) -> set[str]:
    """The full names of imported modules, and of what a program takes from them."""
    modules = set[str]()
    names = set[str]()
    for node in _executed(ast.parse(program)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names |= {f"{node.value.id}.{node.attr}"} if node.value.id in modules else set()
    return modules | names


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a syntax tree, in order, without those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if not _for_type_checkers(child):
            yield child
            yield from _executed(child)


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def _path_of(root: Path, module: str) -> str | None:
    """The path of a module or package of the project; None for those of others."""
    for folder in _FOLDERS:
        base = f"{folder}/{module.replace('.', '/')}"
        for path in (f"{base}.py", f"{base}/__init__.py"):
            if module and (root / path).is_file():
                return path
    return None


def _on_first_use(root: Path, package: str, name: str) -> set[str]:
    """The module from which a package, given as text, imports a name on first use, as its imports
    for type checkers say.
    """
    tree = ast.parse(package)
    imports = [node for block in tree.body if _for_type_checkers(block) for node in ast.walk(block)]
    return {
        path
        for node in imports
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}
        if (path := _path_of(root, node.module or ""))
    }


def sources_digest(results: Path, name: str) -> str:
    """A digest of all sources of a results file; "" if its programs are not declared."""
    if not (results / DECLARED).is_file() or name not in (files := declared(results)):
        return ""
    root = results.parent
    return _short(
        repr([(path, _digest(root, path)) for path in sources(root, files[name]["programs"])])
    )


def _digest(root: Path, path: str) -> str:
    return digest((root / path).read_text("utf-8"))


def stale_rows(results: Path, name: str) -> list[str]:
    """The rows of a results file that were measured with other sources."""
    folder = results / "cells" / name
    now = sources_digest(results, name)
    rows = read_json(folder / "about.json")["rows"]
    return [row for row in rows if read_json(folder / f"{row}.json").get("sources") != now]


def exception(results: Path, name: str) -> dict[str, str]:
    """Why a results file is kept: `date`, `measured` (a commit), `because`, and `sources`, the
    digest for which that holds; empty if there is no reason.
    """
    return read_json(results / "cells" / name / "about.json").get("exception", {})


def keep(results: Path, name: str, *, because: str, measured: str = "") -> None:
    """Write why a results file is kept with today's sources.

    Args:
        measured: the first commit that has the figures; "": as in the exception that lapsed.

    Raises:
        ValueError: no reason or commit, or the file is not stale.
    """
    measured = measured or exception(results, name).get("measured", "")
    if not because.strip() or not measured:
        raise ValueError(f"{name}: give --because and --measured, the commit of its figures")
    if not stale_rows(results, name):
        raise ValueError(f"{name}: as new as its sources, so it needs no reason")
    path = results / "cells" / name / "about.json"
    reason = {
        "date": datetime.now(UTC).date().isoformat(),
        "measured": measured,
        "because": because,
        "sources": sources_digest(results, name),
    }
    write_json(path, read_json(path) | {"exception": reason})


def without_reason(results: Path) -> list[str]:
    """The stale results files that have no reason for today's sources."""
    return [
        name
        for name in declared(results)
        if stale_rows(results, name)
        and exception(results, name).get("sources") != sources_digest(results, name)
    ]


def changed(results: Path, name: str) -> list[str]:
    """The sources that changed since the rows and the exception of a results file were last
    committed; none where there is no git.
    """
    root = results.parent
    commit = _git(root, "log", "-1", "--format=%h", "--", str(results / "cells" / name)).strip()
    if not commit:
        return []
    paths = sources(root, declared(results)[name]["programs"])
    differ = _git(root, "diff", "--name-only", "--relative", commit, "--", *paths).split()
    before = {path: _git(root, "show", f"{commit}:./{path}") for path in differ}
    return [
        path for path in differ if not before[path] or digest(before[path]) != _digest(root, path)
    ]


def _git(root: Path, *words: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help="Files that are kept. Default: all without a reason.")
    ] = None,
    *,
    because: Annotated[str, typer.Option(help="Why their figures are kept.")] = "",
    measured: Annotated[
        str, typer.Option(help="The first commit that has their figures.", show_default="as before")
    ] = "",
    results: Path = Path("results"),
) -> None:
    """List results files that are older than their sources, with the command that measures them
    again; the exit status is 1 if one has no reason for today's sources.
    """
    results = results.resolve()
    if names or because:
        for name in names or without_reason(results):
            keep(results, name, because=because, measured=measured)
    missing = without_reason(results)
    for name, of in declared(results).items():
        if not (rows := stale_rows(results, name)):
            continue
        about = read_json(results / "cells" / name / "about.json")
        if name in missing:
            paths = ", ".join(changed(results, name)) or "its sources"
            state = f"NO REASON; changed since it was written: {paths}"
        else:
            state = "measured at {measured}, kept since {date}: {because}".format(
                **about["exception"]
            )
        count = f"{len(rows)} of {len(about['rows'])} rows"
        typer.echo(f"{name} ({count}) {state}; {of['minutes']} min: {about['command'][:150]}")
    if missing:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
