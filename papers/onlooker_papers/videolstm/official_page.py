"""The page of VideoLSTM's models on a published set: the paper's table, attention maps, and learning curves."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onlooker.evaluation.report import Page, percent
from onlooker_papers.pages import add_curves, add_left_out, add_settings, interval
from onlooker_papers.tables import add_table, build, key, rows, share
from onlooker_papers.videolstm.official_budget import (
    BOTH,
    CITED_VIDEO_MAP_20,
    MOTION,
    NAMES,
    SINGLE,
    VIDEOLSTM,
    Budget,
    OfficialSet,
)
from onlooker_papers.videolstm.places import BASELINES

_STREAMS = {"rgb": "RGB", "flow": "flow"}
_FIXED = (  # what is ours unless the budget has the settings of the authors' code
    "Not as in the authors' code: initial weights (here Glorot and orthogonal), AdamW with a one-cycle schedule (there "
    "RMSprop, 200 to 400 epochs), states that start from zeros (there from the mean over the clip), attention × number "
    "of locations, the averaged map before the classes (there the whole map), forget bias 1 (there 0)."
)


def write_page(
    folder: Path, official: OfficialSet, split: int, budget: Budget, figures: Mapping[str, Any], command: str
) -> Path:
    """Write `report.html` into the folder of a split's runs.

    Args:
        folder: has a run's folder for each model.
        official: the set.
        split: number of the split.
        budget: the budget of the run.
        figures: `classes`, `clips` of each split, `models` and `fused` with their `accuracy`, and `left_out`; `places`
            if localization was scored.
        command: the command that made the page.
    """
    models, fused, clips = figures["models"], figures["fused"], figures["clips"]
    counts = ", ".join(f"{count:,} {side}" for side, count in clips.items())
    page = Page(
        f"VideoLSTM on {official.published.title}",
        f"Split {split} · {figures['classes']} classes · clips: {counts} · {budget.name}",
    )
    if not budget.pretrained:
        page.text("**The encoder has random weights** (`--no-pretrained`): the page only shows that everything runs.")
    shown = {"ConvALSTM on RGB": models["convalstm-rgb"], "attention that follows motion": models[MOTION]}
    shown[f"two streams: {BOTH}"] = fused[BOTH]
    page.figures((percent(of["accuracy"]), words, interval(of)) for words, of in shown.items())
    page.heading("The table of the paper")
    cited = official.cited if split == 1 else {}
    page.table(
        [
            row
            for stream, words in _STREAMS.items()
            for row in (
                [words, *(share(models[f"{name}-{stream}"]["accuracy"]) for name in SINGLE)],
                [f"{words}, frames", *(share(models[f"{name}-{stream}"]["frame_accuracy"]) for name in SINGLE)],
                *([[f"{words}, cited", *map(str, cited[stream])]] if stream in cited else []),
            )
        ],
        ["", *NAMES.values()],
        f"Test clips correct, %, the mean of {budget.windows} temporal crops of {budget.frames} frames. *Cited*: "
        "Li et al. 2016 on split 1, as commonly cited; their encoders were trained on the set.",
    )
    together = build(
        rows({"motion: the flow says where to attend in RGB": models[MOTION], **fused}, "*"),
        {
            "": key(0, str),
            "here": ("accuracy", share),
            "frames": ("frame_accuracy", share),
            "weights": ("weights", lambda of: " : ".join(f"{weight:.2f}" for weight in of)),
            "cited": lambda row: str(official.cited_together) if row.key[0] == BOTH else None,
        },
        "Two streams: probabilities weighed and added, with weights that validation clips choose.",
    )
    add_table(page, together)
    if "places" in figures:
        _places(page, figures["places"], split)
    page.heading("What differs from the paper")
    page.text(_differences(budget))
    page.text("Attention on test clips is in `NAME/report.html` of each model.")
    page.heading("Training curves")
    for stream, words in _STREAMS.items():
        names = [f"{model}-{stream}" for model in SINGLE] + ([MOTION] if stream == "rgb" else [])
        add_curves(page, {name: folder / name for name in names}, words)
    add_left_out(page, [list(error.values()) for error in figures["left_out"]])
    add_settings(page, command, {"these runs": asdict(budget)})
    return page.write(folder / "report.html")


def _places(page: Page, places: Mapping[str, Any], split: int) -> None:
    page.heading("Where, from class labels only")
    cited = {f"{name}, cited": {"video_map_20": of / 100} for name, of in CITED_VIDEO_MAP_20.items() if split == 1}
    guesses = {BASELINES[name]: of for name, of in places["baselines"].items()}
    chosen = ", ".join(f"{name} {value}" for name, value in places["localization"].items())
    made = build(
        rows({f"{VIDEOLSTM} ({MOTION})": places, **cited, **guesses}, "*"),
        {
            "boxes from": key(0, str),
            "frame-mAP .2": ("frame_map_20", share),
            "frame-mAP .5": ("frame_map_50", share),
            "video-mAP .2": ("video_map_20", share),
            "video-mAP .5": ("video_map_50", share),
        },
        f"In %: the {places['clips']} test clips with boxes in UCF101-24, {places['classes']} classes. Attention "
        f"becomes boxes and tubes with {chosen}, chosen on {places['chosen_on']} validation clips without their boxes "
        "(fewer than 8: the defaults); the paper does not say how it smooths, cuts and links.",
    )
    add_table(page, made)


def _differences(budget: Budget) -> str:
    encoder = f"The encoder ({budget.encoder}, {budget.size} pixels) "
    items = [
        f"{encoder}is trained on images and flow of the split as in the paper, but with our own settings."
        if budget.fine_tuning
        else f"{encoder}keeps its weights; those of the paper were trained on images and flow of the set (`--full`).",
        f"Flow is {budget.flow}, {budget.flow_length} fields at once; the paper's is TV-L1, one field.",
        "`motion` begins with the trained ConvLSTM of the flow and ConvALSTM of RGB, as published.",
        "Validation clips, a tenth of the training list, choose the epoch; the authors' code keeps the best on the "
        "test list.",
    ]
    if not budget.published:
        items += [_FIXED, f"{budget.training.epochs} epochs, batches of {budget.training.batch}."]
    if not budget.vector:
        items.append("`convnet` and `lstm` see the average over the locations of the map; in the paper, they see fc7.")
    return "\n".join(f"- {item}" for item in items)
