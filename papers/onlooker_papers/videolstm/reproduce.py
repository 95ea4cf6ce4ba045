"""`onlooker reproduce videolstm`: the ablation on the moving target, cell by cell, and one page."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from onlooker.data.digits import DigitSplit
from onlooker.files import read_json, write_json
from onlooker.runs.parallel import default_jobs
from onlooker_papers.mnist import split_mnist
from onlooker_papers.results import WHOLE, About, Key, Row, check_command, figures_of, write_rows
from onlooker_papers.sets import set_path
from onlooker_papers.videolstm.ablation import (
    ENSEMBLE,
    GROUNDED,
    LOCATED,
    MEMBERS,
    SPECS,
    ModelSpec,
    compete,
    compete_explained,
    compete_localized,
    ensemble,
    summary,
)
from onlooker_papers.videolstm.ahead import train_ahead
from onlooker_papers.videolstm.budget import BUDGETS, Budget
from onlooker_papers.videolstm.on_clips import check_sets, compete_on_clips
from onlooker_papers.videolstm.page import write_page
from onlooker_papers.videolstm.target_clips import ClipsOf
from onlooker_papers.videolstm.timing import EVENT, FRAMES, MODEL, compete_timed

PARTS = ("segments",)  # what --only may also select, in addition to models
TARGET, SEGMENTS = "moving-target", "segments"
WHAT = {
    TARGET: "which of four digits moves: accuracy, and share of frames where the attention's peak is in its box",
    SEGMENTS: "when the digit that moves does so, in a part of the clip: segments learned from labels alone",
}
_GIB = 4  # memory of a training: clips and flow of one seed, and the libraries


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
        run: the folder of everything; figures that are there are not computed again, an interrupted training resumes.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        budget: one of `BUDGETS`.
        results: a folder for `moving-target.json`, `segments.json`, and with clips `videolstm-clips.json`; None: the
            figures are in `run` alone.
        only: `segments`: when the digit moves, without the rest and without a page; or a model's name: its rows, which
            replace those in `results`; for a member of the ensemble also those of the other member and of the ensemble.
        clips: folders of real clips with one sub-folder per class, on each of which the paper's models are compared.
        jobs: trainings in parallel, one thread each; None: as many as cores, memory and GPUs allow. 1: one after the
            other, those of the moving target on all cores.

    Returns:
        The report's path; with `only` that of its figures.

    Raises:
        ValueError: an unknown budget or part, a run made with another budget, results of another command, or two sets
            of clips of one name.
        ClipError: a folder that is no set of clips.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    specs = {spec.name: spec for spec in SPECS}
    if only is not None and only not in (*PARTS, *specs):
        raise ValueError(f"only is {only!r}, expected one of {', '.join((*PARTS, *specs))}")
    check_sets(clips)
    chosen, sides = BUDGETS[budget], split_mnist(mnist)
    output = _Output(run, results, _command(budget, "MNIST" if mnist else None, results=Path("results")), chosen, only)
    for name in (SEGMENTS, TARGET) if only is None else (SEGMENTS if only in PARTS else TARGET,):
        check_command(results, name, output.command)
    jobs = jobs or default_jobs(_GIB)
    ahead = partial(train_ahead, run, mnist=mnist, jobs=jobs)
    if only in specs:
        # With fewer clips it is not trained again.
        among, alone = MEMBERS if specs[only] in MEMBERS else (specs[only],), replace(chosen, curve=())
        ahead(alone, among)
        output.write(TARGET, _rows(run, alone, sides, among))
        return run / f"{TARGET}.json"
    ahead(chosen, () if only else SPECS, times=True)
    timing = output.write(SEGMENTS, {WHOLE: _timing(run, chosen, sides)})
    if only:
        return run / f"{SEGMENTS}.json"
    figures = output.write(TARGET, _rows(run, chosen, sides))
    commands = {folder: _command(budget, None, [set_path(folder)], results=Path("results")) for folder in clips}
    on_clips = compete_on_clips(run / "clips", commands, chosen.on_clips, results, jobs)
    command = _command(budget, mnist, clips, run, results)
    return write_page(run, {**figures, "timing": timing, "on_clips": on_clips}, chosen, sides, command)


@dataclass(frozen=True)
class _Output:
    """Where figures go: into the run, and into the results files if there is a folder for them."""

    run: Path
    results: Path | None
    command: str
    budget: Budget
    only: str | None

    def write(self, name: str, rows: Mapping[Key, Row]) -> dict[str, Any]:
        """The figures of these rows, written to `NAME.json`."""
        shared = {"clips": self.budget.clips, "epochs": self.budget.training.epochs} if name == TARGET else {}
        path = self.run / f"{name}.json"
        known = read_json(path) if self.only and path.exists() else {}
        figures = figures_of(name, {key: row.figures for key, row in rows.items()}, {**known, **shared})
        write_json(path, figures)
        if self.results is not None:
            about = About(WHAT[name], self.command, self.budget.seeds, shared)
            write_rows(self.results, name, about, rows, f"--only {self.only}" if self.only else "")
        return figures


def _command(
    budget: str,
    mnist: Path | str | None,
    clips: Sequence[Path] = (),
    run: Path | None = None,
    results: Path | None = None,
) -> str:
    """The command that makes these figures."""
    words = ["onlooker", "reproduce", "videolstm"]
    words += [f"--{budget}"] if budget in ("quick", "full") else []
    options = [("--mnist", mnist), *(("--clips", folder) for folder in clips)]
    for flag, value in [*options, ("--run", run), ("--results", results)]:
        words += [flag, str(value)] if value is not None else []
    return shlex.join(words)


def _timing(run: Path, budget: Budget, sides: DigitSplit) -> Row:
    clips_of, how = ClipsOf(sides, FRAMES, EVENT), budget.timing
    seeds = [compete_timed(run, how.clips, seed, clips_of, how.counts, how.training) for seed in budget.seeds]
    figures = {
        **_means(seeds),
        "each": [of["segment_map_50"] for of in seeds],
        "onsets": [of["onset"] for of in seeds],
        "clips": how.clips,
        "epochs": how.training.epochs,
        "test_clips": how.counts["test"],
    }
    return Row.of(figures, *(run / f"{MODEL}-{how.clips}-seed{seed}-segments.json" for seed in budget.seeds))


def _rows(run: Path, budget: Budget, sides: DigitSplit, specs: Sequence[ModelSpec] = SPECS) -> dict[Key, Row]:
    """The rows of these models: means over seeds."""
    clips_of = ClipsOf(sides)

    def row(figures: Mapping[str, Any], name: str, clips: int, part: str = "") -> Row:
        return Row.of(figures, *(run / f"{name}-{clips}-seed{seed}{part}.json" for seed in budget.seeds))

    def trained(spec: ModelSpec, clips: int) -> Row:
        how = budget.training_on(clips)
        seeds = [compete(run, spec, clips, seed, clips_of, budget.counts, how) for seed in budget.seeds]
        return row(summary(seeds), spec.name, clips)

    def measured(compute: Callable[..., dict[str, Any]], spec: ModelSpec, part: str) -> Row:
        seeds = [compute(run, spec, budget.clips, seed, clips_of, budget.counts) for seed in budget.seeds]
        return row(_means(seeds), spec.name, budget.clips, part)

    rows: dict[Key, Row] = {("models", spec.name): trained(spec, budget.clips) for spec in specs}
    if {*MEMBERS} <= {*specs}:
        seeds = [ensemble(run, budget.clips, seed, clips_of, budget.counts) for seed in budget.seeds]
        rows["models", ENSEMBLE] = row(summary(seeds), ENSEMBLE, budget.clips)
    for spec in GROUNDED:
        rows |= {("curve", spec.name, str(clips)): trained(spec, clips) for clips in budget.curve if spec in specs}
    located = [spec for spec in LOCATED if spec in specs]
    rows |= {("localized", spec.name): measured(compete_localized, spec, "-localized") for spec in located}
    return rows | {("explained", spec.name): measured(compete_explained, spec, "-explained") for spec in located}


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
