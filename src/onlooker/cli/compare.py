"""`onlooker compare`: several models on the same clips."""

import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker.cli.command import command, given_options, note, stoppable, warn
from onlooker.cli.options import Clips, Folds, Safe, refuse_unused_flow
from onlooker.config import DataConfig, SetConfig, Settings, SharedConfig, TrainConfig

group = typer.Typer()
_command = functools.partial(command, group=group, panel="Train and evaluate")

_FEW = 50  # test clips: one of them is two points


@_command
def compare(
    context: typer.Context,
    clips: Clips,
    models: SharedConfig,
    data: DataConfig,
    training: TrainConfig,
    which: SetConfig,
    seeds: Annotated[int, typer.Option(help="Number of seeds, counting up from --seed.", min=1)] = 3,
    folds: Folds = 0,
    run: Annotated[Path | None, typer.Option(help="A folder for the runs.", show_default="runs/CLIPS-compared")] = None,
    jobs: Annotated[int, typer.Option(help="Trainings in parallel; 0: as many as the machine allows.", min=0)] = 0,
    safe: Safe = False,
) -> None:
    """Train several models on the same clips and splits, with several seeds, and print a table of their accuracies.

    The linear baseline, with the same encoder, has a row in every table.
    """
    from onlooker.data.sets import asked_splits, read_set
    from onlooker.models.registry import for_encoder
    from onlooker.runs.compare import compare as compare_models
    from onlooker.runs.compare import settings_of, with_baseline
    from onlooker.runs.train import default_run

    run = run or default_run(clips, "compared")
    shared = Settings(models, for_encoder(models.encoder, data, given_options(context)), training)
    asked = settings_of(models.name, shared)
    refuse_unused_flow(context, [of.data for of in asked.values()])
    chosen = range(training.seed, training.seed + seeds)
    clip_set = read_set(clips, which, fills=True)
    note(clip_set.remarks)
    splits = asked_splits(clip_set, folds)
    with stoppable():
        figures = compare_models(clip_set, run, with_baseline(asked, shared), splits, chosen, jobs or None)
    print_comparison(figures, run)


def print_comparison(figures: dict[str, Any], run: Path) -> None:
    """The table of a comparison with the majority-class baseline, the clips left out, and where the reports are."""
    from rich.console import Console
    from rich.table import Table

    from onlooker.evaluation.report.summary import comparison_table

    found = comparison_table(figures)
    printed = Table(*found.columns)
    for row in found.texts:
        printed.add_row(*row)
    Console().print(printed)
    typer.echo(found.note)
    tested = figures["test_videos"]
    if figures["splits"] == 1 and tested < _FEW:
        typer.echo(f"{tested} test clips, of which each is {100 / tested:.0f} points; --folds 5 tests on all clips")
    warn(figures["skipped"])
    typer.echo(f"report: {run / 'report.html'}")
