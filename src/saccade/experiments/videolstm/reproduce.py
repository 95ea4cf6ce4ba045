"""`saccade reproduce videolstm`: the ablation on the moving target, cell by cell, and one page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from saccade.config import TrainConfig, write_json
from saccade.data.digits import Sides, split_digits
from saccade.evaluation.report import Page
from saccade.evaluation.results import check_command, with_rows_anew, write_results
from saccade.evaluation.summary import percent
from saccade.experiments.places import BASELINES
from saccade.experiments.videolstm.ablation import (
    BEST,
    ENTRANTS,
    FLOW,
    FUSED,
    GROUNDED,
    MOTION,
    PICTURE,
    TRAINING,
    Entrant,
    answers,
    compete,
    compete_explained,
    compete_fused,
    compete_localized,
    summary,
)
from saccade.experiments.videolstm.target_clips import SIZE, ClipsOf, TargetClips
from saccade.experiments.videolstm.timing import EVENT, FRAMES, GUESSES, MODEL, Timing, compete_timed
from saccade.pictures.curves import side_by_side, to_svg
from saccade.pictures.overlay import boxes, caption, enlarge, overlay
from saccade.pictures.samples import sheet, write_png
from saccade.recognizer import load


@dataclass(frozen=True)
class Budget:
    """What is computed, and with how much.

    Args:
        name: in words, for the page.
        clips: that every model learns from.
        curve: other numbers of clips for the grounded models, in equally many steps.
        seeds: of each.
        counts: `validation` and `test` clips.
        training: epochs and the rest.
        timing: of the clips that the event fills a part of.
    """

    name: str
    clips: int
    curve: tuple[int, ...]
    seeds: tuple[int, ...]
    counts: Mapping[str, int]
    training: TrainConfig
    timing: Timing


# What there is beside the whole of it, and beside its models.
PARTS = ("segments",)
TARGET = "moving-target.json"
BUDGETS = {
    "quick": Budget(
        "quick: minutes, to see that everything runs", 160, (), (0,), {"validation": 50, "test": 100},
        replace(TRAINING, epochs=3),
        Timing(160, {"validation": 50, "test": 100}, replace(TRAINING, epochs=3)),
    ),
    "standard": Budget(
        "standard: some two hours on two cores", 2000, (1000,), (0, 1, 2), {"validation": 300, "test": 1000},
        replace(TRAINING, epochs=12),
        Timing(1000, {"validation": 200, "test": 500}, replace(TRAINING, epochs=10)),
    ),
    "full": Budget(
        "full: a night on two cores", 4000, (250, 500, 1000, 2000), (0, 1, 2, 3, 4),
        {"validation": 1000, "test": 2000}, TRAINING,
        Timing(4000, {"validation": 1000, "test": 2000}, TRAINING),
    ),
}  # fmt: skip


def reproduce(
    run: Path,
    mnist: Path | None = None,
    budget: str = "standard",
    results: Path | None = None,
    only: str | None = None,
) -> Path:
    """Compute what is missing of the ablation, and write `report.html`.

    Args:
        run: the folder of everything; a cell that is there is not computed again, one that was cut off goes on.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        budget: one of `BUDGETS`.
        results: a folder for `moving-target.json` and `segments.json`; None: the figures are in `run` alone.
        only: `segments`: when it moves, without the rest and without a page; or a model's name: its rows, which take
            the place of those that `results` has.

    Returns:
        The report's path; with `only` that of its figures.

    Raises:
        ValueError: an unknown budget or part, a run made with another budget, or rows without results to go into.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    entrants = {who.name: who for who in ENTRANTS}
    if only is not None and only not in (*PARTS, *entrants):
        raise ValueError(f"only is {only!r}, expected one of {', '.join((*PARTS, *entrants))}")
    chosen, sides = BUDGETS[budget], split_digits(mnist)
    flags = {
        "--quick": budget == "quick", "--full": budget == "full", f"--only {only}": only, "--mnist MNIST": mnist
    }  # fmt: skip
    command = " ".join(
        ["saccade reproduce videolstm", *(flag for flag, on in flags.items() if on), "--results results"]
    )
    if only in entrants:
        return _anew(run, chosen, sides, entrants[only], results, command.replace(f"--only {only} ", ""))
    timing = _timing(run, chosen, sides)
    write_json(run / "segments.json", timing)
    if results is not None:
        write_results(
            results / "segments.json",
            "when the digit that moves does so, in a part of the clip: segments learned from labels alone",
            command,
            timing,
            seeds=chosen.seeds,
        )
    if only:
        return run / "segments.json"
    figures = _compute(run, chosen, sides)
    write_json(run / "figures.json", figures)
    if results is not None:
        _write(results / TARGET, command, figures, chosen)
    return _page(run, figures | {"timing": timing}, chosen, sides)


