"""Progress of training, for progress bars and for programs: `onlooker.train(progress=…)`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.progress import track

# Called with the stage ("reading clips", "encoding clips", "training", "fitting" or "drawing
# clips"), how many of its parts are done, and how many there are.
OnProgress = Callable[[str, int, int], None]
Item = TypeVar("Item")

# A context variable, so that the functions between `train` and a loop over clips need no further
# argument.
_on_progress: ContextVar[OnProgress | None] = ContextVar("on_progress", default=None)


@contextmanager
def reporting(on_progress: OnProgress | None) -> Iterator[None]:
    """Report the progress of everything that is called in the block."""
    before = _on_progress.set(on_progress)
    try:
        yield
    finally:
        _on_progress.reset(before)


def report(stage: str, done: int, total: int) -> None:
    """Tell `reporting` how many parts of a stage are done."""
    if on_progress := _on_progress.get():
        on_progress(stage, done, total)


def tracked(
    items: Iterable[Item], stage: str, total: int, title: str | None = None
) -> Iterator[Item]:
    """The items, reported as they are done; with a title also with a progress bar."""
    report(stage, 0, total)
    for number, item in enumerate(track(items, title or "", total, disable=title is None), 1):
        yield item
        report(stage, number, total)
