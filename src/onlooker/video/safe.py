"""Untrusted files are decoded by a worker process with limits of memory and time; this is the side
of the caller.

If a worker is killed or exceeds a limit, the clip that it was decoding fails with an error, and the
next clip gets another worker. Workers (`worker.py`) answer in JSON and raw pixels, never in
pickles: a malicious file that takes over a worker can make it return wrong values, but cannot run
code in this process.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from multiprocessing import Pipe
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.base.files import DiskFullError, NotWritableError
from onlooker.base.intervals import file_of
from onlooker.base.records import ClipError
from onlooker.video.container import accessing
from onlooker.video.decode import FrameStore
from onlooker.video.sampling import Timing

# 1: workers decode every video of this process and of its child processes
VARIABLE = "ONLOOKER_SAFE"
# bytes that a worker may reserve for a clip (Linux), and that the pixels of an answer may have
MEMORY = 2 << 30
# time limit of an answer: for any clip, and in addition per MB
SECONDS = 60.0
SECONDS_PER_MB = 10.0
_MAX_TEXT = 64 << 20  # bytes of JSON: the times of a million frames
_LIMITS = (
    f"at most {MEMORY >> 30} GiB, and {SECONDS:g} s and {SECONDS_PER_MB:g} s per MB, are allowed"
)
REMEDY = f"{_LIMITS}; remove it, or read it without --safe if you trust it"


class TooLongError(ValueError):
    """A video that is longer than what is read."""


# Errors that a worker passes on, with their arguments.
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (ClipError, IndexError, TooLongError, ValueError, DiskFullError, NotWritableError)
}

Answer = dict[str, Any]  # values of JSON, and the array "pixels"

_idle: list["_Worker"] = []
os.register_at_fork(after_in_child=_idle.clear)  # they answer the process that has started them


class GuardedVideo:
    """A video that a worker reads, with the methods of `VideoFile`; see `VideoReader`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def timing(self) -> Timing:
        (answer,) = answers(self.path, "times")
        return Timing(
            np.array(answer["times"], np.float64),
            float(answer["seconds"]),
            bool(answer["assumes_rate"]),
        )

    @property
    def assumes_rate(self) -> bool:
        return self.timing.assumes_rate

    def fill(self, store: FrameStore) -> None:
        sizes = {"size": store.size, "shorter_side": store.shorter_side}
        for _ in range(3):
            wanted = store.choose(self.timing)
            total = len(self.timing.times)
            (answer,) = answers(self.path, "get", total=total, indices=wanted, **sizes)
            if answer["total"] == total:
                for index, frame in zip(wanted.tolist(), answer["pixels"], strict=True):
                    store.put(index, frame)
                store.frame_size = tuple(answer["size"])
                return
            del self.timing

    def between(
        self, start: int, after: int | None
    ) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        assert (start, after) == (0, None)
        for answer in answers(self.path, "frames"):
            yield int(answer["index"]), float(answer["seconds"]), answer["pixels"]


def answers(path: Path, call: str, **arguments: Any) -> Iterator[Answer]:
    """The answers of a worker to one of its calls (`worker.CALLS`) about a video.

    Raises:
        ClipError, IndexError, ValueError: as the call; a ClipError too if the worker ends or takes
            too long.
    """
    with accessing(path):
        folder = os.getcwd()  # an error if it was removed
    worker = _idle_worker() or _Worker(path)
    seconds = (
        SECONDS
        + SECONDS_PER_MB
        * (os.path.getsize(file) if os.path.exists(file := file_of(path)) else 0)
        / 1e6
    )
    try:
        with suppress(OSError):  # it has ended: `receive` says so
            worker.connection.send((folder, path, call, arguments))
        while "end" not in (answer := worker.receive(path, seconds)):
            yield answer
    # also where the caller has stopped early: the remaining answers are not needed
    except BaseException:
        worker.close()
        raise
    _idle.append(worker)
    if answer["end"]:
        raise answer["end"]


def _idle_worker() -> "_Worker | None":
    while _idle:
        if (worker := _idle.pop()).process.poll() is None:
            return worker
        worker.close()
    return None


class _Worker:
    """A process that decodes for this one."""

    def __init__(self, path: Path) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
        variables = {
            **os.environ,
            **one,
            VARIABLE: "0",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self.connection, theirs = Pipe()
        command = [
            sys.executable,
            "-c",
            f"from onlooker.video.worker import serve; serve({theirs.fileno()})",
        ]
        # In a separate session: Ctrl-C is for this process, and the worker ends when the connection
        # does.
        self.process = subprocess.Popen(
            command,
            env=variables,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self.receive(path, SECONDS)

    def receive(self, path: Path, seconds: float) -> Answer:
        """The next answer, or a ClipError if the worker ends or takes more than `seconds`."""
        watchdog = Timer(seconds, self.process.kill)
        begin = monotonic()
        watchdog.start()
        try:
            answer: Answer = json.loads(self.connection.recv_bytes(_MAX_TEXT))
            if answer.get("end"):
                kind, *arguments = answer["end"]
                answer["end"] = ERRORS[kind](*arguments)
            if "shape" in answer:
                pixels = bytearray(self.connection.recv_bytes(MEMORY))
                answer["pixels"] = np.frombuffer(pixels, np.uint8).reshape(answer["shape"])
            return answer
        except (
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            EOFError,
            OSError,
            RecursionError,
        ) as error:
            late = monotonic() - begin > seconds
            self.close()
            ended = f"the decoder ended with status {self.process.returncode}"
            raise ClipError(
                path, f"decoding took more than {seconds:.0f} s" if late else ended, REMEDY
            ) from error
        finally:
            watchdog.cancel()

    def close(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


@atexit.register
def close_workers() -> None:
    """End the workers that wait for a clip."""
    while worker := _idle_worker():
        worker.close()
