"""`onlooker check`: check clips before training."""

import typer

from onlooker.cli.command import command, stoppable
from onlooker.cli.options import Clips, FrameRate, Safe
from onlooker.config import SetConfig

group = typer.Typer()


def check(
    clips: Clips,
    which: SetConfig,
    frame_rate: FrameRate = None,
    safe: Safe = False,
) -> None:
    """Check clips before training: classes, split, ignored files, near-duplicates, and what can spoil the result.

    A few frames of each clip are read. Each finding states the facts, why they matter and what to do.
    """
    from onlooker.data.sets import read_set
    from onlooker.runs.check import check as check_clips
    from onlooker.runs.check import show

    with stoppable():
        checked = check_clips(read_set(clips, which, classes=1, fills=True), frame_rate=frame_rate)
    show(checked)


command(check, group, "Train and evaluate")
