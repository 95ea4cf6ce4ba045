"""Numbers with a unit or a percent sign in sentences of the docs are figures of results files, or
constants with their source: `numbers.toml`.
"""

import re
import tomllib
from pathlib import Path

from onlooker_papers.claims import REFERENCE, RESULTS, filled
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
