"""The tables of VideoLSTM's ablation, for the report and for docs/, from the figures of the results files."""

from collections.abc import Mapping, Sequence
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, share
from onlooker_papers.videolstm.ablation import BEST, ENSEMBLE
from onlooker_papers.videolstm.places import BASELINES
from onlooker_papers.videolstm.real_tables import interval
from onlooker_papers.videolstm.timing import EVENT, FRAMES, GUESSES, MODEL

NAME, SEGMENTS, SEVERAL, C3D = "moving-target", "segments", "several-movers", "c3d-curve"


def seeds(rows: Sequence[Any]) -> str:
    """The number of seeds, in words."""
    return "1 seed" if len(rows) == 1 else f"{len(rows)} seeds"


def ablation(results: Results) -> Table:
    """Which digit moves: one row per model."""
    figures = results[NAME]
    models = figures["models"]
    rows = [
        [
            f"`{name}`",
            share(row["accuracy"]) + (f" ± {share(row['spread'])}" if row["spread"] is not None else ""),
            share(row["frame_accuracy"]) if "frame_accuracy" in row else None,
            share(row["pointing"]) if "pointing" in row else None,
            round(row["parameters"]) if "parameters" in row else None,
        ]
        for name, row in models.items()
    ]
    members = " and ".join(f"{share(weight)} `{name}`" for name, weight in models[ENSEMBLE]["weights"].items())
    count = seeds(next(iter(models.values()))["each"])
    note = (
        f"{figures['clips']:,} clips, {figures['epochs']} epochs, means over {count} "
        "± their standard deviation. The score of a clip is the mean over its frames. Peak: frames in which the "
        "map's highest cell lies in the true box. `-flow`: optical flow alone; `motion`: RGB with attention guided by "
        f"the flow; `-grounded`: with the auxiliary attention loss; `{ENSEMBLE}`: the ensemble, with weights chosen on "
        f"validation clips (in %: {members})."
    )
    columns = ["model", "clips correct, %", "frames correct, %", "peak on the target, %", "parameters"]
    return Table(columns, rows, note)


def curve(results: Results) -> Table:
    """Accuracy by the number of training clips."""
    found = results[NAME]["curve"]
    columns = sorted({int(count) for row in found.values() for count in row})
    rows = [[f"`{name}`", *(share(row[str(count)]["accuracy"]) for count in columns)] for name, row in found.items()]
    return Table(["clips correct, %", *(f"{count:,} clips" for count in columns)], rows, "Equally many training steps.")


def places(results: Results) -> Table:
    """Localization in space, from labels only."""
    found = results[NAME]["localized"]
    rows = {f"attention of `{name}`": row for name, row in found.items()}
    cams = {name: row["baselines"]["grad_cam"] for name, row in found.items() if "grad_cam" in row["baselines"]}
    rows |= {f"Grad-CAM of `{name}`": row for name, row in cams.items()}
    best = found[BEST.name]["baselines"] if BEST.name in found else {}
    guesses = {name: row for name, row in best.items() if name != "grad_cam"}
    rows |= {f"{BASELINES[name]}; classes of `{BEST.name}`": row for name, row in guesses.items()}
    columns = ("point", "cor_loc", "frame_map_50", "video_map_50", "video_map_50_95")
    heads = ["boxes from", "point on the target", "CorLoc", "frame-mAP .5", "video-mAP .5", "video-mAP .5 to .95"]
    note = (
        "In %. A box is the part of the attended region that belongs to the foreground; threshold and foreground are "
        "chosen on validation clips without their boxes, by the effect of blanking a box on the label's probability. "
        "Grad-CAM is converted to boxes with the same settings. The last rows are baselines without attention, or "
        "without a foreground. Attention is not smoothed over time."
    )
    return Table(heads, [[name, *(share(row[column]) for column in columns)] for name, row in rows.items()], note)


def segments(results: Results) -> Table:
    """Localization in time, from labels only: by the weights of frames, and by baselines without weights."""
    figures = results[SEGMENTS]
    rows = {f"`{MODEL}`: the weight of each frame": figures, "the same, in a stream": figures["causal"]}
    rows |= {GUESSES[name]: row for name, row in figures["baselines"].items()}
    columns = ("segment_map_50", "segment_map_50_95", "iou")
    note = (
        f"In %, means over {seeds(figures['each'])}; {figures['clips']:,} clips of {FRAMES} frames, in which the digit "
        f"moves {EVENT[0]:.0%} to {EVENT[1]:.0%} of the time, {figures['epochs']} epochs; {figures['test_clips']:,} "
        f"test clips, {share(figures['accuracy'])} % classified correctly. The share of the highest weight above which "
        "a frame belongs to the event is chosen on validation clips without their times; for the baselines, it is the "
        "best one in hindsight."
    )
    cells = [[name, *(share(row[column]) for column in columns)] for name, row in rows.items()]
    return Table(["times from", "segment-mAP .5", "segment-mAP .5 to .95", "overlap with the true time"], cells, note)


