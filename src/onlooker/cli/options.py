"""Arguments and options that several commands share."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import refuse_unused
from onlooker.config import CLIPS, TRAINING, DataConfig

__all__ = ["NewClips"]

Clips = Annotated[
    Path, typer.Argument(help="A folder with one sub-folder per class, a CSV list (path,label), or a data set (--set).")
]
Folds = Annotated[
    int,
    typer.Option(
        help="Cross-validation with this number of folds, resumable; 0: one split. Recordings are kept whole."
    ),
]
Devices = Annotated[
    int, typer.Option(help="GPUs (or CPU processes) that share each batch; not for linear.", rich_help_panel=TRAINING)
]
NewClips = Annotated[Path, typer.Argument(help="A new folder for the clips.")]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a run: what `onlooker train` wrote.")]


def _set_safe(safe: bool) -> bool:
    from onlooker.video.safe import VARIABLE

    if safe:  # in the environment, for worker processes too
        os.environ[VARIABLE] = "1"
    return safe


_SAFE_HELP = "Decode untrusted files in a separate process with limits of memory and time; slower."
Safe = Annotated[bool, typer.Option("--safe", callback=_set_safe, help=_SAFE_HELP, rich_help_panel=CLIPS)]
_RAY_HELP = "Use all nodes of a Ray cluster that share the clips: HOST:PORT, auto (RAY_ADDRESS), or local (a new one)."
Ray = Annotated[str | None, typer.Option(metavar="ADDRESS", help=_RAY_HELP, rich_help_panel=CLIPS)]


def refuse_unused_flow(context: typer.Context, inputs: Iterable[DataConfig]) -> None:
    """Raise a ValueError if an option is about optical flow, and no model gets any."""
    if all(data.modality == "rgb" for data in inputs):
        refuse_unused(context, {"flow", "flow_length"}, "with --modality rgb")
