"""Turn a function into a command: options from settings, errors in one line, a hint after Ctrl-C."""

import dataclasses
import functools
import inspect
import os
import re
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from onlooker.base.config import CLIPS
from onlooker.base.progress import showing
from onlooker.base.settings import Config, refuse
from onlooker.base.text import printable, without_password
from onlooker.storage import address_of, is_address, local, uploading

__all__ = ["command", "refuse_unused"]

Configs = Mapping[str, type[Config]]  # by the names of parameters


Stopped = Callable[[Mapping[str, Any]], str]


def command(
    function: Callable[..., object],
    group: typer.Typer,
    *,
    panel: str | None = None,
    writes: Collection[str] = ("folder", "json", "out", "run"),
    stopped: str | Stopped = "stopped; run the same command to continue",
    registered: Mapping[str, Callable[[], type[Config]]] | None = None,
) -> Callable[..., None]:
    """Register a command: every `setting` of a config parameter becomes an option, errors become
    one line. Options with a heading are shown by `--help-all`.

    Args:
        function: does the work; its docstring is the help text. If it returns errors, the command
            has failed.
        writes: the parameters that name files or folders to write, which may be at addresses;
            others are read.
        stopped: the line that is printed after Ctrl-C, SIGTERM or SIGHUP, or what makes it of the
            arguments; the exit status is 128 plus the number of the signal.
        registered: by the name of a parameter, what makes a subclass of its config with the options
            that packages have registered. Finding them takes seconds: it is called for `--help-all`,
            and where the command line has an option that the config does not have.
    """
    hints = get_type_hints(function, include_extras=True)
    configs: Configs = {
        name: kind
        for name, kind in hints.items()
        if isinstance(kind, type) and issubclass(kind, Config)
    }

    def callback(configs: Configs) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**values: Any) -> None:
            copies: dict[Path, Path] = {}
            arguments: dict[str, Any] = {}
            line = stopped if isinstance(stopped, str) else functools.partial(stopped, arguments)
            with _errors_in_one_line(values, copies, line):
                arguments.update(_arguments(values, configs))
                with showing(), _local_paths(arguments, writes, copies):
                    failed = function(**arguments)
            if failed:
                raise typer.Exit(1)

        signature = inspect.Signature(_parameters(function, hints, configs))
        run.__signature__ = signature  # type: ignore[attr-defined]
        return run

    # Typer keeps the line breaks of a docstring.
    paragraphs = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(function) or "")

    class WithRegisteredOptions(TyperCommand):
        def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
            if not registered or _has_all_options(self, args):
                return super().parse_args(ctx, args)
            line = stopped if isinstance(stopped, str) else "stopped"
            with _errors_in_one_line({}, {}, line):
                all_configs = {**configs, **{name: find() for name, find in registered.items()}}
            program = typer.Typer(add_completion=False)
            program.command(self.name, help=paragraphs)(callback(all_configs))
            ctx.command = typer.main.get_command(program)
            return ctx.command.parse_args(ctx, args)

    return group.command(
        function.__name__, cls=WithRegisteredOptions, help=paragraphs, rich_help_panel=panel
    )(callback(configs))


def _has_all_options(command: TyperCommand, words: Iterable[str]) -> bool:
    """Whether a command has all options among these words; for `--help-all`, no command has."""
    names = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    names |= {"--", "--help"}
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    return options <= names - {"--help-all"}


def _parameters(
    function: Callable[..., object], hints: Mapping[str, Any], configs: Configs
) -> list[inspect.Parameter]:
    """The parameters of a command: its function's, with the settings in place of configs."""
    parameters = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in configs
    ]
    parameters += [
        _option(name, field) for name, config in configs.items() for field in _settings(config)
    ]
    for parameter in parameters:
        for option in getattr(parameter.annotation, "__metadata__", ()):
            option.hidden |= bool(option.rich_help_panel)  # only `--help-all` shows it
    return [*parameters, _HELP_ALL]


