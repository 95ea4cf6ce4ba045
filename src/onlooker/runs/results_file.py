"""The file of `predict --json`: each result is written when it is there, so that an interrupted command continues."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from onlooker.files import atomic_file, check_regular, explain_write_errors, short_name
from onlooker.storage import path_or_address

__all__ = ["ResultsFile"]

_DIGITS = 16  # of the model's digest


class ResultsFile:
    """Results of clips, one JSON object per line, flushed one by one; only their places are kept in memory.

    The lines that an interrupted command has written stay; half a line at the end, which a kill leaves, is removed.

    Args:
        path: a `.jsonl` file consists of these lines. In place of any other file, a hidden one next to it has them
            until `finish` writes the file itself, one JSON object.
        model: a hexadecimal digest of the model and all that changes its results; each line starts with it.

    Raises:
        ValueError: a line is not a result of this model, or another command writes to the file.
        DiskFullError, NotWritableError: the file cannot be written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._path, self._model = path, model[:_DIGITS]
        self._is_lines = path.suffix == ".jsonl"
        self._part = path if self._is_lines else path.with_name(f".{short_name(path.name)}.part")
        self._places: dict[str, int] = {}  # the first byte of the line of each clip
        with explain_write_errors("this file", path.parent, path=path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._part.exists():
                check_regular(self._part)
            self._file = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            if not lock_descriptor(self._file.fileno(), blocking=False):
                raise ValueError(f"{path}: another command writes to it; wait until it ends, or choose another file")
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __contains__(self, clip: Path) -> bool:
        return path_or_address(clip) in self._places

    def add(self, clip: Path, values: Mapping[str, Any]) -> None:
        """Write the result of a clip, which has none yet.

        Raises:
            DiskFullError, NotWritableError: it cannot be written; those before it are.
        """
        name = path_or_address(clip)
        text = json.dumps({"model": self._model, "path": name, **values}, ensure_ascii=False)
        line = f"{text}\n".encode(errors="backslashreplace")
        with explain_write_errors("this file", self._path.parent, size=lambda: len(line), path=self._path):
            place = self._file.tell()
            self._file.write(line)
            self._file.flush()
        self._places[name] = place

    def finish(self, clips: Sequence[Path], failed: Sequence[Exception]) -> None:
        """Write the results of those clips that have one, in this order, and the errors of the others.

        Raises:
            DiskFullError, NotWritableError: the file cannot be written; the same command finds the results again.
        """
        if self._is_lines:
            return
        errors = json.dumps([str(error) for error in failed], ensure_ascii=False).encode(errors="backslashreplace")
        size = os.fstat(self._file.fileno()).st_size
        explained = explain_write_errors("this file", self._path.parent, size=lambda: size, path=self._path)
        with explained, atomic_file(self._path) as file:
            file.write(b'{"clips": [')
            for number, place in enumerate(self._places[path_or_address(clip)] for clip in clips if clip in self):
                self._file.seek(place)
                file.write((b",\n" if number else b"\n") + self._file.readline().rstrip())
            file.write(b'\n],\n"failed": ' + errors + b"}\n")
        self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another command use the file."""
        with suppress(OSError):  # a disk that is full has been reported
            self._file.close()

    def _read(self) -> None:
        begin, decoder, end = f'{{"model": "{self._model}", "path": '.encode(), json.JSONDecoder(), 0
        for number, line in enumerate(self._file, 1):
            try:
                if not line.startswith(begin[: len(line)]):
                    raise ValueError
                if line.endswith(b"\n"):
                    clip, _ = decoder.raw_decode(line.decode(), len(begin))  # the rest may be long
                    self._places[clip] = end
                    end += len(line)
            except ValueError:
                problem = f"line {number} is not a result of this model with this threshold"
                raise ValueError(f"{self._part}: {problem}; choose another file, or remove this one") from None
        self._file.truncate(end)
        self._file.seek(end)
