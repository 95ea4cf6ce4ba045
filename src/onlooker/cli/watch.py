"""Watch streams with a trained run: a line per change and per second, or JSON for every frame."""

import json
import os
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from onlooker.base.config import StreamConfig
from onlooker.base.files import printable, read_bytes, without_password
from onlooker.base.intervals import file_of
from onlooker.base.records import ClipError, Step
from onlooker.cli.command import print_error
from onlooker.formats.publish import open_publisher
from onlooker.recognizer import expected_events, load, rate_text
from onlooker.run.predict import RATE_NOTE, note_clips
from onlooker.storage import is_address
from onlooker.stream.sources import Status
from onlooker.video.reader import VideoReader

_ERRORS = 1000
_INTERVAL = 1.0  # seconds of a stream after which a line is printed without any change


def watch_sources(
    run: Path,
    sources: Sequence[str],
    config: StreamConfig,
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
    files = [
        source
        for source in sources
        if is_address(source)
        or (os.path.exists(file_of(source)) and not source.startswith("/dev/"))
    ]
    online: set[str] = set()  # sources that have been connected
    last: dict[str | None, Step] = {}
    printed: dict[str | None, Step] = {}
    frames = Counter[str | None]()

    def report(error: ClipError) -> None:
        errors.append(error)
        print_error(error)

    def print_status(status: Status) -> None:
        """Print changes of connections, which files have not."""
        if status.source in files:
            return
        if every_frame:
            typer.echo(json.dumps(status._asdict()))
        elif status.state == "reconnecting" or (
            status.state == "online" and status.source in online
        ):
            _print_dim(
                f"{status.source}: {status.state}{f' ({status.reason})' if status.reason else ''}"
            )
        online.add(status.source)

    recognizer = load(run)
    if recognizer.model.lengths:
        _print_dim(expected_events(recognizer, config.alarms_per_hour))
    elif events:
        raise ValueError(
            "this model finds no events to send; train the default model, `onlooker train CLIPS`"
        )
    steps = recognizer.watch(sources, config, report, print_status)
    if files:
        _keep_events(events)
        note_clips(
            [Path(file) for file in files if _assumes_rate(file)],
            RATE_NOTE,
        )
    publishers = [
        open_publisher(address, [*map(without_password, sources)], report) for address in events
    ]
    if config.rate is None and recognizer.frame_rate:
        _print_dim(
            f"{recognizer.frame_rate:.3g} frames per second, as in training; --rate 0 uses every frame"
        )
    elif config.rate is None:
        _print_dim(
            f"frame rate {rate_text(recognizer)}; every frame is used; give --rate N, the frames per second of a "
            "training sample (0: every frame)"
        )
    try:
        for step in steps:
            for event in step.events:
                for publisher in publishers:
                    publisher.add(event)
            last[step.source] = step
            frames[step.source] += step.pixels is not None
            if every_frame:
                typer.echo(json.dumps(step.to_dict()))
                continue
            lines = [
                f"event: {e.label} {100 * e.score:.0f} %, {e.start:.2f} to {e.end:.2f} s"
                for e in step.events
            ]
            before = printed.get(step.source)
            if before is None or step.time - before.time >= _INTERVAL or step.label != before.label:
                printed[step.source] = step
                lines.append(_line(step))
            for line in lines:
                typer.echo(printable(f"{line}  {step.source}" if len(sources) > 1 else line))
    finally:
        for publisher in publishers:
            publisher.close()
        for source, step in last.items():
            counts = f"{step.dropped} dropped, {step.reconnections} reconnections"
            _print_dim(f"{source}: {frames[source]} frames, {counts}")
    return [*errors]


def _keep_events(addresses: Sequence[str]) -> None:
    """Raise a FileExistsError if a file has events already: those of a recording would be in it
    twice.
    """
    for path in map(Path, addresses):
        if path.is_file() and b"-->" in read_bytes(path):
            raise FileExistsError(
                f"{path}: holds events already; choose another file, or remove it"
            )


def _assumes_rate(source: str) -> bool:
    """Whether a source is an image sequence that does not say its frame rate."""
    with suppress(ClipError):  # it is reported when the source is watched
        return os.path.isdir(file_of(source)) and VideoReader(source).timing.assumes_rate
    return False


def _print_dim(text: str) -> None:
    typer.secho(printable(text), dim=True, err=True)


def _line(step: Step) -> str:
    names = (
        step.classes
        if step.threshold is None and step.happening is None
        else (*step.classes, step.nothing_name)
    )
    return f"{step.time:8.2f} s  {step.label:<{max(map(len, names))}}  {100 * step.score:5.1f} %"
