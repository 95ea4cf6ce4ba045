"""The tables of the digits paper: what was published, and what the results files have."""

from collections.abc import Iterator, Mapping
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.digits.held_out import CEILINGS, FRAMES, best, of_encoder
from onlooker_papers.digits.pretraining import PUBLISHED as SINGLE_DIGITS
from onlooker_papers.digits.pretraining import RECIPES
from onlooker_papers.digits.published import CODE, PUBLISHED, PUBLISHED_READING, SMOOTH, TEXT
from onlooker_papers.tables import Column, Entry, Results, build, code, grid, key, rows, share, table

Cell = Mapping[str, float]


def _figures(cell: Cell) -> str:
    """Loss · accuracy in %."""
    return f"{cell['loss']:.2f} · {share(cell['accuracy'])}"


@table("digits-claims", "digits-paper", "digits-honest", "glimpses", "pretraining")
def claims(results: Results) -> Table:
    """What the paper claims, and what was measured here."""
    cells, models = results["digits-paper"]["cells"], results["digits-honest"]["models"]
    normal, runs = cells["normal"], results["glimpses"]["runs"]
    single = {e: max(row["accuracy"] for row in results["pretraining"].get(e, {}).values()) for e in SINGLE_DIGITS}
    reached = models["normal"][best(models["normal"])]["accuracy"]
    memorized, new = (normal["lenet"][CODE][reading] for reading in (PUBLISHED_READING, "new"))
    one, two = (share(runs[name]["accuracy"]) for name in ("single", "several"))
    accuracies = " / ".join(share(of[2], 2) for of in SINGLE_DIGITS.values())
    found = [
        ["single digits, `lenet` / `stn` / `dcn`, %", accuracies, " / ".join(share(single[e], 2) for e in single),
         "[encoders](#encoders)"],
        ["`lenet` + LSTM, `normal`: loss · accuracy in %", _figures(dict(zip(("loss", "accuracy"),
         PUBLISHED["normal"]["lenet"], strict=True))), f"{_figures(memorized)}, on its training videos",
         "[Table I](#table-i)"],
        ["`dcn` is better than `lenet`, `lenet` than `stn`", "all variants but `gesture`",
         "not shown: each encoder was trained once", "[Table I](#table-i)"],
        ["the same on new digits and new paths, %", "not distinguished", share(new["accuracy"]),
         "[four readings](#four-readings)"],
        ["unseen digits on unseen paths (ours: the best model), %", "–", share(reached),
         "[held-out protocol](#held-out-protocol)"],
        ["one window for two objects, and two windows, %", "open", f"{one}, and {two}",
         "[glimpses](#several-glimpses)"],
    ]  # fmt: skip
    return Table(["claim", "published", "ours", "where"], found)


@table("digits-paper")
def paper(results: Results) -> Table:
    """Table I: as published, and by the authors' code on encoders trained as published."""
    figures = results["digits-paper"]
    cells, published = figures["cells"], figures["published"]
    encoders = list(dict.fromkeys(encoder for row in cells.values() for encoder in row))

    def cell(variant: str, encoder: str) -> str | None:
        here = cells[variant].get(encoder, {}).get(CODE, {}).get(PUBLISHED_READING)
        loss, accuracy = published[variant.removesuffix("-61")][encoder]
        return f"{loss:.2f} · {share(accuracy)} → {_figures(here) if here else '–'}"

    frozen = {e: of["encoder"] for row in cells.values() for e, of in row.items() if "encoder" in of}
    trained = ", ".join(f"`{e}` {of['recipe']} {of['passes']:g}" for e, of in frozen.items())
    note = (
        "Loss · accuracy in %, published → ours: on the training videos, with the LSTM of the authors' code, mean "
        f"over rounds.{_near(cells)} Frozen encoders, recipe and epochs: {trained}. "
        f"`{SMOOTH}`: `gesture` with a smooth deformation."
    )
    return grid("variant", cells, encoders, cell, note)


