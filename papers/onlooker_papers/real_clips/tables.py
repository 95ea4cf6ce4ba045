"""The tables of real clips."""

from collections.abc import Mapping

from onlooker.report.page import Table
from onlooker_papers.tables import (
    Column,
    Columns,
    Entry,
    Results,
    build,
    code,
    fixed,
    key,
    rows,
    share,
    span,
    table,
)

_SETS = {
    "surveillance": "surveillance cameras: a fight, or none",
    "weizmann": "Weizmann: actions of nine people",
    "basketball": "basketball: seven frames each",
    "hand_gestures": "hand gestures, drawn as skeletons",
    "jhmdb": "J-HMDB: daily actions in films",
    "ucf101_18": "UCF101: sports, music, animals",
}
# what is measured, its goal, results file, and the path of the figure in it; of few clips by `lite0`,
# the encoder that people get
_GOALS = (
    ("surveillance, clips correct, %", "83", "own-clips", "surveillance/default"),
    ("Weizmann, clips correct, %", "98", "own-clips", "weizmann/default"),
    ("basketball, clips correct, %", "65", "own-clips", "basketball/default"),
    ("hand gestures, clips correct, %", "75", "own-clips", "hand_gestures/default"),
    ("J-HMDB, clips correct, %", "62", "own-clips", "jhmdb/default"),
    ("UCF101-18, clips correct, %", "90", "own-clips", "ucf101_18/default"),
    ("UCF101-18, one clip a class, %", "62", "few-shot", "ucf101_18, lite0, auto, no copies/1"),
    ("UCF101-18, five clips a class, %", "91", "few-shot", "ucf101_18, lite0, auto, no copies/5"),
    ("J-HMDB, one clip a class, %", "42", "few-shot", "jhmdb, lite0, auto, no copies/1"),
    ("J-HMDB, five clips a class, %", "68", "few-shot", "jhmdb, lite0, auto, no copies/5"),
    ("Weizmann, center of the box in the true one, %", "97", "where-own", "weizmann/center_in_box"),
    ("UCF101, center of the box in the true one, %", "60", "where-own", "ucf101_18/center_in_box"),
    ("Weizmann, boxes with an IoU of .5, %", "75", "where-own", "weizmann/iou_50"),
    ("UCF101, boxes with an IoU of .5, %", "25", "where-own", "ucf101_18/iou_50"),
    ("UCF101, segment-mAP of events, %", "60", "when", "ucf101_18/segment_map/offline/0.5"),
    ("J-HMDB, segment-mAP of events, %", "35", "when", "jhmdb/segment_map/offline/0.5"),
)
# F1@50 of states, the row and the way it is found
_STATE_GOALS = (
    ("states of figures, F1@50", "88", "figures", "offline"),
    ("states of figures, F1@50, live", "82", "figures", "live"),
    ("states of Weizmann, F1@50", "95", "weizmann", "offline"),
    ("states of Weizmann, F1@50, live", "93", "weizmann", "live"),
    ("states of hands, F1@50", "50", "hands", "offline"),
    ("states of UCF101-18, F1@50", "60", "ucf101_18", "offline"),
)


@table("coverage")
def coverage(results: Results) -> Table:
    """How often intervals have the true accuracy, by the number of recordings."""
    columns: Columns = {
        "recordings": key(0),
        "interval, mean %": ("interval/mean", share),
        "interval, lowest": ("interval/lowest", share),
        "bootstrap (0.2), mean %": ("bootstrap/mean", share),
        "bootstrap (0.2), lowest": ("bootstrap/lowest", share),
    }
    note = "Of four accuracies (50 to 97 %) and four correlations of the clips of a recording (0 to .5)."
    return build(rows(results["coverage"], "*"), columns, note=note)


@table("where-own")
def places(results: Results) -> Table:
    """Where the default command points, against true boxes, in clips and live."""
    titles = {"peak_in_box": "hottest place", "center_in_box": "center", "shown": "shown"}
    titles |= {"iou": "mean IoU", "iou_30": "IoU ≥ .3", "iou_50": "IoU ≥ .5"}
    live = {
        f"{titles[name]}, live": (f"{name}_live", share) for name in ("center_in_box", "iou_50")
    }
    columns: Columns = {
        "set": key(0),
        **{title: (name, share) for name, title in titles.items()},
        **live,
    }
    note = "In % of the frames with a true box; *hottest place* and *center* of the box: in the true one."
    return build(rows(results["where-own"], "*"), columns, note=note)


