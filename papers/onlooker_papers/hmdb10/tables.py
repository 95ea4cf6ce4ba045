"""The tables of the HMDB-51 report, next to its published figure."""

from onlooker.evaluation.report import Table
from onlooker_papers.hmdb10.classes import ATTENTION, PUBLISHED_ACCURACY
from onlooker_papers.tables import Entry, Results, build, code, difference, key, rows, share, table

REAL = "hmdb10-real"


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
        f"{', '.join(of['classes'])}; encoder `small`, {models[ATTENTION]['epoch']} epochs, means over {draws} draws "
        "of the split, and their range. Intervals are over draws (Student's t), too narrow because these share clips. "
        "Learning rates were chosen on validation clips that are test clips of no draw.",
        [["published: VGG-16, ten classes of HMDB-51", share(PUBLISHED_ACCURACY), None, None, None, "about 100,000"]],
    )