def _settings(config: type[Config]) -> list[dataclasses.Field[Any]]:
    """The fields of a config that are options."""
    return [field for field in dataclasses.fields(config) if field.metadata]


def _arguments(values: Mapping[str, Any], configs: Configs) -> dict[str, Any]:
    """The arguments of the function, from the values of a command's parameters."""
    arguments = {name: value for name, value in values.items() if name != _HELP_ALL.name}
    for name, config in configs.items():
        fields = [field.name for field in _settings(config)]
        arguments[name] = config(**{field: arguments.pop(f"{name}_{field}") for field in fields})
    return arguments


@contextmanager
def _local_paths(
    arguments: dict[str, Any], writes: Collection[str], copies: dict[Path, Path]
) -> Iterator[None]:
    """Replace paths among arguments that are addresses by local copies, which are added to
    `copies`; files that are written to a copy are uploaded.
    """

    def copy_of(value: object) -> object:
        if isinstance(value, list):
            return [copy_of(item) for item in value]
        if isinstance(value, Path) and value not in copies:
            copies[value] = local(value)
        return copies[value] if isinstance(value, Path) else value

    written = [arguments[name] for name in writes if isinstance(arguments.get(name), Path)]
    with uploading(written) as folders:
        copies.update(folders)
        arguments.update({name: copy_of(value) for name, value in arguments.items()})
        yield


@contextmanager
def _errors_in_one_line(
    values: Mapping[str, Any], copies: Mapping[Path, Path], stopped: str | Callable[[], str]
) -> Iterator[None]:
    """End the command with a line in place of an error, without passwords, and with addresses in
    place of their copies; after a signal with the line `stopped`.
    """
    try:
        yield
    except (typer.Exit, BrokenPipeError):  # typer ends quietly if a reader has gone
        raise
    except (ValueError, OSError, RuntimeError, KeyboardInterrupt) as error:
        if number := _signal_of(error):
            line = stopped if isinstance(stopped, str) else stopped()
            typer.secho(line, fg="yellow", err=True)
            raise typer.Exit(128 + number) from None
        text = _explained(error)
        for path in filter(address_of, copies.values()):
            text = text.replace(str(path), address_of(path) or "")
        lists = [value if isinstance(value, list) else [value] for value in values.values()]
        for word in map(str, chain(*lists)):
            if not is_address(word):  # of files: one with a password is refused
                text = text.replace(word, without_password(word))
        print_error(text)
        raise typer.Exit(1) from error


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
    return inspect.Parameter(
        f"{config}_{field.name}",
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=Annotated[field.type, option],
    )


def _signal_of(error: BaseException | None) -> int | None:
    """The signal that has caused an error, also indirectly: while a lock is released, Ctrl-C
    becomes a RuntimeError. None if there is none.
    """
    if isinstance(error, KeyboardInterrupt):
        return next(iter(error.args), signal.SIGINT)
    return _signal_of(error.__context__) if error else None


def _explained(error: BaseException) -> str:
    """The message of an error, in one line; for an error of the operating system, without its
    number.
    """
    text = re.sub(r"\s*\n\s*", " ", str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {str(error.strerror).lower()}; check the path, or choose another"
    return printable(text)


def explicit_options(context: typer.Context) -> set[str]:
    """The settings that the command line contains, by the names of their fields."""
    explicit = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    }
    return explicit | {name.partition("_")[2] for name in explicit}


def explicit_settings(context: typer.Context, **groups: Config) -> dict[str, Any]:
    """The settings that the command line contains, with their values.

    Args:
        groups: the configs of the command, by the names of its parameters.
    """
    return {
        field.name: getattr(group, field.name)
        for parameter, group in groups.items()
        for field in dataclasses.fields(group)
        if f"{parameter}_{field.name}" in explicit_options(context)
    }


def refuse_unused(context: typer.Context, names: Iterable[str], where: str) -> None:
    """Raise a ValueError if the command line contains one of these settings, which have no effect."""
    flags = [f"--{name.replace('_', '-')}" for name in explicit_options(context) & set(names)]
    refuse(flags, dict.fromkeys(flags, where))


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
