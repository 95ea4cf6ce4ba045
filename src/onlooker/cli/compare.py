"""The commands about several models: a comparison, and models that predict together."""

import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker.cli.command import command, stoppable, warn
from onlooker.cli.options import Clips, Folds, LeaveOneOut, Safe, default_run, refuse_unused_flow
from onlooker.config import DataConfig, SetConfig, SharedConfig, TrainConfig

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
    published: SetConfig,
    seeds: Annotated[int, typer.Option(help="Number of seeds, counting up from --seed.")] = 3,
    folds: Folds = 0,
    leave_one_out: LeaveOneOut = False,
    run: Annotated[Path | None, typer.Option(help="A folder for the runs.", show_default="runs/CLIPS-compared")] = None,
    jobs: Annotated[
        int, typer.Option(help="Trainings in parallel; 0: one per GPU, or as many as cores and memory allow.")
    ] = 0,
    safe: Safe = False,
) -> None:
    """Train several models on the same clips and splits, with several seeds, and print a table of their accuracies.

    The linear baseline, with the same encoder, has a row in every table.
    """
    from onlooker.data.sets import asked_splits, read_set
    from onlooker.experiments.model_spec import parse_specs, with_baseline
    from onlooker.runs.compare import compare as compare_models

    run = run or default_run(clips, "compared")
    specs, members = parse_specs(models.name, data)
    refuse_unused_flow(context, [spec.data_config(data) for spec in specs])
    chosen = range(training.seed, training.seed + seeds)
    clip_set = read_set(clips, published)
    splits = asked_splits(clip_set, published, folds, leave_one_out)
    with stoppable():
        settings = data, training, jobs or None, members, models
        figures = compare_models(clip_set, run, with_baseline(specs), splits, chosen, *settings)
    print_comparison(figures, run)


@_command
def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs of the same split.")],
    run: Annotated[Path, typer.Option(help="A new folder for the ensemble.")],
    clips: Annotated[Path | None, typer.Option(help="The folder of the clips, if they were moved.")] = None,
    safe: Safe = False,
) -> None:
    """Combine runs into an ensemble (late fusion), with weights chosen on the validation clips."""
    from onlooker.runs.ensemble import ensemble as ensemble_runs

    measured = ensemble_runs(runs, run, clips=clips)
    for member, weight, accuracy in zip(runs, measured["weights"], measured["alone"], strict=True):
        typer.echo(f"{member}: weight {weight:.2f}, alone {100 * accuracy:.1f} % of test videos")
    typer.echo(f"together: {100 * measured['accuracy']:.1f} % of {measured['videos']} videos")


def print_comparison(figures: dict[str, Any], run: Path) -> None:
    """The table of a comparison, the clips that it left out, and where its report is."""
    from rich.console import Console
    from rich.table import Table

    from onlooker.runs.compare import table

    columns, rows = table(figures)
    printed = Table(*columns)
    for row in rows:
        printed.add_row(*row)
    Console().print(printed)
    tested = figures["test_videos"]
    if figures["splits"] == 1 and tested < _FEW:
        typer.echo(f"{tested} test clips, of which each is {100 / tested:.0f} points; --folds 5 tests on all clips")
    warn(figures["skipped"])
    typer.echo(f"report: {run / 'report.html'}")
