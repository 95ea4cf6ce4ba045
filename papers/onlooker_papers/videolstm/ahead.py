"""The trainings of the moving target side by side, before its tables are made from their cells."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.runs.memo import read_memo
from onlooker.runs.parallel import Task, run_parallel
from onlooker_papers.mnist import split_mnist
from onlooker_papers.videolstm import timing
from onlooker_papers.videolstm.ablation import (
    GROUNDED,
    LOCATED,
    ModelSpec,
    compete,
    compete_explained,
    compete_localized,
    settings_of,
)
from onlooker_papers.videolstm.budget import Budget
from onlooker_papers.videolstm.target_clips import ALWAYS, FRAMES, ClipsOf


def train_ahead(
    run: Path, budget: Budget, specs: Sequence[ModelSpec], mnist: Path | None, jobs: int | None, times: bool = False
) -> None:
    """Compute the cells that are not there yet, each in a process of its own; those of what is fused are not trained.

    Args:
        run: the folder of all cells.
        budget: what is computed, and with how much.
        specs: models of the ablation; those that have an attention loss learn from the fewer clips of the curve, too.
        mnist: folder of MNIST's idx files, or None.
        jobs: trainings side by side; None: one for every core. 1: none is computed ahead.
        times: also the model that says when.

    Raises:
        ValueError: a cell that was made, or begun, with other settings.
    """
    if jobs == 1:
        return
    clips_of = ClipsOf(split_mnist(mnist))
    # Seed by seed, for a process keeps the clips of one seed alone.
    tasks: dict[str, Task] = {}
    for seed, clips, spec in itertools.product(budget.seeds, (budget.clips, *budget.curve), specs):
        whole = clips == budget.clips
        if not whole and spec not in GROUNDED:
            continue
        name, how = f"{spec.name}-{clips}-seed{seed}", budget.training_on(clips)
        # All that is there is looked at before anything is trained.
        there = read_memo(run / f"{name}.json", settings_of(spec, clips, seed, clips_of, budget.counts, how))
        more = ("localized", "explained") if whole and spec in LOCATED else ()
        if there is None or not all((run / f"{name}-{part}.json").exists() for part in more):
            tasks[name] = functools.partial(_of_model, run, budget, spec, clips, seed, mnist)
    for seed in budget.seeds if times else ():
        name = f"{timing.MODEL}-{budget.timing.clips}-seed{seed}"
        if not (run / f"{name}-segments.json").exists():
            tasks[name] = functools.partial(_of_times, run, budget, seed, mnist)
    if tasks:
        run_parallel(tasks, jobs)


def _of_model(
    run: Path, budget: Budget, spec: ModelSpec, clips: int, seed: int, mnist: Path | None
) -> Mapping[str, Any]:
    clips_of, counts = _clips_of(mnist, seed, FRAMES, ALWAYS), budget.counts
    found = compete(run, spec, clips, seed, clips_of, counts, budget.training_on(clips), bar=False)
    if clips == budget.clips and spec in LOCATED:
        compete_localized(run, spec, clips, seed, clips_of, counts)
        compete_explained(run, spec, clips, seed, clips_of, counts)
    return found


def _of_times(run: Path, budget: Budget, seed: int, mnist: Path | None) -> Mapping[str, Any]:
    clips_of, how = _clips_of(mnist, seed, timing.FRAMES, timing.EVENT), budget.timing
    return timing.compete_timed(run, how.clips, seed, clips_of, how.counts, how.training, bar=False)


@functools.lru_cache(maxsize=1)
def _clips_of(mnist: Path | None, seed: int, frames: int, event: tuple[float, float]) -> ClipsOf:
    """Made once for all trainings of a seed in this process."""
    return ClipsOf(split_mnist(mnist), frames, event)
