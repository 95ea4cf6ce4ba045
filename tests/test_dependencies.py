"""The pinned packages are exactly the required ones, and each has hashes."""

import re
import tomllib
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
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
