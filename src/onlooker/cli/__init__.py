"""The command line: `onlooker COMMAND`."""

import os
import signal
import sys
from importlib.metadata import entry_points
from io import TextIOWrapper
from typing import Annotated

import typer

from onlooker import __version__
from onlooker.cli import predict, serve, train

_ENDINGS = [signal.SIGTERM]  # of `docker stop`, systemd and `kill`
if sys.platform != "win32":
    _ENDINGS.append(signal.SIGHUP)  # of a terminal that is closed

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
reproduce = typer.Typer(
    help="All tables and figures of a published system in one report.", no_args_is_help=True
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onlooker {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option(
        "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
]


@app.callback()
def _options(version: _Version = False) -> None:
    """Video classification that shows what happens, where and when, learned from one label per
    video.
    """


app.add_typer(train.group)
app.add_typer(predict.group)
app.add_typer(serve.group)
app.add_typer(train.generate, name="generate", rich_help_panel="Models and data")

for _entry_point in entry_points(group="onlooker.commands"):
    _entry_point.load()(reproduce)
if reproduce.registered_groups:
    app.add_typer(reproduce, name="reproduce", rich_help_panel="Published systems")


def _interrupt(number: int, _: object) -> None:
    """End as after Ctrl-C. Further signals of `_ENDINGS` are ignored, because they must not
    interrupt the cleanup; Ctrl-C may.
    """
    for other in _ENDINGS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def main() -> None:
    """The `onlooker` command."""
    # torchrun ends processes that wait for one another, as long as they do not handle it
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        for number in (signal.SIGINT, *_ENDINGS):
            if signal.getsignal(number) != signal.SIG_IGN:  # by `nohup`
                signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # A terminal or file whose encoding lacks a character shows a question mark instead of
        # ending in an error.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except SystemExit as end:
        if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
            # While Python ends, a thread of PyTorch may abort the process, and torchrun would end
            # the first one before it has written the model.
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        raise
