"""Turn a function into a command: options from settings, errors in one line, a hint after Ctrl-C."""

import dataclasses
import functools
import inspect
import os
import re
import signal
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from onlooker.base.config import CLIPS
from onlooker.base.progress import showing
from onlooker.base.settings import Config
from onlooker.base.text import printable, without_password
from onlooker.storage import address_of, is_address, local, uploading

__all__ = ["command", "refuse_unused"]


def command(
    function: Callable[..., object],
    group: typer.Typer,
    *,
    panel: str | None = None,
    writes: Collection[str] = ("folder", "json", "out", "run"),
    stopped: str = "stopped; run the same command to continue",
) -> Callable[..., None]:
    """Register a command: every `setting` of a config parameter becomes an option, errors become
    one line. Options with a heading are shown by `--help-all`.

    Args:
        function: does the work; its docstring is the help text. If it returns errors, the command
        has failed.
        writes: the parameters that name files or folders to write, which may be at addresses;
            others are read.
        stopped: what is printed after Ctrl-C, SIGTERM or SIGHUP; the exit status is 128 and the
            number of the signal.
    """
    hints = get_type_hints(function, include_extras=True)
    configs: dict[str, Any] = {
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    settings = {
        name: [f for f in dataclasses.fields(config) if f.metadata]
        for name, config in configs.items()
    }
    by_name = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        parameter.replace(annotation=hints[parameter.name], kind=by_name)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in configs
    ]
    parameters += [_option(name, field) for name in configs for field in settings[name]]
    _hide_grouped(parameters)
    parameters.append(_HELP_ALL)

    @functools.wraps(function)
    def run(**given: Any) -> None:
        given.pop(_HELP_ALL.name, None)
        copies: dict[Path, Path] = {}
        words = [
            str(word)
            for value in given.values()
            for word in (value if isinstance(value, list) else [value])
        ]

        def copy_of(value: object) -> object:
            if isinstance(value, list):
                return [copy_of(each) for each in value]
            if isinstance(value, Path) and value not in copies:
                copies[value] = local(value)
            return copies[value] if isinstance(value, Path) else value

        try:
            for name, config in configs.items():
                values = {f.name: given.pop(f"{name}_{f.name}") for f in settings[name]}
                given[name] = config(**values)
            with (
                showing(),
                uploading(
                    given[name] for name in writes if isinstance(given.get(name), Path)
                ) as written,
            ):
                copies.update(written)
                failed = function(**{name: copy_of(value) for name, value in given.items()})
        except (typer.Exit, BrokenPipeError):  # typer ends quietly if a reader has gone
            raise
        except (ValueError, OSError, RuntimeError, KeyboardInterrupt) as error:
            if number := _signal_of(error):
                typer.secho(stopped, fg="yellow", err=True)
                raise typer.Exit(128 + number) from None
            text = _explained(error)
            for path in filter(address_of, copies.values()):
                text = text.replace(str(path), address_of(path) or "")
            for word in words:
                if not is_address(word):  # of files: one with a password is refused
                    text = text.replace(word, without_password(word))
            print_error(text)
            raise typer.Exit(1) from error
        if failed:
            raise typer.Exit(1)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    # Typer keeps the line breaks of a docstring, which are those of the source.
    paragraphs = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(function) or "")
    return group.command(function.__name__, help=paragraphs, rich_help_panel=panel)(run)


def _hide_grouped(parameters: Iterable[inspect.Parameter]) -> None:
    """Leave options under a heading to `--help-all`."""
    for parameter in parameters:
        for option in getattr(parameter.annotation, "__metadata__", ()):
            option.hidden |= bool(option.rich_help_panel)


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        for parameter in context.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        typer.echo(context.get_help())
        raise typer.Exit


_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--help-all",
            help="Show this message with all options.",
            callback=_show_all,
            is_eager=True,
        ),
    ],
)


def _option(config: str, field: dataclasses.Field[Any]) -> inspect.Parameter:
    name = config if field.name == "name" else field.name.replace("_", "-")
    flag = f"--{name}/--no-{name}" if bool in (field.type, *get_args(field.type)) else f"--{name}"
    option = typer.Option(
        flag, help=field.metadata["help"], rich_help_panel=field.metadata["group"]
    )
    annotation: Any = Annotated[field.type, option]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(
        f"{config}_{field.name}", kind, default=field.default, annotation=annotation
    )


def _signal_of(error: BaseException | None) -> int | None:
    """The signal that an error is, or follows from: while a lock is released, Ctrl-C becomes a
    RuntimeError.
    """
    if isinstance(error, KeyboardInterrupt):
        return next(iter(error.args), signal.SIGINT)
    return _signal_of(error.__context__) if error else None


def _explained(error: BaseException) -> str:
    """The message of an error, in one line; of the operating system's, without its number."""
    text = re.sub(r"\s*\n\s*", " ", str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {str(error.strerror).lower()}; check the path, or choose another"
    return printable(text)


def given_options(context: typer.Context) -> set[str]:
    """The settings that the command line contains, by the names of their fields."""
    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    }
    return given | {name.partition("_")[2] for name in given}


def given_settings(context: typer.Context, **groups: Config) -> dict[str, Any]:
    """The settings that the command line contains, with their values.

    Args:
        groups: the configs of the command, by the names of its parameters.
    """
    return {
        field.name: getattr(group, field.name)
        for parameter, group in groups.items()
        for field in dataclasses.fields(group)
        if f"{parameter}_{field.name}" in given_options(context)
    }


def refuse_unused(context: typer.Context, names: Iterable[str], where: str) -> None:
    """Raise a ValueError if the command line contains one of these settings, which have no effect."""
    if unused := sorted(given_options(context) & set(names)):
        flags = " and --".join(name.replace("_", "-") for name in unused)
        verb, pronoun = ("have", "them") if len(unused) > 1 else ("has", "it")
        raise ValueError(f"--{flags} {verb} no effect {where}; leave {pronoun} out")


def print_error(error: object) -> None:
    """Print what went wrong; the command goes on, or ends with a status that is not 0."""
    typer.secho(f"error: {error}", fg="red", err=True)


def warn(items: Iterable[object]) -> None:
    """Print one line per clip that was left out."""
    for item in items:
        typer.secho(printable(f"left out: {item}"), fg="yellow", err=True)


Clips = Annotated[
    Path, typer.Argument(help="A folder with one sub-folder per class, or a CSV list (path,label).")
]
Folds = Annotated[
    int,
    typer.Option(
        help="Cross-validation with this number of folds, resumable; 0: one split. Recordings are kept whole."
    ),
]
RunArgument = Annotated[
    Path, typer.Argument(help="The folder of a run: what `onlooker train` wrote.")
]


def _set_safe(safe: bool) -> bool:
    from onlooker.video.safe import VARIABLE

    if safe:  # in the environment, for worker processes too
        os.environ[VARIABLE] = "1"
    return safe


Safe = Annotated[
    bool,
    typer.Option(
        "--safe",
        callback=_set_safe,
        help="Decode untrusted files in a separate process with limits of memory and time; slower.",
        rich_help_panel=CLIPS,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use all nodes of a Ray cluster that share the clips: HOST:PORT, auto (RAY_ADDRESS), or local (new).",
        rich_help_panel=CLIPS,
    ),
]
