"""`saccade generate …`: the command line of generated sets of clips."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from saccade.cli.command import command
from saccade.cli.reproduce import Mnist

group = typer.Typer(help="Folders of generated clips, to try the other commands on.", no_args_is_help=True)
_command = functools.partial(command, group=group)

NewClips = Annotated[Path, typer.Argument(help="A new folder for the clips.", show_default=False)]


@_command
def figures(
    folder: NewClips,
    clips: Annotated[int, typer.Option(help="Clips of each action.")] = 20,
    people: Annotated[int, typer.Option(help="How many persons perform; no one is on two sides of a split.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
) -> None:
    """Stick figures that wave, jump, walk, kick, …: real video files, with truth.json (boxes, joints, events)."""
    from saccade.data.stick_figures import StickFigures, write_set

    write_set(folder, clips, seed=seed, figures=StickFigures(people=people), progress=_writing)
    typer.echo(f"clips: {folder}; to learn from them: saccade train {folder}")


@_command
def target(
    folder: NewClips,
    clips: Annotated[int, typer.Option(help="Clips of each digit.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    mnist: Mnist = None,
) -> None:
    """Digits of which one moves, and its class is the label: video files, with truth.json (boxes, events)."""
    from saccade.data.digits import load_digits
    from saccade.data.moving_target import MovingTarget, write_set

    write_set(folder, clips, moving=MovingTarget(load_digits(mnist)[0]), seed=seed, progress=_writing)
    typer.echo(f"clips: {folder}; to learn from them: saccade train {folder}")


def _writing(items: Iterable[Any], total: int) -> Iterable[Any]:
    from rich.progress import track

    return track(items, "writing clips", total)
