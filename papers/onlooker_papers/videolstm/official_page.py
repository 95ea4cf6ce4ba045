"""The page of VideoLSTM's models on a published set: the paper's table, attention maps, and learning curves."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onlooker.evaluation.report import Page, percent
from onlooker_papers.pages import add_curves, add_left_out, add_settings, interval
from onlooker_papers.videolstm.fine_tune import RANDOM_FRAMES
from onlooker_papers.videolstm.official_budget import (
    BOTH,
    CITED_VIDEO_MAP_20,
    FINE_TUNING_FRAMES,
    MOTION,
    SINGLE,
    Budget,
    OfficialSet,
)
from onlooker_papers.videolstm.places import BASELINES

WORDS = {"convnet": "ConvNet", "lstm": "LSTM", "alstm": "ALSTM", "convlstm": "ConvLSTM", "convalstm": "ConvALSTM"}
_STREAMS = {"rgb": "RGB", "flow": "flow"}
CITED = "as commonly cited"


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
    counts = (
        f"{clips['training']:,} clips to learn from, {clips['validation']:,} to choose by, {clips['test']:,} to test"
    )
    page = Page(
        f"VideoLSTM on {official.published.title}",
        f"Split {split} · {figures['classes']} classes · {counts} · {budget.name}",
    )
    if not budget.pretrained:
        page.text(
            "**The encoder has random weights**, not ImageNet's (`--no-pretrained`). The "
            "page shows that everything runs, but not how good the models are."
        )
    shown = {"ConvALSTM on RGB": models["convalstm-rgb"], "attention that follows motion": models[MOTION]}
    shown[f"two streams: {BOTH}"] = fused[BOTH]
    page.figures((percent(of["accuracy"]), words, interval(of)) for words, of in shown.items())
    _tables(page, official, split, budget, figures)
    if "places" in figures:
        _places(page, figures["places"], split)
    page.heading("What differs from the paper")
    page.text(_differences(budget))
    page.heading("Where they looked")
    for name in ("alstm-rgb", "convalstm-rgb", "convalstm-flow", MOTION):
        image = folder / name / "attention.png"
        page.figure(image.read_bytes(), f"{name}: test clips drawn at random; more in its own report.", wide=True)
    page.heading("Training curves")
    for streams, words in _STREAMS.items():
        names = [f"{model}-{streams}" for model in SINGLE] + ([MOTION] if streams == "rgb" else [])
        add_curves(page, {name: folder / name for name in names}, words)
    add_left_out(page, [list(error.values()) for error in figures["left_out"]])
    add_settings(page, command, {"these runs": asdict(budget)})
    return page.write(folder / "report.html")


def _tables(page: Page, official: OfficialSet, split: int, budget: Budget, figures: Mapping[str, Any]) -> None:
    """The table of the paper, and that of two streams."""
    models = figures["models"]
    page.heading("The table of the paper")
    page.table(
        _rows(models, official.cited if split == 1 else {}),
        ["", *(WORDS[name] for name in SINGLE)],
        f"Test clips correct, the mean of {budget.windows} temporal crops of {budget.frames} frames. *Frames*: the "
        "share of their frames that are classified correctly. *Cited*: Li et al. 2016 on split 1, "
        f"{CITED}; their encoders were trained on the set.",
    )
    alone = models[MOTION]
    rows = [["motion: the flow says where to attend in RGB", *_accuracies(alone), None, None]]
    for name, found in figures["fused"].items():
        weights = " : ".join(f"{weight:.2f}" for weight in found["weights"])
        cited = f"{official.cited_together} %" if name == BOTH else None
        rows.append([name, *_accuracies(found), weights, cited])
    page.table(
        rows,
        ["", "here", "frames", "weights", "cited"],
        "Two streams: probabilities weighed and added, with weights that validation clips choose. *Cited*: VideoLSTM "
        f"with both streams, {CITED}.",
    )


def _places(page: Page, places: Mapping[str, Any], split: int) -> None:
    page.heading("Where, from class labels only")
    keys = ("frame_map_20", "frame_map_50", "video_map_20", "video_map_50")
    rows: list[list[str | None]] = [[f"VideoLSTM ({MOTION})", *(percent(places[key]) for key in keys)]]
    if split == 1:
        rows += [[f"{name}, cited", None, None, f"{of} %", None] for name, of in CITED_VIDEO_MAP_20.items()]
    rows += [[BASELINES[name], *(percent(of[key]) for key in keys)] for name, of in places["baselines"].items()]
    chosen = ", ".join(f"{name} {value}" for name, value in places["localization"].items())
    how = "by blanking, without their boxes" if places["chosen_on"] >= 8 else "too few: these are the defaults"
    page.table(
        rows,
        ["boxes from", "frame-mAP at .2", "frame-mAP at .5", "video-mAP at .2", "video-mAP at .5"],
        f"The {places['clips']} test clips with boxes in UCF101-24, {places['classes']} classes. Attention becomes "
        f"boxes and tubes with {chosen}, chosen on {places['chosen_on']} validation clips ({how}); the paper does not "
        f"say how it smooths, cuts and links. The last rows have the same classes. *Cited*: split 1, {CITED}.",
    )


def _accuracies(found: Mapping[str, Any]) -> tuple[str, str]:
    """Clip and frame accuracy."""
    return percent(found["accuracy"]), percent(found["frame_accuracy"])


def _rows(models: Mapping[str, Any], cited: Mapping[str, tuple[float, ...]]) -> list[list[str]]:
    rows = []
    for streams, words in _STREAMS.items():
        pairs = [_accuracies(models[f"{name}-{streams}"]) for name in SINGLE]
        rows.append([words, *(of_clips for of_clips, _ in pairs)])
        rows.append([f"{words}, frames", *(of_frames for _, of_frames in pairs)])
        if streams in cited:
            rows.append([f"{words}, cited", *(f"{figure:.1f} %" for figure in cited[streams])])
    return rows


def _differences(budget: Budget) -> str:
    training = budget.training
    weights = (
        f"its ImageNet weights; for flow the first filters are the mean of those of the three colors, for each of the "
        f"{2 * budget.flow_length} channels"
        if budget.pretrained
        else "its random weights"
    )
    encoder = f"The encoder ({budget.encoder}, frames of {budget.size} pixels)"
    if how := budget.fine_tuning:
        kept = (
            f"{encoder} is trained on images and flow of the split as in the paper, but with our own settings: it "
            f"begins with {weights}; {how.epochs} epochs of {RANDOM_FRAMES} random ones of {FINE_TUNING_FRAMES} frames "
            f"of each clip, AdamW up to {how.lr:g}, the epoch with the lowest validation loss."
        )
    else:
        kept = (
            f"{encoder} keeps {weights}. Those of the paper were trained on images and flow of the set (--fine-tuned)."
        )
    items = [
        kept,
        "Whole frames are resized to a square, and only the temporal crop is random; the augmentation for the authors' "
        "encoders is not in their code.",
        f"`{MOTION}` begins with the trained ConvLSTM of the flow and ConvALSTM of RGB, as published. How kernels "
        "of 3×3 become those of 1×1 is not stated in the paper, and the authors' script copies them as they are; here "
        "their center is used. The script copies them into a motion model that was trained before, which has no "
        "counterpart here.",
        "The authors' script for the ConvALSTM on RGB has windows of 15 frames.",
        "A tenth of the training clips, in whole recordings, is used for validation, which chooses the epoch and the "
        "weights. The authors' code evaluates the test list every 10 or 20 epochs, and keeps the best epoch.",
        "One seed.",
    ]
    if budget.flow != "tvl1":
        items.append(
            f"Flow is {budget.flow.upper() if budget.flow == 'dis' else budget.flow} instead of TV-L1: between upright "
            "frames whose shorter side is at most 256 pixels, clipped to ±20 pixels of 256, in 8 bit."
        )
    if budget.flow_length > 1:
        items.append(f"Flow is stacked, {budget.flow_length} fields; the authors' encoder of flow sees one field.")
    if not budget.vector:
        items.append("`convnet` and `lstm` see the average over the locations of the map; in the paper, they see fc7.")
    if not budget.published:
        items += [
            f"{training.epochs} epochs of every model; the code has 200 for LSTMs and for the ConvLSTM on RGB, 400 for "
            f"`{MOTION}`, 300 for the others.",
            "Initial weights are those of the library: uniform after Glorot, orthogonal from state to state; in the "
            "code uniform up to 1/√input channels, for LSTMs normal.",
            f"{training.optimizer}, {training.schedule} schedule up to {training.lr:g}, gradient norms clipped to "
            f"{training.grad_clip:g}, batches of {training.batch}; the code has RMSprop at 0.001, decay .9, without "
            "clipping, in batches of 128.",
            "States start from zeros, not from the mean over all frames, so that the models can run on a stream.",
            "Attention times features is multiplied by the number of locations, so that a uniform map changes nothing.",
            f"The {budget.head_units} tanh units before the classes read the averaged map; in the code they read all "
            "of it. The code's LSTMs have dropout before them, too.",
            "Forget gates begin with a bias of 1, in the code of 0.",
        ]
    return "\n".join(f"- {item}" for item in items)
