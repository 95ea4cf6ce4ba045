"""Claims of Shan & Atanasov 2017, each next to the figures that confirm or refute it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.digits.models import STAGES
from onlooker_papers.digits.overfitting import UNSEEN
from onlooker_papers.digits.published import APART, CODE, PUBLISHED, PUBLISHED_READING
from onlooker_papers.tables import Results

_CANVAS = ("normal", "rotation", "scale", "rotation+scale")  # the whole canvas is transformed
_SETS = {"without `gesture`": _CANVAS, "with `gesture`": (*_CANVAS, "gesture")}
_MEASURES = ("loss", "accuracy")  # in the order of `PUBLISHED`
_OPEN, _SAME = "not measured", "no difference found"
_FITTED = 0.9  # accuracy on the training videos from which a training can show overfitting
_HALF_INTERVAL = 1.96  # standard errors in half of a 95 % interval

Difference = tuple[float, float]  # with its standard error


def claims(results: Results) -> Table:
    """One row for each claim: its section, the figures of the paper, our figures, and the conclusion."""
    rows = [*_scaling(results), _overfitting(results), _hands(results), _attention(results), _apart(results)]
    note = (
        "Published protocol: the authors' LSTM on the training videos; unseen digits and paths: an LSTM(128) on frozen "
        "encoders. Scaling: how much harder `scale` is than the hardest other variant (in parentheses), in points of "
        "accuracy or in loss. All other figures: accuracy in % of videos. A claim is confirmed or refuted by a "
        "difference of more than two standard errors (after ±). They are those of the mean over rounds, for one set of "
        "100 videos and one training of each encoder; for unseen videos and clips, those of the test videos."
    )
    return Table(["claim", "paper", "here", "conclusion"], rows, note)


def _conclusion(by_name: Mapping[str, Difference | str]) -> str:
    """What differences show of a claim that they are positive; a string is shown as it is."""
    if not by_name:
        return _OPEN
    names: dict[str, list[str]] = {}
    for name, found in by_name.items():
        names.setdefault(found if isinstance(found, str) else _shown(*found), []).append(f"`{name}`")
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{', '.join(of)}: {conclusion}" for conclusion, of in names.items())


def _shown(difference: float, error: float) -> str:
    return _SAME if abs(difference) <= 2 * error else "confirmed" if difference > 0 else "refuted"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _harder(of: Mapping[str, float], measure: str) -> tuple[str, float]:
    """The hardest variant other than `scale`, and how much harder `scale` is."""
    sign = 1 if measure == "loss" else -1
    other = max((v for v in of if v != "scale"), key=lambda v: sign * of[v])
    return other, sign * (of["scale"] - of[other])


def _amount(difference: float, measure: str, error: float | None = None) -> str:
    scale, digits = (1, 2) if measure == "loss" else (100, 1)
    return f"{scale * difference:+.{digits}f}" + ("" if error is None else f" ± {scale * error:.{digits}f}")


def _scaling(results: Results) -> Iterator[list[Any]]:
    cells, models = results["digits-paper"]["cells"], results["digits-honest"]["models"]
    claim = "scaling is the hardest variant (IV-B)"
    for measure in reversed(_MEASURES):
        for name, variants in _SETS.items():
            place = _MEASURES.index(measure)
            published = {e: {v: PUBLISHED[v][e][place] for v in variants} for e in PUBLISHED["normal"]}
            margins = {e: _harder(of, measure) for e, of in published.items()}
            paper = ", ".join(f"`{e}` {_amount(by, measure)} ({other})" for e, (other, by) in margins.items())
            here = {e: {v: _of_rounds(cells.get(v, {}).get(e), measure) for v in variants} for e in published}
            yield [f"{claim}: {measure}, {name}", paper, *_harder_here(here, measure)]
            claim = "the same"
    here = {
        e: {v: _of_videos(models.get(v, {}).get(f"{e}-lstm-two-stage")) for v in _CANVAS} for e in PUBLISHED["normal"]
    }
    name = next(iter(_SETS))
    yield [f"the same on unseen digits and paths: accuracy, {name}", "–", *_harder_here(here, "accuracy")]


def _harder_here(here: Mapping[str, Mapping[str, Difference | None]], measure: str) -> tuple[str, str]:
    """Our figures for the encoders that have all variants, and the conclusion."""
    words, differences = [], {}
    for encoder, of in here.items():
        known = {variant: found for variant, found in of.items() if found}
        if len(known) < len(of):
            continue
        other, by = _harder({v: value for v, (value, _) in known.items()}, measure)
        error = math.hypot(known["scale"][1], known[other][1])
        words.append(f"`{encoder}` {_amount(by, measure, error)} ({other})")
        differences[encoder] = by, error
    return ", ".join(words) or _OPEN, _conclusion(differences)


def _of_rounds(cell: Mapping[str, Any] | None, measure: str = "accuracy") -> Difference | None:
    """A figure of a cell of Table I, with the standard error of the mean over rounds."""
    if not cell or CODE not in cell:
        return None
    found = cell[CODE][PUBLISHED_READING]
    return float(found[measure]), float(found[f"{measure}_spread"]) / math.sqrt(cell["rounds"][CODE])


def _of_videos(row: Mapping[str, Any] | None) -> Difference | None:
    """The accuracy of a row, with the standard error from its 95 % interval."""
    if not row:
        return None
    low, high = row["accuracy_interval"]
    return float(row["accuracy"]), (high - low) / 2 / _HALF_INTERVAL


def _minus(first: Difference, second: Difference) -> Difference:
    """Their difference; as if they were independent, which overstates its error for the same videos or rounds."""
    return first[0] - second[0], math.hypot(first[1], second[1])


def _overfitting(results: Results) -> list[Any]:
    pairs = _stages(results["digits-honest"].get("overfitting", {}))
    here = "; ".join(
        f"`{e}`, {rows[0]['videos']} videos, {rows[0]['epochs']} epochs: frozen {_fit(rows[0])}, "
        f"end to end {_fit(rows[1])}"
        for e, rows in pairs.items()
    )
    found: dict[str, Difference | str] = {}
    for encoder, rows in pairs.items():
        fitted = all(row["training"]["accuracy"] >= _FITTED for row in rows)
        of_rows = [row["unseen"]["accuracy"] for row in rows]
        frozen, free = ((share, math.sqrt(share * (1 - share) / UNSEEN)) for share in of_rows)
        found[encoder] = _minus(frozen, free) if fitted else "not shown: the training videos are not fitted"
    claim = "frozen encoders resist overfitting (III): they classify more unseen videos"
    return [claim, "no figure", here or _OPEN, _conclusion(found)]


def _fit(row: Mapping[str, Any]) -> str:
    seen, unseen = (_percent(row[name]["accuracy"]) for name in ("training", "unseen"))
    return f"{seen} on them, {unseen} on unseen videos (loss {row['unseen']['loss']:.2f}, at best {row['lowest']:.2f})"


def _stages(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """By encoder, the rows with a frozen encoder and end to end, for encoders that have both."""
    frozen, free = (f"-lstm-{stage}" for stage in (STAGES[2], STAGES[1]))
    encoders = [name.removesuffix(frozen) for name in rows if name.endswith(frozen)]
    return {e: (rows[e + frozen], rows[e + free]) for e in encoders if e + free in rows}


def _hands(results: Results) -> list[Any]:
    pairs = _stages(results["digits-honest"].get("hands", {}))
    here = ", ".join(f"`{e}` {' and '.join(_percent(row['accuracy']) for row in rows)}" for e, rows in pairs.items())
    found: dict[str, Difference | str] = {}
    for encoder, rows in pairs.items():
        settings = {(row.get("frames", 5), len(row.get("per_seed", [None])), row["epochs"]) for row in rows}
        frozen, free = (known for row in rows if (known := _of_videos(row)))
        found[encoder] = _minus(frozen, free) if len(settings) == 1 else "not comparable (frames, seeds, epochs)"
    claim = "the same: test clips of hands, frozen and end to end"
    return [claim, "no figure", here or _OPEN, _conclusion(found)]


def _attention(results: Results) -> list[Any]:
    cells = results["digits-paper"]["cells"]
    pairs = {v: [_of_rounds(cells.get(v, {}).get(e)) for e in ("dcn", "lenet")] for v in PUBLISHED}
    whole = {v: (dcn, lenet) for v, (dcn, lenet) in pairs.items() if dcn and lenet}
    here = ", ".join(f"{v} {_percent(dcn[0])} to {_percent(lenet[0])}" for v, (dcn, lenet) in whole.items())
    paper = ", ".join(f"{v} {_percent(of['dcn'][1])} to {_percent(of['lenet'][1])}" for v, of in PUBLISHED.items())
    conclusion = _conclusion({v: _minus(*both) for v, both in whole.items()})
    return ["`dcn` is ahead of `lenet` (Table I)", paper, here or _OPEN, conclusion]


def _apart(results: Results) -> list[Any]:
    cells, claim = results["digits-paper"]["cells"], "digits that are rotated and scaled independently (IV-C)"
    apart, whole = (_of_rounds(cells.get(v, {}).get("lenet")) for v in (APART, "rotation+scale"))
    if not apart or not whole:
        return [claim, "future work", _OPEN, _OPEN]
    here = f"`lenet` {_percent(apart[0])}, and {_percent(whole[0])} for the canvas as a whole"
    words = {"confirmed": "harder to memorize", "refuted": "easier to memorize", _SAME: _SAME}
    return [claim, "future work", here, words[_shown(*_minus(whole, apart))]]
