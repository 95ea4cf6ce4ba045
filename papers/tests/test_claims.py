"""The papers' claims: figures come from files, verdicts follow their rules, docs and commands show
both.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import table
from commands import call

from onlooker_papers import claims
from onlooker_papers.hmdb10 import reproduce
from onlooker_papers.tables import read_results

FIGURES = {
    "run": {
        "models": {"a": {"accuracy": 0.5, "interval": [0.45, 0.6]}, "b": {"accuracy": 0.52}},
        "steps": {"up": [0.2, 0.1, 0.3], "up too": [0.2, 0.01, 0.4], "flat": [0.1, -0.1, 0.3]},
    },
    "answered": {"Does it help?": "No: 1.5 points."},
}
LITERAL = re.compile(r"(?<!\w)(?<!\w-)[+−-]?\.?\d")  # not UCF101-18


@pytest.mark.parametrize("paper", claims.PAPERS)
def test_every_figure_of_ours_is_a_reference(paper: str) -> None:
    for claim in claims.read_claims(paper)["claim"]:
        said = " ".join(claims.REFERENCE.sub("", claim.get(part, "")) for part in ("ours", "why"))
        assert not LITERAL.search(re.sub(r"`[^`]*`", "", said)), said
        assert len({"check", "gain", "verdict"} & set(claim)) == 1, claim["claim"]
        assert claim.get("verdict", "near") in claims.VERDICTS
        assert set(claim) <= {
            "claim",
            "published",
            "code",
            "ours",
            "why",
            "check",
            "gain",
            "sign",
            "verdict",
            "evidence",
        }
        assert ("evidence" in claim) == ("verdict" in claim), claim["claim"]


def test_every_answer_has_its_figures_in_a_file() -> None:
    without = "No file"
    answers = read_results(claims.RESULTS)["answered"]
    for question, answer in answers.items():
        files = re.findall(r"`([\w-]+\.json)`", answer)
        known = [claims.RESULTS / folder / file for file in files for folder in ("", "answered")]
        assert without in answer or any(path.exists() for path in known), question
    for paper in claims.PAPERS:
        for words in re.findall(r"\{answered:([^|}]+)\|", str(claims.read_claims(paper))):
            cited = [answer for question, answer in answers.items() if words in question]
            assert cited, words
            assert without not in cited[0], words


@pytest.mark.parametrize("literal", ["98.3 %", "loss .4", "by -3.7", "a (5 to 7)", "+2"])
def test_a_literal_figure_is_noticed(literal: str) -> None:
    assert LITERAL.search(literal)


def test_docs_show_what_the_results_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    stale: list[str] = []

    def compare(path: Path, text: str) -> None:
        if path.read_text("utf-8") != text:
            stale.append(path.name)

    monkeypatch.setattr(table, "write_text", compare)
    monkeypatch.setattr("sys.argv", ["table.py"])
    table.main()
    assert not stale, "run `python benchmarks/table.py`"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{run:models/a/accuracy|share} ({run:models/a/interval|span})", "50.0 (45.0–60.0)"),
        ("{run:models/*/accuracy|range .2%}", "50.00 %–52.00 %"),
        ("{run:models/*/accuracy|within 0.51}", "1 of 2"),
        (
            "{run:steps/up*|above}, {run:steps/*|above}, {run:steps/*|below}",
            "2 of 2, 2 of 3, 0 of 3",
        ),
        ("{run:steps/flat|difference}", "+10.0 (-10.0 to +30.0)"),
        ("{answered:help|1.5 points}", "1.5 points"),
    ],
)
def test_templates_are_filled(template: str, text: str) -> None:
    assert claims.filled(template, FIGURES) == text


@pytest.mark.parametrize(
    "template", ["{run:models/c/accuracy|share}", "{other:a|share}", "{answered:help|1.6 points}"]
)
def test_a_reference_without_a_figure_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match=r"no figure at|no answer has"):
        claims.filled(template, FIGURES)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ({"check": [["run:models/*/accuracy", 0.51, 0.011]]}, "reproduced"),
        ({"check": [["run:models/*/accuracy", 0.5, 0.01]]}, "near"),
        ({"check": [["run:models/*/accuracy", 0.55, 0.01]]}, "not confirmed"),
        ({"check": [["run:models/a/accuracy", 0.55, 0.01, "run:models/a/interval"]]}, "reproduced"),
        (
            {"check": [["run:models/a/accuracy", 0.5, 0.0], ["run:models/b/accuracy", 0.5, 0.01]]},
            "near",
        ),
        ({"gain": ["run:steps/up*"]}, "reproduced"),
        ({"gain": ["run:steps/up*"], "sign": -1}, "not confirmed"),
        ({"gain": ["run:steps/*"]}, "not confirmed"),
        ({"verdict": "not run"}, "not run"),
    ],
)
def test_verdicts(claim: dict[str, Any], expected: str) -> None:
    assert claims.verdict(claim, FIGURES) == expected


def test_commands_end_with_the_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "reproduce", lambda *_, **__: Path("report.html"))
    shown = call("reproduce", "hmdb10", "--hmdb51", tmp_path).output
    results = read_results(claims.RESULTS)
    for row in claims.claims("hmdb10", results).texts:
        assert row[-1].split("**")[1] in shown
    assert "These figures are the project's" in shown
    assert shown.endswith("report: report.html\n")
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    assert (
        "needs the project's folder results/"
        in call("reproduce", "hmdb10", "--hmdb51", tmp_path).output
    )


def test_evidence_of_a_verdict_by_hand_must_stand_in_its_file() -> None:
    results = read_results(claims.RESULTS)
    known = {"evidence": "docs/hmdb10-details.md: The report has 730 training clips"}
    assert claims.evidence_file(known, results) == "docs/hmdb10-details.md"
    figure = {"evidence": "hmdb10-real:models/report/entropy"}
    assert claims.evidence_file(figure, results) == "results/hmdb10-real.json"
    with pytest.raises(ValueError, match=r"hmdb10-details\.md has no words 'The moon is out'"):
        claims.evidence_file({"evidence": "docs/hmdb10-details.md: The moon is out"}, results)
    with pytest.raises(ValueError, match="no figure at hmdb10-real:models/report/moon"):
        claims.evidence_file({"evidence": "hmdb10-real:models/report/moon"}, results)
