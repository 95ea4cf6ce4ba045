"""Decoding in a worker process with limits of memory and time, for untrusted files.

If a worker is killed or exceeds a limit, the clip that it was decoding fails with an error, and the next clip gets
another worker. Workers answer in JSON and raw pixels, never in pickles: a malicious file that takes over a worker can
make it return wrong values, but cannot run code in this process.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from onlooker.files import DiskFullError, NotWritableError
from onlooker.structures import ClipError

if TYPE_CHECKING:
    from onlooker.video.reader import VideoReader

VARIABLE = "ONLOOKER_SAFE"  # 1: every video of this process, and of those that it starts, is decoded by workers
MEMORY = 2 << 30  # bytes that a worker may reserve for a clip (Linux)
SECONDS, SECONDS_PER_MB = 60.0, 10.0  # time limit of an answer: for any clip, and in addition per MB
SECONDS_TO_START = 60.0
_WORKER = "worker"  # the value of the variable in a worker
_ANSWER = MEMORY  # bytes at most
_LIMITS = f"at most {MEMORY >> 30} GiB, and {SECONDS:g} s and {SECONDS_PER_MB:g} s per MB, are allowed"
_REMEDY = f"{_LIMITS}; remove it, or read it without --safe if you trust it"

Answer = tuple[dict[str, Any], NDArray[Any]]

_idle: list["_Worker"] = []


def is_safe() -> bool:
    """Whether videos are decoded by workers unless a reader is given another choice."""
    return os.environ.get(VARIABLE, "0") not in ("", "0", _WORKER)


def is_worker() -> bool:
    """Whether this process is such a worker."""
    return os.environ.get(VARIABLE) == _WORKER


def ask(path: Path, call: str, **arguments: Any) -> Answer:
    """The only answer of a worker; see `answers`."""
    (answer,) = answers(path, call, **arguments)
    return answer


def answers(path: Path, call: str, **arguments: Any) -> Iterator[Answer]:
    """What a method of a `VideoReader` in a worker returns: values, and an array.

    Raises:
        ClipError, IndexError, ValueError: as the method; a ClipError too if the worker ends or takes too long.
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
            if error := values.get("error"):
                whole = True
                raise error
            if values.get("end"):
                whole = True
                return
            yield values, array
    finally:
        if whole:
            _idle.append(worker)
        else:  # the caller has stopped early: the remaining answers are not needed
            worker.close()


_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ClipError, IndexError, ValueError, DiskFullError, NotWritableError)
}


def _idle_worker() -> "_Worker | None":
    with suppress(IndexError):
        while True:
            if (worker := _idle.pop()).is_usable:
                return worker
    return None


def _size(path: Path) -> int:
    try:
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0  # the worker says what is wrong


class _Worker:
    """A process that decodes for this one."""

    def __init__(self) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
        variables = {**os.environ, **one, VARIABLE: _WORKER, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
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
                values["error"] = _ERRORS[values["error"][0]](*values["error"][1:])
            if kind.kind not in "uif" or not 0 <= size <= _ANSWER:
                raise ValueError(f"{size} bytes of {kind}")
            return values, np.frombuffer(bytearray(self._process.stdout.read(size)), kind).reshape(shape)
        except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
            self.close()
            ended = f"the decoder ended with status {self._process.returncode}"
            what = f"decoding took more than {seconds:.0f} s" if self._late else ended
            raise ClipError(path, what, _REMEDY) from error
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
def _close_all() -> None:
    while worker := _idle_worker():
        worker.close()


def serve() -> None:
    """Answer requests on standard input until it is closed: what a worker does."""
    from onlooker.video.reader import VideoReader

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else writes between the answers
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
            for values, array in _CALLS[request.pop("call")](reader, **request):
                _write(out, values, array)
            _write(out, {"end": True})
        except tuple(_ERRORS.values()) as error:
            name = next(name for name, kind in _ERRORS.items() if isinstance(error, kind))
            arguments = [str(error)]
            if isinstance(error, ClipError):
                remedy = _REMEDY if isinstance(error.__cause__, MemoryError) else error.remedy
                arguments = [str(error.path), error.found, remedy]
            _write(out, {"error": [name, *arguments]})
        except Exception as error:
            text = str(error) or type(error).__name__
            _write(out, {"error": ["ClipError", str(path), f"cannot be decoded ({text})", _REMEDY]})


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError):  # not on Linux: only the time is limited
        import resource

        reserved = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (reserved + MEMORY,) * 2)


def _write(out: BinaryIO, values: dict[str, Any], array: NDArray[Any] | None = None) -> None:
    array = np.zeros(0, np.uint8) if array is None else np.ascontiguousarray(array)
    out.write(json.dumps({**values, "shape": array.shape, "dtype": array.dtype.str}).encode() + b"\n")
    out.write(array.data.cast("B") if array.size else b"")
    out.flush()


class _RecountedError(Exception):
    """The video turned out to have another number of frames than the indices were chosen for."""


def _get(
    reader: "VideoReader", total: int, indices: Sequence[int], size: int | None, shorter_side: int | None
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


def _facts(reader: "VideoReader", name: str) -> Iterator[Answer]:
    yield {}, np.array(getattr(reader, name))


def _frames(reader: "VideoReader") -> Iterator[Answer]:
    for index, seconds, pixels in reader:
        yield {"index": index, "seconds": seconds}, pixels


def _transcode(
    reader: "VideoReader", copies: list[dict[str, Any]], still: str | None, max_seconds: float
) -> Iterator[Answer]:
    from onlooker.video.transcode import Copy, transcode

    wanted = [Copy(Path(copy.pop("path")), **copy) for copy in copies]
    for facts in transcode(reader.path, wanted, Path(still) if still else None, max_seconds):
        yield asdict(facts), np.zeros(0, np.uint8)


_CALLS: dict[str, Any] = {"get": _get, "facts": _facts, "frames": _frames, "transcode": _transcode}
