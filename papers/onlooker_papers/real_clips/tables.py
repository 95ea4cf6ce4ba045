"""The tables of real clips, from the figures of their results file."""

from collections.abc import Mapping, Sequence
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.real_clips.recipes import ABLATION
from onlooker_papers.tables import Results, share

NAME, OWN, CALIBRATION, FEW, CURVES = "real-clips", "own-clips", "calibration", "few-shot", "learning-curves"
CANDIDATES, LABELS, PEERS, MIXUP = "candidates", "label-errors", "peers", "mixup-ema"
FIRST, STITCHED, DEFAULT_PLACES = "first-frames", "stitched", "default-places"
GOALS = {
    "hand_gestures": "85",
    "basketball": "65",
    "surveillance": "80",
    "weizmann": "97",
    "jhmdb": "50",
    "ucf101_18": "90",
}


def accuracies(results: Results) -> Table:
    """One row per model, one column per set."""
    sets = results[NAME]
    known = dict.fromkeys(model for of in sets.values() for model in of["accuracy"])
    first = [model.replace(":", "-") for model in ABLATION.split(",")]  # in the order of the ablation
    models = [*(model for model in first if model in known), *(model for model in known if model not in first)]
    rows: list[list[str | None]] = [["majority class", *(share(of["majority"]) for of in sets.values())]]
    rows += [[f"`{model}`", *(_accuracy(of, model) for of in sets.values())] for model in models]
    counts = [f"{name}: {of['test_videos']} test videos, {_seeds(of)}" for name, of in sets.items()]
    note = f"Test videos correct, %, means over seeds ± their standard deviation; {'; '.join(counts)}."
    return Table(["model", *(name.replace("_", " ") for name in sets)], rows, note)


def places(results: Results) -> Table:
    """Localization of people and hands from labels only, for every set that was scored by masks."""
    from onlooker_papers.real_clips.masks import BASELINES

    columns = ("peak_in_silhouette", "peak_in_box", "box_iou_50", "box_iou")
    rows = []
    for name, of in results[NAME].items():
        found = of.get("places", {})
        for model, row in found.items():
            rows.append([name, f"`{model}`", *(share(row[key]) for key in columns)])
            if "cell" in row:
                rows.append([name, "the center of its highest cell", *(share(row["cell"][key]) for key in columns)])
        if found:
            # The frames are the same for all models.
            baselines = found[of["places_of"]]["baselines"]
            rows += [[name, BASELINES[key], *(share(row[c]) for c in columns)] for key, row in baselines.items()]
    heads = ["set", "by", "peak in the mask", "peak in its box", "box with IoU ≥ .5", "mean IoU"]
    return Table(heads, rows, "In % of frames.")


def default_places(results: Results) -> Table:
    """Localization by the default command, one row per set and way."""
    from onlooker_papers.real_clips.default_places import WAYS
    from onlooker_papers.real_clips.masks import BASELINES

    columns = ("peak_in_silhouette", "peak_in_box", "box_iou_50", "box_iou")
    ways = {**WAYS, **BASELINES}
    rows = [
        [name.replace("_", " "), ways[way], *(_optional(row, key) for key in columns)]
        for name, of in results[DEFAULT_PLACES].items()
        for way, row in of.items()
        if way in ways
    ]
    counts = (
        f"{name.replace('_', ' ')}: {of['frames']:,} frames of {of['clips']} test clips"
        for name, of in results[DEFAULT_PLACES].items()
    )
    heads = ["set", "by", "point in the mask", "point in its box", "box with IoU ≥ .5", "mean IoU"]
    note = f"In % of frames. {'; '.join(counts)}. UCF101: five classes, whose boxes are the masks."
    return Table(heads, rows, note)


def own_clips(results: Results) -> Table:
    """The default command and the best of all rows, one row per set."""
    rows = [
        [
            name.replace("_", " "), f"{share(of['default'])} ({_interval(of['interval'])})", _optional(of, "linear"),
            share(of["best"]), f"`{of['best_row']}`", _interval(of["below_best"][1:]), share(of["majority"]),
            GOALS[name], str(of["test_clips"]), f"{of['minutes']:.1f}",
        ]
        for name, of in results[OWN].items()
    ]  # fmt: skip
    heads = ["set", "default (95 %)", "random weights", "best", "its row", "best − default (95 %)", "majority", "goal"]
    note = (
        "Test clips classified correctly, %. *Random weights*: the same head on the same encoder, untrained; *best*: "
        "best row of this table and the one below. *Minutes*: of one CPU core, to read and encode all clips of the set."
    )
    return Table([*heads, "test clips", "minutes"], rows, note)


