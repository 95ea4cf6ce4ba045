"""The table of the HMDB-51 report, from the figures of its results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.digits.tables import Results, share
from onlooker_papers.hmdb10.page import PUBLISHED_ACCURACY
from onlooker_papers.videolstm.real_tables import interval

NAME, REAL, DISTURBED, SIZES = "hmdb10", "hmdb10-real", "hmdb10-disturbed", "hmdb10-sizes"
# What is done to test clips; the unit of its strength, and what to multiply it by.
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
    """Accuracy of frames and clips by data set, with the published figure where it belongs."""
    rows: list[list[str | None]] = []
    notes = []
    for name, of in results[NAME].items():
        if published := of.get("published_frame_accuracy"):
            rows.append([name, "published (Teja & Akunuri 2020)", share(published), None])
        rows += [[name, f"`{m}`", share(of["frame_accuracy"][m]), share(of["accuracy"][m])] for m in of["accuracy"]]
        rows.append([name, "majority class", *[share(of["majority_share"])] * 2])
        split = ", ".join(f"{count} {name}" for name, count in of["sides"].items())
        notes.append(f"{name}: {of['encoder']}; {of['frames']} frames per clip, {of['epochs']} epochs; clips: {split}.")
    return Table(["set", "model", "frames correct, %", "clips correct, %"], rows, " ".join(notes))


def on_jhmdb(results: Results) -> Table:
    """Accuracy of frames on ten classes of J-HMDB, over draws of the split, next to the published figure."""
    rows: list[list[str | None]] = []
    of = results[REAL]
    draws = len(of["clips"])
    rows.append(["published: VGG-16, ten classes of HMDB-51", share(PUBLISHED_ACCURACY), None, None, "about 100 000"])
    for name, row in of["models"].items():
        apart = interval(row["report_is_better_by"]) if name != "report" else None
        spread = f"{share(min(row['each']))} to {share(max(row['each']))}"
        accuracy = f"{share(row['frame_accuracy'])} ({spread})"
        rows.append([f"`{name}`", accuracy, share(row["accuracy"]), apart, row["parameters"]])
    low, high = of["interval"]
    note = (
        f"{len(of['classes'])} classes of J-HMDB ({', '.join(of['classes'])}), encoder `small`, 30 frames per clip, "
        f"{of['epochs']} epochs, five channels in `report` and `convlstm`, whose whole map the classes are read from; "
        f"means over {draws} draws of the split and their range; 95 % interval of `report` over "
        f"draws {share(low)} to {share(high)} % (Student's t). Fourth column: by how many points `report` is better."
    )
    return Table(["model", "frames correct, %", "clips correct, %", "report is better by", "parameters"], rows, note)


def disturbed(results: Results) -> Table:
    """Accuracy of frames with camera motion, noise and more people, and what they cost each model."""
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
        f"recordings; {sum(of['test_clips'])} test clips of {of['draws']} draws of the split. Models "
        f"of the table above, trained on clips as they are for {of['epochs']} epochs. Everything but the first row is "
        "seen through the window; a pan goes from one side to the other in the course of the clip, a zoom in or out by "
        "this factor, a shaking camera is at another place of this square in each frame."
    )
    return Table(["test clips", *(f"`{model}`" for model in models)], rows, note)


def sizes(results: Results) -> Table:
    """The report's model by size of the batch and number of channels."""
    found = results[SIZES]
    rows = [
        [
            of["channels"], of["batch"], of["parameters"], share(of["frame_accuracy"]), share(of["accuracy"]),
            share(of["training"]), interval(of["over_report"]) if name != next(iter(found)) else None,
        ]
        for name, of in found.items()
    ]  # fmt: skip
    first = next(iter(found.values()))
    draws = len(first["each"])
    note = (
        f"Ten classes of J-HMDB, {first['epochs']} epochs at a learning rate of {first['lr']:g}, {first['test_clips']} "
        f"test clips of {draws} draw{'s' * (draws > 1)} of the split. Last column: points over the first row, with "
        "their 95 % interval over recordings."
    )
    heads = ["channels", "batch", "parameters", "frames correct, %", "clips correct, %", "training frames, %"]
    return Table([*heads, "over the first row"], rows, note)


TABLES = {NAME: report, REAL: on_jhmdb, DISTURBED: disturbed, SIZES: sizes}
NEEDED: dict[str, set[str]] = {}
