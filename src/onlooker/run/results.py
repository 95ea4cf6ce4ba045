"""The files of `onlooker predict`: for each clip boxes, times and a drawn clip (`--out`), and a
line of a file (`--json`), which is continued after a kill.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from filelock import lock_descriptor

from onlooker.base.decision import Decision
from onlooker.base.files import (
    atomic_file,
    check_regular,
    check_writable,
    explain_write_errors,
    read_csv,
    read_json,
    write_csv,
    write_json,
)
from onlooker.base.intervals import as_cut, file_of, resolved
from onlooker.base.records import NO_PICTURE, ClipError, Prediction
from onlooker.base.text import short_name
from onlooker.data.split import fingerprint
from onlooker.formats.annotations import of_prediction
from onlooker.formats.labels import Writer
from onlooker.report.overlay import write_drawn
from onlooker.storage import path_or_address

BUDGETS = "budget.csv"
_BUDGET_KEYS = ("seconds", "share", "bouts", "median", "latency")  # of `TimeBudget`
_ROWS = 4096  # of an array that become text together
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ResultsFile:
    """Results of clips, one JSON object per line, written one by one, so that an interrupted
    command continues.

    Half a line at the end, which a kill leaves, is removed. A result counts for a clip of its path
    and content.

    Args:
        model: a hexadecimal digest of the model and all that changes its results; each line starts
            with it.
        clips: results of clips whose files have changed since the prediction are removed.

    Raises:
        ValueError: a line is not a result of this model, or another command writes to the file.
        DiskFullError, NotWritableError: the file cannot be written.
    """

    def __init__(self, path: Path, model: str, clips: Iterable[Path] = ()) -> None:
        self._path = path
        self._model = model[:16]
        self._fingerprints = dict[str, str]()  # by path
        with explain_write_errors("this file", path.parent, path=path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                check_regular(path)
            self._file = path.open("a+b")
        try:
            self._lock()
            self._read()
            self._remove_replaced(clips)
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        if not lock_descriptor(self._file.fileno(), blocking=False):
            raise ValueError(
                f"{self._path}: another command writes to it; wait until it ends, or choose another file"
            )

    def _read(self) -> None:
        begin = f'{{"model": "{self._model}", '.encode()
        end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            try:
                if not line.startswith(begin[: len(line)]):
                    raise ValueError
                if line.endswith(b"\n"):
                    result = json.loads(line)
                    self._fingerprints[result["path"]] = result.get("fingerprint", "")
                    end += len(line)
            except (ValueError, KeyError):
                problem = f"line {number} is not a result of this model with this threshold"
                raise ValueError(
                    f"{self._path}: {problem}; choose another file, or remove this one"
                ) from None
        self._file.truncate(end)

    def _remove_replaced(self, clips: Iterable[Path]) -> None:
        """Remove the results of clips whose files have changed; the result of a clip that does not
        exist any more stays.
        """
        replaced = set[str]()
        for clip in clips:
            name = path_or_address(clip)
            with suppress(ClipError):
                if name in self._fingerprints and self._fingerprints[name] != fingerprint(clip):
                    replaced.add(name)
                    del self._fingerprints[name]
        if replaced:
            self._file.seek(0)
            lines = (line for line in self._file if json.loads(line)["path"] not in replaced)
            with explain_write_errors("this file", self._path.parent, path=self._path):
                with atomic_file(self._path) as whole:
                    whole.writelines(lines)
                self._file.close()
                self._file = self._path.open("a+b")
            self._lock()  # of the new file, which another command may have locked before

    def __contains__(self, clip: Path) -> bool:
        return path_or_address(clip) in self._fingerprints

    def add(self, clip: Path, values: Mapping[str, Any]) -> None:
        """Write the result of a clip, part by part: a recording of hours takes hundreds of
        megabytes. If that fails, an error is raised, and the results before it stay.

        Args:
            values: what JSON can hold, and arrays.
        """
        name = path_or_address(clip)
        content = fingerprint(clip)
        line = {"model": self._model, "path": name, "fingerprint": content, **values}
        with explain_write_errors("this file", self._path.parent, path=self._path):
            for text in _line_parts(line):
                self._file.write(text.encode(errors="backslashreplace"))
            self._file.flush()
        self._fingerprints[name] = content

    def close(self) -> None:
        """Close the file, so that another command can write to it."""
        with suppress(OSError):  # a disk that is full has been reported
            self._file.close()


def write_files(
    clip: Path, drawn: Path, prediction: Prediction, *, formats: Mapping[str, Writer]
) -> None:
    """Write boxes and times, then the drawn clip: if it exists, the other files do, too.

    Args:
        drawn: the file that the clip is drawn to; boxes and times are written beside it.
        formats: the functions that write times, by the endings of their files.
    """
    values = prediction.to_dict()
    names = ("label", "score", "best", "threshold", "scores", "tubes", "segments")
    boxes = {name: values[name] for name in names}
    write_json(drawn.with_name(f"{drawn.stem}.json"), boxes)
    for ending, write in formats.items():
        write(drawn.with_name(f"{drawn.stem}{ending}"), of_prediction(prediction), None)
    write_drawn(clip, drawn, prediction, replace=True)


def _line_parts(values: Mapping[str, Any]) -> Iterator[str]:
    """A line of JSON, in parts: what `json.dumps` returns for lists in place of arrays."""
    before = "{"
    for name, value in values.items():
        yield f"{before}{json.dumps(name, ensure_ascii=False)}: "
        if isinstance(value, np.ndarray) and len(value):
            for begin in range(0, len(value), _ROWS):
                rows = json.dumps(value[begin : begin + _ROWS].tolist())
                yield ("[" if begin == 0 else ", ") + rows[1:-1]
            yield "]"
        else:
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            yield json.dumps(plain, ensure_ascii=False)
        before = ", "
    yield "}\n"


def attempt(
    function: Callable[Concatenate[Path, Arguments], Result],
    clip: Path,
    *arguments: Arguments.args,
    **settings: Arguments.kwargs,
) -> Result | ClipError:
    """The result of a function for a clip, or its error, so that other clips are not affected."""
    try:
        return function(clip, *arguments, **settings)
    except ClipError as error:
        return error
    except (OSError, ValueError) as error:
        return ClipError(clip, str(error), "the others are not affected")


def drawn_files(clips: Sequence[Path], out: Path, endings: Iterable[str]) -> dict[Path, Path]:
    """The file in a folder that each clip is drawn to, beside files with these endings.

    Raises:
        FileExistsError: a file would be replaced that is not of an earlier prediction.
        DiskFullError, NotWritableError: the folder cannot be written to.
    """
    endings = (".mp4", ".json", *endings)
    drawn = [out / f"{name}.mp4" for name in distinct_names(clips, endings)]
    originals = {resolved(file_of(clip)) for clip in clips}
    for target in drawn:
        is_earlier = _holds_boxes(target.with_suffix(".json"))
        for file in (target.with_name(f"{target.stem}{ending}") for ending in endings):
            if file.exists() and (resolved(file) in originals or not is_earlier):
                raise FileExistsError(
                    f"{file}: exists, and is not of an earlier prediction; choose another --out"
                )
    check_writable(out)
    return dict(zip(clips, drawn, strict=True))


def _holds_boxes(path: Path) -> bool:
    """Whether `write_files` wrote this file."""
    with suppress(OSError, ValueError):
        return {"tubes", "segments"} <= {*read_json(path)}
    return False


def distinct_names(clips: Sequence[Path], endings: Sequence[str] = ("",)) -> list[str]:
    """Names of clips without suffix, for files with these endings; names that are equal, ignoring
    case, are preceded by the folders of their clips.

    If two files still have one name, all are preceded by the numbers of their clips. A name that is
    too long for a file system ends in a digest.

    Raises:
        ValueError: a clip is given twice.
    """
    paths = [as_cut(resolved(clip)) for clip in clips]
    if len(set(paths)) < len(paths):
        raise ValueError(
            f"{next(path for path in paths if paths.count(path) > 1)}: given twice; give each clip once"
        )
    stems = Counter(path.stem.casefold() for path in paths)
    same = {path for path in paths if stems[path.stem.casefold()] > 1}
    root = os.path.commonpath([path.parent for path in same]) if same else ""
    names = [
        "-".join(path.with_suffix("").relative_to(root).parts) if path in same else path.stem
        for path in paths
    ]
    files = [f"{name}{ending}".casefold() for name in names for ending in endings]
    if len({*files}) < len(files):
        names = [f"{number}-{name}" for number, name in enumerate(names)]
    return [short_name(name) for name in names]


def add_budgets(file: Path, decision: Decision, predictions: Sequence[Prediction]) -> None:
    """Write the time budgets of recordings into a CSV file, one row for each: seconds of the
    recording, and those without a picture; and for each state seconds, share, number of bouts, median
    seconds of a bout, and seconds until the first one. Rows of other recordings stay. No file if there are no states.

    Raises:
        FileExistsError: the file is no such table, or one of other classes.
        DiskFullError, NotWritableError: it cannot be written.
    """
    if not decision.states:
        return
    names = [name for name in decision.classes if name != decision.nothing_name]
    of_states = [f"{name} {key}" for name in names for key in _BUDGET_KEYS]
    columns = ["recording", "seconds", f"{NO_PICTURE} seconds", *of_states]
    stored = read_csv(file) if file.exists() else []
    if stored and [*stored[0]] != columns:
        raise FileExistsError(
            f"{file}: exists, and is no table of these time budgets; choose another folder"
        )
    rows: dict[str, list[Any]] = {row["recording"]: [*row.values()] for row in stored}
    for prediction in predictions:
        name = path_or_address(prediction.path)
        budgets = {budget.label: budget for budget in prediction.budget()}
        values = (getattr(budgets[label], key) for label in names for key in _BUDGET_KEYS)
        cells = ["" if value is None else round(value, 4) for value in values]
        unseen = sum(end - start for start, end in prediction.pauses)
        rows[name] = [name, round(prediction.seconds, 3), round(unseen, 3), *cells]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_csv(file, [columns, *rows.values()])
