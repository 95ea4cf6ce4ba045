"""What a worker process does: it reads videos with limits of memory, and answers on standard output; see `safe.py`."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from onlooker.processes import become_worker
from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader
from onlooker.video.safe import ERRORS, MEMORY, REMEDY, Answer
from onlooker.video.transcode import transcode

_NOTHING = np.zeros(0, np.uint8)


class _RecountedError(Exception):
    """The video turned out to have another number of frames than the indices were chosen for."""


def _get(
    reader: VideoReader, total: int, indices: Sequence[int], size: int | None, shorter_side: int | None
) -> Iterator[Answer]:
    def chosen(now: int) -> NDArray[np.int64]:
        if now != total:
            raise _RecountedError
        return np.array(indices, np.int64)

    try:
        frames = reader.get(chosen, size=size, shorter_side=shorter_side)
        yield {"size": reader.size}, frames.pixels
    except _RecountedError:
        yield {"recounted": True}, reader.times


def _fact(reader: VideoReader, name: str) -> Iterator[Answer]:
    yield {}, np.array(getattr(reader, name))


def _frames(reader: VideoReader) -> Iterator[Answer]:
    for index, seconds, pixels in reader:
        yield {"index": index, "seconds": seconds}, pixels


def _transcode(reader: VideoReader, copy: str | None, still: str | None, max_seconds: float) -> Iterator[Answer]:
    for facts in transcode(reader.path, Path(copy) if copy else None, Path(still) if still else None, max_seconds):
        yield asdict(facts), _NOTHING


CALLS: dict[str, Any] = {"get": _get, "fact": _fact, "frames": _frames, "transcode": _transcode}


def serve() -> None:
    """Answer requests on standard input until it is closed."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else writes between the answers
    become_worker()
    _limit_memory()
    _write(out, {})
    reader: VideoReader | None = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        os.chdir(request.pop("folder"))
        path = Path(request.pop("path"))
        try:
            if reader is None or reader.path != path:
                reader = VideoReader(path, safe=False)
            for values, array in CALLS[request.pop("call")](reader, **request):
                _write(out, values, array)
            _write(out, {"end": True})
        except Exception as error:
            _write(out, {"error": _described(error, path)})


def _described(error: Exception, path: Path) -> list[str]:
    """The name of an error that the caller raises, and its arguments."""
    if isinstance(error, ClipError):
        remedy = REMEDY if isinstance(error.__cause__, MemoryError) else error.remedy
        return ["ClipError", str(error.path), error.found, remedy]
    if name := next((name for name, kind in ERRORS.items() if isinstance(error, kind)), None):
        return [name, str(error)]
    return ["ClipError", str(path), f"cannot be decoded ({error or type(error).__name__})", REMEDY]


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError):  # not on Linux: only the time is limited
        import resource

        reserved = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (reserved + MEMORY,) * 2)


def _write(out: BinaryIO, values: dict[str, Any], array: NDArray[Any] = _NOTHING) -> None:
    array = np.ascontiguousarray(array)
    out.write(json.dumps({**values, "shape": array.shape, "dtype": array.dtype.str}).encode() + b"\n")
    out.write(array.data.cast("B") if array.size else b"")
    out.flush()
