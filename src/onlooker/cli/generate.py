"""`onlooker generate …`: the command line of generated sets of clips."""

import functools
from typing import Annotated

import typer

from onlooker.cli.command import NewClips, command, writing

group = typer.Typer(help="Folders of generated clips, to try the other commands on.", no_args_is_help=True)
_command = functools.partial(command, group=group)


@_command
def figures(
    folder: NewClips,
    clips: Annotated[int, typer.Option(help="Clips of each action.")] = 20,
    people: Annotated[int, typer.Option(help="How many persons perform; no one is on two sides of a split.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
) -> None:
    """Stick figures that wave, jump, walk, kick, …: real video files, with truth.json (boxes, joints, events)."""
    from onlooker.data.stick_figures import StickFigures, write_set

    write_set(folder, clips, seed=seed, figures=StickFigures(people=people), progress=writing)
    typer.echo(f"clips: {folder}; to learn from them: onlooker train {folder}")
