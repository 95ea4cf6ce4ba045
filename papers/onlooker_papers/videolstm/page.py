"""The page of VideoLSTM's ablation: the moving target, real clips, and the published figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from onlooker.data.digits import Sides
from onlooker.drawing.flow_color import flow_colors
from onlooker.drawing.overlay import boxes, caption, enlarge, overlay
from onlooker.drawing.plots import loss_and_accuracy, side_by_side, to_svg
from onlooker.drawing.sheet import sheet, write_png
from onlooker.evaluation.report import Page, percent
from onlooker.recognizer import load
from onlooker.runs import model_spec
from onlooker.runs.compare import table
from onlooker.runs.folder import read_curves
from onlooker.video.flow import to_pixels
from onlooker_papers.videolstm.ablation import BEST, ENSEMBLE, FLOW, GROUNDED, MOTION, RGB, modality_of
from onlooker_papers.videolstm.budget import Budget, ClipsBudget
from onlooker_papers.videolstm.official_budget import SETS, SINGLE
from onlooker_papers.videolstm.official_page import CITED, WORDS
from onlooker_papers.videolstm.places import BASELINES
from onlooker_papers.videolstm.target_clips import SIZE, TargetClips, data
from onlooker_papers.videolstm.timing import EVENT, FRAMES, GUESSES, MODEL

# A plot holds as many lines as there are colors that are told apart.
_PLOTS = {
    "RGB alone": (*SINGLE, GROUNDED[0].name),
    "the flow, alone and with RGB": ("convnet-flow", FLOW.name, MOTION.name, BEST.name),
}


def write_page(run: Path, figures: Mapping[str, Any], budget: Budget, sides: Sides, command: str) -> Path:
    """Write `report.html` into a run's folder.

    Args:
        run: the folder, with the trainings of the moving target.
        figures: of the moving target, its `timing`, and `clips`: what `compare` found by the name of each set.
        budget: what was computed.
        sides: the digits.
        command: what made the run.

    Returns:
        The page's path.
    """
    models, seeds = figures["models"], _seeds(budget)
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
        "Four digits stand on a canvas, one of them moves. Its class is the label, and all that a model is told. "
        "Whoever knows all four digits and no more is right in one clip of four; a single frame hints at the one that "
        "moves, for the others stand in the cells of a grid (the row `single-frame` says how much). Test clips show "
        "digits that no training saw. Flow is estimated from the frames (DIS)."
    )
    page.text(_what_was_used(figures["clips"]))
    _accuracies(page, models, budget, seeds)
    _beside_the_paper(page, models, figures["clips"])
    if figures["clips"]:
        _real_clips(page, figures["clips"], budget.on_clips)
    if budget.curve:
        _curve(page, figures, budget)
    _where_and_when(page, figures, budget, seeds)
    page.heading("Where it looked")
    image = run / "attention.png"
    write_png(image, sheet(list(_looks(run, budget, sides))))
    page.figure(
        image.read_bytes(),
        "Unseen clips; the box is the true place, which no model was told. Below each the optical flow that *motion* "
        "sees: the hue says where to, the strength how far, white is rest.",
        wide=True,
    )
    _how_they_learned(page, run, budget, list(figures["clips"]))
    _settings(page, budget, bool(figures["clips"]), command)
    return page.write(run / "report.html")


def _seeds(budget: Budget | ClipsBudget) -> str:
    return "1 seed" if len(budget.seeds) == 1 else f"{len(budget.seeds)} seeds"


def _what_was_used(on_clips: Mapping[str, Any]) -> str:
    weights = (
        "**Every weight was random before training**: nothing here was pre-trained, and `motion`, which in the paper "
        "begins with two trained streams, has the budget of the others."
    )
    if not on_clips:
        return (
            "**Used: the moving target alone**, a generated set. `--clips DIR` adds real clips, one class a "
            f"sub-folder; `--ucf101 DIR` and `--hmdb51 DIR` run the paper's own sets. {weights}"
        )
    sets = ", ".join(f"{name} ({of['test_videos']} test clips)" for name, of in on_clips.items())
    return (
        f"**Used: the moving target**, a generated set, **and real clips**: {sets}. Neither is a set of the paper, "
        f"which `--ucf101 DIR` and `--hmdb51 DIR` run. {weights}"
    )


def _beside_the_paper(page: Page, models: Mapping[str, Any], on_clips: Mapping[str, Any]) -> None:
    page.heading("In the form of the paper's table")
    rows = _in_columns("moving target", {name: of["accuracy"] for name, of in models.items()})
    for name, of in on_clips.items():
        rows += _in_columns(name, of["accuracy"])
    for official in SETS.values():
        title = official.published.title
        for stream, figures in official.cited.items():
            words = "RGB" if stream == "rgb" else stream
            rows.append([f"*{title}, {words}, cited*", *(f"{figure:.1f} %" for figure in figures), None, None])
        rows.append([f"*{title}, both, cited*", *[None] * len(SINGLE), None, f"{official.cited_together:.1f} %"])
    page.table(
        rows,
        ["set, stream", *(WORDS[name] for name in SINGLE), "motion", "VideoLSTM"],
        f"Test clips correct. *Cited*: Li et al. 2016, {CITED}, on UCF101 (split 1) and HMDB-51, with encoders "
        "trained on the set. **Other sets, other encoders: the rows of one set compare with each other, not with those "
        "of another.** `motion`: attention that follows the flow; VideoLSTM: the two streams together, here `motion` "
        "and `convlstm` on the flow, with weights that validation clips choose.",
    )


def _in_columns(title: str, accuracy: Mapping[str, float]) -> list[list[str | None]]:
    """The accuracies of one set by stream, those of the paper's single models in its order, of `motion`, and fused."""

    def shown(*names: str) -> str | None:
        return next((percent(accuracy[name]) for name in names if name in accuracy), None)

    return [
        [f"{title}, RGB", *(shown(name) for name in SINGLE), None, None],
        [f"{title}, flow", *(shown(f"{name}-flow") for name in SINGLE), None, None],
        [f"{title}, both", *[None] * len(SINGLE), shown(MOTION.name), shown(ENSEMBLE, model_spec.ENSEMBLE)],
    ]


