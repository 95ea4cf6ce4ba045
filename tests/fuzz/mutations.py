"""Damaged input for our own parsers; reproducible from a seed on every machine."""

import json
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attacks.videos import DAMAGES

_TEXTS = (
    b"\n",
    b",",
    b'"',
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"=1+1",
    b"../../",
    b"\x1b[2J",
    b"1e999",
    b"-1",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "../..",
    "\x1b[2J",
    "\ud800",
    [],
    [[]],
    {},
    {"a": None},
    [None] * 3,
)


def mutate(data: bytes, seed: int) -> bytes:
    """Data with one to four changes: damages of `attacks.videos`, or a text that a parser may take
    for another thing.
    """
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        damage = rng.choice([*(damage for damage, _ in DAMAGES.values()), _insert])
        if len(out) > 8:
            damage(out, rng)
    return bytes(out)


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice(_TEXTS)


def mutate_json(data: bytes, seed: int) -> bytes:
    """A JSON text with one value, at any depth, removed or of another type or size."""
    rng = random.Random(seed)
    values = json.loads(data)
    holder, key = rng.choice(list(_places(values)))
    if rng.random() < 0.25:
        del holder[key]
    else:
        holder[key] = rng.choice(_VALUES)
    return json.dumps(values).encode()


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every value in nested lists and dictionaries, as its container and key."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield values, key
        if isinstance(value, dict | list):
            yield from _places(value)


@contextmanager
def limits(seconds: int, gigabytes: float) -> Iterator[None]:
    """Raise TimeoutError after some seconds of processor time, which a busy machine does not
    shorten, and MemoryError beyond some additional memory.
    """

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30), before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
