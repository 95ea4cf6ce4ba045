"""The tables of the HMDB-51 report, next to its published figure."""

from functools import partial

from onlooker.report.page import Table
from onlooker_papers.hmdb10.classes import ATTENTION, BASELINE, PUBLISHED_ACCURACY
from onlooker_papers.hmdb10.protocols import OURS, RANDOM
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
    """Accuracy of frames on ten classes of J-HMDB, over draws of the split, by encoder, and the
    published figure.
    """
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
        "the split, and their range. `small` encodes frames of 112 pixels, `lite0` (ImageNet weights) of 224. "
        "Intervals are over draws (Student's t), too narrow because these share clips. "
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


@table("hmdb10-protocol", REAL)
def protocols(results: Results) -> Table:
    """What the division of clips, the loss and the number of clips change, for `report` and single
    frames.
    """
    found = results[REAL]["protocol"]

    def correct(name: str, row: Entry) -> str | None:
        of = row["models"].get(name)
        return of and f"{share(of['frame_accuracy'])} ({share(of['accuracy'])})"

    def apart(name: str, row: Entry) -> str | None:
        of = row["models"].get(name, {"known": None})
        return None if of["known"] is None else f"{share(of['known'])} / {share(of['unknown'])}"

    columns: Columns = {
        "protocol": key(0),
        "training clips": ("training_clips", fixed(0)),
        "test clips of known recordings, %": ("known", share),
        **{
            f"`{name}`: frames (clips), %": partial(correct, name) for name in (ATTENTION, BASELINE)
        },
        **{f"`{name}`: known / other": partial(apart, name) for name in (ATTENTION, BASELINE)},
    }
    ours, random = (found[name]["models"][ATTENTION]["half_width"] for name in (OURS, RANDOM))
    note = (
        f"Means over {found[OURS]['draws']} draws of the split, with the learning rates of the table above. Known: of "
        "the same recording as a training clip; known / other: frames correct in such test clips, and in the others. "
        "If HMDB-51's first ten classes are divided at random, by the names in the official lists, "
        f"{share(found[RANDOM]['known_in_hmdb51'])} % of their test clips are known. The 95 % interval over recordings "
        f"for one draw of as many test clips as the report has, 78, is ± {share(ours)} points for `report` in the "
        f"first row, ± {share(random)} in the second. In the first row, either all frames or none are correct in "
        f"{share(found[OURS]['models'][ATTENTION]['all_or_no_frames'])} % of its test clips."
    )
    return build(rows(found, "*"), columns, note)