def _write(path: Path, command: str, figures: Mapping[str, Any], budget: Budget) -> None:
    best = figures["localized"][BEST.name]
    write_results(
        path,
        "which of four digits moves: accuracy, and share of frames where the attention's point is in its box",
        command,
        {
            "accuracy": {name: found["accuracy"] for name, found in figures["models"].items()},
            "pointing_game": best["point"],
            "pointing_game_of_cells": figures["models"][BEST.name]["pointing"],
            "video_map_50": best["video_map_50"],
            "clips": budget.clips,
            "epochs": budget.training.epochs,
            **figures,
        },
        seeds=budget.seeds,
    )


def _anew(run: Path, budget: Budget, sides: Sides, who: Entrant, results: Path | None, command: str) -> Path:
    """The rows of one model, among those that `command` made before; with fewer clips it is not trained anew."""
    path = None if results is None else results / TARGET
    if path is None or not path.exists():
        raise ValueError(f"--only {who.name} without the rows of the others; give --results with their {TARGET}")
    stored = check_command(path, command)
    figures = {part: dict(stored["figures"][part]) for part in ("models", "curve", "localized", "explained")}
    for part, rows in _compute(run, replace(budget, curve=()), sides, (who,)).items():
        for name, row in rows.items():
            figures[part][name] = {**figures[part][name], **row} if part == "curve" else row
    write_json(run / "figures.json", figures)
    _write(path, with_rows_anew(stored["command"], who.name), figures, budget)
    return path


def _timing(run: Path, budget: Budget, sides: Sides) -> dict[str, Any]:
    clips_of, how = ClipsOf(sides, FRAMES, EVENT), budget.timing
    found = [compete_timed(run, how.clips, seed, clips_of, how.counts, how.training) for seed in budget.seeds]
    return {
        **_means(found),
        "each": [of["segment_map_50"] for of in found],
        "onsets": [of["onset"] for of in found],
        "clips": how.clips,
        "epochs": how.training.epochs,
        "test_clips": how.counts["test"],
    }


def _compute(run: Path, budget: Budget, sides: Sides, entrants: Sequence[Entrant] = ENTRANTS) -> dict[str, Any]:
    clips_of = ClipsOf(sides)

    def models(who: Entrant, clips: int) -> dict[str, Any]:
        # As many steps, however few clips.
        how = replace(budget.training, epochs=round(budget.training.epochs * budget.clips / clips))
        return summary([compete(run, who, clips, seed, clips_of, budget.counts, how) for seed in budget.seeds])

    found = {who.name: models(who, budget.clips) for who in entrants}
    if PICTURE in entrants and FLOW in entrants:
        fused = [compete_fused(run, budget.clips, seed, clips_of, budget.counts) for seed in budget.seeds]
        found[FUSED] = summary(fused)
    curve = {
        who.name: {str(clips): models(who, clips) for clips in budget.curve} | {str(budget.clips): found[who.name]}
        for who in GROUNDED
        if who in entrants
    }
    asked = [who for who in (MOTION, *GROUNDED) if who in entrants]

    def of_seeds(compute: Callable[..., dict[str, Any]], who: Entrant) -> dict[str, Any]:
        return _means([compute(run, who, budget.clips, seed, clips_of, budget.counts) for seed in budget.seeds])

    return {
        "models": found,
        "curve": curve,
        "localized": {who.name: of_seeds(compete_localized, who) for who in asked},
        "explained": {who.name: of_seeds(compete_explained, who) for who in asked},
    }


