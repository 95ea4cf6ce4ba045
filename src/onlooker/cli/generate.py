"""`onlooker generate`: folders of generated clips."""

import functools
import shlex
from typing import Annotated

import typer

from onlooker.cli.command import command
from onlooker.cli.options import NewClips

group = typer.Typer(help="Generate folders of clips to try the other commands on.", no_args_is_help=True)
_command = functools.partial(command, group=group)


@_command
def figures(
    folder: NewClips,
    clips: Annotated[int, typer.Option(help="Clips per action.", min=1)] = 20,
    people: Annotated[int, typer.Option(help="Number of people; each is in one split only.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Stick figures that wave, jump, walk, kick, ...: video files, and truth.json with boxes and events."""
    from rich.progress import track

    from onlooker.data.stick_figures import StickFigures, write_set

    figures = StickFigures(people=people)
    write_set(folder, clips, seed=seed, figures=figures, progress=lambda jobs, n: track(jobs, "writing clips", n))
    typer.echo(f"clips: {folder}; to train on them: {shlex.join(['onlooker', 'train', str(folder)])}")