def _real_clips(page: Page, on_clips: Mapping[str, Any], budget: ClipsBudget) -> None:
    page.heading("On real clips")
    few = f", at most {budget.clips} clips a class" if budget.clips else ""
    page.text(
        f"The same models from pixels, `conv4` from random weights, {budget.data.frames} frames a clip, "
        f"{budget.training.epochs} epochs{few}, {_seeds(budget)}, one split with whole recordings on one side. With so "
        "few test clips a difference of some per cent is chance; `onlooker compare DIR --folds 5` tests on all of them."
    )
    for name, of in on_clips.items():
        columns, rows = table(of)
        page.table(
            rows,
            [f"{name}: model", *columns[1:]],
            f"{of['test_videos']} test clips; the majority class is what one and the same answer reaches. Where they "
            f"looked: `clips/{name}/report.html` next to this page.",
        )


def _how_they_learned(page: Page, run: Path, budget: Budget, sets: Sequence[str]) -> None:
    page.heading("How they learned")
    names = [name for of in _PLOTS.values() for name in of]
    _curves(page, "The moving target", {name: run / f"{name}-{budget.clips}-seed{budget.seeds[0]}" for name in names})
    part = f"split-seed{budget.on_clips.seeds[0]}"
    for title in sets:
        with page.details(f"The same on {title}"):
            _curves(page, title, {name: run / "clips" / title / name / part for name in names})


def _curves(page: Page, title: str, runs: Mapping[str, Path]) -> None:
    """Loss and accuracy against the epoch, of the models whose runs are there."""
    for words, names in _PLOTS.items():
        found = {name: read_curves(runs[name]) for name in names}
        for side in ("training", "validation"):
            if lines := {name: curves[side] for name, curves in found.items() if curves is not None}:
                image = to_svg(loss_and_accuracy(lines))
                page.figure(image, f"{title}, {words}: {side} clips, each epoch, one seed.", wide=True)


def _settings(page: Page, budget: Budget, on_clips: bool, command: str) -> None:
    page.heading("Settings")
    page.text(f"`{command}`")
    page.text(f"Budget: {budget.name}. `conv4` encoders, every weight random before training.")
    parts: dict[str, Mapping[str, Any]] = {
        "the moving target": {
            "clips": budget.clips, "seeds": list(budget.seeds), **budget.counts, **data("both").to_dict(),
            **asdict(budget.training),
        }
    }  # fmt: skip
    if on_clips:
        of = budget.on_clips
        parts["real clips"] = {
            "clips a class": of.clips or "all", "seeds": list(of.seeds), **of.data.to_dict(), **asdict(of.training)
        }  # fmt: skip
    for words, values in parts.items():
        with page.details(f"All settings: {words}"):
            # Streams and seeds are each model's own.
            own = {name: value for name, value in values.items() if name not in ("modality", "seed")}
            page.table([[name, str(value)] for name, value in own.items()], ["setting", "value"])


def _accuracies(page: Page, models: Mapping[str, Any], budget: Budget, seeds: str) -> None:
    rows = [
        [
            name,
            f"{percent(of['accuracy'])}" + ("" if of["spread"] is None else f" ± {100 * of['spread']:.1f}"),
            # A cell from before frames were counted has none.
            percent(of["frame_accuracy"]) if "frame_accuracy" in of else None,
            percent(of["pointing"]) if "pointing" in of else None,
            of.get("parameters"),
        ]
        for name, of in models.items()
    ]
    page.table(
        rows,
        ["model", "clips correct", "frames correct", "peak on the digit that moves", "parameters"],
        f"Means over {seeds} ± their spread; {budget.training.epochs} epochs each. A frame is right when its own "
        "answer is; a clip's answer is the mean over its frames. *flow* sees the optical flow alone; "
        f"*motion* sees RGB where the flow points; *fused*: {_fused_words(models)}; *grounded*: what "
        "is attended must also tell the class by itself while the model learns.",
    )
    page.figure(
        to_svg(side_by_side({n.replace("-", "\n"): of["each"] for n, of in models.items()}, 0.1, "chance")),
        "A dot for each seed.",
    )


