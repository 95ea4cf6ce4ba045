"""Clips mapped over the nodes of a Ray cluster; the caller receives the results and writes them.

Actors are used instead of Ray Data, which repeats a batch without end if it kills its workers, and
does not say which clip is to blame if its retries are bounded. Ray's own retries of an actor are
used up before a lost node is replaced.
"""

import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from onlooker.base.intervals import file_of
from onlooker.base.parallel import cores
from onlooker.base.records import ClipError
from onlooker.video.safe import VARIABLE

# holds the weights, is called once in each worker; a function of a clip
Result = TypeVar("Result")
Start = Callable[[], Callable[[Path], Result]]
ATTEMPTS = 3  # at a clip whose workers die
_WORKERS_PER_GPU = 8  # each decodes with one core; a GPU that encodes waits for frames


def map_clips(
    start: Start[Result], clips: Iterable[Path], address: str
) -> Generator[tuple[Path, Result | ClipError]]:
    """Yield each clip and its result, in the order in which clips finish; close the generator to
    end the workers.

    Every worker has one clip at a time, and gets the next one of `clips` when its result has been
    received, so that memory holds at most one result per worker. The output of Ray goes to stderr.

    Args:
        start: makes the function that the workers compute; it is sent to each node once.
        address: `local`: a new cluster on this machine; `auto`: the cluster in RAY_ADDRESS or on
            this machine; `HOST:PORT`.

    Raises:
        RuntimeError: Ray is not installed.
        ConnectionError: no cluster at the address.
    """
    clips = iter(clips)
    deaths = Counter[Path]()
    if not (again := [*islice(clips, 1)]):  # nothing to do, and no reason to connect
        return
    with redirect_stdout(sys.stderr), _connected(address) as ray:
        count, options = _workers(ray.cluster_resources())
        actor = ray.remote(_Worker).options(**options)
        started = (ray.put(start), os.environ.get(VARIABLE, ""))
        idle = [actor.remote(*started) for _ in range(count)]
        running = dict[Any, tuple[Path, Any]]()
        while True:
            while idle and (again or (again := [*islice(clips, 1)])):
                clip = again.pop()
                worker = idle.pop()
                running[worker.run.remote(Path(os.path.abspath(clip)))] = clip, worker
            if not running:
                return
            (ready, *_), _ = ray.wait([*running])
            clip, worker = running.pop(ready)
            try:
                result = ray.get(ready)
            except ray.exceptions.RayActorError as error:
                if "creation task" in str(error):  # each worker would fail alike
                    raise RuntimeError(
                        f"no worker can start: {error}; install onlooker on each node"
                    ) from error
                idle.append(actor.remote(*started))
                deaths[clip] += 1
                if deaths[clip] < ATTEMPTS:
                    again.append(clip)
                    continue
                problem = f"{ATTEMPTS} workers that read it were killed"
                result = ClipError(
                    clip, problem, "check its size and the memory of the nodes, or use --safe"
                )
            else:
                idle.append(worker)
            yield clip, result


class _Worker:
    """The actor that runs on a node."""

    def __init__(self, start: Start[object], safe: str) -> None:
        os.environ[VARIABLE] = safe
        self._work = start()

    def run(self, path: Path) -> object:
        """The result for a clip."""
        if file_of(path).exists():
            return self._work(path)
        place = "each node needs the clips at the same path, as on a shared disk"
        return ClipError(path, f"not found on {socket.gethostname()}", place)


def _workers(total: Mapping[str, float]) -> tuple[int, dict[str, float]]:
    """The number of workers, one per core, or with GPUs as many as keep these busy; and the share
    of the resources that each needs.
    """
    cpus, gpus = (int(total.get(name, 0)) for name in ("CPU", "GPU"))
    count = max(1, min(cpus, gpus * _WORKERS_PER_GPU) if gpus else cpus)
    # rounded down: the shares of a GPU must not add up to more than one
    share = int(1e4 * min(1, gpus / count)) / 1e4
    # half a core each, so that the other nodes can also run the workers of a node that is lost
    return count, {"num_cpus": 0.5, "num_gpus": share}


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected to a cluster; its workers end with the connection."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else it reports over the network
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f'--ray needs {error.name}, which is not installed; pip install "onlooker[cluster]"'
        ) from error
    options: dict[str, Any] = (
        {"include_dashboard": False, "num_cpus": cores()} if address == "local" else {}
    )
    try:
        if address not in ("local", "auto"):  # Ray would wait for minutes where nothing listens
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"{address}: no Ray cluster there ({error}); start one by `ray start --head`, and give "
            "the address it prints"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
