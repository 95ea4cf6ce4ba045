"""The output of `onlooker watch`: a line per change and per second, or JSON for every frame."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import typer

from onlooker.base.config import StreamConfig
from onlooker.base.records import NO_PICTURE, UNUSUAL, ClipError, Step
from onlooker.base.text import printable
from onlooker.cli.command import print_error
from onlooker.run.watch import watch_run
from onlooker.storage import is_stored
from onlooker.stream.sources import Status

_UNUSUAL_SECONDS = 10.0  # in which nothing is as in training, before this is said
_LINE_SECONDS = 1.0  # seconds of a stream after which a line is printed without any change


class _Printer:
    """Prints what happens in the sources.

    Args:
        files: the sources whose connections do not change.
        named: whether lines end with the name of the source.
        every_frame: print one JSON object per frame instead of lines for people.
    """

    def __init__(self, files: Collection[str], named: bool, every_frame: bool) -> None:
        self._files = files
        self._named = named
        self._every_frame = every_frame
        self._online = set[str]()  # sources that have been connected
        self._last = dict[str | None, Step]()
        self._printed = dict[str | None, Step]()
        self._frames = Counter[str | None]()
        self._slow = set[str | None]()
        self._usual = dict[str | None, float]()  # when a source was usual last, or began
        self._unusual = set[str | None]()

    def status(self, status: Status) -> None:
        """Print a change of a connection; the first one only if it has a reason."""
        again = status.source in self._online
        if status.state == "online" and status.reason and not again:
            _print_dim(f"{status.source}: {status.reason}")
        if status.source in self._files:
            return
        self._online.add(status.source)
        if self._every_frame:
            typer.echo(json.dumps(status._asdict()))
        elif status.state == "reconnecting" or (status.state == "online" and again):
            reason = f" ({status.reason})" if status.reason else ""
            _print_dim(f"{status.source}: {status.state}{reason}")

    def step(self, step: Step) -> None:
        """Print its events, and the class when it changes, and every second."""
        self._last[step.source] = step
        self._frames[step.source] += step.pixels is not None
        if step.too_slow and step.source not in self._slow:
            self._slow.add(step.source)  # once: it may be so for weeks
            arrive, expected = (f"{round(rate, 1):g}" for rate in step.too_slow)
            frames = f"{arrive} of {expected} frames a second"
            _print_dim(f"{step.source}: too slow for this model: {frames}")
        if step.pause:
            start, end = step.pause
            _print_dim(f"{step.source}: {NO_PICTURE} from {start:.2f} to {end:.2f} s")
        if not step.unusual:
            self._usual[step.source] = step.time
        since = self._usual.setdefault(step.source, step.time)
        if step.time - since > _UNUSUAL_SECONDS and step.source not in self._unusual:
            self._unusual.add(step.source)
            _print_dim(f"{step.source}: {UNUSUAL}")
        if self._every_frame:
            typer.echo(json.dumps(step.to_dict()))
            return
        lines = [
            f"{'state' if event.phase else 'event'}: {event.label} {100 * event.score:.0f} %, "
            f"{event.start:.2f} to {event.end:.2f} s"
            for event in step.events
        ]
        before = self._printed.get(step.source)
        is_new = (
            before is None or step.time - before.time >= _LINE_SECONDS or step.label != before.label
        )
        if is_new and step.pixels is not None:  # not at the end, when nothing goes on
            self._printed[step.source] = step
            lines.append(_line(step))
        for line in lines:
            typer.echo(printable(f"{line}  {step.source}" if self._named else line))

    def totals(self) -> None:
        """Print how many frames of each source were processed."""
        for source, step in self._last.items():
            counts = f"{step.dropped} dropped, {step.reconnections} reconnections"
            _print_dim(f"{source}: {self._frames[source]} frames, {counts}")


def watch_sources(
    run: Path,
    sources: Sequence[str],
    config: StreamConfig,
    *,
    every_frame: bool = False,
    events: Sequence[str] = (),
) -> list[ClipError]:
    """Print what happens in the sources until all have ended, then on stderr how many frames were
    processed.

    Args:
        every_frame: print one JSON object per frame instead of lines for people.
        events: addresses to which events are sent when they begin and when they are over.
        run, sources, config: see `watch_run`, which also describes the result and the errors.
    """
    printer = _Printer([*filter(is_stored, sources)], len(sources) > 1, every_frame)
    try:
        return watch_run(
            run,
            sources,
            config,
            on_step=printer.step,
            on_error=print_error,
            on_status=printer.status,
            sinks=events,
        )
    finally:
        printer.totals()


def _print_dim(text: str) -> None:
    typer.secho(printable(text), dim=True, err=True)


def _line(step: Step) -> str:
    if step.states:
        states = (
            f"{bout.label}  {100 * bout.score:.1f} %  since {bout.start:.1f} s"
            for bout in step.states
        )
        return f"{step.time:8.2f} s  {', '.join(states)}"
    names = (
        step.classes
        if step.decision.threshold is None and step.happening is None
        else (*step.classes, step.nothing_name)
    )
    return f"{step.time:8.2f} s  {step.label:<{max(map(len, names))}}  {100 * step.score:5.1f} %"