def explained(results: Results) -> Table:
    """The quality of maps: where their peak is, and the effect of blanking."""
    found = results[NAME]["explained"]
    shares = next(iter(found.values()))["shares"]

    def cells(row: Mapping[str, Any]) -> list[str]:
        blanked = zip(row["attended"], row["random"], strict=True)
        return [
            share(row["pointing"]), share(row["whole"][0]), *(f"{share(a)} / {share(b)}" for a, b in blanked)
        ]  # fmt: skip

    rows = [
        [f"`{model}`, {words}", *cells(row[name])]
        for model, row in found.items()
        for name, words in (("attention", "attention"), ("grad_cam", "Grad-CAM"))
    ]
    note = (
        "The part of each frame with the highest weights in a map is blanked, or the same shape at a random position. "
        "If the model uses the region that the map shows, the first costs more accuracy. Grad-CAM (Selvaraju et al. "
        "2017) is that of the predicted class."
    )
    blanked = [f"{size:.0%} blanked: there / at random" for size in shares]
    return Table(["map", "peak on the target, %", "clips correct, %", *blanked], rows, note)


def several(results: Results) -> Table:
    """Several moving digits: accuracy, and where maps and motion point."""
    found = results[SEVERAL]
    rows: list[list[str | None]] = []
    for name, of in found["models"].items():
        gain = interval(of["motion_is_better_by"]) if name != "motion" else None
        accuracy = _with_range(of)
        for kind, words in (("attention", "attention"), ("grad_cam", "Grad-CAM")):
            if kind in of["maps"]:
                rows.append([f"`{name}`, {words}", accuracy, gain, *_pointed(of["maps"][kind])])
                accuracy, gain = "the same", None
    rows.append(["the largest moving region, without a model", None, None, *_pointed(found["motion"])])
    rows.append(["any cell", None, None, share(found["uniform"]), None])
    first = next(iter(found["models"].values()))
    note = (
        f"{found['clips']:,} clips of {found['frames']} frames, {found['epochs']} epochs, {seeds(first['each'])}, "
        f"{found['test_clips']} test clips of unseen digits; {found['movers']} of the 4 digits move. "
        "Point: the pixel with the highest value of the map lies in the box of the digit that moves horizontally, or "
        "only in that of one that moves vertically. Third column: in points of accuracy, with the 95 % interval over "
        "seeds (Student's t)."
    )
    heads = ["map", "clips correct, %", "`motion` is better by", "point on the target, %", "on another mover, %"]
    return Table(heads, rows, note)


def smoothed(results: Results) -> Table:
    """The effect of smoothing attention over time."""
    found = {name: of for name, of in results[SEVERAL]["models"].items() if "attention" in of["maps"]}
    kinds = [kind for kind in next(iter(found.values()))["maps"] if kind.startswith("attention")]
    rows = [[f"`{name}`", *(share(of["maps"][kind]["target"]) for kind in kinds)] for name, of in found.items()]
    names = [f"smoothed, σ {kind.split()[1]}" if " " in kind else "as it is" for kind in kinds]
    return Table(["point on the target, %", *names], rows, "By a Gaussian over time; σ in frames.")


def c3d_curve(results: Results) -> Table:
    """3-D convolutions and a ConvLSTM, by the number of training clips."""
    figures = results[C3D]
    found, rates = figures["curve"], figures["rates"]
    counts = list(found["c3d"])
    rows: list[list[str | None]] = []
    for name, of in found.items():
        size = next(iter(of.values()))["parameters"]
        accuracy = [_with_range(of[count]) if count in of else None for count in counts]
        rows.append([f"`{name}`, {size:,} parameters", *accuracy])
    gains = [interval(found["convlstm"][count]["c3d_is_better_by"]) for count in counts]
    rows.append(["`c3d` is better by, points", *gains])
    for name in ("c3d", "convlstm"):
        for split in ("training", "validation"):
            last = [share(found[name][count]["last"][split]) for count in counts]
            rows.append([f"`{name}`, {split} clips, last epoch", *last])
    each = next(iter(found["c3d"].values()))["each"]
    chosen = ", ".join(f"`{name}` {of['chosen']:g}" for name, of in rates.items())
    note = (
        f"Test clips correct, %: means over {seeds(each)} and their range; the difference with its 95 % interval over "
        f"seeds (Student's t). {figures['steps']} steps of 16 clips for every number of clips, {figures['test_clips']} "
        f"test clips of unseen people, chance 16.7 %. Learning rates, chosen on validation clips: {chosen}."
    )
    return Table(["model", *(f"{int(count):,} clips" for count in counts)], rows, note)


def _with_range(row: Mapping[str, Any]) -> str:
    spread = f" ({share(min(row['each']))} to {share(max(row['each']))})" if len(row["each"]) > 1 else ""
    return share(row["accuracy"]) + spread


def _pointed(of: Mapping[str, float]) -> list[str | None]:
    return [share(of["target"]), share(of["other"])]


TABLES = {
    SEVERAL: several,
    "several-smoothed": smoothed,
    "target-ablation": ablation,
    "target-curve": curve,
    "target-places": places,
    "target-explained": explained,
    SEGMENTS: segments,
    C3D: c3d_curve,
}
NEEDED = {name: {NAME} for name in TABLES if name.startswith("target-")} | {"several-smoothed": {SEVERAL}}
