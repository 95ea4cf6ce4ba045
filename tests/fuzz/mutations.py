"""Damaged input for our own parsers; reproducible from a seed on every machine."""

import json
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    40_000_000,
)
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
_DEEP = 100_000


def mutate(data: bytes, seed: int) -> bytes:
    """Data with one to four changes: flipped bits, numbers at the edge of their range, parts
    removed or added.
    """
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        length = rng.randrange(1, 64)
        kind = rng.randrange(7)
        if kind == 0:
            for place in {
                min(at + rng.randrange(8), len(out) - 1)
                for _ in range(rng.randrange(1, 9))
                if out
            }:
                out[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(_NUMBERS) % 256**width
            out[at : at + width] = number.to_bytes(width, rng.choice(("big", "little")))
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            out[at:at] = out[at : at + length] * rng.choice((1, 2, 1000))
        elif kind == 4:
            out[at:at] = rng.choice(_TEXTS)
        elif kind == 5:
            del out[at:]
        else:
            out[at : at + length] = bytes(len(out[at : at + length]))
    return bytes(out)


def mutate_json(data: bytes, seed: int) -> bytes:
    """A JSON text with one value of another type or size, a field removed or added, or nested too
    deep.
    """
    rng = random.Random(seed)
    values = json.loads(data)
    places = list(_places(values))
    kind = rng.randrange(8)
    if kind == 0 or not places:
        return mutate(data, seed)
    if kind == 1:
        opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
        return (opening * _DEEP + "1" + closing * _DEEP).encode()
    holder, key = rng.choice(places)
    if kind == 2:
        del holder[key]
    elif kind == 3 and isinstance(holder, dict):
        holder["unknown"] = rng.choice(_VALUES)
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
    """Raise TimeoutError after some seconds, and MemoryError beyond some additional memory."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30), before[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
