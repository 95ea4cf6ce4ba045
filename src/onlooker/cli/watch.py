"""Watch streams with a trained run: a line per change and per second, or JSON for every frame."""

import json
import os
from collections import Counter, deque
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

import typer

from onlooker.base.config import StreamConfig
from onlooker.base.files import read_bytes
from onlooker.base.intervals import file_of
from onlooker.base.records import ClipError, Step
from onlooker.base.text import printable
from onlooker.cli.command import print_error
from onlooker.formats.publish import open_publisher
from onlooker.recognizer import Recognizer, expected_events, load, rate_text
from onlooker.storage import is_address
from onlooker.stream.sources import Status, stream_names

_ERRORS = 1000
_INTERVAL = 1.0  # seconds of a stream after which a line is printed without any change


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

    def status(self, status: Status) -> None:
        """Print a change of a connection; the first one is worth a line if it says something."""
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
        if self._every_frame:
            typer.echo(json.dumps(step.to_dict()))
            return
        lines = [
            f"event: {event.label} {100 * event.score:.0f} %, {event.start:.2f} to {event.end:.2f} s"
            for event in step.events
        ]
        before = self._printed.get(step.source)
        if before is None or step.time - before.time >= _INTERVAL or step.label != before.label:
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
        sources: numbers of cameras, addresses, paths; see `stream.sources.Source`.
        every_frame: print one JSON object per frame instead of lines for people.
        events: addresses to which events are sent when they are over (`publish.open_publisher`).

    Returns:
        An error for each source that could not be read or was lost, and for each event that could
        not be sent; of more than a thousand, the last.

    Raises:
        ValueError: a run that cannot process streams, or finds no events to send; an invalid source
        or address.
        FileExistsError: a file that has events, for a recording.
    """
    # of a receiver that is gone for weeks, there would be many
    errors = deque[ClipError](maxlen=_ERRORS)
    files = [source for source in sources if _is_file(source)]
    printer = _Printer(files, len(sources) > 1, every_frame)

    def report(error: ClipError) -> None:
        errors.append(error)
        print_error(error)

    recognizer = load(run)
    if recognizer.model.lengths:
        _print_dim(expected_events(recognizer, config.alarms_per_hour))
    elif events:
        raise ValueError(
            "this model finds no events to send; train the default model, `onlooker train CLIPS`"
        )
    steps = recognizer.watch(sources, config, on_error=report, on_status=printer.status)
    if files:
        _keep_events(events)
    names = stream_names(sources)
    publishers = [open_publisher(address, names, report) for address in events]
    if config.rate is None:
        _print_dim(_used_rate(recognizer))
    with ExitStack() as ending:  # in the reverse order, also if one of them fails
        ending.callback(printer.totals)
        for publisher in publishers:
            ending.callback(publisher.close)
        for publisher in publishers:
            ending.callback(publisher.stop)
        for step in steps:
            for event in step.events:
                for publisher in publishers:
                    publisher.add(event)
            printer.step(step)
    return [*errors]


def _is_file(source: str) -> bool:
    """Whether a source is a file or an address, not a camera."""
    on_disk = os.path.exists(file_of(source)) and not source.startswith("/dev/")
    return is_address(source) or on_disk


def _used_rate(recognizer: Recognizer) -> str:
    """In words: how many frames per second the model receives without `--rate`."""
    if rate := recognizer.decision.frame_rate:
        return f"{rate:.3g} frames per second, as in training; --rate 0 uses every frame"
    return (
        f"frame rate {rate_text(recognizer)}; every frame is used; give --rate N, the frames per second of a "
        "training sample (0: every frame)"
    )


def _keep_events(addresses: Sequence[str]) -> None:
    """Raise a FileExistsError if a file has events already: those of a recording would be in it
    twice.
    """
    for path in map(Path, addresses):
        if path.is_file() and b"-->" in read_bytes(path):
            raise FileExistsError(
                f"{path}: holds events already; choose another file, or remove it"
            )


def _print_dim(text: str) -> None:
    typer.secho(printable(text), dim=True, err=True)


def _line(step: Step) -> str:
    names = (
        step.classes
        if step.decision.threshold is None and step.happening is None
        else (*step.classes, step.nothing_name)
    )
    return f"{step.time:8.2f} s  {step.label:<{max(map(len, names))}}  {100 * step.score:5.1f} %"
