"""The command line: `onlooker COMMAND`."""

import sys
from importlib.metadata import entry_points
from io import TextIOWrapper
from typing import Annotated

import typer

from onlooker import __version__
from onlooker.cli import predict, serve, train

_ENTRY_POINTS = "onlooker.commands"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
reproduce = typer.Typer(help="All tables and figures of a published system in one report.", no_args_is_help=True)
_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onlooker {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
]


@app.callback()
def _options(version: _Version = False) -> None:
    """Video classification that shows what happens, where and when, learned from one label per video."""


def _without_papers() -> None:
    """Needs the package onlooker-papers: all tables and figures of a published system in one report."""
    typer.secho(
        "error: the papers digits, videolstm and hmdb10 are in the package onlooker-papers, which is not installed; "
        "clone the repository and run `pip install ./papers` (`make` does)",
        fg="red",
        err=True,
    )
    raise typer.Exit(1)


app.add_typer(train.group)
app.add_typer(predict.group)
app.add_typer(serve.group)
app.add_typer(train.generate, name="generate", rich_help_panel="Models and data")

for _entry_point in entry_points(group=_ENTRY_POINTS):
    _entry_point.load()(reproduce)
if reproduce.registered_groups:
    app.add_typer(reproduce, name="reproduce", rich_help_panel="Published systems")
else:
    app.command("reproduce", context_settings=_ANYTHING, rich_help_panel="Published systems")(_without_papers)


def main() -> None:
    """The `onlooker` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or file whose encoding lacks a character shows a question mark instead of ending in an error.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
