"""Arguments and options that several commands share, and the file that sets options."""

import os
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker.config import CLIPS, DataConfig, ModelConfig, TrainConfig
from onlooker.files import read_bytes
from onlooker.settings import Config, check_type, suggestion
from onlooker.storage import local

Clips = Annotated[Path, typer.Argument(help="A folder with one sub-folder per class, or a CSV list (path,label).")]
Folds = Annotated[
    int,
    typer.Option(
        help="Cross-validation with this number of folds, resumable; 0: one split. Recordings are kept whole."
    ),
]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a run: what `onlooker train` wrote.")]


def _set_safe(safe: bool) -> bool:
    from onlooker.video.safe import VARIABLE

    if safe:  # in the environment, for worker processes too
        os.environ[VARIABLE] = "1"
    return safe


_GROUPS: dict[str, type[Config]] = {"model": ModelConfig, "data": DataConfig, "training": TrainConfig}
_OF_RUN = ("onlooker", "clips", "classes", "split")  # of a run's config.json, which no option sets


def _read_options(context: typer.Context, path: Path | None) -> Path | None:
    """Make the settings of a file the defaults of the options, which win over it."""
    if path is not None:
        try:
            context.default_map = dict(_options_of(_read_yaml(local(path))))
        except (ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
            raise typer.BadParameter(f"{path}: {reason}") from error
    return path


def _options_of(values: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, of_group in values.items():
        if name in _OF_RUN:
            continue
        if name not in _GROUPS:
            owners = [group for group, config in _GROUPS.items() if name in config.__dataclass_fields__]
            remedy = f"write it below {owners[0]}:" if owners else suggestion(name, [*_GROUPS, *_OF_RUN])
            raise ValueError(f"no field {name}; {remedy}")
        check_type(name, of_group, dict)
        _GROUPS[name].from_dict(of_group)  # an error that names the field
        yield from ((f"{name}_{field}", value) for field, value in of_group.items())


def _read_yaml(path: Path) -> dict[str, Any]:
    """The values of a YAML file, or of a JSON file, which is YAML as well."""
    yaml = import_module("yaml")
    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    # In YAML 1.1, 1e-3 without a dot would be text.
    loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"]
    )
    try:
        values = yaml.load(read_bytes(path), loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    check_type("the file", values, dict)
    return dict(values)


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=_read_options,
        is_eager=True,
        help="Settings from a YAML or JSON file, such as the config.json of a run; options win over it.",
    ),
]
_SAFE_HELP = "Decode untrusted files in a separate process with limits of memory and time; slower."
_RATE_HELP = DataConfig.__dataclass_fields__["frame_rate"].metadata["help"]
FrameRate = Annotated[float | None, typer.Option(help=_RATE_HELP)]
Safe = Annotated[bool, typer.Option("--safe", callback=_set_safe, help=_SAFE_HELP, rich_help_panel=CLIPS)]
_RAY_HELP = "Use all nodes of a Ray cluster that share the clips: HOST:PORT, auto (RAY_ADDRESS), or local (a new one)."
Ray = Annotated[str | None, typer.Option(metavar="ADDRESS", help=_RAY_HELP, rich_help_panel=CLIPS)]
