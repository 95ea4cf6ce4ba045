"""The tables of the digits paper: what was published, and what the results files have."""

from collections.abc import Iterator, Mapping

from onlooker.report.page import Table
from onlooker_papers.claims import read_claims
from onlooker_papers.digits.held_out import CEILINGS, FRAMES
from onlooker_papers.digits.pretraining import RECIPES
from onlooker_papers.digits.published import (
    CODE,
    PUBLISHED_READING,
    SMOOTH,
    TEXT,
    published_form,
)
from onlooker_papers.tables import (
    Column,
    Entry,
    Results,
    build,
    code,
    grid,
    key,
    rows,
    share,
    table,
)

Cell = Mapping[str, float]


def _figures(cell: Cell) -> str:
    """Loss · accuracy in %."""
    return f"{cell['loss']:.2f} · {share(cell['accuracy'])}"


@table("digits-layers")
def layers(results: Results) -> Table:
    """Figure 1 as a table: the layers of the encoders."""
    columns: dict[str, Column] = {
        "encoder": key(0, code),
        "layer": key(1),
        "output": "output",
        "trainable parameters": "parameters",
    }
    note = "For a frame of 64×64 pixels, with the ten outputs of the pre-training."
    return build(rows(results["digits-layers"], "*/*"), columns, note=note)


@table("digits-paper")
def paper(results: Results) -> Table:
    """Table I: as published, and by the authors' code on encoders trained as published."""
    figures = results["digits-paper"]
    cells = figures["cells"]
    published = figures["published"]
    encoders = list(dict.fromkeys(encoder for row in cells.values() for encoder in row))

    def cell(variant: str, encoder: str) -> str | None:
        here = cells[variant].get(encoder, {}).get(CODE, {}).get(PUBLISHED_READING)
        loss, accuracy = published[variant.removesuffix("-61")][published_form(encoder)]
        return f"{loss:.2f} · {share(accuracy)} → {_figures(here) if here else '–'}"

    frozen = {
        e: of["encoder"] for row in cells.values() for e, of in row.items() if "encoder" in of
    }
    trained = ", ".join(f"`{e}` {of['recipe']} {of['passes']:g}" for e, of in frozen.items())
    note = (
        "Loss · accuracy in %, published → ours: on the training videos, with the LSTM of the authors' code. Frozen "
        f"encoders, recipe and epochs: {trained}. `{SMOOTH}`: with a smooth deformation."
    )
    return grid("variant", cells, encoders, cell=cell, note=note)


@table("digits-readings", "digits-paper")
def readings(results: Results) -> Table:
    """All readings of the test videos."""
    figures = results["digits-paper"]

    def found() -> Iterator[Entry]:
        for kind in (CODE, TEXT):
            for entry in rows(figures, f"cells/*/*/{kind}"):
                if len(entry.figures) == len(figures["readings"]):
                    yield Entry((*entry.key, kind), entry.figures)

    meanings = "; ".join(f"*{name}*: {meaning}" for name, meaning in figures["readings"].items())
    note = (
        f"Loss · accuracy in %. `{CODE}`: the LSTM of the authors' code; `{TEXT}`: that of the text. Test videos: "
        f"{meanings}."
    )
    of_readings: dict[str, Column] = {name: (name, _figures) for name in figures["readings"]}
    names: dict[str, Column] = {"variant": key(0), "encoder": key(1, code), "LSTM": key(2, code)}
    return build(found(), {**names, **of_readings}, note=note)


@table("digits-honest")
def held_out(results: Results) -> Table:
    """Accuracy of every model on every variant, and the ceilings."""
    models = results["digits-honest"]["models"]
    chosen = results["digits-honest"]["chosen"]
    names = list(dict.fromkeys(name for of_variant in models.values() for name in of_variant))
    names.sort(key=lambda name: name in CEILINGS)

    def accuracy(name: str, variant: str) -> str | None:
        if name not in models[variant]:
            return None
        return share(models[variant][name]["accuracy"])

    ends = [
        row["accuracy_interval"] for of_variant in models.values() for row in of_variant.values()
    ]
    named: dict[str, list[str]] = {}
    for variant, name in chosen.items():
        named.setdefault(name, []).append(variant)
    picked = ", ".join(f"`{name}` ({', '.join(variants)})" for name, variants in named.items())
    note = (
        f"Accuracy in % on whole videos of {FRAMES} frames; the largest 95 % interval is ± "
        f"{share(max(high - low for low, high in ends) / 2)}. Chosen by validation: {picked}. *two-stage*: the encoder "
        "is pre-trained on single digits and frozen."
    )
    return grid("model", names, models, cell=accuracy, note=note)


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
    return build(
        (entry for name in names for entry in rows(runs, "*") if entry.key == (name,)),
        columns,
        note=note,
    )


@table("pretraining")
def pretraining(results: Results) -> Table:
    """The encoders on single digits, compared with the published figures."""
    found = results["pretraining"]
    recipes = ("published", "literal", *RECIPES)
    stated = read_claims("digits")["encoders"]

    def ours(encoder: str, recipe: str) -> str | None:
        row = found[encoder].get(recipe)
        return (
            f"{row['loss']:.3f} · {share(row['accuracy'], 2)} ({row['passes']:g})" if row else None
        )

    def line(encoder: str) -> list[str | int | None]:
        known = stated[published_form(encoder)]
        counted = next(iter(found[encoder].values()))["parameters"]
        printed = [
            f"{of[0]:.3f} · {share(of[1], 2)}" if of else None
            for of in map(known.get, ("paper", "code"))
        ]
        return [
            code(encoder),
            known.get("parameters"),
            counted,
            *printed,
            *(ours(encoder, of) for of in recipes),
        ]

    own, long = RECIPES.values()
    note = (
        "Loss · accuracy in % on MNIST's test digits, scaled (epochs); parameters with `Linear(500, 10)`. *published*: "
        "Adadelta, batch 32, all digits, the last weights; *literal*: the same with the authors' transforms "
        "(a Lanczos filter, pixels not interpolated, the center a pixel off); *one-cycle*: AdamW up to "
        f"{own.lr:g} and back to 0 (`dcn` half of it), batch {own.batch}; *long*: up to {long.lr:g}, of {long.batch}."
    )
    columns = ["encoder", "published parameters", "ours", "published", "comment in the code"]
    columns += [f"ours, {recipe}" for recipe in recipes]
    return Table(columns, [line(encoder) for encoder in found], note)