def _fused_words(models: Mapping[str, Any]) -> str:
    weights = models[ENSEMBLE]["weights"]
    return (
        " and ".join(f"{name} ({weight:.2f})" for name, weight in weights.items()) + ", as validation clips weigh them"
    )


def _where_and_when(page: Page, figures: Mapping[str, Any], budget: Budget, seeds: str) -> None:
    page.heading("Where, from labels only")
    page.table(
        _places(figures["localized"]),
        ["boxes by", "point on the target", "CorLoc", "frame-mAP at .5", "video-mAP at .5", ".5 to .95"],
        f"Means over {seeds}. A box is what of the attended region belongs to the foreground; threshold and foreground "
        "are chosen on validation clips without their boxes, by what blanking a box does to the label's probability. "
        f"The last rows have the classes of {BEST.name}, and boxes without attention, or without a foreground. Where "
        "one thing moves and the camera stands still, the largest thing that moves is as good a guess as any.",
    )
    page.heading("When, from labels only")
    page.table(
        _times(figures["timing"]),
        ["time by", "segment-mAP at .5", ".5 to .95", "overlap with the true time"],
        f"Means over {seeds}; {budget.timing.clips:,} other clips of {FRAMES} frames, in which the digit moves "
        f"{EVENT[0]:.0%} to {EVENT[1]:.0%} of the time. Model {MODEL} weighs frames by what each shows without a "
        "memory; the share of the highest weight from which on a frame belongs to the event is chosen on validation "
        "clips without their times. The other rows have its classes, and the share that is best for them in hindsight.",
    )
    page.heading("What a map shows, and what it does not")
    page.table(
        _explained_rows(figures["explained"]),
        ["map", "peak on the digit that moves", "clips correct", "its part blanked", "a random part blanked"],
        f"Means over {seeds}. Of each frame the tenth that a map gives most weight is blanked, or the same shapes at "
        "a random place. Where the model uses what the map shows, the first costs more. Grad-CAM (Selvaraju et al. "
        "2017) is that of the predicted class.",
    )


def _curve(page: Page, figures: Mapping[str, Any], budget: Budget) -> None:
    columns = [*map(str, sorted((*budget.curve, budget.clips)))]
    page.heading("How many clips it takes")
    page.table(
        [[name, *(percent(of[column]["accuracy"]) for column in columns)] for name, of in figures["curve"].items()],
        ["model", *(f"{int(column):,} clips" for column in columns)],
        "Equally many steps of training, however few clips.",
    )


def _places(localized: Mapping[str, Any]) -> list[list[str]]:
    columns = ("point", "cor_loc", "frame_map_50", "video_map_50", "video_map_50_95")
    rows = [[name, *(percent(of[column]) for column in columns)] for name, of in localized.items()]
    best = localized[BEST.name]["baselines"]
    return rows + [[BASELINES[name], *(percent(of[column]) for column in columns)] for name, of in best.items()]


def _times(timing: Mapping[str, Any]) -> list[list[str]]:
    columns = ("segment_map_50", "segment_map_50_95", "iou")
    rows = [(f"{MODEL}: the weight of each frame", timing), ("the same, in a stream", timing["causal"])]
    rows += [(GUESSES[name], of) for name, of in timing["baselines"].items()]
    return [[name, *(percent(of[column]) for column in columns)] for name, of in rows]


def _explained_rows(explained: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for model, of in explained.items():
        tenth = of["shares"].index(0.1)
        for name, words in (("attention", "attention"), ("grad_cam", "Grad-CAM")):
            at = of[name]
            shares = (at["pointing"], at["whole"][0], at["attended"][tenth], at["random"][tenth])
            rows.append([f"{model}: {words}", *map(percent, shares)])
    return rows


def _looks(run: Path, budget: Budget, sides: Sides) -> Iterator[tuple[str, Any]]:
    """The same test clips through both attentions, and the flow that one of them sees."""
    clips = TargetClips(sides.test, 2, 5)
    seen = {}
    for spec in GROUNDED:
        recognizer = load(run / f"{spec.name}-{budget.clips}-seed{budget.seeds[0]}", device="cpu")
        seen[spec.name] = recognizer.classify(clips.seen_as(modality_of(spec)).frames()).numpy()[:2]
    for i, (image, target) in enumerate(zip(clips.images, clips.batch.targets.tolist(), strict=True)):
        frames, true = torch.from_numpy(image).expand(-1, -1, -1, 3).numpy(), clips.batch.boxes[i, :, 0].numpy()
        for name, (scores, attention) in seen.items():
            assert attention is not None
            drawn = boxes(enlarge(overlay(frames, attention[i])), true, size=(SIZE, SIZE))
            of_clip = scores[i].mean(0)
            said = f"{of_clip.argmax()}, {100 * of_clip.max():.0f} %"
            yield f"{name}\n{target}: said {said}", caption(drawn, [""] * len(drawn))
        moved = to_pixels(clips.flow[i], data("flow").flow_limit)
        yield "the flow\nof these frames", boxes(enlarge(flow_colors(moved)), true, size=(SIZE, SIZE))
