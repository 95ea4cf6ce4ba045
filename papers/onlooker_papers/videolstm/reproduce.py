"""`onlooker reproduce videolstm`: the ablation on the moving target, cell by cell, and one page."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from onlooker.data.digits import Sides, split_digits
from onlooker.evaluation.results import check_command, with_rows_anew, write_results
from onlooker.files import write_json
from onlooker.runs.parallel import default_jobs
from onlooker_papers.sets import set_path
from onlooker_papers.videolstm.ablation import (
    BEST,
    ENTRANTS,
    FUSED,
    GROUNDED,
    LOCATED,
    TOGETHER,
    ModelSpec,
    compete,
    compete_explained,
    compete_fused,
    compete_localized,
    summary,
)
from onlooker_papers.videolstm.ahead import train_ahead
from onlooker_papers.videolstm.budget import BUDGETS, Budget
from onlooker_papers.videolstm.on_clips import check_sets, compete_on_clips
from onlooker_papers.videolstm.page import write_page
from onlooker_papers.videolstm.target_clips import ClipsOf
from onlooker_papers.videolstm.timing import EVENT, FRAMES, compete_timed

# What there is beside the whole of it, and beside its models.
PARTS = ("segments",)
TARGET = "moving-target.json"
_GIB = 4  # of a training: clips and flow of one seed, and the libraries


def reproduce(
    run: Path,
    mnist: Path | None = None,
    budget: str = "standard",
    results: Path | None = None,
    only: str | None = None,
    clips: Sequence[Path] = (),
    jobs: int | None = 1,
) -> Path:
    """Compute what is missing of the ablation, and write `report.html`.

    Args:
        run: the folder of everything; a cell that is there is not computed again, one that was cut off goes on.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        budget: one of `BUDGETS`.
        results: a folder for `moving-target.json`, `segments.json`, and with clips `videolstm-clips.json`; None: the
            figures are in `run` alone.
        only: `segments`: when it moves, without the rest and without a page; or a model's name: its rows, which take
            the place of those that `results` has; for one that is fused, also those of the others and of all together.
        clips: folders of real clips, one class a sub-folder, on each of which the paper's models are compared too.
        jobs: trainings side by side, one thread each; None: as many as cores, memory and GPU allow. 1: one after the
            other, those of the moving target on all cores.

    Returns:
        The report's path; with `only` that of its figures.

    Raises:
        ValueError: an unknown budget or part, a run made with another budget, rows without results to go into, or
            two sets of clips of one name.
        ClipError: a folder that is no set of clips.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    specs = {who.name: who for who in ENTRANTS}
    if only is not None and only not in (*PARTS, *specs):
        raise ValueError(f"only is {only!r}, expected one of {', '.join((*PARTS, *specs))}")
    check_sets(clips)
    chosen, sides = BUDGETS[budget], split_digits(mnist)
    # Rows made anew go among those of the whole.
    command = _command(budget, only if only in PARTS else None, "MNIST" if mnist else None, results=Path("results"))
    jobs = jobs or default_jobs(_GIB)
    ahead = partial(train_ahead, run, mnist=mnist, jobs=jobs)
    if only in specs:
        return _anew(run, chosen, sides, specs[only], results, command, ahead)
    ahead(chosen, () if only else ENTRANTS, times=True)
    timing = _timing(run, chosen, sides)
    _write_timing(run, timing, results, command, chosen)
    if only:
        return run / "segments.json"
    figures = _compute(run, chosen, sides)
    write_json(run / "figures.json", figures)
    if results is not None:
        _write(results / TARGET, command, figures, chosen)
    commands = {folder: _command(budget, None, None, [set_path(folder)], results=Path("results")) for folder in clips}
    on_clips = compete_on_clips(run / "clips", commands, chosen.on_clips, results, jobs)
    command = _command(budget, None, mnist, clips, run, results)
    return write_page(run, {**figures, "timing": timing, "clips": on_clips}, chosen, sides, command)


def _command(
    budget: str,
    only: str | None,
    mnist: Path | str | None,
    clips: Sequence[Path] = (),
    run: Path | None = None,
    results: Path | None = None,
) -> str:
    """The command that makes these figures."""
    words = ["onlooker", "reproduce", "videolstm"]
    words += [f"--{budget}"] if budget in ("quick", "full") else []
    options = [("--only", only), ("--mnist", mnist), *(("--clips", folder) for folder in clips)]
    for flag, value in [*options, ("--run", run), ("--results", results)]:
        words += [flag, str(value)] if value is not None else []
    return shlex.join(words)


def _write(path: Path, command: str, figures: Mapping[str, Any], budget: Budget) -> None:
    best = figures["localized"][BEST.name]
    write_results(
        path,
        "which of four digits moves: accuracy, and share of frames where the attention's peak is in its box",
        command,
        {
            "accuracy": {name: found["accuracy"] for name, found in figures["models"].items()},
            # The peak of the map at the frame's size, as the pointing game has it (Zhang et al. 2016); the middle of
            # its highest cell; and the point that comes with boxes, which lies on what may belong to a thing.
            "pointing_game": best["baselines"]["map"]["point"],
            "pointing_game_of_cells": figures["models"][BEST.name]["pointing"],
            "point_on_foreground": best["point"],
            "video_map_50": best["video_map_50"],
            "clips": budget.clips,
            "epochs": budget.training.epochs,
            **figures,
        },
        seeds=budget.seeds,
    )


def _anew(
    run: Path,
    budget: Budget,
    sides: Sides,
    who: ModelSpec,
    results: Path | None,
    command: str,
    ahead: Callable[[Budget, Sequence[ModelSpec]], None],
) -> Path:
    """The rows of one model, among those that `command` made before; with fewer clips it is not trained anew."""
    path = None if results is None else results / TARGET
    if path is None or not path.exists():
        raise ValueError(f"--only {who.name} without the rows of the others; give --results with their {TARGET}")
    stored = check_command(path, command)
    figures = {part: dict(stored["figures"][part]) for part in ("models", "curve", "localized", "explained")}
    among, alone = TOGETHER if who in TOGETHER else (who,), replace(budget, curve=())
    ahead(alone, among)
    for part, rows in _compute(run, alone, sides, among).items():
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


def _write_timing(run: Path, timing: dict[str, Any], results: Path | None, command: str, budget: Budget) -> None:
    write_json(run / "segments.json", timing)
    if results is not None:
        what = "when the digit that moves does so, in a part of the clip: segments learned from labels alone"
        write_results(results / "segments.json", what, command, timing, seeds=budget.seeds)


def _compute(run: Path, budget: Budget, sides: Sides, specs: Sequence[ModelSpec] = ENTRANTS) -> dict[str, Any]:
    clips_of = ClipsOf(sides)

    def models(who: ModelSpec, clips: int) -> dict[str, Any]:
        how = budget.training_on(clips)
        return summary([compete(run, who, clips, seed, clips_of, budget.counts, how) for seed in budget.seeds])

    found = {who.name: models(who, budget.clips) for who in specs}
    if {*TOGETHER} <= {*specs}:
        fused = [compete_fused(run, budget.clips, seed, clips_of, budget.counts) for seed in budget.seeds]
        found[FUSED] = summary(fused)
    curve = {
        who.name: {str(clips): models(who, clips) for clips in budget.curve} | {str(budget.clips): found[who.name]}
        for who in GROUNDED
        if who in specs
    }
    asked = [who for who in LOCATED if who in specs]

    def of_seeds(compute: Callable[..., dict[str, Any]], who: ModelSpec) -> dict[str, Any]:
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