def calibration(results: Results) -> Table:
    """The calibration of confidence, one row per set."""
    rows = [
        [
            name.replace("_", " "),
            *(f"{of[key]:.3f}" for key in ("before", "error", "perfect", "perfect_95")),
            of["clips"],
        ]
        for name, of in results[CALIBRATION].items()
    ]
    note = (
        "Expected calibration error in five bins of equally many clips, pooled cross-validated predictions of the "
        "default command; *perfect*: what a perfectly calibrated model shows at this number of clips, mean and 95th "
        "percentile."
    )
    return Table(["set", "temperature 1", "calibrated", "perfect", "its 95 %", "clips"], rows, note)


def few_shot(results: Results) -> Table:
    """5-way episodes, one row per set and head."""
    rows = [
        [name.replace("_", " "), f"`{head}`", *(_mean(of["heads"][shots][head]) for shots in ("1", "5"))]
        for name, of in results[FEW].items()
        for head in of["heads"]["5"]
    ]
    note = "5-way accuracy on five queries per class, %, mean of 200 episodes ± half of its 95 % interval."
    return Table(["set", "head", "1 shot", "5 shots"], rows, note)


def learning_curves(results: Results) -> Table:
    """Accuracy by training clips per class, one row per set."""
    sets = results[CURVES]
    counts = list(next(iter(sets.values()))["curve"])
    rows = [
        [name.replace("_", " "), *(f"{share(p['accuracy'])} ± {share(p['spread'])}" for p in of["curve"].values())]
        for name, of in sets.items()
    ]
    note = "Test clips of official split 1 classified correctly, %, mean of ten draws ± their standard deviation."
    return Table(["set", *(f"{count} per class" if count != "all" else "all" for count in counts)], rows, note)


def candidates(results: Results) -> Table:
    """Other inputs of the linear model, one row per choice."""
    sets = results[CANDIDATES]
    rows = [
        [row, *(share(of["accuracy"][row]) for of in sets.values())] for row in next(iter(sets.values()))["accuracy"]
    ]
    heads = [f"{name.replace('_', ' ')} ({of['clips']} clips)" for name, of in sets.items()]
    return Table(["statistics of", *heads], rows, "Cross-validation of the training clips of the first split, %.")


def label_errors(results: Results) -> Table:
    """The share of swapped labels in the first tenth of the list of doubtful ones, one row per set."""
    rows = [
        [
            name,
            share(of["accuracy"]),
            str(of["clips"]),
            str(of["swapped"]),
            f"{share(of['found'])} ± {share(of['spread'])}",
        ]
        for name, of in results[LABELS].items()
    ]
    note = "Means over 20 draws ± their standard deviation; clips correct: cross-validated, with the true labels."
    return Table(
        ["set", "clips correct, %", "clips", "labels swapped", "in the first tenth of the list, %"], rows, note
    )


def first_frames(results: Results) -> Table:
    """How well the first frames of a clip are recognized, one row per set and way of standardizing."""
    rows, counts = [], list[str]()
    for name, of in results[FIRST].items():
        for row, after in of.items():
            if row != "clips":
                counts = list(after)
                cells = [f"{share(each['accuracy'])} ({share(each['confidence'])})" for each in after.values()]
                rows.append([f"{name} ({of['clips']} clips)", row, *cells])
    note = (
        "Clips correct, %, in parentheses the mean confidence, both after this number of the 16 frames; five folds, "
        "each recording in one fold."
    )
    return Table(["set", "standardized", *counts], rows, note)


def peers(results: Results) -> Table:
    """The default command and published networks on the same clips, one row per set and network."""
    rows: list[list[str | None]] = []
    for name, of in results[PEERS].items():
        for network, row in of.items():
            above = _interval(row["default_above"][1:]) if "default_above" in row else None
            accuracy = f"{share(row['accuracy'])} ({_interval(row['interval'])})"
            epochs = f"{row['epochs']:.1f}" if "epochs" in row else None
            size = [f"{row['milliseconds']:.1f}", f"{row['parameters'] / 1e6:.1f}"]
            minutes = f"{row['minutes']:.1f}"
            rows.append([name.replace("_", " "), f"`{network}`", accuracy, above, minutes, epochs, *size])
    heads = ["set", "network", "correct (95 %)", "default − it (95 %)", "minutes", "epochs", "ms per frame"]
    note = (
        "Test clips classified correctly, %, one seed; *default − it*: paired, in points. *Minutes*: of one CPU core, "
        "for training; for the default command, to read and encode all clips. *Epochs*: passes through the "
        "training clips in these minutes. *ms per frame*: of one core, a clip of 16 frames of 112 pixels at once. "
        "*Parameters* in millions."
    )
    return Table([*heads, "parameters"], rows, note)


