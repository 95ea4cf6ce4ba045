"""Tables are declared once, built from the figures of results files, and shown in docs and reports."""

from pathlib import Path

import pytest

from onlooker.report.page import Page, Table
from onlooker_papers.tables import (
    Results,
    add_table,
    build,
    code,
    difference,
    fill,
    grid,
    key,
    rows,
    share,
    span,
    table,
)

FIGURES = {
    "peers": {
        "two_sets": {"x3d": {"accuracy": 0.5, "interval": [0.4, 0.6]}, "tsm": {"accuracy": 0.25}},
        "clips": 12,
    }
}


def peers(results: Results) -> Table:
    """Two networks on one set."""
    return build(
        rows(results["peers"], "*/*"),
        {
            "set": key(0),
            "network": key(1, code),
            "correct": ("accuracy", share),
            "95 %": ("interval", span),
            "twice": lambda row: 2 * row["accuracy"],
        },
        note=f"{results['peers']['clips']} clips.",
        before=[["any", "chance", "1.0", None, None]],
    )


EXPECTED = """| set | network | correct | 95 % | twice |
| --- | --- | ---: | ---: | ---: |
| any | chance | 1.0 | – | – |
| two sets | `x3d` | 50.0 | 40.0–60.0 | 1 |
| two sets | `tsm` | 25.0 | – | 0.5 |

12 clips.
"""


def test_a_row_for_each_entry_and_a_dash_for_what_is_missing() -> None:
    assert peers(FIGURES).markdown() == EXPECTED


def test_a_grid_of_two_names() -> None:
    made = grid("model", ["a", "b"], ["one_set"], cell=lambda name, column: f"{name}{column}")
    assert made.columns == ["model", "one set"]
    assert made.texts == [["`a`", "aone_set"], ["`b`", "bone_set"]]


def test_differences_in_points() -> None:
    assert difference([0.031, -0.01, 0.072]) == "+3.1 (-1.0 to +7.2)"


def test_pages_are_filled_with_declared_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker_papers.tables.TABLES", dict[str, object]())
    table("peers")(peers)
    table("other", "missing")(peers)
    text = "Before\n<!-- table: peers -->\nold\n<!-- end -->\n<!-- table: other -->\nas it is\n<!-- end -->\n"
    expected = text.replace("old\n", EXPECTED)
    assert fill(text, FIGURES) == expected == fill(expected, FIGURES)
    with pytest.raises(ValueError, match=r"no table 'unknown'; there are other, peers"):
        fill(text.replace("peers", "unknown"), FIGURES)
    with pytest.raises(ValueError, match=r"is a table 'peers' already"):
        table("peers")(peers)
    page = Page("Networks")
    add_table(page, peers(FIGURES))
    assert "<td>two sets</td>" in page.write(tmp_path / "page.html").read_text("utf-8")
