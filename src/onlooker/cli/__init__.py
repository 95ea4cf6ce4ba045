"""The command line."""

from importlib.metadata import entry_points

import typer

from onlooker.cli import generate, predict, train

_ENTRY_POINTS = "onlooker.commands"

app = typer.Typer(
    help="Video classification that shows what happens, where and when, learned from one label per video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
reproduce = typer.Typer(
    help="Every table and figure of a published system in one report; needs the onlooker-papers package.",
    no_args_is_help=True,
)


@reproduce.callback(invoke_without_command=True)
def _reproduce(context: typer.Context) -> None:
    if not reproduce.registered_groups:
        typer.secho(
            "error: the papers are a separate package that is not installed; clone the repository and run "
            "`pip install ./papers` (`make` does)",
            fg="red",
            err=True,
        )
        raise typer.Exit(1)


app.add_typer(train.group)
app.add_typer(predict.group)
app.add_typer(reproduce, name="reproduce")
app.add_typer(generate.group, name="generate")

for _entry_point in entry_points(group=_ENTRY_POINTS):
    _entry_point.load()(reproduce, generate.group)


def main() -> None:
    """The `onlooker` command."""
    app()