def _means(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds of whatever is a number, at any depth; what was chosen is listed."""
    means: dict[str, Any] = {}
    for name, value in found[0].items():
        values = [each[name] for each in found]
        if isinstance(value, Mapping):
            means[name] = values if name == "localization" else _means(values)
        elif isinstance(value, Sequence):
            means[name] = [mean(at) for at in zip(*values, strict=True)]
        else:
            means[name] = mean(values)
    return means


def _page(run: Path, figures: Mapping[str, Any], budget: Budget, sides: Sides) -> Path:
    models = figures["models"]
    seeds = "1 seed" if len(budget.seeds) == 1 else f"{len(budget.seeds)} seeds"
    page = Page("Which digit moves?", f"VideoLSTM's ablation · {budget.clips:,} clips · {seeds}")
    best = models[BEST.name]
    page.figures(
        [
            (percent(best["accuracy"]), "of unseen clips right: attention that follows motion", "chance: 10 %"),
            (percent(models[PICTURE.name]["accuracy"]), "attention that sees the picture alone", "equal budget"),
            (percent(best["pointing"]), "of frames: the map's peak is on the digit that moves",
             f"a map without a peak: {percent(best['uniform'])}"),
        ]
    )  # fmt: skip
    page.text(
        "Four digits stand on a canvas, one of them moves. Its class is the label, and all that a model is told. No "
        "single frame shows which one it is: whoever knows all four digits is right in one clip of four. Test clips "
        "show digits that no training saw. Flow is estimated from the frames (DIS)."
    )
    _accuracies(page, models, budget, seeds)
    if budget.curve:
        _curve(page, figures, budget)
    _where_and_when(page, figures, budget, seeds)
    page.heading("Where it looked")
    picture = run / "attention.png"
    write_png(picture, sheet(_looks(run, budget, sides)))
    page.figure(picture.read_bytes(), "Unseen clips; the box is the true place, which no model was told.", wide=True)
    return page.write(run / "report.html")


def _accuracies(page: Page, models: Mapping[str, Any], budget: Budget, seeds: str) -> None:
    rows = [
        [
            name,
            f"{percent(of['accuracy'])}" + ("" if of["spread"] is None else f" ± {100 * of['spread']:.1f}"),
            percent(of["pointing"]) if "pointing" in of else None,
            of.get("parameters"),
        ]
        for name, of in models.items()
    ]
    page.table(
        rows,
        ["model", "clips right", "peak on the digit that moves", "parameters"],
        f"Means over {seeds} ± their spread; {budget.training.epochs} epochs each. *flow* sees the optical flow alone; "
        f"*motion* sees the picture where the flow says; *fused* adds {PICTURE.name} and {FLOW.name}; *grounded*: what "
        "is attended must also tell the class by itself while the model learns.",
    )
    page.figure(
        to_svg(side_by_side({n.replace("-", "\n"): of["each"] for n, of in models.items()}, 0.1, "chance")),
        "A dot for each seed.",
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
        ["map", "peak on the digit that moves", "clips right", "its part blanked", "a part by lot blanked"],
        f"Means over {seeds}. Of each frame the tenth that a map gives most weight is blanked, or the same shapes in "
        "another place by lot. Where the model goes by what the map shows, the first costs more. Grad-CAM (Selvaraju "
        "et al. 2017) is asked for the class that the model says.",
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


def _looks(run: Path, budget: Budget, sides: Sides) -> list[tuple[str, Any]]:
    """The same test clips through both attentions."""
    clips = TargetClips(sides.test, 2, 5)
    rows = []
    for who in GROUNDED:
        recognizer = load(run / f"{who.name}-{budget.clips}-seed{budget.seeds[0]}", device="cpu")
        samples = clips.seen_as(who.streams)
        scores, attention = answers(recognizer, samples)
        assert attention is not None
        for i in range(len(samples)):
            frames = torch.from_numpy(clips.pictures[i]).expand(-1, -1, -1, 3).numpy()
            seen = boxes(enlarge(overlay(frames, attention[i])), clips.batch.boxes[i, :, 0].numpy(), size=(SIZE, SIZE))
            said = f"{scores[i].argmax()}, {100 * scores[i].max():.0f} %"
            rows.append((f"{who.name}\n{int(clips.batch.targets[i])}: said {said}", caption(seen, [""] * len(seen))))
    return rows
