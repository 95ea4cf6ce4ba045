"""The tables of the HMDB-51 report, next to its published figure."""

from collections.abc import Mapping
from typing import Any

from onlooker.report.page import Table
from onlooker_papers.hmdb10.classes import ATTENTION, PUBLISHED_ACCURACY
from onlooker_papers.tables import (
    Columns,
    Entry,
    Results,
    build,
    code,
    difference,
    fixed,
    key,
    rows,
    share,
    table,
)

REAL = "hmdb10-real"


@table(REAL)
def on_jhmdb(results: Results) -> Table:
    """Accuracy of frames on ten classes of J-HMDB."""
    of = results[REAL]
    draws = len(of["clips"])
    encoders = {of.get("encoder", "small"): of, **of}

    def frames(row: Entry) -> str:
        return f"{share(row['frame_accuracy'])} ({share(min(row['each']))} to {share(max(row['each']))})"

    def apart(row: Entry) -> str | None:
        return None if row.key[1] == ATTENTION else difference(row["report_is_better_by"])

    return build(
        rows(encoders, "*/models/*"),
        {
            "model": key(1, code),
            "encoder": key(0, code),
            "frames correct, %": frames,
            "clips correct, %": ("accuracy", share),
            "training frames, %": ("training", share),
            "report is better by": apart,
            "parameters": ("parameters", "{:,}".format),
        },
        f"{', '.join(of['classes'])}; {of['models'][ATTENTION]['epoch']} epochs, means over {draws} draws of "
        f"the split, and their range. `small` encodes frames of 112 pixels, `lite0` (ImageNet "
        "weights) of 224. Intervals are over draws (Student's t), too narrow "
        "because these share clips. "
        "Learning rates were chosen on validation clips that are test clips of no draw.",
        [
            [
                "published: ten classes of HMDB-51",
                "VGG-16",
                share(PUBLISHED_ACCURACY),
                None,
                None,
                None,
                "about 100,000",
            ]
        ],
    )


def of_split(models: Mapping[str, Any], published: bool) -> Table:
    """The models on one split; with the published figure, if the clips are those of HMDB-51."""
    columns: Columns = {
        "model": key(0, code),
        "frames correct, %": ("frame_accuracy", share),
        "videos correct, %": ("accuracy", share),
        "log loss": ("log_loss", fixed(3)),
        "trained parameters": "parameters",
    }
    given = [["published (Teja & Akunuri 2020)", share(PUBLISHED_ACCURACY), None, None, None]]
    note = (
        f"Majority class: {share(models[ATTENTION]['majority_share'])} %. The last epoch is tested."
    )
    return build(rows(models, "*"), columns, note, given if published else [])
