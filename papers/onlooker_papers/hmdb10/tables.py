"""The tables of the HMDB-51 report, next to its published figure."""

from collections.abc import Mapping
from typing import Any

from onlooker.report.page import Table
from onlooker_papers.hmdb10.classes import ATTENTION, PUBLISHED_ACCURACY
from onlooker_papers.tables import (
    Entry,
    Results,
    build,
    code,
    difference,
    key,
    rows,
    share,
    table,
)

REAL = "hmdb10-real"


@table(REAL)
def on_jhmdb(results: Results) -> Table:
    """Accuracy of frames on ten classes of J-HMDB."""
    note = "`small` encodes frames of 112 pixels, `lite0` (ImageNet weights) of 224. "
    return of_draws(results[REAL], note)


def of_draws(of: Mapping[str, Any], encoders: str = "") -> Table:
    """Accuracy of frames over draws of the split, next to the published figure.

    Args:
        of: the figures of one encoder, and those of others by their names.
        encoders: a note about them.
    """
    draws = len(of["clips"])
    by_encoder = {of.get("encoder", "small"): of, **of}

    def frames(row: Entry) -> str:
        return f"{share(row['frame_accuracy'])} ({share(min(row['each']))} to {share(max(row['each']))})"

    def apart(row: Entry) -> str | None:
        return None if row.key[1] == ATTENTION else difference(row["report_is_better_by"])

    published = ["published: ten classes of HMDB-51", "VGG-16", share(PUBLISHED_ACCURACY)]
    return build(
        rows(by_encoder, "*/models/*"),
        {
            "model": key(1, code),
            "encoder": key(0, code),
            "frames correct, %": frames,
            "clips correct, %": ("accuracy", share),
            "training frames, %": ("training", share),
            "report is better by": apart,
            "parameters": ("parameters", "{:,}".format),
        },
        note=f"{', '.join(of['classes'])}; {of['models'][ATTENTION]['epoch']} epochs, means over {draws} draws of "
        f"the split, and their range. {encoders}Intervals are over draws (Student's t), too narrow "
        "because these share clips. "
        "Learning rates were chosen on validation clips that are test clips of no draw.",
        before=[[*published, None, None, None, "about 100,000"]],
    )
