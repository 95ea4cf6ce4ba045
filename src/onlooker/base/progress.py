"""Progress of long work: for programs (`onlooker.train(progress=…)`), and for the person who
watches a command.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from time import monotonic
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import Progress
from rich.text import Text

from onlooker.base.text import printable

# Called with the stage, such as "reading clips", how many of its parts are done, and how many there
# are.
OnProgress = Callable[[str, int, int], None]
Item = TypeVar("Item")
_LOG_INTERVAL = 30.0  # seconds between two lines of a log
_LONG = 2.0  # minimum minutes left that a line of a log mentions

_CONSOLE = Console(stderr=True)  # one, so that a note appears above a bar that is drawn

# Context variables, so that the functions between a command and a loop over clips need no further
# argument.
_on_progress: ContextVar[OnProgress | None] = ContextVar("on_progress", default=None)
# what was noted; None: nothing is shown
_shown: ContextVar[dict[str, object] | None] = ContextVar("shown", default=None)


@contextmanager
def reporting(on_progress: OnProgress | None) -> Iterator[None]:
    """Report the progress of everything that is called in the block to `on_progress`; None: to that
    of the block around it.
    """
    before = _on_progress.set(on_progress or _on_progress.get())
    try:
        yield
    finally:
        _on_progress.reset(before)


@contextmanager
def showing(shown: bool = True) -> Iterator[None]:
    """Show progress bars and notes of everything that is called in the block, on standard error; or
    hide them.
    """
    before = _shown.set({} if shown else None)
    try:
        yield
    finally:
        _shown.reset(before)


def report(stage: str, done: int, total: int) -> None:
    """Tell `reporting` how many parts of a stage are done."""
    if on_progress := _on_progress.get():
        on_progress(stage, done, total)


def note(item: RenderableType, *, once: bool = False) -> None:
    """Print a line of text, or a table, for the person who watches: apart from the results.

    Args:
        once: not if this text was noted before in the same command.
    """
    noted = _shown.get()
    mark = object()
    # in one step: threads may note the same
    if noted is None or (noted.setdefault(str(item), mark) is not mark and once):
        return
    _CONSOLE.print(Text(printable(item)) if isinstance(item, str) else item, soft_wrap=True)


def note_clips(paths: Sequence[Path], text: str) -> None:
    """Note a text about some clips; the first one is named."""
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        note(f"{paths[0]}{more}: {text}")


@contextmanager
def progress_bar(
    stage: str, total: float, *, title: str | None = None, unit: str = "", done: float = 0
) -> Iterator[Callable[[float], None]]:
    """Report how much of a stage is done, with a progress bar; without a terminal, a line now and
    then, with the time that is left at the pace since the line before. The block gets a function to
    call with how much is done.
    """
    title = title or stage
    drawn = _shown.get() is not None and _CONSOLE.is_terminal
    last_line = monotonic()
    last_done: float | None = None
    with Progress(console=_CONSOLE, transient=True, disable=not drawn) as progress:
        task = progress.add_task(escape(printable(title)), total=total)
        progress.update(task, completed=done)
        report(stage, int(done), int(total))

        def update(done: float) -> None:
            nonlocal last_line, last_done
            progress.update(task, completed=done)
            report(stage, int(done), int(total))
            passed = monotonic() - last_line
            if not drawn and passed > _LOG_INTERVAL:
                # the first line may count what was done before, such as pieces in the cache
                speed = 0.0 if last_done is None else (done - last_done) / passed
                minutes = (total - done) / speed / 60 if speed > 0 else 0.0
                left = f", about {minutes:.0f} min left" if minutes > _LONG else ""
                note(f"{title}: {done:.0f} of {total:.0f}{unit}{left}")
                last_line += passed
                last_done = done

        yield update


def tracked(
    items: Iterable[Item], stage: str, total: int, *, title: str | None = None, done: int = 0
) -> Iterator[Item]:
    """The items, with a `progress_bar`; `done` of `total` were done before."""
    with progress_bar(stage, total, title=title, done=done) as update:
        for number, item in enumerate(items, done + 1):
            yield item
            update(number)
