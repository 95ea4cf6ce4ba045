"""The page of VideoLSTM's ablation: the moving target, real clips, and the published figures."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.data.digits import DigitSplit
from onlooker.drawing.flow import flow_colors
from onlooker.drawing.overlay import boxes, enlarge, full_strength, overlay
from onlooker.drawing.plots import side_by_side, to_svg
from onlooker.drawing.sheet import sheet, write_png
from onlooker.evaluation.report import Page, percent
from onlooker.experiments import model_spec
from onlooker.recognizer import load
from onlooker.runs.compare import table
from onlooker.video.flow import to_pixels
from onlooker_papers.pages import add_curves, add_settings
from onlooker_papers.tables import add_table
from onlooker_papers.videolstm import tables
from onlooker_papers.videolstm.ablation import BEST, ENSEMBLE, FLOW, MOTION, RGB, WITH_ATTENTION_LOSS, modality_of
from onlooker_papers.videolstm.budget import Budget, ClipsBudget
from onlooker_papers.videolstm.official_budget import SETS, SINGLE
from onlooker_papers.videolstm.official_page import CITED, WORDS
from onlooker_papers.videolstm.target_clips import SIZE, TargetClips, data

# A plot has at most as many lines as there are colors.
_PLOTS = {
    "RGB alone": (*SINGLE, WITH_ATTENTION_LOSS[0].name),
    "the flow, alone and with RGB": ("convnet-flow", FLOW.name, MOTION.name, BEST.name),
}


def write_page(run: Path, figures: Mapping[str, Any], budget: Budget, splits: DigitSplit, command: str) -> Path:
    """Write `report.html` into a run's folder.

    Args:
        run: the folder, with the trainings of the moving target.
        figures: those of the moving target, its `timing`, and `on_clips`: those of `compare` by the name of the set.
        budget: the budget of the run.
        splits: the digits.
        command: the command that made the run.

    Returns:
        The page's path.
    """
    models, seeds = figures["models"], tables.seeds(budget.seeds)
    page = Page("Which digit moves?", f"VideoLSTM's ablation · {budget.clips:,} clips · {seeds} · {budget.name}")
    best = models[BEST.name]
    page.figures(
        [
            (percent(best["accuracy"]), "of unseen clips correct: attention that follows motion", "chance: 10 %"),
            (percent(models[RGB.name]["accuracy"]), "attention that sees RGB alone", "equal budget"),
            (percent(best["pointing"]), "of frames: the map's peak is on the digit that moves",
             f"a map without a peak: {percent(best['uniform'])}"),
        ]
    )  # fmt: skip
    page.text(
        "Each clip shows four digits, of which one moves; its class is the only label. A model that recognizes all "
        "four digits but ignores motion is correct in one clip of four; a single frame gives a hint, because the other "
        "digits are in the cells of a grid (the row `single-frame` shows how much). Test clips show unseen digits. "
        "Flow is estimated from the frames (DIS)."
    )
    page.text(_what_was_used(figures["on_clips"]))
    results = {tables.NAME: figures, tables.SEGMENTS: figures["timing"]}
    add_table(page, tables.ablation(results))
    dots = {name.replace("-", "\n"): row["each"] for name, row in models.items()}
    page.figure(to_svg(side_by_side(dots, 0.1, "chance")), "A dot for each seed.")
    _published(page, models, figures["on_clips"])
    if figures["on_clips"]:
        _real_clips(page, figures["on_clips"], budget.on_clips)
    if budget.curve:
        page.heading("How many clips it takes")
        add_table(page, tables.curve(results))
    page.heading("Where, from labels only")
    add_table(page, tables.places(results))
    page.heading("When, from labels only")
    add_table(page, tables.segments(results))
    page.heading("What a map shows, and what it does not")
    add_table(page, tables.explained(results))
    page.heading("Where it looked")
    image = run / "attention.png"
    write_png(image, sheet(list(_looks(run, budget, splits))))
    page.figure(
        image.read_bytes(),
        "Unseen clips; the true box was not used in training. Below each clip is the optical flow that *motion* sees: "
        "hue is direction, saturation is speed.",
        wide=True,
    )
    _how_they_learned(page, run, budget, list(figures["on_clips"]))
    _settings(page, budget, bool(figures["on_clips"]), command)
    return page.write(run / "report.html")


def _what_was_used(on_clips: Mapping[str, Any]) -> str:
    weights = (
        "**Every weight was random before training**: nothing here was pre-trained, and `motion`, which in the paper "
        "begins with two trained streams, has the budget of the others."
    )
    if not on_clips:
        return (
            "**Used: the moving target alone**, a generated set. `--clips DIR` adds real clips, one sub-"
            f"folder per class; `--ucf101 DIR` and `--hmdb51 DIR` run the paper's own sets. {weights}"
        )
    sets = ", ".join(f"{name} ({of['test_videos']} test clips)" for name, of in on_clips.items())
    return (
        f"**Used: the moving target**, a generated set, **and real clips**: {sets}. Neither is a set of the paper, "
        f"which `--ucf101 DIR` and `--hmdb51 DIR` run. {weights}"
    )


def _published(page: Page, models: Mapping[str, Any], on_clips: Mapping[str, Any]) -> None:
    page.heading("In the form of the paper's table")
    rows = _in_columns("moving target", {name: of["accuracy"] for name, of in models.items()})
    for name, of in on_clips.items():
        rows += _in_columns(name, of["accuracy"])
    for official in SETS.values():
        title = official.published.title
        for stream, figures in official.cited.items():
            words = "RGB" if stream == "rgb" else stream
            rows.append([f"{title}, {words}, cited", *(f"{figure:.1f} %" for figure in figures), None, None])
        rows.append([f"{title}, both, cited", *[None] * len(SINGLE), None, f"{official.cited_together:.1f} %"])
    page.table(
        rows,
        ["set, stream", *(WORDS[name] for name in SINGLE), "motion", "VideoLSTM"],
        f"Test clips correct. *Cited*: Li et al. 2016, {CITED}, on UCF101 (split 1) and HMDB-51, with encoders "
        "trained on the set. **Other sets, other encoders: the rows of one set compare with each other, not with those "
        "of another.** `motion`: attention that follows the flow; VideoLSTM: the two streams together, here `motion` "
        "and `convlstm` on the flow, with weights chosen on validation clips.",
    )


def _in_columns(title: str, accuracy: Mapping[str, float]) -> list[list[str | None]]:
    """The accuracies of one set by stream: the single models in the order of the paper, `motion`, and the ensemble."""

    def shown(*names: str) -> str | None:
        return next((percent(accuracy[name]) for name in names if name in accuracy), None)

    return [
        [f"{title}, RGB", *(shown(name) for name in SINGLE), None, None],
        [f"{title}, flow", *(shown(f"{name}-flow") for name in SINGLE), None, None],
        [f"{title}, both", *[None] * len(SINGLE), shown(MOTION.name), shown(ENSEMBLE, model_spec.ENSEMBLE)],
    ]


def _real_clips(page: Page, on_clips: Mapping[str, Any], budget: ClipsBudget) -> None:
    page.heading("On real clips")
    few = f", at most {budget.clips} clips per class" if budget.clips else ""
    page.text(
        f"The same models from pixels, `conv4` from random weights, {budget.data.frames} frames per clip, "
        f"{budget.training.epochs} epochs{few}, {tables.seeds(budget.seeds)}, one split by recordings. With so few "
        "test clips a difference of a few percent is chance; `onlooker compare DIR --folds 5` tests on all of them."
    )
    for name, of in on_clips.items():
        columns, rows = table(of)
        page.table(
            rows,
            [f"{name}: model", *columns[1:]],
            f"{of['test_videos']} test clips; *majority class*: always predicting the most frequent class. Attention "
            f"maps: `clips/{name}/report.html` next to this page.",
        )


def _how_they_learned(page: Page, run: Path, budget: Budget, sets: Sequence[str]) -> None:
    page.heading("Training curves")
    _curves(page, "The moving target", run, f"-{budget.clips}-seed{budget.seeds[0]}")
    for title in sets:
        with page.details(f"The same on {title}"):
            _curves(page, title, run / "clips" / title, f"/split-seed{budget.on_clips.seeds[0]}")


def _curves(page: Page, title: str, folder: Path, ending: str) -> None:
    for words, names in _PLOTS.items():
        add_curves(page, {name: folder / f"{name}{ending}" for name in names}, f"{title}, {words}, one seed")


def _settings(page: Page, budget: Budget, on_clips: bool, command: str) -> None:
    real = budget.on_clips
    groups: dict[str, dict[str, Any]] = {
        "the moving target": {
            "clips": budget.clips, "seeds": list(budget.seeds), **budget.counts, **data("both").to_dict(),
            **asdict(budget.training),
        },
        "real clips": {
            "clips per class": real.clips or "all", "seeds": list(real.seeds), **real.data.to_dict(),
            **asdict(real.training),
        },
    }  # fmt: skip
    for values in groups.values():
        # These differ between trainings.
        del values["modality"], values["seed"]
    if not on_clips:
        del groups["real clips"]
    add_settings(page, command, groups)


def _looks(run: Path, budget: Budget, splits: DigitSplit) -> Iterator[tuple[str, Any]]:
    """The same test clips with both kinds of attention, and the flow that one of them sees."""
    clips = TargetClips(splits.test, 2, 5)
    seen = {}
    for spec in WITH_ATTENTION_LOSS:
        recognizer = load(run / f"{spec.name}-{budget.clips}-seed{budget.seeds[0]}", device="cpu")
        seen[spec.name] = recognizer.classify(clips.seen_as(modality_of(spec)).frames()).numpy()[:2]
    for i, (image, target) in enumerate(zip(clips.images, clips.batch.targets.tolist(), strict=True)):
        frames, true = torch.from_numpy(image).expand(-1, -1, -1, 3).numpy(), clips.batch.boxes[i, :, 0].numpy()
        for name, (scores, attention) in seen.items():
            assert attention is not None
            scale = full_strength(attention[i])
            shown = [overlay(frame, weights, scale) for frame, weights in zip(frames, attention[i], strict=True)]
            of_clip = scores[i].mean(0)
            said = f"{of_clip.argmax()}, {100 * of_clip.max():.0f} %"
            yield f"{name}\n{target}: said {said}", _with_boxes(shown, true)
        moved = to_pixels(clips.flow[i], data("flow").flow_limit)
        yield "the flow\nof these frames", _with_boxes(flow_colors(moved), true)


def _with_boxes(frames: Iterable[NDArray[np.uint8]], true: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.stack([boxes(enlarge(frame), box, size=(SIZE, SIZE)) for frame, box in zip(frames, true, strict=True)])
