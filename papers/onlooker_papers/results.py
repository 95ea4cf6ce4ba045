"""Results files, assembled from one small committed file per row.

`results/cells/NAME/` holds the rows of `results/NAME.json`. Its `about.json` says what was
measured, by which command, when and on which machine, lists the rows in order, and has the values
that belong to no row (`shared`). Each other file is one row: `settings` (None where they are
unknown), `origin` (which version or command made it), `figures` and `sources` (a digest of the
programs that measured it, see `sources`). A row that is the mean of several trainings also holds
their `memos`.

`python -m onlooker_papers.results` assembles every file of `results/` again.
"""

import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import quote, unquote

import torch

from onlooker.base.files import read_json, write_json
from onlooker.base.parallel import cores, memory_gb
from onlooker_papers.sources import sources_digest

CELLS = "cells"
ABOUT = "about.json"
WHOLE = ("all",)  # the row of a file that is measured as a whole

Key = tuple[str, ...]  # path of a row's figures in the figures of the file


@dataclass(frozen=True)
class Row:
    """One row of a results file, or one measurement of a file that has no rows.

    Args:
        figures: plain values.
        settings: what the figures depend on; if there are several memos, by their names. None:
        unknown.
        memos: figures of each training, if the figures of the row are means.
    """

    figures: Mapping[str, Any]
    settings: Mapping[str, Any] | None = None
    memos: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, figures: Mapping[str, Any], *memos: Path) -> "Row":
        """A row whose figures come from one memo, or are means over several; see
        `onlooker_papers.memo`.
        """
        unique = len({path.stem for path in memos}) == len(memos)
        stored = {
            path.stem if unique else f"{path.parent.name} {path.stem}": read_json(path)
            for path in memos
        }
        settings = {name: memo["settings"] for name, memo in stored.items()}
        if len(memos) == 1:
            return cls(figures, next(iter(settings.values())))
        return cls(figures, settings, {name: memo["figures"] for name, memo in stored.items()})


def command_line(paper: str, options: Mapping[str, object]) -> str:
    """The command with these options: True is a flag, a sequence repeats its option; None and False
    are left out.
    """
    words = ["onlooker", "reproduce", paper]
    for option, value in options.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is True:
                words.append(option)
            elif one is not None and one is not False:
                words += [option, str(one)]
    return shlex.join(words)


