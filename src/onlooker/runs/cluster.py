"""Clips mapped over the nodes of a Ray cluster; one process, the caller, receives the results and writes them.

Actors are used instead of Ray Data. Ray Data repeats a task without end if its workers die, and repeats finished tasks
if their results were on a lost node. Here a finished clip is never computed again, and a clip whose workers die fails
after `ATTEMPTS` workers.
"""

import logging
import math
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from onlooker.processes import cores
from onlooker.structures import ClipError
from onlooker.video.safe import VARIABLE

__all__ = ["ATTEMPTS", "Start", "map_clips"]

# Holds the weights, and is called once in each worker; returns a function that is called with the absolute path of each
# clip.
Start = Callable[[], Callable[[Path], Any]]

ATTEMPTS = 3  # at a clip whose workers die
_WORKERS_PER_GPU = 8  # each decodes with one core; a GPU that encodes waits for frames
_SECONDS = 10  # to wait for the answer of a cluster


def map_clips(
    start: Start, clips: Iterable[Path], known: Sequence[Path], address: str = "local"
) -> Generator[tuple[Path, Any]]:
    """Yield each clip and its result, in the order in which clips finish; close the generator to end the workers.

    Every worker has one clip at a time, and gets the next one of `clips` when its result has been received, so that
    memory holds at most one result per worker. The output of Ray goes to stderr.

    Args:
        start: makes the function that the workers compute; it is sent to each node once. Errors of this function are
            returned as results.
        clips: the clips, each one once.
        known: all clips, and possibly more, to check that every node has them.
        address: `local`: the cluster in RAY_ADDRESS, else a new one on this machine; `auto`: the one that runs on it;
            `HOST:PORT` or `ray://HOST:PORT`.

    Raises:
        RuntimeError: Ray is not installed, no worker can start on a node, or all of them are lost.
        ConnectionError: no cluster at the address.
        FileNotFoundError: a node does not have the clips.
    """
    clips = iter(clips)
    if (first := next(clips, None)) is None:  # nothing to do, and no reason to connect
        return
    with redirect_stdout(sys.stderr), _connected(address) as ray:
        pool = _Pool(ray, start, known)
        try:
            yield from pool.results(chain([first], clips))
        finally:
            pool.close()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected to a cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else it reports over the network
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RuntimeError(f"--ray needs {error.name}, which is not installed; install onlooker[cluster]") from error
    if ray.is_initialized():  # by the program that calls this one
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS") or "local" if address == "local" else address
    options: dict[str, Any] = {"include_dashboard": False, "num_cpus": cores()} if address == "local" else {}
    try:
        _require_answer(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"{address}: no Ray cluster there ({error}); start one by `ray start --head`, and give the address that it "
            "prints; one with a token needs RAY_AUTH_MODE=token here too"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise an OSError or ValueError if nothing listens at an address, where Ray would wait for minutes."""
    if address not in ("local", "auto"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()


class _Worker:
    """The actor that runs on a node."""

    def start(self, start: Start, environment: dict[str, str], paths: Sequence[str]) -> list[str]:
        """Prepare the work, and return those of `paths` that do not exist on this node."""
        os.environ.update(environment)
        self._work = start()
        return [path for path in paths if not os.path.exists(path)]

    def run(self, path: str) -> Any:
        """The result for a clip; an error is returned as a result."""
        try:
            return self._work(Path(path))
        except Exception as error:
            return error


@dataclass
class _Job:
    """A clip, and how many workers have died while they worked on it."""

    path: Path
    deaths: int = 0


@dataclass(eq=False)
class _Place:
    """Where a worker is, and the options that Ray starts it with."""

    node: str
    options: dict[str, Any]
    worker: Any = None
    started: bool = False


class _Pool:
    """Workers on all nodes, and the clips that they have."""

    def __init__(self, ray: Any, start: Start, known: Sequence[Path]) -> None:
        self._ray, self._idle, self._places = ray, list[_Place](), [*_find_places(ray)]
        if not self._places:
            raise RuntimeError("the cluster has no processor for workers; add nodes by `ray start --address=HOST:PORT`")
        self._running: dict[Any, tuple[_Place, _Job]] = {}
        self._starting: dict[Any, tuple[_Place, _Job | None]] = {}  # with the clip on which the last worker there died
        self._again = deque[_Job]()
        examples: dict[Path, str] = {}  # one clip of each folder
        for path in known:
            if path.parent not in examples and path.exists():
                examples[path.parent] = os.path.abspath(path)
        environment = {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
        self._start = ray.put(start), environment, [*examples.values()]
        for place in self._places:
            self._begin(place)

    def results(self, clips: Iterator[Path]) -> Iterator[tuple[Path, Any]]:
        """Each clip and its result, until there are no more."""
        while True:
            while self._idle and (job := self._next(clips)):
                place = self._idle.pop()
                self._running[place.worker.run.remote(os.path.abspath(job.path))] = place, job
            busy = [job for _, job in (*self._running.values(), *self._starting.values()) if job]
            if self._idle and not busy:
                return
            if not (self._running or self._starting):
                raise RuntimeError("no node of the cluster is left; start it, and run the same command again")
            (ready, *_), _ = self._ray.wait([*self._running, *self._starting])
            yield from self._started(ready) if ready in self._starting else self._finished(ready)

    def close(self) -> None:
        """End all workers."""
        for place in self._places:
            self._ray.kill(place.worker)

    def _next(self, clips: Iterator[Path]) -> _Job | None:
        if self._again:
            return self._again.popleft()
        path = next(clips, None)
        return None if path is None else _Job(path)

    def _begin(self, place: _Place, job: _Job | None = None) -> None:
        """Start a worker; with `job`, in place of one that died while it worked on this clip."""
        if place.worker:
            self._ray.kill(place.worker)  # it may be alive but unreachable
        place.worker = self._ray.remote(_Worker).options(**place.options).remote()
        self._starting[place.worker.start.remote(*self._start)] = place, job

    def _started(self, ready: Any) -> Iterator[tuple[Path, ClipError]]:
        place, job = self._starting.pop(ready)
        try:
            missing = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            if not place.started:
                remedy = "install the same onlooker on each node, or leave the node out"
                raise RuntimeError(
                    f"{place.node}: no worker can start there ({_last_line(error)}); {remedy}"
                ) from error
            if job:  # the node is lost, which is not the fault of the clip
                self._again.append(job)
            return
        if missing:
            folder, name = os.path.split(missing[0])
            raise FileNotFoundError(
                f"{place.node}: this node has no {name} in {folder}; each node needs the clips under the same "
                "path, as on a shared disk"
            )
        place.started = True
        self._idle.append(place)
        if job:
            job.deaths += 1
            if job.deaths < ATTEMPTS:
                self._again.append(job)
            else:
                found = f"{ATTEMPTS} workers that read it were killed, the last on {place.node}"
                yield job.path, ClipError(job.path, found, "check its size and the memory of the nodes, or use --safe")

    def _finished(self, ready: Any) -> Iterator[tuple[Path, Any]]:
        place, job = self._running.pop(ready)
        try:
            result = self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:  # such as a result that cannot be sent
            result = RuntimeError(_last_line(error))
        except self._ray.exceptions.RayError:
            self._begin(place, job)
            return
        self._idle.append(place)
        yield job.path, ClipError(job.path, result.found, result.remedy) if isinstance(result, ClipError) else result


def _find_places(ray: Any) -> Iterator[_Place]:
    """Places of workers: one per core; on a node with GPUs, as many as keep the GPUs busy."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    for node in ray.nodes():
        cpus, gpus = (int(node["Resources"].get(name, 0)) if node["Alive"] else 0 for name in ("CPU", "GPU"))
        count = min(cpus, gpus * _WORKERS_PER_GPU) if gpus else cpus
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        # Rounded down to Ray's precision: the parts of a GPU must not add up to more than one.
        share = min(1.0, math.floor(gpus / count * 1e4) / 1e4) if count else 0
        options = {"num_cpus": 1, "num_gpus": share, "scheduling_strategy": strategy}
        for _ in range(count):
            yield _Place(f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", options)


def _last_line(error: Exception) -> str:
    """Ray's messages end with the error itself."""
    return str(error).strip().splitlines()[-1].strip()
