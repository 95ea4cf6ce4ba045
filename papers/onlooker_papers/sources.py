"""The source files that a results file depends on, and which of them changed since it was measured.

`results/sources.toml` names them for each results file, in groups and one by one, with the minutes
of its command. `results/cells/NAME/about.json` has their digests when it was measured. `make stale`
lists the files whose sources changed; `python -m onlooker_papers.sources NAME` notes that the
change of NAME's sources did not change its figures, where a test or a comparison has shown that.
"""

import ast
import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker.base.files import read_json, write_json

DECLARED = "sources.toml"


def digest(path: Path) -> str:
    """A digest of a program, which comments, docstrings and its layout do not change; "" if there
    is no such file.
    """
    if not path.is_file():
        return ""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def declared(results: Path) -> dict[str, dict[str, Any]]:
    """For each results file: `sources`, paths in the project; `minutes`; and `exception`, why it
    may be stale.
    """
    read = tomllib.loads((results / DECLARED).read_text("utf-8"))
    groups = read.pop("groups")
    for of in read.values():
        of["sources"] = [path for name in of["sources"] for path in groups.get(name, [name])]
    return read


def digests(results: Path, name: str) -> dict[str, str]:
    """The digests of the sources of a results file; none if they are not declared."""
    if not (results / DECLARED).is_file():
        return {}
    of = declared(results).get(name, {"sources": []})
    return {path: digest(results.parent / path) for path in of["sources"]}


def changed(results: Path, name: str) -> list[str]:
    """The sources of a results file that changed since it was measured."""
    known = read_json(results / "cells" / name / "about.json").get("sources", {})
    return [path for path, now in digests(results, name).items() if known.get(path) != now]


def main(
    unchanged: Annotated[
        list[str] | None, typer.Argument(help="Files whose figures are shown to be the same.")
    ] = None,
    results: Path = Path("results"),
) -> None:
    """List results files that are older than their sources, with the command that measures them
    again.
    """
    for name in unchanged or ():
        path = results / "cells" / name / "about.json"
        write_json(path, read_json(path) | {"sources": digests(results, name)})
    for name, of in declared(results).items():
        if paths := changed(results, name):
            command = read_json(results / "cells" / name / "about.json")["command"]
            excepted = f"  [{of['exception']}]" if "exception" in of else ""
            typer.echo(
                f"{name}: {', '.join(paths)}; {of['minutes']} min: {command[:150]}{excepted}"
            )


if __name__ == "__main__":
    typer.run(main)
