"""The attack corpus: every kind of attack once, and random ones up to a given number."""

from collections.abc import Iterator
from itertools import count

from attacks.case import Case, Kind
from attacks.folders import folders
from attacks.hostile import hostile
from attacks.images import images
from attacks.models import features, models, runs
from attacks.streams import streams
from attacks.videos import damaged, unusual

WHOLE = 23_000  # cases of the long run


def kinds() -> list[Kind]:
    """All kinds of attacks."""
    parts = (damaged, hostile, unusual, images, folders, models, runs, features, streams)
    return [kind for part in parts for kind in part()]


def quick_cases(seed: int = 0) -> list[Case]:
    """One case of each quick kind."""
    return [Case(kind, 0, seed) for kind in kinds() if kind.is_quick]


def cases(number: int = WHOLE, seed: int = 0) -> list[Case]:
    """Every kind once, then random ones in proportion to their shares; the first cases of a longer
    corpus are these.
    """
    every = kinds()
    found = [Case(kind, 0, seed) for kind in every]
    more = _random_cases([kind for kind in every if kind.share], seed)
    while len(found) < number:
        found.append(next(more))
    return found[:number] if number else found


def _random_cases(every: list[Kind], seed: int) -> Iterator[Case]:
    """Random cases in proportion to their shares: next is always the kind furthest below its share."""
    numbers = [0] * len(every)
    for _ in count():
        index = min(range(len(every)), key=lambda at: (numbers[at] + 1) / every[at].share)
        numbers[index] += 1
        yield Case(every[index], numbers[index], seed)


def find_cases(text: str, seed: int = 0) -> list[Case]:
    """The cases whose name is a text, or starts with it: `GROUP/KIND/NUMBER`."""
    group, _, rest = text.partition("/")
    kind, _, number = (
        rest.rpartition("/") if rest.rpartition("/")[2].isdecimal() else (rest, "", "0")
    )
    matching = [
        each
        for each in kinds()
        if each.group.startswith(group) and (not kind or each.name.startswith(kind))
    ]
    exact = [each for each in matching if (each.group, each.name) == (group, kind)]
    return [Case(each, int(number), seed) for each in exact or matching]
