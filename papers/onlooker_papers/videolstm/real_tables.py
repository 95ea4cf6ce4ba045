"""The tables of VideoLSTM on real video, from the figures of their results files."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, share
from onlooker_papers.videolstm.official_budget import (
    BOTH,
    BUDGETS,
    CITED_VIDEO_MAP_20,
    FUSED,
    MOTION,
    SETS,
    SINGLE,
    STREAMS,
)
from onlooker_papers.videolstm.official_page import WORDS
from onlooker_papers.videolstm.places import BASELINES
from onlooker_papers.videolstm.where_real import SMOOTHED

REAL, CONTROL, RECIPE, WHERE = "videolstm-real", "motion-control", "videolstm-recipe", "where-real"
COST = "videolstm-cost"
TRAINING_CLIPS = {"UCF101": 9537, "HMDB-51": 3570}  # of split 1, as published
UCF101_FRAMES, UCF101_PIXELS = 1600 * 60 * 25, 320 * 240  # 1,600 minutes at 25 frames a second (Soomro et al. 2012)
# The feature stores of `--full`.
ENCODED = {"rgb": "pool5, RGB", "flow": "pool5, flow", "rgb-vector": "fc7, RGB", "flow-vector": "fc7, flow"}
SIDES = ("training", "validation", "test")
WORD = {"rgb": "RGB", "flow": "flow"}
TITLES = {
    "jhmdb": "J-HMDB",
    "jhmdb-fine-tuned": "J-HMDB, RGB encoder trained on it",
    "ucf101_18": "18 classes of UCF101",
    "moving-target": "moving target",
}


def title(key: str) -> str:
    """The name of a set, with its split if there are several."""
    name, _, split = key.partition("-split")
    return TITLES[name] if name == "moving-target" else f"{TITLES[name]}, split {split or 1}"


def interval(of: Sequence[float | None]) -> str:
    """A difference in points, with its interval if it has one."""
    center, low, high = of
    assert center is not None
    return f"{100 * center:+.1f}" + ("" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})")


def ablation(results: Results) -> Table:
    """The ablation in the form of the paper's table: a row per set and input, the published rows first."""
    cited = SETS["ucf101"]
    rows: list[list[str | None]] = [
        [f"UCF101, 101 classes, {WORD[of]}: published", *(f"{each:.1f}" for each in cited.cited[of]), None, None]
        for of in STREAMS
    ]
    for words, of in (("UCF101, 101 classes", cited), ("HMDB-51, 51 classes", SETS["hmdb51"])):
        rows.append([f"{words}, both: published", *[None] * len(SINGLE), None, f"{of.cited_together:.1f}"])
    notes = []
    for key, of in results[REAL].items():
        rows += [
            [f"{title(key)}, {WORD[s]}", *(_accuracy(of, f"{m}-{s}") for m in SINGLE), None, None] for s in STREAMS
        ]
        rows.append([f"{title(key)}, both", *[None] * len(SINGLE), _accuracy(of, MOTION), _accuracy(of, BOTH)])
        budget, clips = of["budget"], of["clips"]
        notes.append(
            f"{title(key)}: {' + '.join(str(clips[side]) for side in SIDES)}, {of['classes']} classes, "
            f"{budget['epochs']} epochs, {_seeds(budget['seeds'])}, majority class {share(of['majority'])} %"
        )
    budget = next(iter(results[REAL].values()))["budget"]
    note = (
        f"Test clips correct, %. Training + validation + test clips: {'; '.join(notes)}. "
        f"{budget['frames']} frames of {budget['size']} pixels, "
        f"{budget['width']} features per location (encoder `small`, frozen; that of flow trained for "
        f"{budget['flow_encoder']['epochs']} epochs on the split's training clips), {budget['units']} LSTM units or "
        f"{budget['channels']} ConvLSTM channels. VideoLSTM: `{BOTH}`, with weights chosen on validation clips. "
        "Published: Li et al. 2016, as commonly cited (RGB and flow: split 1), with VGG-16 trained on ImageNet "
        "and on the set's images and flow; not comparable with fewer classes. A survey (arXiv 2012.11866) lists 92.2 % "
        "on UCF101 and 64.9 % on HMDB-51 for VideoLSTM with iDT and object scores, and 41.3 % on HMDB-51 for ALSTM."
    )
    return Table(["set, input", *(WORDS[name] for name in SINGLE), "motion", "VideoLSTM"], rows, note)