def means(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds of all numbers, at any depth."""
    figures: dict[str, Any] = {}
    for name, value in seeds[0].items():
        values = [each[name] for each in seeds]
        figures[name] = means(values) if isinstance(value, Mapping) else mean(values)
    return figures


@dataclass(frozen=True)
class About:
    """Provenance of a results file.

    Args:
        what: one sentence.
        command: makes all rows.
        seeds: of weights and clips.
        shared: figures that belong to no row.
        packages: packages whose versions matter in addition to that of the library.
    """

    what: str
    command: str
    seeds: Sequence[int] = ()
    shared: Mapping[str, Any] | None = None
    packages: Sequence[str] = ()


def write_rows(
    results: Path,
    name: str,
    *,
    about: About,
    rows: Mapping[Key, Row],
    only: str = "",
    made_by: str | None = None,
) -> Path:
    """Write rows to `results/cells/NAME`, and assemble `results/NAME.json`. Other rows stay as they
    are.

    Args:
        results: the folder of the results files.
        name: of the file, without `.json`.
        about: provenance.
        rows: by their place in the file.
        only: options that select some rows, such as `--only motion`: the provenance of the file
            stays, and these rows have their own date.
        made_by: the command of these rows, in a file whose rows are made by several commands; None:
            `about.command`, which must be the command that made the existing rows.

    Raises:
        ValueError: the existing rows were made by another command.
    """
    if made_by is None:
        check_command(results, name, about.command)
    folder = results / CELLS / name
    known = read_json(folder / ABOUT) if (folder / ABOUT).exists() else {}
    today = datetime.now(UTC).date().isoformat()
    origin = f"{version('onlooker')}, {today}: {' '.join([made_by or about.command, *([only] if only else [])])}"
    sources = sources_digest(results, name)
    for key, row in rows.items():
        cell = {"settings": row.settings, "origin": origin, "figures": row.figures}
        cell |= {"sources": sources} if sources else {}
        write_json(folder / f"{_id(key)}.json", cell | ({"memos": row.memos} if row.memos else {}))
    if not only or not known:
        provenance = {
            "what": about.what,
            "command": about.command,
            "date": today,
            "machine": machine(about.packages),
        }
        others = {*known.get("rows", [])} - {*map(_id, rows)}  # other rows may have other seeds
        known |= {
            **provenance,
            "seeds": sorted(set(about.seeds).union(known["seeds"] if others else ())),
        }
    if about.shared or not known.get("shared"):
        known["shared"] = dict(about.shared or {})
    known.pop("exception", None)  # other rows need a reason again
    known["rows"] = list(dict.fromkeys([*known.get("rows", []), *map(_id, rows)]))
    write_json(folder / ABOUT, known)
    return assemble(results, name)


def check_command(results: Path | None, name: str, command: str) -> None:
    """Raise a ValueError if the rows of a results file were made by another command, because rows
    are not mixed.
    """
    path = Path() if results is None else results / CELLS / name / ABOUT
    if results is None or not path.exists():
        return
    stored = read_json(path)["command"]
    if stored != command:
        raise ValueError(
            f"{results / name}.json was made by {stored!r}, and this is {command!r}; choose another --results"
        )


def read_rows(results: Path, name: str) -> dict[Key, dict[str, Any]]:
    """The rows of a results file as they are stored, in its order; none if there is no such file."""
    folder = results / CELLS / name
    if not (folder / ABOUT).exists():
        return {}
    rows = read_json(folder / ABOUT)["rows"]
    return {tuple(map(unquote, row.split("/"))): read_json(folder / f"{row}.json") for row in rows}


def assembled(results: Path, name: str) -> dict[str, Any]:
    """The content of `results/NAME.json`, made only from its rows."""
    stored = read_rows(results, name)
    about = read_json(results / CELLS / name / ABOUT)
    figures = figures_of(
        name, {key: cell["figures"] for key, cell in stored.items()}, about["shared"]
    )
    origins: dict[str, list[str]] = {}
    for key, cell in stored.items():
        origins.setdefault(cell["origin"], []).append("/".join(key))
    head = {key: about[key] for key in ("what", "command", "date", "machine", "seeds")}
    return {**head, "origin": origins, "figures": figures}


def figures_of(
    name: str, rows: Mapping[Key, Mapping[str, Any]], shared: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of a results file: those of its rows, the shared ones, and those that are derived
    from both.
    """
    figures = dict(shared)
    for key, values in rows.items():
        place = figures
        for part in () if key == WHOLE else key:
            place = place.setdefault(part, {})
        place.update(values)
    return _LAYOUTS[name](figures) if name in _LAYOUTS else figures


def assemble(results: Path, name: str) -> Path:
    """Write `results/NAME.json` from its rows."""
    path = results / f"{name}.json"
    write_json(path, assembled(results, name))
    return path


def write_whole(
    results: Path,
    name: str,
    *,
    what: str,
    command: str,
    figures: Mapping[str, Any],
    seeds: Sequence[int] = (),
    packages: Sequence[str] = (),
) -> Path:
    """Write a results file that one command measures as a whole, such as a benchmark, as its only
    row; see `About`.
    """
    about = About(what, command, seeds, packages=packages)
    return write_rows(results, name, about=about, rows={WHOLE: Row(figures, {})}, made_by=command)


def names(results: Path) -> list[str]:
    """The names of all results files that have rows."""
    return sorted(path.parent.name for path in (results / CELLS).glob(f"*/{ABOUT}"))


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, its vector instructions, cores, memory, versions; nothing that identifies the
    machine.
    """
    versions = {}
    for name in (
        "onlooker",
        "torch",
        "torchvision",
        "av",
        "numpy",
        "opencv-python-headless",
        *packages,
    ):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    processor = {
        "cpu": _cpu(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
    }
    system = {
        "memory_gb": memory_gb(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    return processor | system | {"versions": versions}


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _id(key: Key) -> str:
    return "/".join(quote(part, safe=" +=,") for part in key)


# Figures that are derived from the rows, by the name of the file.


def _digits_paper(figures: dict[str, Any]) -> dict[str, Any]:
    from onlooker_papers.digits.published import with_distances

    return {**figures, "cells": with_distances(figures["cells"])}


def _digits_honest(figures: dict[str, Any]) -> dict[str, Any]:
    from onlooker_papers.digits.held_out import CEILINGS, best

    models = figures.get("models", {})
    chosen = {
        variant: best(rows) for variant, rows in models.items() if not set(rows) <= set(CEILINGS)
    }
    accuracy = {variant: models[variant][model]["accuracy"] for variant, model in chosen.items()}
    return {**accuracy, "chosen": chosen, "models": models}


def _glimpses(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: run["accuracy"] for name, run in figures["runs"].items()},
        "runs": figures["runs"],
    }


def _moving_target(figures: dict[str, Any]) -> dict[str, Any]:
    from onlooker_papers.videolstm.ablation import BEST

    models = figures["models"]
    found: dict[str, Any] = {"accuracy": {name: row["accuracy"] for name, row in models.items()}}
    if best := figures.get("localized", {}).get(BEST.name):
        found |= {
            # the center of the map's highest cell, as in the pointing game (Zhang et al. 2016), and
            # where attention and motion meet
            "pointing_game": models[BEST.name]["pointing"],
            "peak_in_box": best["peak_in_box"],
            "video_map_50": best["video_map_50"],
        }
    return {**found, **{key: value for key, value in figures.items() if key not in found}}


def _where_real(figures: dict[str, Any]) -> dict[str, Any]:
    """The main figures are those of the default command, if it was measured."""
    found = figures.get("default", {}).get("methods", {}).get("boxes", {})
    return {
        **figures,
        **{key: found[key] for key in ("video_map_20", "video_map_50", "peak_in_box") if found},
    }


_LAYOUTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "digits-paper": _digits_paper,
    "digits-honest": _digits_honest,
    "glimpses": _glimpses,
    "moving-target": _moving_target,
    "where-real": _where_real,
}


def main(folder: Path) -> None:
    """Assemble every results file in a folder."""
    for name in names(folder):
        print(assemble(folder, name))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
