"""The table of the HMDB-51 report, from the figures of its results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.hmdb10.differences import NAME, REAL, SIZES, differences
from onlooker_papers.hmdb10.page import ATTENTION, PUBLISHED_ACCURACY
from onlooker_papers.hmdb10.reproduce import PUBLISHED
from onlooker_papers.tables import Results, share
from onlooker_papers.videolstm.real_tables import interval

DISTURBED = "hmdb10-disturbed"
HEADS = ("frames correct, %", "clips correct, %", "validation frames, %", "training frames, %")
# The disturbance of test clips, the unit of its strength, and the factor to that unit.
_WORDS = {
    "whole": ("whole frames, as in training", "", 1),
    "still": ("a window of 80 %, still", "", 1),
    "pan": ("camera pans by", " % of the width", 100),
    "zoom": ("camera zooms by", " %", 100),
    "shake": ("camera shakes within", " % of the frame", 100),
    "noise": ("noise of", " of 255 levels", 1),
    "people": ("drawn people who walk in front:", "", 1),
}


def report(results: Results) -> Table:
    """Frame and clip accuracy by data set; for HMDB-51, with the published figure."""
    rows: list[list[str | None]] = []
    notes = []
    for name, of in results[NAME].items():
        if published := of.get("published_frame_accuracy"):
            rows.append([name, "published (Teja & Akunuri 2020)", share(published), None])
        rows += [[name, f"`{m}`", share(of["frame_accuracy"][m]), share(of["accuracy"][m])] for m in of["accuracy"]]
        rows.append([name, "majority class", *[share(of["majority_share"])] * 2])
        split = ", ".join(f"{count} {name}" for name, count in of["sides"].items())
        budget = f"{of['frames']} frames per clip, {of['epochs']} epochs"
        if (of["frames"], of["epochs"]) != (PUBLISHED.data.frames, PUBLISHED.training.epochs):
            budget += f" (the report: {PUBLISHED.data.frames} and about {PUBLISHED.training.epochs})"
        notes.append(f"{name}: {of['encoder']}; {budget}; clips: {split}.")
    return Table(["set", "model", "frames correct, %", "clips correct, %"], rows, " ".join(notes))


def on_jhmdb(results: Results) -> Table:
    """Accuracy of frames on ten classes of J-HMDB, over draws of the split, next to the published figure."""
    of = results[REAL]
    draws, models = len(of["clips"]), of["models"]
    published = "published: VGG-16, ten classes of HMDB-51"
    rows: list[list[str | None]] = [[published, share(PUBLISHED_ACCURACY), *[None] * 4, "about 100 000"]]
    for name, row in models.items():
        accuracy = f"{share(row['frame_accuracy'])} ({share(min(row['each']))} to {share(max(row['each']))})"
        others = [share(row[key]) for key in ("accuracy", "validation", "training")]
        apart = interval(row["report_is_better_by"]) if name != ATTENTION else None
        rows.append([f"`{name}`", accuracy, *others, apart, row["parameters"]])
    low, high = of["interval"]
    rates = ", ".join(f"{row['lr']:g} for `{name}`" for name, row in models.items())
    note = (
        f"{len(of['classes'])} classes of J-HMDB ({', '.join(of['classes'])}), encoder `small`, 30 frames per clip, "
        f"weights after the last of {models[ATTENTION]['epoch']} epochs. Five channels in `report` and `convlstm`, "
        f"whose classifier reads the whole map. Means over {draws} draws of the split, and their range. "
        "`report` is better by: in points, with its 95 % interval over draws (Student's t); that of `report` itself is "
        f"{share(low)} to {share(high)} %. The draws share clips, so they are not independent and these intervals are "
        f"too narrow. Learning rates: {rates}; of {' and '.join(f'{rate:g}' for rate in of['rates'])}, each was chosen "
        f"on {of['rate_clips']} validation clips that are test clips of no draw. Mean entropy of the attention maps: "
        f"{share(models[ATTENTION]['entropy'])} % of that of a uniform map."
    )
    return Table(["model", *HEADS, "report is better by", "parameters"], rows, note)


def disturbed(results: Results) -> Table:
    """Frame accuracy with camera motion, noise and more people, and the loss of each model."""
    of = results[DISTURBED]
    models = list(of["lr"])
    rows = []
    for name, by_model in of["disturbances"].items():
        kind, _, strength = name.partition(" ")
        words, unit, factor = _WORDS[kind]
        condition = f"{words} {factor * float(strength):g}{unit}" if strength else words
        cells = [share(by_model[model]["frame_accuracy"]) for model in models]
        changes = [interval(by_model[model]["over_still"]) for model in models]
        if kind != "still":
            cells = [f"{cell}; {change}" for cell, change in zip(cells, changes, strict=True)]
        rows.append([condition, *cells])
    note = (
        "Test frames correct, %, and the difference from the still window in points, with its 95 % interval over "
        f"recordings; {sum(of['test_clips'])} test clips of {of['draws']} draws of the split, which share some. Models "
        f"of the first table, trained on unchanged clips for {of['epochs']} epochs. All rows but the first use the "
        "window. A pan goes from one side to the other in the course of the clip; a zoom in or out by this factor; "
        "a shaking camera has a random position in this square in each frame."
    )
    return Table(["test clips", *(f"`{model}`" for model in models)], rows, note)


def sizes(results: Results) -> Table:
    """The report's model by batch size and number of channels."""
    found = results[SIZES]
    first = next(iter(found))
    rows = [
        [
            of["channels"], of["batch"], of["parameters"],
            *(share(of[key]) for key in ("frame_accuracy", "accuracy", "validation", "training")),
            interval(of["over_report"]) if name != first else None,
        ]
        for name, of in found.items()
    ]  # fmt: skip
    of_first = found[first]
    draws = len(of_first["each"])
    note = (
        f"Ten classes of J-HMDB, weights after the last of {of_first['epoch']} epochs, learning rate "
        f"{of_first['lr']:g}; {of_first['test_clips']} test clips of {draws} draw{'s' * (draws > 1)} of the split. "
        "Last column: difference from the first row in points, with its 95 % interval over recordings."
    )
    heads = ["channels", "batch", "parameters", *HEADS]
    return Table([*heads, "over the first row"], rows, note)


TABLES = {NAME: report, REAL: on_jhmdb, DISTURBED: disturbed, SIZES: sizes, "hmdb10-differences": differences}
NEEDED = {"hmdb10-differences": {NAME, REAL, SIZES}}