def steps(results: Results) -> Table:
    """The effect of each step of the published order, in the paper and here, with a column per set and split."""
    cited = SETS["ucf101"].cited
    published = {
        f"{b}-{of} over {a}-{of}": values[i + 1] - values[i]
        for of, values in cited.items()
        for i, (a, b) in enumerate(pairwise(SINGLE))
    }
    sets = results[REAL]
    names = next(iter(sets.values()))["steps"]
    rows = [
        [
            f"`{name}`".replace(" over ", "` over `"),
            f"{published[name]:+.1f}" if name in published else None,
            *(clear(of["steps"][name]) for of in sets.values()),
        ]
        for name in names
    ]
    note = (
        "Points of accuracy on the same test clips ± half of the 95 % interval over recordings; **bold** where it does "
        "not include 0. The paper reports steps to `motion` and to the fused streams as improvements."
    )
    return Table(["step", "published", *map(title, sets)], rows, note)


def clear(of: Sequence[float]) -> str:
    """A difference in points and half of its interval; bold if its sign is clear."""
    center, low, high = of
    text = f"{100 * center:+.1f} ± {50 * (high - low):.1f}"
    return text if low <= 0 <= high else f"**{text}**"


def fusions(results: Results) -> Table:
    """Late fusion of two streams: a row per set, a column per pair."""
    rows = [
        [
            title(key),
            *(
                f"{_accuracy(of, words)} · {' : '.join(f'{weight:.2f}' for weight in of['rows'][words]['weights'])}"
                for words in FUSED
            ),
        ]
        for key, of in results[REAL].items()
    ]
    note = "Test clips correct, %, and the weights of the two streams, which are chosen on validation clips."
    return Table(["set", *(f"`{words}`" for words in FUSED)], rows, note)


def control(results: Results) -> Table:
    """Models of image and flow with and without motion attention."""
    others = [*next(iter(results[CONTROL].values()))["gain"]]
    rows = [
        [
            f"{title(key)}, {_seeds(len(of['each'][MOTION]))}",
            share(of[MOTION]),
            *(f"{share(of[other])}; {interval(of['gain'][other])}" for other in others),
        ]
        for key, of in results[CONTROL].items()
    ]
    note = (
        "Test clips correct, %; then the gain of `motion` over this control in points, with its 95 % interval: over "
        "seeds (Student's t) for the moving target, over recordings for real video. All models see the same frames and "
        "flow, with an encoder for each, and start from random weights. `motion`: a ConvLSTM over the flow guides the "
        "attention of a ConvLSTM over the image. `-both`: image and flow side by side; `convlstm` has no attention, in "
        "`alstm` and `convalstm` it is guided by their own state."
    )
    return Table(["set", f"`{MOTION}`", *(f"`{other}`" for other in others)], rows, note)


def recipe(results: Results) -> Table:
    """The settings of the paper, of its code and of this page, and the effect of each setting of the code alone."""
    from onlooker_papers.videolstm.recipe import SETTINGS

    found = results[RECIPE]

    def measured(name: str) -> str | None:
        if name == "motion":
            rows = results[REAL]["jhmdb"]
            return f"{100 * (rows[MOTION] - rows['motion-random']):+.1f} over random weights (`{MOTION}`)"
        if name == "tv-l1" and name in found:
            of = found[name]
            return (
                f"mean distance of the vectors {of['difference']:.2f} pixels, mean length {of['length']:.2f}; TV-L1 "
                f"takes {of['seconds']['tvl1'] / of['seconds']['dis']:.0f} times as long (one clip)"
            )
        return interval(found[name]["difference"]) if name in found else None

    rows = [[*row[:-1], measured(row[-1])] for row in SETTINGS]
    heads = [
        "setting",
        "paper",
        "authors' code",
        "tables of real video",
        "`--full`",
        "the code's setting alone, points",
    ]
    ours = next(of["ours"] for of in found.values() if "ours" in of)
    note = (
        f"Differences from `convalstm` on flow as in the tables above ({share(ours)} %), one seed, with 95 % intervals "
        "over recordings. –: not stated, or not measured. The paper's column has what its text is known to say; the "
        "code's column has what the published scripts say (github.com/zhenyangli/VideoLSTM). Two of them, ConvALSTM on "
        "RGB and motion, use layers under names that the code does not define; taken here as those that they import."
    )
    return Table(heads, rows, note)


