"""The tables of VideoLSTM: its ablation on the moving target and on real video."""

from collections.abc import Mapping, Sequence
from typing import Any

from onlooker.report.page import Table
from onlooker_papers.tables import Entry, Results, build, code, key, rows, share, table
from onlooker_papers.videolstm.ablation import BEST, ENSEMBLE, MOTION
from onlooker_papers.videolstm.official_budget import BOTH, NAMES, SETS, SINGLE, STREAMS, VIDEOLSTM

TARGET = "moving-target"
REAL = "videolstm-real"
WITH_WORDS = "videolstm-words"
_TITLES = {"jhmdb": "J-HMDB", "ucf101_18": "18 classes of UCF101"}  # split 1 of each
_WORD = {"rgb": "RGB", "flow": "flow"}


def seeds(of: Sequence[Any]) -> str:
    """The number of seeds, in words."""
    return "1 seed" if len(of) == 1 else f"{len(of)} seeds"


@table("target-ablation", TARGET)
def ablation(results: Results) -> Table:
    """Which digit moves: one row per model."""
    figures = results[TARGET]
    models = figures["models"]
    members = " and ".join(
        f"{share(weight)} `{name}`" for name, weight in models[ENSEMBLE]["weights"].items()
    )

    def accuracy(row: Entry) -> str:
        return share(row["accuracy"]) + (f" ± {share(row['spread'])}" if "spread" in row else "")

    return build(
        rows(models, "*"),
        {
            "model": key(0, code),
            "clips correct, %": accuracy,
            "frames correct, %": ("frame_accuracy", share),
            "peak on the target, %": ("pointing", share),
            "parameters": ("parameters", round),
        },
        note=f"{figures['clips']:,} clips, {figures['epochs']} epochs, {seeds(models[BEST.name]['each'])}, ± standard "
        "deviation. Peak: the map's highest cell lies in the true box. `-flow`: optical flow alone; `motion`: RGB with "
        f"attention guided by the flow; `-grounded`: with the auxiliary attention loss; `{ENSEMBLE}`: the ensemble, "
        f"with weights chosen on validation clips (in %: {members}).",
    )


@table("target-places", TARGET)
def places(results: Results) -> Table:
    """Localization in space, from labels only."""
    found = results[TARGET]["localized"]
    entries = {f"attention of `{name}`": row for name, row in found.items()}
    entries[f"what moves; classes of `{BEST.name}`"] = found[BEST.name]["baselines"]["motion"]
    return build(
        rows(entries, "*"),
        {
            "boxes from": key(0, str),
            "hottest place on the target": ("peak_in_box", share),
            "center of the box": ("center_in_box", share),
            "IoU of the box ≥ .5": ("iou_50", share),
            "video-mAP .2": ("video_map_20", share),
            "video-mAP .5": ("video_map_50", share),
        },
        note="In %, by the library's rule for boxes (`localize`). Hottest place, center and box: share of the "
        "frames, by the tube of the predicted class. The last row has even attention.",
    )


@table("real-ablation", REAL, WITH_WORDS)
def on_real_video(results: Results) -> Table:
    """The ablation in the form of the paper's table: a row per set and input, the published rows
    first.
    """
    empty = [None] * len(SINGLE)
    cited = [
        (f"UCF101, {_WORD[of]}: published", values) for of, values in SETS["ucf101"].cited.items()
    ]
    made: list[list[str | None]] = [
        [words, *map(str, values), None, None] for words, values in cited
    ]
    made += [
        [f"{of.published.title}, both: published", *empty, None, str(of.cited_together)]
        for of in SETS.values()
    ]
    gains = list[str]()
    lite0 = results[REAL].get("lite0", {})
    for name, title in _TITLES.items():
        made += _measured(results[REAL][name], title, STREAMS)
        if name in lite0:
            # the encoder of flow is the same
            made += _measured(lite0[name], f"{title}, `lite0`", ["rgb"])
        if fused := results[WITH_WORDS].get(name):
            accuracy = share(fused[f"{BOTH} + motion words"])
            made.append([f"{title}, both + motion words", *empty, None, accuracy])
            gains.append(f"{title} {_gain(fused)}")
    of = results[REAL]["jhmdb"]
    budget = of["budget"]
    note = (
        f"Test clips correct, %, split 1, three seeds. {budget['frames']} frames of {budget['size']} pixels, "
        f"{budget['width']} features per location, {budget['units']} LSTM units or {budget['channels']} ConvLSTM "
        "channels. `lite0`: RGB of 224 pixels encoded with ImageNet weights, flow as above, one seed. "
        f"Majority class of J-HMDB: {share(of['majority'])} %. VideoLSTM: `{BOTH}`. Published: as commonly cited. "
        f"Motion words: one seed; with them, more test clips are correct by (in points): {'; '.join(gains)}."
    )
    return Table(["set, input", *(NAMES[name] for name in SINGLE), "motion", VIDEOLSTM], made, note)


def _gain(fused: Entry) -> str:
    gain, low, high = (f"{100 * value:+.1f}" for value in fused["gain"])
    return f"{gain} ({low} to {high})"


def _measured(of: Mapping[str, Any], title: str, streams: Sequence[str]) -> list[list[str | None]]:
    """The rows of one set: single streams, then both."""
    made: list[list[str | None]] = [
        [
            f"{title}, {_WORD[stream]}",
            *(share(of[f"{model}-{stream}"]) for model in SINGLE),
            None,
            None,
        ]
        for stream in streams
    ]
    return [
        *made,
        [f"{title}, both", *[None] * len(SINGLE), share(of[MOTION.name]), share(of[BOTH])],
    ]
