"""`python -m onlooker_papers.real_clips`: train and compare on folders of real clips."""

from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import command
from onlooker_papers.real_clips.recipes import RECIPES

app = typer.Typer(add_completion=False)


def real_clips(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(RECIPES)}. Default: all.")
    ] = None,
    *,
    jobs: Annotated[
        int, typer.Option(help="Trainings in parallel; 0: as many as the machine allows.")
    ] = 0,
    run: Annotated[Path, typer.Option(help="Folder of the trainings, resumable.")] = Path(
        "runs/real-clips"
    ),
    results: Annotated[Path | None, typer.Option(help="Folder of the results files.")] = Path(
        "results"
    ),
) -> None:
    """Train and compare models on the folders of real clips in $ONLOOKER_DATA; hours on two cores,
    resumable.
    """
    from onlooker_papers.real_clips.reproduce import reproduce

    for name in sets or RECIPES:
        reproduce(name, run, results=results, jobs=jobs or None)
        typer.echo(f"report: {run / name / 'report.html'}")


command(real_clips, app)

if __name__ == "__main__":
    app()
