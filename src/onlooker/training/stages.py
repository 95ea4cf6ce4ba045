"""Progress of training, for progress bars and for programs: `onlooker.train(progress=…, results=…)`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.progress import track

from onlooker.evaluation.learning_curve import LearningPoint
from onlooker.structures import Evaluation

__all__ = ["OnProgress", "OnResults", "report_results", "reporting", "tracked"]

# Called with the stage ("reading clips", "encoding clips", "training", "fitting" or "drawing clips"), how many of its
# parts are done, and how many there are.
OnProgress = Callable[[str, int, int], None]
# Called with the predictions for the held-out clips that have any yet, and the learning curve so far.
OnResults = Callable[[Evaluation, Sequence[LearningPoint]], None]
Item = TypeVar("Item")

# Context variables, so that the functions between `train` and a loop over clips need no further argument.
_on_progress: ContextVar[OnProgress | None] = ContextVar("on_progress", default=None)
_on_results: ContextVar[OnResults | None] = ContextVar("on_results", default=None)


@contextmanager
def reporting(on_progress: OnProgress | None, on_results: OnResults | None = None) -> Iterator[None]:
    """Report the progress, and the results so far, of everything that is called in the block."""
    progress, results = _on_progress.set(on_progress), _on_results.set(on_results)
    try:
        yield
    finally:
        _on_progress.reset(progress)
        _on_results.reset(results)


def report(stage: str, done: int, total: int) -> None:
    """Tell `reporting` how many parts of a stage are done."""
    if on_progress := _on_progress.get():
        on_progress(stage, done, total)


def report_results(evaluation: Evaluation, curve: Sequence[LearningPoint]) -> None:
    """Tell `reporting` the results so far."""
    if on_results := _on_results.get():
        on_results(evaluation, curve)


def tracked(items: Iterable[Item], stage: str, total: int, title: str | None = None) -> Iterator[Item]:
    """The items, reported as they are done; with a title also with a progress bar."""
    report(stage, 0, total)
    for number, item in enumerate(track(items, title or "", total, disable=title is None), 1):
        yield item
        report(stage, number, total)
