"""What a worker process does: it reads videos with a limit of memory, and answers its parent; see
`safe.py`.
"""

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.base.parallel import become_worker
from onlooker.base.records import ClipError
from onlooker.video.reader import VideoReader
from onlooker.video.safe import ERRORS, MEMORY, REMEDY, Answer
from onlooker.video.transcode import transcode

_reader = lru_cache(1)(VideoReader)  # calls about one video follow each other


def _times(path: Path) -> Iterator[Answer]:
    times, end, assumes_rate = _reader(path).timing
    yield {"times": times.tolist(), "seconds": end, "assumes_rate": assumes_rate}


def _get(
    path: Path,
    total: int,
    indices: NDArray[np.int64],
    *,
    size: int | None,
    shorter_side: int | None,
) -> Iterator[Answer]:
    reader = _reader(path)
    # Indices that were chosen for another number of frames are of no use: the caller will choose
    # again.
    indices = indices if len(reader) == total else indices[:1] * 0
    frames = reader.get(indices, size=size, shorter_side=shorter_side)
    yield {"total": len(reader), "size": reader.size, "pixels": frames.pixels}


def _frames(path: Path) -> Iterator[Answer]:
    for index, seconds, pixels in _reader(path):
        yield {"index": index, "seconds": seconds, "pixels": pixels}


def _transcode(path: Path, **arguments: Any) -> Iterator[Answer]:
    yield from map(asdict, transcode(path, **arguments))


CALLS: dict[str, Callable[..., Iterator[Answer]]] = {
    "times": _times,
    "get": _get,
    "frames": _frames,
    "transcode": _transcode,
}


def serve(number: int) -> None:
    """Answer requests until the connection, a file descriptor, is closed."""
    connection = Connection(number)
    become_worker()
    _limit_memory()
    _send(connection, {})
    with suppress(EOFError):
        while True:
            folder, path, call, arguments = connection.recv()
            os.chdir(folder)
            end = None
            try:
                for answer in CALLS[call](path, **arguments):
                    _send(connection, answer)
            except Exception as error:
                end = _described(error, path)
            _send(connection, {"end": end})


def _described(error: Exception, path: Path) -> list[str]:
    """The name of an error that the caller raises, and its arguments."""
    if isinstance(error, ClipError):
        remedy = REMEDY if isinstance(error.__cause__, MemoryError) else error.remedy
        return ["ClipError", str(error.path), error.found, remedy]
    if name := next((name for name, kind in ERRORS.items() if isinstance(error, kind)), None):
        return [name, str(error)]
    return ["ClipError", str(path), f"cannot be decoded ({error or type(error).__name__})", REMEDY]


def _limit_memory() -> None:
    with suppress(OSError, ValueError):  # not on Linux: only the time is limited
        reserved = (
            int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        )
        resource.setrlimit(resource.RLIMIT_AS, (reserved + MEMORY,) * 2)


def _send(connection: Connection, answer: Answer) -> None:
    if (pixels := answer.pop("pixels", None)) is None:
        connection.send_bytes(json.dumps(answer).encode())
    else:
        connection.send_bytes(json.dumps({**answer, "shape": pixels.shape}).encode())
        connection.send_bytes(np.ascontiguousarray(pixels).data.cast("B"))
