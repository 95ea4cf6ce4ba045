"""Claims of Shan & Atanasov 2017, each next to the figures that confirm or refute it."""

from collections.abc import Callable, Mapping
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.digits.differences import Results
from onlooker_papers.digits.published import APART, CODE, PUBLISHED, PUBLISHED_READING

_CANVAS = ("normal", "rotation", "scale", "rotation+scale")  # the variants that the claim about scaling compares
_OPEN = "not measured"


def claims(results: Results) -> Table:
    """One row for each claim: where the paper makes it, the paper's figures, ours, and what follows."""
    rows = [_scaling_in_table(results), _scaling_on_unseen(results), _overfitting(results), _hands(results)]
    rows += [_attention(results), _apart(results)]
    note = (
        "Accuracy in % of videos. Published protocol: the authors' LSTM on the training videos; unseen digits and "
        "paths: an LSTM(128) on frozen encoders. A claim that some figures confirm and others refute holds in part."
    )
    return Table(["claim", "paper", "here", "so it is"], rows, note)


def _verdict(held: Mapping[str, bool]) -> str:
    if not held:
        return _OPEN
    yes = [name for name, held_here in held.items() if held_here]
    if len(yes) == len(held):
        return "confirmed"
    return "refuted" if not yes else "in part: " + ", ".join(f"`{name}`" for name in yes)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _lowest(accuracy: Mapping[str, Mapping[str, float]]) -> str:
    """By encoder, the variant with the lowest accuracy."""
    found = {encoder: min(of, key=of.__getitem__) for encoder, of in accuracy.items()}
    return ", ".join(f"`{e}` {v} ({_percent(accuracy[e][v])})" for e, v in found.items())


def _by_encoder(of: Callable[[str, str], float | None], encoders: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Accuracies by encoder and variant, of the encoders that have all of the canvas's variants."""
    found = {e: {v: a for v in _CANVAS if (a := of(v, e)) is not None} for e in encoders}
    return {e: row for e, row in found.items() if len(row) == len(_CANVAS)}


def _scaling(claim: str, paper: str, here: Mapping[str, Mapping[str, float]]) -> list[Any]:
    held = {e: min(row, key=row.__getitem__) == "scale" for e, row in here.items()}
    return [claim, paper, "lowest: " + _lowest(here) if here else _OPEN, _verdict(held)]


def _scaling_in_table(results: Results) -> list[Any]:
    cells, encoders = results["digits-paper"]["cells"], tuple(PUBLISHED["normal"])
    published = {e: {v: PUBLISHED[v][e][1] for v in _CANVAS} for e in encoders}

    def accuracy(variant: str, encoder: str) -> float | None:
        cell = cells.get(variant, {}).get(encoder, {}).get(CODE)
        return float(cell[PUBLISHED_READING]["accuracy"]) if cell else None

    claim = "scaling is the hardest variant (IV-B): published protocol"
    return _scaling(claim, "lowest: " + _lowest(published), _by_encoder(accuracy, encoders))


def _scaling_on_unseen(results: Results) -> list[Any]:
    models = results["digits-honest"]["models"]

    def accuracy(variant: str, encoder: str) -> float | None:
        row = models.get(variant, {}).get(f"{encoder}-lstm-two-stage")
        return float(row["accuracy"]) if row else None

    return _scaling("the same: unseen digits and paths", "–", _by_encoder(accuracy, tuple(PUBLISHED["normal"])))


def _overfitting(results: Results) -> list[Any]:
    found = results["digits-honest"].get("overfitting", {})
    pairs = {
        name.removesuffix("-lstm-two-stage"): (row, found[other])
        for name, row in found.items()
        if name.endswith("two-stage") and (other := name.replace("two-stage", "end-to-end")) in found
    }
    here = "; ".join(
        f"`{e}`, {frozen['videos']} videos {frozen['epochs']} times: frozen {_gap(frozen)}, end to end {_gap(free)}"
        for e, (frozen, free) in pairs.items()
    )
    held = {e: bool(frozen["gap"] < free["gap"]) for e, (frozen, free) in pairs.items()}
    return ["frozen encoders resist overfitting (III)", "no figure", here or _OPEN, _verdict(held)]


def _gap(row: Mapping[str, Any]) -> str:
    seen, unseen = (_percent(row[name]["accuracy"]) for name in ("training", "unseen"))
    return f"{seen} on them, {unseen} on unseen ones"


def _hands(results: Results) -> list[Any]:
    rows = results["digits-honest"].get("hands", {})
    pairs = {e: [rows.get(f"{e}-lstm-{stage}") for stage in ("two-stage", "end-to-end")] for e in PUBLISHED["normal"]}
    whole = {e: (a, b) for e, (a, b) in pairs.items() if a and b}
    here = ", ".join(f"`{e}` {_percent(a['accuracy'])} and {_percent(b['accuracy'])}" for e, (a, b) in whole.items())
    held = {e: bool(a["accuracy"] > b["accuracy"]) for e, (a, b) in whole.items()}
    return ["the same: test clips of hands, frozen and end to end", "no figure", here or _OPEN, _verdict(held)]


def _attention(results: Results) -> list[Any]:
    cells = results["digits-paper"]["cells"]
    found = {
        v: {e: c[CODE][PUBLISHED_READING]["accuracy"] for e, c in cells[v].items() if CODE in c} for v in PUBLISHED
    }
    whole = {v: of for v, of in found.items() if {"lenet", "dcn"} <= set(of)}
    here = ", ".join(f"{v} {_percent(of['dcn'])} to {_percent(of['lenet'])}" for v, of in whole.items())
    paper = ", ".join(f"{v} {_percent(of['dcn'][1])} to {_percent(of['lenet'][1])}" for v, of in PUBLISHED.items())
    held = {v: bool(of["dcn"] > of["lenet"]) for v, of in whole.items()}
    return ["`dcn` is ahead of `lenet` (Table I)", paper, here or _OPEN, _verdict(held)]


def _apart(results: Results) -> list[Any]:
    cells = results["digits-paper"]["cells"]
    pair = [cells.get(v, {}).get("lenet", {}).get(CODE) for v in (APART, "rotation+scale")]
    if not all(pair):
        return ["digits that turn and shrink each for itself (IV-C)", "future work", _OPEN, _OPEN]
    apart, whole = (of[PUBLISHED_READING]["accuracy"] for of in pair if of)
    here = f"`lenet` {_percent(apart)}, and {_percent(whole)} where the canvas does"
    verdict = "harder to memorize" if apart < whole else "no harder to memorize"
    return ["digits that turn and shrink each for itself (IV-C)", "future work", here, verdict]