@table("own-clips")
def own_clips(results: Results) -> Table:
    """What the default command prints, one row per set; where splits are official, for all of them."""
    columns: Columns = {
        "set": key(0),
        "encoder": ("encoders", _encoders),
        "correct": ("printed/accuracy", share),
        "95 %": ("printed/accuracy_interval", span),
        "recordings": "printed/recordings",
        "majority": ("printed/majority_share", share),
        "clips": "printed/videos",
        "which": "printed/which",
    }
    note = "% of the clips; 95 % over recordings, or over scenes and clips where none are known."
    return build(rows(results["own-clips"], "*"), columns, note=note)


def _encoders(by_split: Mapping[str, str]) -> str:
    """The encoders that the command chose, of one split or of several."""
    return ", ".join(map(code, dict.fromkeys(by_split.values())))


@table("accuracy", "own-clips", "when")
def accuracy(results: Results) -> Table:
    """The same in short, for new users, with the share of events that are found in streams."""
    columns: Columns = {
        "clips": key(0, lambda name: _SETS[name]),
        "classes": "classes",
        "number": "printed/videos",
        "encoder": ("encoders", _encoders),
        "correct": ("printed/accuracy", share),
        "95 %": ("printed/accuracy_interval", span),
        "most frequent class": ("printed/majority_share", share),
        "events found": key(0, lambda name: _events_found(results, name)),
        "CPU seconds": ("printed/cpu_seconds", round),
    }
    return build(rows(results["own-clips"], "*"), columns)


def _events_found(results: Results, name: str) -> str:
    figures = results["when"].get(name)
    return "–" if figures is None else share(figures["named"])


@table("goals", "own-clips", "few-shot", "where-own", "states")
def goals(results: Results) -> Table:
    """Goals, and what was reached."""
    entries = list[Entry]()
    values = [
        (title, goal, Entry((), results[file])[path]) for title, goal, file, path in _GOALS
    ] + [
        (title, goal, Entry((), results["states"])[f"{row}/states/{way}/segmental_f1/50"] / 100)
        for title, goal, row, way in _STATE_GOALS
        if row in results["states"]
    ]
    for title, goal, reached in values:
        points = round(100 * reached - float(goal), 1)
        entries.append(Entry((title, goal), {"reached": reached, "points": points}))
    columns: Columns = {
        "what": key(0),
        "goal": key(1),
        "reached": ("reached", share),
        "points": (
            "points",
            lambda points: f"{points:+.1f}" if points >= 0 else f"**−{-points:.1f}**",
        ),
    }
    return build(entries, columns, note="Points above the goal, or, in bold, below it: missed.")


@table("encoders", "own-clips")
def encoders(results: Results) -> Table:
    """The command with other encoders, one row per set that was measured with them."""
    columns: Columns = {
        "set": key(0),
        "the command": ("default", share),
        "`lite0`": ("lite0", share),
        "`small`": ("small", share),
        "the command − `small`": (
            "above_small",
            lambda of: f"{100 * of[0]:+.1f} ({span(of[1:])})" if any(of) else "0",
        ),
        "`small-free`": ("free", share),
        "random weights": ("linear", share),
        "clips": "printed/videos",
    }
    note = (
        "% of the same clips. *The command*: with the encoder and the eyes that it chooses; points above "
        "`small`, 95 % over recordings."
    )
    measured = [row for row in rows(results["own-clips"], "*") if "small" in row]
    return build(measured, columns, note=note)


@table("calibration")
def calibration(results: Results) -> Table:
    """The calibration of confidence, one row per set."""
    heads = {"error": "error", "perfect": "perfect"}
    columns = {head: (path, fixed(3)) for head, path in heads.items()}
    note = (
        "Expected calibration error, five bins, as in `evaluation.json`; *perfect*: of a perfectly calibrated model. "
        "Means over official splits."
    )
    of_sets = [row for row in rows(results["calibration"], "*") if "error" in row]
    return build(of_sets, {"set": key(0), **columns, "clips": "clips"}, note=note)


@table("unusual", "calibration")
def unusual(results: Results) -> Table:
    """Errors and confidence of clips that are unlike those of training, and of the others."""
    columns = dict[str, Column]({"set": key(0)})
    for group in ("unusual", "usual"):
        columns[f"{group} clips"] = f"{group}/clips"
        columns[f"{group}: wrong, %"] = (f"{group}/wrong", share)
        columns[f"{group}: confidence, %"] = (f"{group}/confidence", share)
        columns[f"{group}: error"] = (f"{group}/error", fixed(3))
    note = (
        "Test clips of all splits, with `lite0` and the eyes that are chosen; *error*: of calibration. "
        "*On jhmdb*: models of another place, on J-HMDB's test clips of list 1."
    )
    measured = [row for row in rows(results["calibration"], "*") if "unusual" in row]
    return build(measured, columns, note=note)


