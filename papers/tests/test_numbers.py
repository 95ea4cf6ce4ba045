"""Numbers with a unit or a percent sign in sentences of the docs are figures of results files, or
constants with their source: `numbers.toml`.
"""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from onlooker_papers.claims import REFERENCE, RESULTS, filled, values
from onlooker_papers.sources import declared
from onlooker_papers.tables import read_results

ROOT = RESULTS.parent
NUMBERS = tomllib.loads(Path(__file__).with_name("numbers.toml").read_text("utf-8"))
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "papers/README")),
    *sorted((ROOT / "docs").glob("*.md")),
]
UNITS = r"%|points?|pixels?|times|ms|s|seconds?|min|minutes?|h|hours?|days?|months?|[kMGT]i?B"
NUMBER = re.compile(
    rf"(?<![\w.])\.?\d[\d.,]*(?:(?:, | and | to | for |–| · |/)\.?\d[\d.,]*)*\s?(?:{UNITS})(?!\w)"
)
# Blocks of code, and tables that are made from results files.
EXEMPT = re.compile(r"```.*?```|<!-- table.*?<!-- end -->", re.DOTALL)


def numbers(text: str) -> list[str]:
    return NUMBER.findall(re.sub(r"`[^`]*`", "``", text))


def test_every_number_with_a_unit_has_a_source() -> None:
    minutes = {name: of["minutes"] for name, of in declared(RESULTS).items()}
    results = read_results(RESULTS) | {"minutes": minutes}
    known = []
    for template in NUMBERS["figures"]:
        assert not numbers(REFERENCE.sub("#", template)), f"a number without a file: {template}"
        known.append(filled(template, results))
    for text, source in NUMBERS["constants"].items():
        kind, _, content = source.partition(": ")
        if kind not in ("definition", "goal", "published"):
            assert content in (ROOT / kind).read_text("utf-8"), f"{text}: not in {kind}: {content}"
        known.append(text)
    pages = {
        str(page.relative_to(ROOT)): " ".join(EXEMPT.sub("", page.read_text("utf-8")).split())
        for page in PAGES
    }
    for text in known:
        assert any(text in page for page in pages.values()), f"no page says: {text}"
        pages = {name: page.replace(text, "") for name, page in pages.items()}
    for name, page in pages.items():
        assert not numbers(page), f"{name}: numbers that are not in numbers.toml"


def numbers_in(commit: str) -> set[str]:
    """The numbers in the results files of a commit."""
    words = [
        "git",
        "-C",
        str(ROOT),
        "grep",
        "-hoE",
        "[0-9][0-9.e-]*",
        commit,
        "--",
        "results/*.json",
    ]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return set(found.stdout.split())


def test_commits_of_the_papers_have_the_figures_of_their_rows() -> None:
    results = read_results(RESULTS)
    table = (ROOT / "papers" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\|(.*)\| `([0-9a-f]{7,})` \|$", table, re.MULTILINE)
    assert len(rows) > 10
    for row, commit in rows:
        if not (known := numbers_in(commit)):
            pytest.skip(f"{commit} is not in this clone")
        figures = [
            value
            for template in NUMBERS["figures"]
            if ":" in template and filled(minutes_out(template), results) in row
            for file, path, _ in REFERENCE.findall(minutes_out(template))
            if file != "answered"
            for value in values(results, f"{file}:{path}")
        ]
        lost = [value for value in figures if repr(value) not in known]
        assert figures
        assert not lost, f"{commit} is named for {row[:80]}, and does not have these figures"


def minutes_out(template: str) -> str:
    """A template without its minutes, which are no figures."""
    return re.sub(r"^\{minutes:[^}]*\} (min|h) \| ", "", template)
