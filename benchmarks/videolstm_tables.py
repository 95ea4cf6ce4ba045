"""The tables of VideoLSTM's ablation, made from the results of `onlooker reproduce videolstm` and `hmdb10`."""

from collections.abc import Callable

from digit_tables import Results, percent, table

from onlooker_papers.videolstm.places import BASELINES
from onlooker_papers.videolstm.timing import GUESSES

NAME, SEGMENTS, REPORT = "moving-target", "segments", "hmdb10"
FRAMES_AND_CLIPS = ("frame_accuracy", "accuracy")


def ablation(results: Results) -> str:
    """Which digit moves: a row a model."""
    figures = results[NAME]
    rows = [
        [
            f"`{name}`",
            percent(of["accuracy"]) + (f" ± {percent(of['spread'])}" if of["spread"] is not None else ""),
            percent(of["frame_accuracy"]),
            percent(of["pointing"]) if "pointing" in of else "–",
            f"{of['parameters']:,.0f}" if "parameters" in of else "–",
        ]
        for name, of in figures["models"].items()
    ]
    seeds = len(next(iter(figures["models"].values()))["each"])
    together = " and ".join(f"{percent(share)} `{who}`" for who, share in figures["models"]["fused"]["weights"].items())
    note = (
        f"{figures['clips']:,} clips, {figures['epochs']} epochs, means over {seeds} seeds ± their spread; peak: the "
        f"share of frames in which the map's highest cell lies in the true box. Fused, in %: {together}."
    )
    columns = ["model", "clips correct, %", "frames correct, %", "peak on the target, %", "parameters"]
    return table(columns, rows) + f"\n{note}\n"


def curve(results: Results) -> str:
    """How many clips it takes."""
    found = results[NAME]["curve"]
    columns = sorted({int(count) for of in found.values() for count in of})
    rows = [[f"`{name}`", *(percent(of[str(count)]["accuracy"]) for count in columns)] for name, of in found.items()]
    return table(["clips correct, %", *(f"{count:,} clips" for count in columns)], rows)


def places(results: Results) -> str:
    """Where, from labels only."""
    found = results[NAME]["localized"]
    best = "motion-grounded"
    by = {f"`{name}`": of for name, of in found.items()}
    by |= {f"{BASELINES[name]}; classes of `{best}`": of for name, of in found[best]["baselines"].items()}
    columns = ("point", "cor_loc", "frame_map_50", "video_map_50", "video_map_50_95")
    rows = [[name, *(percent(of[column]) for column in columns)] for name, of in by.items()]
    heads = ["boxes by", "point on the target", "CorLoc", "frame-mAP .5", "video-mAP .5", "video-mAP .5 to .95"]
    return table(heads, rows)


def explained(results: Results) -> str:
    """What maps show: where their peak is, and what blanking costs."""
    found = results[NAME]["explained"]
    shares = next(iter(found.values()))["shares"]

    def rest(at: dict[str, list[float]], share: int) -> str:
        return f"{percent(at['attended'][share])} / {percent(at['random'][share])}"

    rows = [
        [
            f"`{model}`, {words}",
            percent(of[name]["pointing"]),
            percent(of[name]["whole"][0]),
            *(rest(of[name], i) for i in range(len(shares))),
        ]
        for model, of in found.items()
        for name, words in (("attention", "attention"), ("grad_cam", "Grad-CAM"))
    ]
    blanked = [f"{share:.0%} blanked: there / at random" for share in shares]
    return table(["map", "peak on the target, %", "clips correct, %", *blanked], rows)


def segments(results: Results) -> str:
    """When, from labels only: the weight of frames, and what needs none."""
    figures = results[SEGMENTS]
    columns = ("segment_map_50", "segment_map_50_95", "iou")
    rows = [("`mil`: the weight of each frame", figures), ("the same, in a stream", figures["causal"])]
    rows += [(GUESSES[name], of) for name, of in figures["baselines"].items()]
    note = (
        f"{figures['clips']:,} clips, {figures['epochs']} epochs; {figures['test_clips']:,} test clips, of which "
        f"{percent(figures['accuracy'])} % are named right; means over {len(figures['each'])} seeds."
    )
    cells = [[name, *(percent(of[column]) for column in columns)] for name, of in rows]
    return table(["time by", "segment-mAP .5", "segment-mAP .5 to .95", "overlap with the true time"], cells) + (
        f"\n{note}\n"
    )


def report(results: Results) -> str:
    """The HMDB-51 report: frame by frame, the published figure with the set that it is of."""
    rows, notes = [], []
    for name, of in results[REPORT].items():
        if published := of.get("published_frame_accuracy"):
            rows.append([name, "published (Teja & Akunuri 2020)", percent(published), "–"])
        rows += [
            [name, f"`{model}`", *(percent(of[key][model]) for key in FRAMES_AND_CLIPS)] for model in of["accuracy"]
        ]
        rows.append([name, "majority class", *[percent(of["majority_share"])] * 2])
        sides = ", ".join(f"{count} {side}" for side, count in of["sides"].items())
        notes.append(f"{name}: {of['encoder']}; {of['frames']} frames a clip, {of['epochs']} epochs; clips: {sides}.")
    return table(["set", "model", "frames correct, %", "clips correct, %"], rows) + f"\n{' '.join(notes)}\n"


def everything(results: Results) -> str:
    """All there is."""
    return "\n".join(part(results) for part in (ablation, curve, places, explained))


TABLES: dict[str, Callable[[Results], str]] = {
    NAME: everything,
    "target-ablation": ablation,
    "target-curve": curve,
    "target-places": places,
    "target-explained": explained,
    SEGMENTS: segments,
    REPORT: report,
}
NEEDED = {name: {name if name in (SEGMENTS, REPORT) else NAME} for name in TABLES}