@table("few-clips")
def few_clips(results: Results) -> Table:
    """What 24 and 48 clips give, one row per set and number of clips."""
    columns: Columns = {
        "set": key(0),
        "clips": key(1),
        "recordings": ("recordings", fixed(1)),
        "correct, %": ("accuracy", share),
        "mean confidence, %": ("confidence", share),
        "error of calibration": ("error", fixed(3)),
        "perfect": ("perfect", fixed(3)),
        "own clips unlike, %": ("own_unlike", share),
        "foreign: AUROC": ("foreign", fixed(3)),
        "lowest": ("lowest", fixed(3)),
        "of": ("hardest", lambda name: name.replace("_", " ")),
        "broken": ("auroc/broken", fixed(3)),
    }
    note = (
        "Means of ten draws of recordings, with up to four classes, tested on all others: `lite0`, pictures "
        "alone. *Foreign*: whether clips of other sets are farther from training than other clips of its own, "
        "*lowest* of the set that is hardest to tell; *broken*: noise and one color."
    )
    return build(rows(results["few-clips"], "*/*"), columns, note=note)


@table("few-shot")
def few_shot(results: Results) -> Table:
    """Episodes, one row per set."""
    columns = {
        f"{shots} shot{'s' * (shots > 1)}, % (95 % over episodes)": (
            f"heads/{shots}/linear",
            lambda of: f"{share(of[0])} ({span(of[1:])})",
        )
        for shots in (1, 5)
    }
    note = "5 classes, of gestures 4; 200 episodes share clips."
    return build(rows(results["few-shot"], "*"), {"set": key(0), **columns}, note=note)


@table("where-real")
def where(results: Results) -> Table:
    """Tubes and points on five classes of UCF101 with boxes, next to a centered box."""
    figures = results["where-real"]["default"]
    columns: Columns = {
        "": key(0),
        "video-mAP .2": ("video_map_20", share),
        "video-mAP .5": ("video_map_50", share),
        "hottest place in a true box": ("peak_in_box", share),
        "center in one": ("center_in_box", share),
        "IoU ≥ .5": ("iou_50", share),
    }
    note = f"In %. {figures['clips']} test clips with boxes; tubes in the others of {figures['all_clips']} are wrong."
    return build(rows(figures["methods"], "*"), columns, note=note)


@table("real-alarms", "when")
def false_alarms(results: Results) -> Table:
    """False alarms and events found, one row per set."""
    columns: Columns = {
        "set": key(0),
        "events": "events",
        "found, %": ("found", share),
        "by chance": ("by_chance/found", share),
        "named, %": ("named", share),
        "named by chance": ("by_chance/named", share),
        "false alarms per hour": ("false_alarms_per_hour", fixed(0)),
        "final after, s": ("delay", fixed(1)),
        "same as offline, %": ("same", share),
        "alarms at 90 % found": ("at_90_found/false_alarms_per_hour", fixed(0)),
    }
    note = (
        "Live. *Found*: a reported event overlaps it, *named*: one of its class. *False alarms* overlap none, per hour "
        "without events. *By chance*: by the same events at random times. *Final after*: the end of an event, median. "
        "*At 90 % found*: by a threshold that knows these events."
    )
    return build(_streams(results), columns, note=note)


def _streams(results: Results) -> list[Entry]:
    """The rows of streams with events."""
    return [row for row in rows(results["when"], "*") if "segment_map" in row]


@table("states")
def states(results: Results) -> Table:
    """States of recordings without pauses, and events of the same recordings."""
    columns: Columns = {
        "set": key(0),
        "bouts": "states/offline/bouts/true",
        "right, %": ("states/offline/accuracy", share),
        "macro F1": ("states/offline/macro_f1", share),
        "F1@50": ("states/offline/segmental_f1/50", fixed(1)),
        "F1@50, live": ("states/live/segmental_f1/50", fixed(1)),
        "edit": ("states/offline/edit", fixed(1)),
        "right by events, %": ("events/offline/accuracy", share),
        "F1@50 by events": ("events/offline/segmental_f1/50", fixed(1)),
    }
    note = (
        "Recordings of other people or scenes than in training, with the encoder that is chosen, or *small*. *Right*: "
        "of the time; F1 and edit score as in temporal action segmentation, per cent."
    )
    return build(rows(results["states"], "*"), columns, note=note)


@table("when")
def segments(results: Results) -> Table:
    """Segment-mAP of events in stitched streams, offline and live."""
    columns = dict[str, Column]({"set": key(0)})
    for way in ("offline", "live"):
        for overlap in ("0.3", "0.5", "0.7"):
            columns[f"{way}, IoU {overlap}"] = (f"segment_map/{way}/{overlap}", share)
    return build(_streams(results), columns, note="Segment-mAP in %.")
