"""The file of `predict --json`: written line by line, and continued after a kill."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from onlooker.base.files import atomic_file, check_regular, explain_write_errors
from onlooker.base.records import ClipError
from onlooker.data.split import fingerprint
from onlooker.storage import path_or_address


class ResultsFile:
    """Results of clips, one JSON object per line, written one by one, so that an interrupted
    command continues.

    Half a line at the end, which a kill leaves, is removed. A result counts for a clip of its path
    and content.

    Args:
        model: a hexadecimal digest of the model and all that changes its results; each line starts
        with it.
        clips: whose results are removed if they are other files now than those that were predicted.

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
        """Remove the results of clips that are others now; of a clip that does not exist any more,
        the result stays.
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
        """Write the result of a clip; an error if it cannot be written, those before it are."""
        name = path_or_address(clip)
        content = fingerprint(clip)
        line = {"model": self._model, "path": name, "fingerprint": content, **values}
        text = json.dumps(line, ensure_ascii=False) + "\n"
        with explain_write_errors("this file", self._path.parent, path=self._path):
            self._file.write(text.encode(errors="backslashreplace"))
            self._file.flush()
        self._fingerprints[name] = content

    def close(self) -> None:
        """Let another command use the file."""
        with suppress(OSError):  # a disk that is full has been reported
            self._file.close()