def where(results: Results) -> Table:
    """Boxes and tubes from labels on five classes of UCF101."""
    found = results[WHERE]["models"]
    columns = ("point_in_box", "peak_in_box", "frame_map_20", "frame_map_50", "video_map_20", "video_map_50")

    def row(name: str, of: Mapping[str, float]) -> list[str | None]:
        return [name, *(share(of[column]) if column in of else None for column in columns)]

    first = found[MOTION]["methods"]
    rows = [row(f"attention of `{model}`", of["methods"]["attention"]) for model, of in found.items()]
    for method, sigma in SMOOTHED.items():
        named = {f"attention of `{model}`, smoothed, σ {sigma:g}": of["methods"] for model, of in found.items()}
        rows += [row(name, methods[method]) for name, methods in named.items() if method in methods]
    rows += [row(f"Grad-CAM of `{model}`", of["methods"]["grad_cam"]) for model, of in found.items()]
    rows += [row(f"{BASELINES[name]}; classes of `{MOTION}`", first[name]) for name in ("center", "motion")]
    rows += [row(f"published: {name}", {"video_map_20": of / 100}) for name, of in CITED_VIDEO_MAP_20.items()]
    of = found[MOTION]
    chosen = "; ".join(", ".join(f"{key} {value}" for key, value in each.items()) for each in of["localization"])
    note = (
        f"In %: {of['clips']} test clips of split 1 with boxes in UCF101-24 ({', '.join(of['classes'])}), of which "
        f"`{MOTION}` classifies {share(of['accuracy'])} % correctly among 18 classes; "
        f"{_seeds(results[WHERE]['seeds'])}. Point: the pixel with the most attention × foreground lies in a true box; "
        "peak: the highest cell of the 7×7 map does. How attention is converted to boxes (for "
        f"`{MOTION}`: {chosen}) is chosen on validation clips by "
        "blanking, without boxes. Smoothed: over time, by a Gaussian; σ in frames. Published: all 24 classes, from "
        "video labels only, as commonly cited."
    )
    heads = ["boxes from", "point", "peak", "frame-mAP .2", "frame-mAP .5", "video-mAP .2", "video-mAP .5"]
    return Table(heads, rows, note)


def cost(results: Results) -> Table:
    """The hours of `--full` on one core, extrapolated from measured steps."""
    found, tvl1 = results[COST], results[RECIPE]["tv-l1"]
    pixels = UCF101_PIXELS / np.prod(tvl1["size"])
    # Each store of flow estimates it again.
    frame_costs = [(f"VGG-16, {ENCODED[name]}", of["seconds"], 1) for name, of in found["encoding"].items()]
    frame_costs.append(("TV-L1 flow, for pool5 and for fc7", tvl1["seconds"]["tvl1"] * pixels, 2))
    rows: list[list[str | None]] = []
    totals = [0.0, 0.0]
    for name, seconds, times in frame_costs:
        hours = times * seconds * UCF101_FRAMES / 3600
        totals[0] += hours
        rows.append([name, f"{seconds:.2f} per frame", None, f"{hours:,.0f}", None])
    for name, of in found["training"].items():
        epochs = [BUDGETS["full"].training_of(run).epochs for run in ([name] if name == MOTION else _runs(name))]
        hours_of = [of["seconds"] * sum(epochs) * clips / 3600 for clips in TRAINING_CLIPS.values()]
        totals = [total + hours for total, hours in zip(totals, hours_of, strict=True)]
        cells = [f"`{name}`", f"{of['seconds']:.3f} per clip", " + ".join(map(str, epochs))]
        rows.append([*cells, *(f"{hours:,.0f}" for hours in hours_of)])
    rows.append(["all", None, None, f"{totals[0]:,.0f}", f"{totals[1]:,.0f} without encoding"])
    batch, half = next((of["batch"], of["bf16"]) for of in found["training"].values())
    note = (
        f"CPU seconds of one thread, {'bf16' if half else 'fp32'}, measured by `python -m "
        f"onlooker_papers.videolstm.cost` on random features of {found['frames']} frames, in batches of {batch}; TV-L1 "
        f"as in the table above, for frames of 320×240 pixels. Hours: 2.4 million frames of UCF101 (Soomro et al. "
        "2012), encoded once for all splits; one temporal crop of each training clip of split 1 per epoch; epochs of "
        "RGB + flow. Validation and test are not included."
    )
    sets = [f"{name}, {count:,} clips, hours" for name, count in TRAINING_CLIPS.items()]
    return Table(["part", "CPU seconds", "epochs", *sets], rows, note)


def _runs(model: str) -> list[str]:
    return [f"{model}-{of}" for of in STREAMS]


def _accuracy(of: Any, name: str) -> str:
    each = of["rows"][name]["each"]
    spread = f" ({share(min(each))}–{share(max(each))})" if len(each) > 1 else ""
    return share(of[name]) + spread


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


TABLES = {
    "real-ablation": ablation,
    "real-steps": steps,
    "real-fusions": fusions,
    CONTROL: control,
    RECIPE: recipe,
    WHERE: where,
    COST: cost,
}
NEEDED = {name: {REAL} for name in TABLES if name.startswith("real-")} | {RECIPE: {RECIPE, REAL}, COST: {COST, RECIPE}}
