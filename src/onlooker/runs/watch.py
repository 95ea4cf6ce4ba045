"""Watch streams with a trained run: a line per change and per second, or JSON for every frame."""

import json
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from onlooker.config import StreamConfig
from onlooker.files import printable, read_bytes, without_password
from onlooker.intervals import file_of
from onlooker.publish import open_publisher
from onlooker.publish import to_values as sent_values
from onlooker.recognizer import expected_events, load, rate_text
from onlooker.runs.predict import note_rates, print_errors
from onlooker.storage import is_address
from onlooker.structures import ClipError, Event, Step
from onlooker.video.reader import VideoReader
from onlooker.video.stream import Status

_ERRORS = 1000
_INTERVAL = 1.0  # seconds of a stream after which a line is printed without any change


@dataclass
class _Stream:
    """A stream: its last step, the last one that was printed (None if every frame is), and the number of steps."""

    step: Step
    printed: Step | None = None
    frames: int = 0


def watch_sources(
    run: Path,
    sources: Sequence[str],
    config: StreamConfig,
    every_frame: bool = False,
    events: Sequence[str] = (),
) -> list[ClipError]:
    """Print what happens in the sources until all have ended, then on stderr how many frames were processed.

    Args:
        sources: numbers of cameras, addresses, paths; see `video.stream.Source`.
        every_frame: print one JSON object per frame instead of lines for people.
        events: addresses to which events are sent when they are over (`publish.open_publisher`).

    Returns:
        An error for each source that could not be read or was lost, and for each event that could not be sent; of more
        than a thousand, the last.

    Raises:
        ValueError: a run that cannot process streams, or finds no events to send; an invalid source or address.
        FileExistsError: a file that has events, for a recording.
    """
    console, streams = Console(), dict[str | None, _Stream]()
    errors = deque[ClipError](maxlen=_ERRORS)  # of a receiver that is gone for weeks, there would be many
    files = {source for source in sources if _is_file(source)}
    online: set[str] = set()  # sources that have been connected

    def report(error: ClipError) -> None:
        errors.append(error)
        print_errors([error])

    def print_status(status: Status) -> None:
        """Print changes of connections, which files have not."""
        if status.source in files:
            return
        if every_frame:
            console.print(Text(json.dumps(status._asdict(), ensure_ascii=False)), soft_wrap=True)
        elif status.state == "reconnecting" or (status.state == "online" and status.source in online):
            _print_dim(f"{status.source}: {status.state}{f' ({status.reason})' if status.reason else ''}")
        online.add(status.source)

    recognizer = load(run)
    if events and not recognizer.model.lengths:
        raise ValueError("this model finds no events to send; train the default model, `onlooker train CLIPS`")
    if recognizer.model.lengths:
        _print_dim(expected_events(recognizer, config.alarms_per_hour))
    steps = recognizer.watch(sources, config, report, print_status)
    if files:
        _keep_events(events)
        note_rates([Path(source) for source in sources if _assumes_rate(source, recognizer.data.frame_rate)])
    publishers = [open_publisher(address, [*map(without_password, sources)], report) for address in events]
    if config.rate is None and recognizer.frame_rate:
        _print_dim(f"{recognizer.frame_rate:.3g} frames per second, as in training; --rate 0 uses every frame")
    elif config.rate is None:
        note = "every frame is used; give --rate N, the frames per second of a training sample (0: every frame)"
        _print_dim(f"frame rate {rate_text(recognizer)}; {note}")
    try:
        for step in steps:
            for event in step.events:
                for publisher in publishers:
                    publisher.add(event)
            stream = streams.setdefault(step.source, _Stream(step))
            stream.step, stream.frames = step, stream.frames + (step.pixels is not None)
            if every_frame:
                console.print(Text(json.dumps(to_values(step))), soft_wrap=True)
                continue
            named = [str(step.source)] * (len(sources) > 1)
            for event in step.events:
                console.print(Text(printable("  ".join([_event_line(event), *named]))), soft_wrap=True)
            if _is_change(step, stream.printed):
                console.print(Text(printable("  ".join([_line(step), *named]))), soft_wrap=True)
                stream.printed = step
    finally:
        for publisher in publishers:
            publisher.close()
        for source, stream in streams.items():
            _print_dim(printable(f"{source}: {_counts(stream)}"))
    return [*errors]


def _keep_events(addresses: Sequence[str]) -> None:
    """Raise a FileExistsError if a file has events already: those of a recording would be in it twice."""
    for path in map(Path, addresses):
        if path.is_file() and b"-->" in read_bytes(path):
            raise FileExistsError(f"{path}: holds events already; choose another file, or remove it")


def _is_file(source: str) -> bool:
    return is_address(source) or (os.path.exists(file_of(source)) and not source.startswith("/dev/"))


def _assumes_rate(source: str, frame_rate: float | None) -> bool:
    """Whether a source is an image sequence that does not say its frame rate."""
    with suppress(ClipError):  # it is reported when the source is watched
        return os.path.isdir(file_of(source)) and VideoReader(source, frame_rate).assumes_rate
    return False


def _counts(stream: _Stream) -> str:
    step = stream.step
    return f"{stream.frames} frames, {step.dropped} dropped, {step.reconnections} reconnections"


def _print_dim(text: str) -> None:
    Console(stderr=True).print(Text(text, style="dim"), soft_wrap=True)


def _is_change(step: Step, last: Step | None) -> bool:
    """Whether to print a step after the last one printed."""
    return last is None or step.time - last.time >= _INTERVAL or step.label != last.label


def _line(step: Step) -> str:
    names = step.classes if step.threshold is None and step.happening is None else (*step.classes, step.nothing_name)
    return f"{step.time:8.2f} s  {step.label:<{max(map(len, names))}}  {100 * step.score:5.1f} %"


def _event_line(event: Event) -> str:
    return f"event: {event.label} {100 * event.score:.0f} %, {event.start:.2f} to {event.end:.2f} s"


def to_values(step: Step) -> dict[str, Any]:
    """A step as plain values, for JSON."""
    plain = ("source", "index", "time", "label", "score", "happening", "dropped", "reconnections")
    return {
        **{name: getattr(step, name) for name in plain},
        "events": [sent_values(event) for event in step.events],
        "scores": dict(zip(step.classes, step.scores.tolist(), strict=True)),
        "attention": None if step.attention is None else step.attention.tolist(),
        "boxes": [{"corners": list(box.corners), "score": box.score} for box in step.boxes],
        "point": None if step.point is None else list(step.point),
    }
