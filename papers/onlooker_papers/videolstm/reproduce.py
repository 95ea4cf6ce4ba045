"""`onlooker reproduce videolstm`: the ablation on the moving target, cell by cell, and one page."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onlooker.experiments.model_spec import ModelSpec
from onlooker.experiments.parallel import default_jobs, run_parallel
from onlooker.files import read_json, write_json
from onlooker_papers.results import WHOLE, About, Key, Row, check_command, command_line, figures_of, means, write_rows
from onlooker_papers.sets import set_path
from onlooker_papers.videolstm.ablation import (
    ENSEMBLE,
    LOCATED,
    MEMBERS,
    SPECS,
    WITH_ATTENTION_LOSS,
    Trial,
    ensemble,
    ensemble_path,
    summary,
)
from onlooker_papers.videolstm.budget import BUDGETS, Budget
from onlooker_papers.videolstm.on_clips import check_sets, compete_on_clips
from onlooker_papers.videolstm.page import write_page
from onlooker_papers.videolstm.target_clips import ClipsOf
from onlooker_papers.videolstm.timing import timed_trial

PARTS = ("segments",)  # parts that --only may select, in addition to models
TARGET, SEGMENTS = "moving-target", "segments"
WHAT = {
    TARGET: "which of four digits moves: accuracy, and share of frames where the attention's peak is in its box",
    SEGMENTS: "when the digit that moves does so, in a part of the clip: segments learned from labels alone",
}
_GIB = 4  # memory of a training, for clips and flow of one seed, and the libraries


def reproduce(
    run: Path,
    mnist: Path | None = None,
    budget: str = "standard",
    results: Path | None = None,
    only: str | None = None,
    clips: Sequence[Path] = (),
    jobs: int | None = 1,
) -> Path:
    """Compute the missing figures of the ablation, and write `report.html`.

    Args:
        run: the folder for everything; existing figures are not computed again, an interrupted training is resumed.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        budget: one of `BUDGETS`.
        results: a folder for `moving-target.json`, `segments.json`, and with clips `videolstm-clips.json`; None: the
            figures are only in `run`.
        only: compute only a part, without a page. `segments`: when the digit moves; or a model's name: its rows, which
            replace those in `results`; for a member of the ensemble, also those of the other member and the ensemble.
        clips: folders of real clips with one sub-folder per class, on each of which the paper's models are compared.
        jobs: trainings in parallel, one thread each; None: as many as cores, memory and GPUs allow. 1: one after the
            other, those of the moving target on all cores.

    Returns:
        The report's path; with `only` that of its figures.

    Raises:
        ValueError: an unknown budget or part, a run made with another budget, results of another command, or two sets
            of clips of one name.
        ClipError: a folder that is not a set of clips.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    specs = {spec.name: spec for spec in SPECS}
    if only is not None and only not in (*PARTS, *specs):
        raise ValueError(f"only is {only!r}, expected one of {', '.join((*PARTS, *specs))}")
    check_sets(clips)
    chosen = BUDGETS[budget]
    output = _Output(run, results, _command(budget, "MNIST" if mnist else None, results=Path("results")), chosen, only)
    for name in (SEGMENTS, TARGET) if only is None else (SEGMENTS if only in PARTS else TARGET,):
        check_command(results, name, output.command)
    jobs = jobs or default_jobs(_GIB)
    if only in specs:
        # The model is not trained again with fewer clips.
        among, alone = MEMBERS if specs[only] in MEMBERS else (specs[only],), replace(chosen, curve=())
        train_ahead(trials(run, alone, mnist, among), jobs)
        output.write(TARGET, _rows(run, alone, mnist, among))
        return run / f"{TARGET}.json"
    timed = [timed_trial(run, chosen.timing, seed, mnist) for seed in chosen.seeds]
    train_ahead([*trials(run, chosen, mnist, () if only else SPECS), *timed], jobs)
    timing = output.write(SEGMENTS, {WHOLE: _timing(timed, chosen)})
    if only:
        return run / f"{SEGMENTS}.json"
    figures = output.write(TARGET, _rows(run, chosen, mnist))
    commands = {folder: _command(budget, None, [set_path(folder)], results=Path("results")) for folder in clips}
    on_clips = compete_on_clips(run / "clips", commands, chosen.on_clips, results, jobs)
    command = _command(budget, mnist, clips, run, results)
    figures = {**figures, "timing": timing, "on_clips": on_clips}
    return write_page(run, figures, chosen, ClipsOf(mnist).digits, command)


