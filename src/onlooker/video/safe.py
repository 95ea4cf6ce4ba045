"""Untrusted files are decoded by a worker process with limits of memory and time; this is the side of the caller.

If a worker is killed or exceeds a limit, the clip that it was decoding fails with an error, and the next clip gets
another worker. Workers (`worker.py`) answer in JSON and raw pixels, never in pickles: a malicious file that takes over
a worker can make it return wrong values, but cannot run code in this process.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.files import DiskFullError, NotWritableError
from onlooker.structures import ClipError, Frames
from onlooker.video.container import REENCODE
from onlooker.video.sampling import Sampling

__all__ = ["VARIABLE"]

VARIABLE = "ONLOOKER_SAFE"  # 1: every video of this process, and of those that it starts, is decoded by workers
MEMORY = 2 << 30  # bytes that a worker may reserve for a clip (Linux), and that an answer may have
SECONDS, SECONDS_PER_MB = 60.0, 10.0  # time limit of an answer: for any clip, and in addition per MB
SECONDS_TO_START = 60.0
_LIMITS = f"at most {MEMORY >> 30} GiB, and {SECONDS:g} s and {SECONDS_PER_MB:g} s per MB, are allowed"
REMEDY = f"{_LIMITS}; remove it, or read it without --safe if you trust it"

# Errors that a worker passes on, with their arguments.
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ClipError, IndexError, ValueError, DiskFullError, NotWritableError)
}

Answer = tuple[dict[str, Any], NDArray[Any]]

_idle: list["_Worker"] = []


def is_safe() -> bool:
    """Whether videos are decoded by workers unless a reader is given another choice."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


class GuardedVideo:
    """A video that a worker reads; see `VideoReader`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """As in `VideoReader`."""
        return self._ask("fact", name="times")[1]

    @cached_property
    def size(self) -> tuple[int, int]:
        """As in `VideoReader`."""
        H, W = self._ask("fact", name="size")[1].tolist()
        return H, W

    @property
    def estimated_length(self) -> int:
        """As in `VideoReader`."""
        return int(self._ask("fact", name="estimated_length")[1].item())

    def get(self, sampling: Sampling, size: int | None, shorter_side: int | None) -> Frames:
        """As in `VideoReader`."""
        for _ in range(3):
            total = len(self.times)
            asked = {"indices": sampling(total).tolist(), "size": size, "shorter_side": shorter_side}
            values, array = self._ask("get", total=total, **asked)
            if "recounted" not in values:
                indices = np.array(asked["indices"], np.int64)
                self.size = values["size"][0], values["size"][1]
                return Frames(array, self.times[indices], indices)
            self.times = array
        raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)

    def __iter__(self) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        for values, pixels in answers(self.path, "frames"):
            yield int(values["index"]), float(values["seconds"]), pixels

    def _ask(self, call: str, **arguments: Any) -> Answer:
        (answer,) = answers(self.path, call, **arguments)
        return answer


def answers(path: Path, call: str, **arguments: Any) -> Iterator[Answer]:
    """What a worker answers to one of its calls (`worker.CALLS`) about a video: values, and an array each.

    Raises:
        ClipError, IndexError, ValueError: as the call; a ClipError too if the worker ends or takes too long.
    """
    if (worker := _idle_worker()) is None:
        worker = _Worker()
        worker.receive(path, SECONDS_TO_START)
    whole = False
    seconds = SECONDS + SECONDS_PER_MB * _size(path) / 1e6
    worker.send({"folder": os.getcwd(), "path": str(path), "call": call, **arguments})
    try:
        while True:
            values, array = worker.receive(path, seconds)
            whole = "error" in values or "end" in values
            if error := values.get("error"):
                raise error
            if whole:
                return
            yield values, array
    finally:
        if whole:
            _idle.append(worker)
        else:  # the caller has stopped early: the remaining answers are not needed
            worker.close()


def _idle_worker() -> "_Worker | None":
    with suppress(IndexError):
        while True:
            if (worker := _idle.pop()).is_usable:
                return worker
    return None


def _size(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
    except OSError:
        return 0  # the worker says what is wrong


class _Worker:
    """A process that decodes for this one."""

    def __init__(self) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
        variables = {**os.environ, **one, VARIABLE: "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", "from onlooker.video.worker import serve; serve()"]
        # In a separate session: Ctrl-C is for this process, and the worker ends when its input does.
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=variables, start_new_session=True)
        self._owner, self._late = os.getpid(), False

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and belongs to this process rather than to one that this was forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin
        with suppress(OSError):  # it has ended: `receive` says so
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, path: Path, seconds: float) -> Answer:
        """The next answer, or a ClipError if the worker ends or takes more than `seconds`."""
        assert self._process.stdout
        watchdog = Timer(seconds, self._expire)
        watchdog.start()
        try:
            values = json.loads(self._process.stdout.readline(1 << 20))
            shape, kind = values["shape"], np.dtype(values["dtype"])
            size = int(np.prod(shape, dtype=object)) * kind.itemsize
            if "error" in values:
                values["error"] = ERRORS[values["error"][0]](*values["error"][1:])
            if kind.kind not in "uif" or not 0 <= size <= MEMORY:
                raise ValueError(f"{size} bytes of {kind}")
            return values, np.frombuffer(bytearray(self._process.stdout.read(size)), kind).reshape(shape)
        except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
            self.close()
            ended = f"the decoder ended with status {self._process.returncode}"
            what = f"decoding took more than {seconds:.0f} s" if self._late else ended
            raise ClipError(path, what, REMEDY) from error
        finally:
            watchdog.cancel()

    def _expire(self) -> None:
        self._late = True
        self._process.kill()

    def close(self) -> None:
        if self._owner != os.getpid():
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.kill()
        self._process.wait()


@atexit.register
def close_workers() -> None:
    """End the workers that wait for a clip."""
    while worker := _idle_worker():
        worker.close()
