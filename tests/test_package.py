"""What is installed and shown: the package's page, its extras, and the messages that name them."""

import dataclasses
import inspect
import json
import re
import tomllib
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from onlooker.cli.serve import serve
from onlooker.serve.settings import ServeSettings
from onlooker.storage import StorageError, _explained

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
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
        r"--([\w-]+)", " ".join([*command, *re.findall(r"command: (\[serve.*\])", compose)])
    )
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