def mixup_ema(results: Results) -> Table:
    """Mixup and averaged weights, one row per set and setting; test clips of what validation chose."""
    rows: list[list[str | None]] = []
    for name, of in results[MIXUP].items():
        linear = {side: {"linear": of["linear"][side]} for side in ("validation", "test")}
        test = of["test"] | linear["test"]
        for setting, row in (of["validation"] | linear["validation"]).items():
            more, low, high = row.get("loss_above_plain", [0.0] * 3)
            above = [_interval(row["accuracy_above_plain"][1:]), f"{low:.2f} to {high:.2f}"] if more else ["", ""]
            correct = share(test[setting]["accuracy"]) if setting in test else None
            figures = [share(row["accuracy"]), f"{row['loss']:.2f}", *above, correct]
            rows.append([name, f"`{setting}`", *figures])
    heads = ["set", "training", "validation, %", "log loss", "accuracy − plain (95 %)", "log loss − plain (95 %)"]
    note = "Means over three seeds, with the interval of their paired differences; accuracy in points."
    return Table([*heads, "test, %"], rows, note)


def _interval(of: Sequence[float]) -> str:
    return f"{share(of[0])} to {share(of[1])}"


def _optional(of: Mapping[str, Any], key: str) -> str | None:
    return share(of[key]) if key in of else None


def _mean(of: Sequence[float]) -> str:
    return f"{share(of[0])} ± {share(of[2] - of[0])}"


def false_alarms(results: Results) -> Table:
    """One row per set: the threshold from its training clips, in streams that are not in training."""
    from onlooker_papers.real_clips.nothing import at_found

    rows: list[list[str | None]] = []
    for name, of in results["nothing"]["sets"].items():
        unseen = f"{of['false_alarms_per_hour_unseen']:.1f}" if of["hours_unseen"] else ""
        alarms = [f"{of[key]:.1f}" for key in ("false_alarms_per_hour", "false_alarms_per_hour_seen")]
        counts = [f"{of['hours']:.1f}", f"{of['minutes_of_nothing']:.0f}", str(of["counts"]["events"])]
        single = of["of_windows"]
        of_windows = f"{single['false_alarms_per_hour']:.1f} ({share(single['found'])})"
        shares = [share(of["found"]), share(of["named"])]
        rows.append(
            [name.replace("_", " "), *counts, *shares, *alarms, unseen, of_windows, f"{at_found(of['curve']):.1f}"]
        )
    heads = ["set", "hours", "minutes of distinct footage of nothing", "events", "found, %", "named, %"]
    heads += [
        "false alarms per hour",
        "in classes trained on",
        "in other classes",
        "by the threshold of windows (found, %)",
    ]
    heads.append("with 90 % found")
    note = "With 90 % found: at the highest threshold that finds 90 % of these events, which a user cannot know."
    return Table(heads, rows, note)


def _seeds(of: Mapping[str, Any]) -> str:
    return "1 seed" if len(of["seeds"]) == 1 else f"{len(of['seeds'])} seeds"


def _accuracy(of: Mapping[str, Any], model: str) -> str | None:
    if model not in of["accuracy"]:
        return None
    spread = of["spread"][model]
    return share(of["accuracy"][model]) + ("" if spread is None else f" ± {share(spread)}")


def stitched(results: Results) -> Table:
    """Segment-mAP of events in streams, one row per set and answer."""
    rows = [
        [name.replace("_", " "), way, *(share(value) for value in by_overlap.values())]
        for name, of in results[STITCHED].items()
        for way, by_overlap in of["segment_map"].items()
    ]
    counts = "; ".join(
        f"{name.replace('_', ' ')}: {of['events']} events of {of['classes']} classes in {of['hours']:.1f} hours, "
        f"{'the first official split' if of['splits'] == 1 else 'official splits 1 to ' + str(of['splits'])}"
        for name, of in results[STITCHED].items()
    )
    overlaps = next(iter(results[STITCHED].values()))["segment_map"]["live"]
    note = f"Segment-mAP in %; {counts}."
    return Table(["set", "answer", *(f"overlap {overlap}" for overlap in overlaps)], rows, note)


TABLES = {
    "real-accuracy": accuracies,
    "real-places": places,
    DEFAULT_PLACES: default_places,
    OWN: own_clips,
    CALIBRATION: calibration,
    FEW: few_shot,
    CURVES: learning_curves,
    CANDIDATES: candidates,
    LABELS: label_errors,
    FIRST: first_frames,
    PEERS: peers,
    MIXUP: mixup_ema,
    STITCHED: stitched,
    "real-nothing": false_alarms,
}
NEEDED = {"real-accuracy": {NAME}, "real-places": {NAME}, "real-nothing": {"nothing"}}
