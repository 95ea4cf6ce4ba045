"""The command line."""

import typer

from saccade.cli import answering, generate, reproduce, training

app = typer.Typer(
    help="Video classification that shows what happens, where and when, learned from one label a video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(training.group)
app.add_typer(answering.group)
app.add_typer(reproduce.group, name="reproduce")
app.add_typer(generate.group, name="generate")


def main() -> None:
    """The `saccade` command."""
    app()
