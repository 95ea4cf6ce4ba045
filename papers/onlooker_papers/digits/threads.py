"""Videos divided among threads in chunks that fit the cache of a CPU."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import torch

from onlooker.data.moving_mnist import CHUNK_BYTES


def chunks(count: int, bytes_each: int, threads: int) -> list[slice]:
    """Divide `count` videos into chunks that fit a CPU's cache, equally many for all threads."""
    turns = math.ceil(count * bytes_each / CHUNK_BYTES / threads)
    size = math.ceil(count / (turns * threads))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def share(work: Callable[..., None], parts: Iterable[tuple[Any, ...]], threads: int) -> None:
    """Call `work` with every part; parts are generated in order, one whenever a thread is free."""
    parts = iter(parts)
    lock = Lock()
    inference = torch.is_inference_mode_enabled()  # of this thread only

    def run() -> None:
        with torch.inference_mode(inference):
            while True:
                with lock:
                    part = next(parts, None)
                if part is None:
                    return
                work(*part)

    if threads == 1:
        run()
        return
    with ThreadPoolExecutor(threads - 1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        others = [pool.submit(run) for _ in range(threads - 1)]
        run()
        for other in others:
            other.result()
