"""The table of the HMDB-51 report, from the figures of its results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.digits.tables import Results, share
from onlooker_papers.hmdb10.page import PUBLISHED_ACCURACY
from onlooker_papers.videolstm.real_tables import interval

NAME, REAL = "hmdb10", "hmdb10-real"


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


TABLES = {NAME: report, REAL: on_jhmdb}
NEEDED: dict[str, set[str]] = {}
