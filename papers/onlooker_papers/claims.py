"""The claims of a paper: what was published, what its authors' code does, what was measured here,
and a verdict.

`PAPER/claims.toml` has a `note` and a `[[claim]]` for each row of the table `PAPER-claims`. In
`ours` and `why`, `{FILE:PATH|FORMAT}` is a figure of `results/FILE.json` (a path may have stars),
and `{answered:WORDS|TEXT}` is text in the answer to the question with these words in
`results/answered.md`. The verdict is one of `VERDICTS`, from

    check = [["FILE:PATH", 0.9831, 0.01], …]  # expected value and tolerance; then, if there is one,
    # the 95 % interval
    gain = ["FILE:PATH", …]  # differences with their intervals; with sign = -1, they are expected
    # to be negative
    verdict = "not run"  # set by hand, on the evidence of
    evidence = "docs/PAGE.md: words of a sentence"  # or a figure, "FILE:PATH"
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from onlooker.report.page import Table
from onlooker_papers.tables import Results, difference, read_results, share, span, table

VERDICTS = ("reproduced", "near", "not confirmed", "not comparable", "not run")
PAPERS = ("digits", "videolstm", "hmdb10")
RESULTS = Path(__file__).parents[2] / "results"  # of the clone from which the papers are installed
REFERENCE = re.compile(r"\{([\w-]+):([^{}|]+)\|([^{}]+)\}")
_NEAR = 3  # tolerances
_FORMATS: dict[str, Callable[..., str]] = {"share": share, "span": span, "difference": difference}
# Formats that count: "within 0.1", differences "above" or "below" zero, "true".
_COUNTED: dict[str, Callable[[Any, str], bool]] = {
    "within": lambda of, limit: abs(of) <= float(limit),
    "above": lambda of, _: of[1] > 0,
    "below": lambda of, _: of[2] < 0,
    "true": lambda of, _: of,
}


def read_claims(paper: str) -> dict[str, Any]:
    """The content of the claims file of a paper."""
    return tomllib.loads((Path(__file__).parent / paper / "claims.toml").read_text("utf-8"))


def values(results: Results, reference: str) -> list[Any]:
    """The figures at `FILE:PATH`.

    Raises:
        ValueError: there are none.
    """
    file, path = reference.split(":", 1)
    found: list[Any] = [results.get(file)]
    for part in path.split("/"):
        found = [
            of[name]
            for of in found
            if isinstance(of, Mapping)
            for name in of
            if fnmatchcase(name, part)
        ]
    if not found:
        raise ValueError(f"no figure at {reference}; compute the results file, or change the claim")
    return found


def filled(template: str, results: Results) -> str:
    """A template with its figures.

    Raises:
        ValueError: a figure or an answer is missing.
    """

    def figure(match: re.Match[str]) -> str:
        file, path, form = match.groups()
        if file != "answered":
            return _shown(values(results, f"{file}:{path}"), form)
        if not any(
            path in question and form in answer for question, answer in results[file].items()
        ):
            raise ValueError(f"no answer has {form!r} for a question with {path!r}")
        return form

    return REFERENCE.sub(figure, template)


def _shown(found: list[Any], form: str) -> str:
    kind, _, more = form.partition(" ")
    if kind == "range":
        return f"{_shown([min(found)], more)}–{_shown([max(found)], more)}"
    if kind in _COUNTED:
        return f"{sum(_COUNTED[kind](of, more) for of in found)} of {len(found)}"
    (value,) = found
    return (
        _FORMATS[kind](value, *map(int, more.split()))
        if kind in _FORMATS
        else format(value, form).replace("%", " %")
    )


def verdict(claim: Mapping[str, Any], results: Results) -> str:
    """The verdict that a claim states, or that of its farthest figure."""
    if "gain" in claim:
        ends = [
            claim.get("sign", 1) * end
            for of in claim["gain"]
            for _, *ends in values(results, of)
            for end in ends
        ]
        return "reproduced" if min(ends) > 0 else "not confirmed"
    found = [claim["verdict"]] if "verdict" in claim else []
    for reference, expected, within, *interval in claim.get("check", ()):
        inside = any(
            low <= expected <= high for of in interval for low, high in values(results, of)
        )
        far = 0.0 if inside else max(abs(value - expected) for value in values(results, reference))
        found.append(VERDICTS[(far > within) + (far > _NEAR * within)])
    return str(max(found, key=VERDICTS.index))


def evidence_file(claim: Mapping[str, Any], results: Results) -> str:
    """The file, from the clone's root, with the evidence of a verdict that was set by hand.

    Raises:
        ValueError: the sentence or the figure is not there (any more).
    """
    place, words = claim["evidence"].split(":", 1)
    if "." not in place:
        values(results, claim["evidence"])
        return f"results/{place}.json"
    if words.strip() not in " ".join((RESULTS.parent / place).read_text("utf-8").split()):
        raise ValueError(
            f"{place} has no words {words.strip()!r}; name the sentence that stands there"
        )
    return str(place)


def _shown_verdict(claim: Mapping[str, Any], results: Results) -> str:
    """The verdict, with a link to its evidence if it was set by hand, and why."""
    by_hand = ""
    if "verdict" in claim:
        file = evidence_file(claim, results)
        link = os.path.relpath(file, "docs")  # from the pages that show the table
        by_hand = f" ([by hand]({link}))"
    return f"**{verdict(claim, results)}**{by_hand}: {filled(claim['why'], results)}"


def claims(paper: str, results: Results) -> Table:
    """The table of a paper's claims."""
    read = read_claims(paper)
    rows = [
        [
            of["claim"],
            of["published"],
            of.get("code", "–"),
            filled(of.get("ours", "–"), results),
            _shown_verdict(of, results),
        ]
        for of in read["claim"]
    ]
    return Table(
        ["claim", "published", "authors' code", "ours (95 %)", "verdict"], rows, read["note"]
    )


def print_claims(paper: str) -> None:
    """Print the table of a paper's claims, or why there is none, where the papers are not installed
    from a clone.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    try:
        made = claims(paper, read_results(RESULTS))
    except (OSError, ValueError) as error:
        print(f"The table of the paper's claims needs the project's folder results/: {error}")
    else:
        Console().print(Markdown(made.markdown()))
        print("These figures are the project's (results/); those of this run are in its report.")


for _paper in PAPERS:
    _files = {file for file, *_ in REFERENCE.findall(str(read_claims(_paper)))}
    table(f"{_paper}-claims", *_files)(partial(claims, _paper))
