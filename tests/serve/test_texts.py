"""The texts of the page: every one is used, every one that is used exists, and gets the values that
it names.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onlooker.base.records import ClipError
from onlooker.serve.problem import TEXTS, Problem, as_problem

SERVE = Path(importlib.util.find_spec("onlooker.serve").submodule_search_locations[0])  # type: ignore[union-attr, index]
# parts of the file that only Python uses
OF_PYTHON = ("problem.", "hint.", "change.")
# What jobs report: of looks, and the stages of `onlooker.train`.
NOTES = (
    "queued",
    "checking",
    "looking",
    "starting",
    "reading clips",
    "drawing figures",
    "encoding clips",
    "encoding recordings",
    "fitting",
    "drawing clips",
    "comparing classes",
    "done",
)


def keys_of(texts: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in texts.items():
        if isinstance(value, dict) and not value.keys() <= {"one", "other"}:
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def names_in(key: str) -> set[str]:
    """The values that a text needs: those of all its parts for a problem, with all plural forms."""
    node: Any = TEXTS
    for part in key.split("."):
        node = node[part]
    found = set(re.findall(r"\{(\w+)\}", json.dumps(node)))
    return found | ({"count"} if '"one"' in json.dumps(node) else set())


def constants(node: ast.expr) -> list[str]:
    """The texts that an expression can be: a constant, or one of several."""
    if isinstance(node, ast.IfExp):
        return [*constants(node.body), *constants(node.orelse)]
    return [str(node.value)] if isinstance(node, ast.Constant) else []


def used_in_python() -> Iterator[tuple[str, set[str]]]:
    """The keys of all texts, and the values that they get, from the calls of `t` and `Problem`."""
    for path in SERVE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            values = {str(keyword.arg) for keyword in node.keywords}
            if node.func.id == "Problem":
                yield from ((f"problem.{code}", values) for code in codes(node.args[1], path))
            elif node.func.id == "t":
                yield from ((key, values) for key in constants(node.args[0]))


def codes(node: ast.expr, path: Path) -> list[str]:
    if isinstance(node, ast.Name):  # assigned just before
        assigned = re.search(rf"\b{node.id} = (.*)", path.read_text("utf-8"))
        assert assigned
        return constants(ast.parse(assigned[1]).body[0].value)  # type: ignore[attr-defined]
    assert constants(node), f"{path.name}:{node.lineno}: a code that is not in the source"
    return constants(node)


def test_every_text_of_python_exists_and_gets_its_values():
    used = list(used_in_python())
    assert len(used) > 50
    for key, values in used:
        assert values == names_in(key), key


def test_every_text_of_python_is_used():
    used = {key for key, _ in used_in_python()}
    known = {key for key in keys_of(TEXTS) if key.startswith(OF_PYTHON)}
    known = {key.rpartition(".")[0] if key.startswith("problem.") else key for key in known}
    assert {key for key in used if key.startswith(OF_PYTHON)} == known


def test_every_text_of_javascript_exists_and_is_used():
    code = "\n".join(path.read_text("utf-8") for path in (SERVE / "static").glob("*.js"))
    literal = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)*)"', code))
    built = {
        *(f"camera.{name}" for name in ("denied", "missing", "busy", "insecure")),
        *(f"save.{name}" for name in ("vtt", "mp4")),
    }
    built |= {f"{name}_remedy" for name in built if name.startswith("camera")}
    templates = "\n".join(
        path.read_text("utf-8") for path in (SERVE / "templates").glob("*.html")
    )
    rendered = {
        key.removesuffix(".split") for key in re.findall(r"texts\.([a-z_.]+)", templates)
    }
    rendered |= {f"tabs.{name}" for name in ("look", "teach", "correct")}
    of_python = {key for key, _ in used_in_python()} | {
        f"job.{note.replace(' ', '_')}" for note in NOTES
    }
    keys = {key for key in keys_of(TEXTS) if not key.startswith(OF_PYTHON)}
    assert keys - literal - built - rendered - of_python == set()
    asked = (
        set(re.findall(r'\bt\((?:[^()"]*\? )?"([a-z_.]+)"', code)) | built | rendered - {"tabs"}
    )
    assert asked - keys == set()


def test_a_problem_has_the_text_of_its_code_and_of_the_library():
    assert (
        str(Problem(422, "name_length", count=1, most=60))
        == "name_length: a name of 1 character: 1 to 60 characters: choose another name"
    )
    assert as_problem(ClipError(Path("a.mp4"), "is {empty}", "film it")).to_dict() == {
        "error": {
            "code": "not_decodable",
            "found": "is {empty}",
            "expected": "a video",
            "remedy": "choose another file, record it again, or convert it to mp4 (HandBrake, VLC)",
        }
    }


def test_the_stages_of_a_training_have_texts() -> None:
    code = "\n".join(
        path.read_text("utf-8") for path in (SERVE.parent / "training").glob("*.py")
    )
    stages = set(re.findall(r'\btracked\([^"]*"([a-z ]+)"', code))
    assert "encoding recordings" in stages
    assert stages <= {*NOTES}
