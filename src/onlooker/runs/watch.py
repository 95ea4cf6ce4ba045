"""Watch streams with a trained run: a line per change and per second, or JSON for every frame; and drawn recordings."""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from onlooker.answer import NOTHING
from onlooker.config import StreamConfig
from onlooker.drawing.clip import StreamAnnotator
from onlooker.ensemble import is_ensemble
from onlooker.files import check_writable, printable
from onlooker.publish import Event, EventTracker, Publisher
from onlooker.recognizer import load
from onlooker.runs.predict import print_errors
from onlooker.storage import is_address
from onlooker.structures import ClipError, Step
from onlooker.video.stream import Status
from onlooker.video.write import Recording

_NAME_BYTES = 150  # of a recording's name that come from its source; file systems allow 255 in all
_INTERVAL = 1.0  # seconds of a stream after which a line is printed without any change
_MARKS = {(False, False): "", (False, True): "begins", (True, True): "continues", (True, False): "ends"}  # last, now


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
    out: Path | None = None,
    publish: str | None = None,
) -> list[ClipError]:
    """Print what happens in the sources until all have ended, then on stderr how many frames were processed.

    Args:
        sources: numbers of cameras, addresses, paths; see `video.stream.Source`.
        every_frame: print one JSON object per frame instead of lines for people.
        out: a folder for a recording of each source, with the results drawn on it.
        publish: an address to which events are sent as they begin and end (`publish.Publisher`).

    Returns:
        An error for each source that could not be read, was lost, or could no longer be recorded, and for each event
        that could not be published.

    Raises:
        ValueError: a run that cannot process streams, an invalid source or address, or a file as `out`.
    """
    if is_ensemble(run):
        raise ValueError(f"{run}: an ensemble, which predicts whole clips; watch with one member: {run / 'member-0'}")
    console, errors, streams, states = Console(), list[ClipError](), dict[str | None, _Stream](), dict[str, str]()
    files = {source for source in sources if os.path.exists(source) or is_address(source)}

    def report(error: ClipError) -> None:
        errors.append(error)
        print_errors([error])

    def send(events: Sequence[Event]) -> None:
        for event in events:
            if publisher:
                publisher.add(event)

    def print_status(status: Status) -> None:
        """Print changes of connections, which files have not, and end the events of a source that has ended."""
        if status.state == "gone":
            send(tracker.end(status.source))
        if status.source in files:
            return
        before, states[status.source] = states.get(status.source), status.state
        if every_frame:
            console.print(Text(json.dumps(status._asdict(), ensure_ascii=False)), soft_wrap=True)
        elif status.state == "reconnecting" or (status.state == "online" and before):
            _print_dim(f"{status.source}: {status.state}{f' ({status.reason})' if status.reason else ''}")

    publisher = Publisher(publish, report, _print_dim) if publish else None
    recognizer = load(run)
    tracker = EventTracker(recognizer.model.lag if publisher else 0, config.agreement)
    recordings = _Recordings(out, report) if out else None
    steps = recognizer.watch(sources, config, report, print_status)
    if config.rate is None and recognizer.frame_rate:
        _print_dim(f"{recognizer.frame_rate:.3g} frames per second, as in training; --rate 0 uses every frame")
    try:
        for step in steps:
            send(tracker.add(step))
            if recordings:
                recordings.add(step)
            stream = streams.setdefault(step.source, _Stream(step))
            stream.step, stream.frames = step, stream.frames + 1
            if every_frame:
                console.print(Text(json.dumps(to_values(step))), soft_wrap=True)
            elif _is_change(step, stream.printed):
                console.print(Text(printable(_line(step, stream.printed, len(sources) > 1))), soft_wrap=True)
                stream.printed = step
    finally:
        send(tracker.end_all())
        if publisher:
            publisher.close()
        if recordings:
            recordings.close()
        for source, stream in streams.items():
            counts = f"{stream.frames} frames, {stream.step.dropped} dropped, {stream.step.reconnections} reconnections"
            file = recordings and recordings.files.get(source)
            _print_dim(printable(f"{source}: {counts}{f', drawn in {file.path}' if file else ''}"))
    return errors


def _print_dim(text: str) -> None:
    Console(stderr=True).print(Text(text, style="dim"), soft_wrap=True)


class _Recordings:
    """A drawn recording of each stream, named by the stream and its start time.

    A recording that can no longer be written is reported and ends; its stream and the other recordings continue.
    """

    def __init__(self, folder: Path, report: Callable[[ClipError], None]) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: a file; recordings go into a folder, one of each source: name one")
        check_writable(folder)
        self.folder, self.report, self.annotate = folder, report, StreamAnnotator()
        self.files: dict[str | None, Recording] = {}
        self.failed: set[str | None] = set()  # sources that are no longer recorded

    def add(self, step: Step) -> None:
        if step.source in self.failed:
            return
        drawn = self.annotate(step)
        with self._reporting(step.source):
            if step.source not in self.files:
                self.files[step.source] = Recording(self._path(str(step.source)))
            self.files[step.source].add(drawn, step.time)

    @contextmanager
    def _reporting(self, source: str | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failed.add(source)
            self.report(ClipError(str(source), str(error), "its stream and the other recordings continue"))
            with suppress(OSError, KeyError):  # KeyError: it could not be opened
                self.files[source].close()

    def _path(self, source: str) -> Path:
        # What follows a question mark in an address is often a key, which a name must not show.
        address = f"camera {source}" if source.isdigit() else source.split("?")[0]
        name = re.sub(r"[^\w.-]+", "-", Path(source).stem if os.path.exists(source) else address).strip("-.")
        short = name.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore")
        stem = f"{short} {datetime.now():%Y-%m-%d %H-%M-%S}"
        paths = (self.folder / f"{stem}{f' ({number})' if number > 1 else ''}.mp4" for number in itertools.count(1))
        return next(path for path in paths if not path.exists())

    def close(self) -> None:
        for source in [each for each in self.files if each not in self.failed]:
            with self._reporting(source):
                self.files[source].close()


def _is_change(step: Step, last: Step | None) -> bool:
    """Whether to print a step after the last one printed."""
    if last is None or step.time - last.time >= _INTERVAL:
        return True
    return (step.label, step.happening) != (last.label, last.happening)


def _line(step: Step, last: Step | None, with_source: bool) -> str:
    names = step.classes if step.threshold is None else (*step.classes, NOTHING)
    words = [f"{step.time:8.2f} s", f"{step.label:<{max(map(len, names))}}", f"{100 * step.score:5.1f} %"]
    if step.happening is not None:
        before = last is not None and bool(last.happening)
        words.append(f"{_MARKS[before, step.happening]:<{max(map(len, _MARKS.values()))}}")
    return "  ".join([*words, *[str(step.source)] * with_source]).rstrip()


def to_values(step: Step) -> dict[str, Any]:
    """A step as plain values, for JSON."""
    plain = ("source", "index", "time", "label", "score", "evidence", "happening", "dropped", "reconnections")
    return {
        **{name: getattr(step, name) for name in plain},
        "scores": dict(zip(step.classes, step.scores.tolist(), strict=True)),
        "attention": None if step.attention is None else step.attention.tolist(),
        "box": None if step.box is None else {"corners": list(step.box.corners), "score": step.box.score},
        "point": None if step.point is None else list(step.point),
    }
