"""The tables of VideoLSTM on real video, from the figures of their results files."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.digits.tables import Results, share
from onlooker_papers.videolstm.official_budget import BOTH, FUSED, MOTION, SETS, SINGLE, STREAMS
from onlooker_papers.videolstm.official_page import WORDS
from onlooker_papers.videolstm.places import BASELINES

REAL, CONTROL, RECIPE, WHERE = "videolstm-real", "motion-control", "videolstm-recipe", "where-real"
COST, MEASURED = "videolstm-cost", "bench-training"  # measured in `benchmarks/bench_training.py`
# Of the authors' code, and the training clips of split 1 as published; of J-HMDB those of the tables.
EPOCHS = {"lstm": 200, "alstm": 200, "convlstm": 300, "convalstm": 300, "motion": 400}
TRAINING_CLIPS = {"UCF101": 9537, "HMDB-51": 3570}
SIDES = ("training", "validation", "test")
WORD = {"rgb": "RGB", "flow": "flow"}
TITLES = {
    "jhmdb": "J-HMDB",
    "jhmdb-fine-tuned": "J-HMDB, RGB encoder trained on it",
    "ucf101_18": "18 classes of UCF101",
    "moving-target": "moving target",
}


def title(key: str) -> str:
    """A set, and its split where it has several, in words."""
    name, _, split = key.partition("-split")
    return TITLES[name] if name == "moving-target" else f"{TITLES[name]}, split {split or 1}"


def interval(of: Sequence[float | None]) -> str:
    """A difference in points, and its interval where it has one."""
    center, low, high = of
    assert center is not None
    return f"{100 * center:+.1f}" + ("" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})")


def ablation(results: Results) -> Table:
    """In the form of the paper's table: a row per set and input, the published one first."""
    cited = SETS["ucf101"]
    rows: list[list[str | None]] = [
        [f"UCF101, 101 classes, {WORD[of]}: published", *(f"{each:.1f}" for each in cited.cited[of]), None, None]
        for of in STREAMS
    ]
    rows.append(["UCF101, 101 classes, both: published", *[None] * len(SINGLE), None, f"{cited.cited_together:.1f}"])
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
        "Published: Li et al. 2016 on split 1, as commonly cited, with VGG-16 trained on ImageNet "
        "and on the set's images and flow; not comparable with fewer classes."
    )
    return Table(["set, input", *(WORDS[name] for name in SINGLE), "motion", "VideoLSTM"], rows, note)


def steps(results: Results) -> Table:
    """What each step of the published order adds, as published and here, with a column per set and split."""
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
        "not include 0. Steps to `motion` and to the fused streams were published as better."
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
        "Test clips correct, %; behind it what motion attention adds over having the flow, in points, with its 95 % "
        "interval: over seeds (Student's t) for the moving target, over recordings for real video. All models see the "
        "same frames and flow, with an encoder for each, and begin with random weights. `motion`: a ConvLSTM over the "
        "flow says where the one over the image attends. `-both`: image and flow side by side; `convlstm` attends "
        "nowhere, `alstm` and `convalstm` by their own state."
    )
    return Table(["set", f"`{MOTION}`", *(f"`{other}`" for other in others)], rows, note)


def recipe(results: Results) -> Table:
    """What the paper, its code and this page do, and what a setting of the code changes alone."""
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
        "over recordings. –: not stated, or not measured. The paper's column has what its text is known to say, that "
        "of the code what the published scripts run (github.com/zhenyangli/VideoLSTM)."
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
    rows += [row(f"Grad-CAM of `{model}`", of["methods"]["grad_cam"]) for model, of in found.items()]
    rows += [row(f"{BASELINES[name]}; classes of `{MOTION}`", first[name]) for name in ("center", "motion")]
    of = found[MOTION]
    chosen = "; ".join(", ".join(f"{key} {value}" for key, value in each.items()) for each in of["localization"])
    note = (
        f"In %: {of['clips']} test clips of split 1 with boxes in UCF101-24 ({', '.join(of['classes'])}), of which "
        f"`{MOTION}` classifies {share(of['accuracy'])} % correctly among 18 classes; "
        f"{_seeds(results[WHERE]['seeds'])}. Point: the pixel that is attended to most, after the foreground, lies in "
        "a true box; peak: the highest cell of the 7×7 map does. How attention becomes boxes (for "
        f"`{MOTION}`: {chosen}) is chosen on validation clips by "
        "blanking, without boxes. VideoLSTM published 36.9 % video-mAP at .2 on all 24 classes, as commonly cited."
    )
    heads = ["boxes from", "point", "peak", "frame-mAP .2", "frame-mAP .5", "video-mAP .2", "video-mAP .5"]
    return Table(heads, rows, note)


def cost(results: Results) -> Table:
    """What the literal recipe costs: a measured epoch at 512 channels, and hours by its rate."""
    found = results[MEASURED]
    rows: list[list[str | None]] = []
    for name, epochs in EPOCHS.items():
        clips, of = max(found["epoch"][name].items(), key=lambda each: int(each[0]))
        rate = of["seconds"] / int(clips)
        each = (rate * count / 60 for count in TRAINING_CLIPS.values())
        rows.append(
            [
                f"`{name}`",
                f"{of['seconds']:.1f}",
                str(epochs),
                *(f"{m:.1f} min · {m * epochs / 60:.0f} h" for m in each),
            ]
        )
    clips = max(map(int, next(iter(found["epoch"].values()))))
    note = (
        f"The part behind the encoder, {found['hidden']} channels on 7×7×512 features of 30 frames, "
        f"{found['precision']}, {found['threads']} threads; measured by `benchmarks/bench_training.py`, where the time "
        "grows in proportion to the clips. Last columns, extrapolated: an epoch · all epochs of the authors' code, one "
        "temporal crop of each training clip of split 1. Encoding is not included."
    )
    columns = [f"{name}, {count:,} clips" for name, count in TRAINING_CLIPS.items()]
    return Table(["model", f"an epoch of {clips} clips, s", "epochs", *columns], rows, note)


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
NEEDED = {name: {REAL} for name in TABLES if name.startswith("real-")} | {RECIPE: {RECIPE, REAL}, COST: {MEASURED}}
