"""How a function becomes a command: options from settings, errors in one line, Ctrl-C that says how to go on."""

import dataclasses
import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, get_type_hints

import typer

Mnist = Annotated[
    Path | None,
    typer.Option(help="MNIST's four idx files, or torchvision's folder. [default: 5,000 digits that are here]"),
]
NewClips = Annotated[Path, typer.Argument(help="A new folder for the clips.", show_default=False)]
RunArgument = Annotated[Path, typer.Argument(help="A run's folder, made by `onlooker train`.", show_default=False)]


def command(function: Callable[..., None], group: typer.Typer) -> Callable[..., None]:
    """Register a command: config parameters become one option a field, errors become one line."""
    hints = get_type_hints(function, include_extras=True)
    configs: dict[str, Any] = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in configs:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        for field in dataclasses.fields(configs[name]):
            option = typer.Option(
                _flag(name, field), help=field.metadata["help"], rich_help_panel=field.metadata["group"]
            )
            kind = inspect.Parameter.KEYWORD_ONLY
            annotation: Any = Annotated[field.type, option]
            parameters.append(
                inspect.Parameter(f"{name}_{field.name}", kind, default=field.default, annotation=annotation)
            )

    @functools.wraps(function)
    def run(**given: Any) -> None:
        try:
            for name, config in configs.items():
                fields = [field.name for field in dataclasses.fields(config)]
                given[name] = config(**{field: given.pop(f"{name}_{field}") for field in fields})
            function(**given)
        except typer.Exit:
            raise
        except (ValueError, OSError, RuntimeError) as error:
            if os.environ.get("ONLOOKER_TRACEBACK"):
                raise
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(1) from error

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        sorted(parameters, key=lambda p: (p.kind, p.default is not inspect.Parameter.empty))
    )
    return group.command(function.__name__)(run)


def _flag(config: str, field: dataclasses.Field[Any]) -> str:
    name = config if field.name == "name" else field.name.replace("_", "-")
    return f"--{name}/--no-{name}" if field.type is bool else f"--{name}"


def typed(context: typer.Context) -> set[str]:
    """The settings that were given, by the names of their fields."""
    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }
    return given | {name.partition("_")[2] for name in given}


def refuse_idle(context: typer.Context, names: Iterable[str], where: str) -> None:
    """Raise a ValueError where one of these settings was given, all of which change nothing."""
    if idle := sorted(typed(context) & set(names)):
        flags = " and --".join(name.replace("_", "-") for name in idle)
        raise ValueError(f"--{flags} changes nothing {where}; leave it out")


@contextmanager
def stoppable(words: str) -> Iterator[None]:
    """Ctrl-C ends in a line that says how to go on."""
    interrupted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    # Only the main thread may say what a signal does, and only it is interrupted.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, note) if main else None
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # Lightning turns an interrupt into SystemExit; one that hits a lock on its way out leaves a RuntimeError.
        if not interrupted and not isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        typer.secho(f"stopped; {words}", fg="yellow", err=True)
        raise typer.Exit(130) from None
    finally:
        if main:
            signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


def writing(items: Iterable[Any], total: int) -> Iterable[Any]:
    """A progress bar over clips that are being written."""
    from rich.progress import track

    return track(items, "writing clips", total)