def trials(run: Path, budget: Budget, mnist: Path | None, specs: Sequence[ModelSpec] = SPECS) -> list[Trial]:
    """All trainings of these models; models with an attention loss are also trained on the fewer clips of the curve."""
    return [
        Trial(
            run, spec, clips, seed, ClipsOf(mnist), budget.counts, budget.training_on(clips),
            located=clips == budget.clips and spec in LOCATED,
        )
        for seed, clips, spec in itertools.product(budget.seeds, (budget.clips, *budget.curve), specs)
        if clips == budget.clips or spec in WITH_ATTENTION_LOSS
    ]  # fmt: skip


def train_ahead(among: Sequence[Trial], jobs: int) -> None:
    """Compute the missing trials in parallel; with one job, trials are computed when they are needed.

    Raises:
        ValueError: a trial was computed, or begun, with other settings.
    """
    if jobs > 1 and (tasks := {trial.folder.name: trial.compute for trial in among if not trial.done}):
        run_parallel(tasks, jobs)


@dataclass(frozen=True)
class _Output:
    """Writes figures into the run, and into the results files if there is a folder for them."""

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
    folders = {"--mnist": mnist, "--clips": tuple(clips), "--run": run, "--results": results}
    return command_line("videolstm", {f"--{budget}": budget in ("quick", "full"), **folders})


def _timing(timed: Sequence[Trial], budget: Budget) -> Row:
    seeds, how = [trial.train() for trial in timed], budget.timing
    figures = {
        **means(seeds),
        "each": [of["segment_map_50"] for of in seeds],
        "onsets": [of["onset"] for of in seeds],
        "clips": how.clips,
        "epochs": how.training.epochs,
        "test_clips": how.counts["test"],
    }
    return Row.of(figures, *(trial.memo_path() for trial in timed))


def _rows(run: Path, budget: Budget, mnist: Path | None, specs: Sequence[ModelSpec] = SPECS) -> dict[Key, Row]:
    """The rows of these models: means over seeds."""
    by_row: dict[tuple[ModelSpec, int], list[Trial]] = {}
    for trial in trials(run, budget, mnist, specs):
        by_row.setdefault((trial.spec, trial.clips), []).append(trial)

    def row(seeds: Sequence[Trial]) -> Row:
        return Row.of(summary([trial.train() for trial in seeds]), *(trial.memo_path() for trial in seeds))

    rows: dict[Key, Row] = {("models", spec.name): row(by_row[spec, budget.clips]) for spec in specs}
    if {*MEMBERS} <= {*specs}:
        pairs = list(zip(*(by_row[spec, budget.clips] for spec in MEMBERS), strict=True))
        paths = [ensemble_path(pair[0]) for pair in pairs]
        rows["models", ENSEMBLE] = Row.of(summary([ensemble(pair) for pair in pairs]), *paths)
    rows |= {("curve", of.name, str(n)): row(seeds) for (of, n), seeds in by_row.items() if n != budget.clips}
    located = {spec.name: by_row[spec, budget.clips] for spec in LOCATED if spec in specs}
    for part, compute in (("localized", Trial.localized), ("explained", Trial.explained)):
        for name, seeds in located.items():
            figures = means([compute(trial) for trial in seeds])
            rows[part, name] = Row.of(figures, *(trial.memo_path(f"-{part}") for trial in seeds))
    return rows