def _near(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """How many cells of the published table are close to it, one sentence."""
    apart = [of["distance"] for v, row in cells.items() if v in PUBLISHED for of in row.values() if "distance" in of]
    by_loss, by_accuracy = ([abs(of[name]) <= far for of in apart] for name, far in (("loss", 0.1), ("accuracy", 0.01)))
    both = sum(map(all, zip(by_loss, by_accuracy, strict=True)))
    return (
        f" Of the {len(apart)} published cells, {sum(by_loss)} are within .1 of the paper's loss, {sum(by_accuracy)} "
        f"within 1 point of its accuracy, {both} within both."
    )


@table("digits-readings", "digits-paper", "digits-honest")
def readings(results: Results) -> Table:
    """All readings of the test videos, and held-out pairs."""
    figures, models = results["digits-paper"], results.get("digits-honest", {}).get("models", {})

    def found() -> Iterator[Entry]:
        for kind in (CODE, TEXT):
            for entry in rows(figures, f"cells/*/*/{kind}"):
                if len(entry.figures) == len(figures["readings"]):
                    yield Entry((*entry.key, kind), entry.figures)

    def held_out(entry: Entry) -> str | None:
        row = of_encoder(models.get(entry.key[0], {}), entry.key[1])
        return share(row["accuracy"]) if row else None

    meanings = "; ".join(f"*{name}*: {meaning}" for name, meaning in figures["readings"].items())
    note = (
        f"Loss · accuracy in %. `{CODE}`: the LSTM of the authors' code; `{TEXT}`: that of the text. Test videos: "
        f"{meanings}. *held-out*: unseen digits and paths, 55 unordered pairs, an LSTM(128), the encoder frozen or "
        "trained end to end, as chosen by validation."
    )
    of_readings: dict[str, Column] = {name: (name, _figures) for name in figures["readings"]}
    names: dict[str, Column] = {"variant": key(0), "encoder": key(1, code), "LSTM": key(2, code)}
    return build(found(), {**names, **of_readings, "held-out": held_out}, note)


@table("digits-honest")
def held_out(results: Results) -> Table:
    """Accuracy of every model on every variant, and the ceilings."""
    models, chosen = results["digits-honest"]["models"], results["digits-honest"]["chosen"]
    names = list(dict.fromkeys(name for of_variant in models.values() for name in of_variant))
    names.sort(key=lambda name: name in CEILINGS)

    def accuracy(name: str, variant: str) -> str | None:
        if name not in models[variant]:
            return None
        return share(models[variant][name]["accuracy"])

    ends = [row["accuracy_interval"] for of_variant in models.values() for row in of_variant.values()]
    named: dict[str, list[str]] = {}
    for variant, name in chosen.items():
        named.setdefault(name, []).append(variant)
    picked = ", ".join(f"`{name}` ({', '.join(variants)})" for name, variants in named.items())
    note = (
        f"Accuracy in % on whole videos of {FRAMES} frames; the largest 95 % interval is ± "
        f"{share(max(high - low for low, high in ends) / 2)}. Chosen by validation: {picked}. *two-stage*: the encoder "
        "is pre-trained on single digits and frozen."
    )
    return grid("model", names, models, accuracy, note)


@table("glimpses")
def glimpses(results: Results) -> Table:
    """One window compared with several."""
    runs = results["glimpses"]["runs"]
    names = {
        "single": "one window (`stn`, pre-trained on single digits)",
        "one-glimpse": "one window (`stn:1`)",
        "several": "two windows (`stn:2`)",
    }
    note = (
        f"Held-out digits and paths, `normal`, trained end to end on {runs['single']['videos']:,} videos each, mean "
        "over frames, no LSTM. A window is on a digit if the center of each lies inside the other; two windows must "
        "be on different digits."
    )
    columns: dict[str, Column] = {
        "encoder": key(0, names.__getitem__),
        "pairs correct, %": ("accuracy", share),
        "all windows on digits, % of frames": ("on_digits", share),
        "parameters": "parameters",
    }
    return build((entry for name in names for entry in rows(runs, "*") if entry.key == (name,)), columns, note)


@table("pretraining")
def pretraining(results: Results) -> Table:
    """The encoders on single digits, compared with the published figures."""
    found, recipes = results["pretraining"], ("published", *RECIPES)

    def ours(encoder: str, recipe: str) -> str | None:
        row = found[encoder].get(recipe)
        return f"{row['loss']:.3f} · {share(row['accuracy'], 2)} ({row['passes']:g})" if row else None

    def line(encoder: str) -> list[str | int | None]:
        parameters, loss, accuracy = SINGLE_DIGITS[encoder]
        counted = next(iter(found[encoder].values()))["parameters"]
        published = f"{loss:.3f} · {share(accuracy, 2)} (5)"
        return [code(encoder), parameters, counted, published, *(ours(encoder, recipe) for recipe in recipes)]

    own, long = RECIPES.values()
    note = (
        "Loss · accuracy in % on MNIST's test digits, scaled (epochs); parameters with `Linear(500, 10)`. *published*: "
        f"Adadelta, batch 32, all digits, the last weights; *one-cycle*: AdamW up to {own.lr:g} and back to 0 (`dcn` "
        f"half of it), batch {own.batch}; *long*: the same up to {long.lr:g}, batch {long.batch}."
    )
    columns = ["encoder", "published parameters", "ours", "published", *(f"ours, {recipe}" for recipe in recipes)]
    return Table(columns, [line(encoder) for encoder in found], note)
