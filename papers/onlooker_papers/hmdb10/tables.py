"""The tables of the HMDB-51 report, next to its published figure."""

from onlooker.evaluation.report import Table
from onlooker_papers.hmdb10.classes import ATTENTION, PUBLISHED_ACCURACY
from onlooker_papers.tables import Entry, Results, build, code, difference, key, rows, share, table

NAME, REAL = "hmdb10", "hmdb10-real"


@table(NAME)
def report(results: Results) -> Table:
    """Frame and clip accuracy by data set; for HMDB-51, with the published figure."""
    made: list[list[str | None]] = []
    notes = []
    for name, of in results[NAME].items():
        if published := of.get("published_frame_accuracy"):
            made.append([name, "published (Teja & Akunuri 2020)", share(published), None])
        made += [[name, code(m), share(of["frame_accuracy"][m]), share(of["accuracy"][m])] for m in of["accuracy"]]
        made.append([name, "majority class", *[share(of["majority_share"])] * 2])
        split = ", ".join(f"{count} {side}" for side, count in of["sides"].items())
        notes.append(f"{name}: {of['encoder']}; {of['frames']} frames, {of['epochs']} epochs; clips: {split}.")
    return Table(["set", "model", "frames correct, %", "clips correct, %"], made, " ".join(notes))


@table(REAL)
def on_jhmdb(results: Results) -> Table:
    """Accuracy of frames on ten classes of J-HMDB, over draws of the split, next to the published figure."""
    of = results[REAL]
    models, draws = of["models"], len(of["clips"])

    def frames(row: Entry) -> str:
        return f"{share(row['frame_accuracy'])} ({share(min(row['each']))} to {share(max(row['each']))})"

    def apart(row: Entry) -> str | None:
        return None if row.key[0] == ATTENTION else difference(row["report_is_better_by"])

    return build(
        rows(models, "*"),
        {
            "model": key(0, code),
            "frames correct, %": frames,
            "clips correct, %": ("accuracy", share),
            "training frames, %": ("training", share),
            "report is better by": apart,
            "parameters": ("parameters", "{:,}".format),
        },
        f"{len(of['classes'])} classes of J-HMDB ({', '.join(of['classes'])}), encoder `small`, 30 frames per clip, "
        f"weights after the last of {models[ATTENTION]['epoch']} epochs; means over {draws} draws of the split, and "
        "their range. `report` is better by: in points, with its 95 % interval over draws (Student's t), which is too "
        "narrow because the draws share clips. Learning rates were chosen on validation clips that are test clips of "
        f"no draw. Mean entropy of the attention maps: {share(models[ATTENTION]['entropy'])} % of that of a uniform "
        "map.",
        [["published: VGG-16, ten classes of HMDB-51", share(PUBLISHED_ACCURACY), None, None, None, "about 100,000"]],
    )
