"""Watch streams with a trained run: a line per change and per second, or JSON for every frame; and drawn recordings."""

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
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
from onlooker.streaming import OnStatus
from onlooker.structures import ClipError, Step
from onlooker.video.stream import Status
from onlooker.video.write import Recording

_NAME_BYTES = 150  # of a recording's name that come from its source; file systems allow 255 in all
_INTERVAL = 1.0  # seconds of a stream after which a line is printed without any change
_MARKS = {(False, False): "", (False, True): "begins", (True, True): "continues", (True, False): "ends"}  # last, now


@dataclass
class _Progress:
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
    console, errors = Console(), list[ClipError]()

    def report(error: ClipError) -> None:
        errors.append(error)
        print_errors([error])

    publisher = Publisher(publish, report, _print_dim) if publish else None
    recognizer = load(run)
    events = _Events(publisher, EventTracker(recognizer.model.lag, config.agreement)) if publisher else None
    recordings = _Recordings(out, report) if out else None
    streams: dict[str | None, _Progress] = {}
    files = [source for source in sources if os.path.exists(source) or is_address(source)]
    steps = recognizer.watch(sources, config, report, _status_printer(every_frame, files, events))
    if config.rate is None and recognizer.frame_rate:
        _print_dim(f"{recognizer.frame_rate:.3g} frames per second, as in training; --rate 0 uses every frame")
    with ExitStack() as last:
        last.callback(_print_counts, streams, recordings)
        if recordings:
            last.callback(recordings.close)
        if events:
            last.callback(events.close)
        for step in steps:
            if events:
                events.add(step)
            if recordings:
                recordings.add(step)
            stream = streams.setdefault(step.source, _Progress(step))
            stream.step, stream.frames = step, stream.frames + 1
            if every_frame:
                console.print(Text(json.dumps(to_values(step))), soft_wrap=True)
            elif _is_change(step, stream.printed):
                console.print(Text(printable(_line(step, stream.printed, len(sources) > 1))), soft_wrap=True)
                stream.printed = step
    return errors


def _print_dim(text: str) -> None:
    Console(stderr=True).print(Text(text, style="dim"), soft_wrap=True)


def _status_printer(every_frame: bool, files: Collection[str], events: "_Events | None") -> OnStatus:
    """A function that prints changes of connections, which files have not, and ends the events of ended sources."""
    told: dict[str, str] = {}

    def print_status(status: Status) -> None:
        if events and status.state == "gone":
            events.end(status.source)
        if status.source in files:
            return
        before, told[status.source] = told.get(status.source), status.state
        if every_frame:
            Console().print(Text(json.dumps(status._asdict(), ensure_ascii=False)), soft_wrap=True)
        elif status.state in ("stalled", "reconnecting") or (status.state == "online" and before):
            reason = f" ({status.reason})" if status.reason else ""
            _print_dim(f"{status.source}: {status.state}{reason}")

    return print_status


class _Events:
    """Publishes the events of all streams."""

    def __init__(self, publisher: Publisher, tracker: EventTracker) -> None:
        self._publisher, self._tracker = publisher, tracker

    def add(self, step: Step) -> None:
        self._publish(self._tracker.add(step))

    def end(self, source: str) -> None:
        self._publish(self._tracker.end(source))

    def close(self) -> None:
        """End all events, and wait until they are sent."""
        self._publish(self._tracker.end_all())
        self._publisher.close()

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self._publisher.add(event)


def _print_counts(streams: Mapping[str | None, _Progress], recordings: "_Recordings | None") -> None:
    for source, stream in streams.items():
        counts = f"{stream.frames} frames, {stream.step.dropped} dropped, {stream.step.reconnections} reconnections"
        file = recordings and recordings.files.get(source)
        drawn = f", drawn in {file.path}" if file else ""
        _print_dim(printable(f"{source}: {counts}{drawn}"))


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
        self.ended: set[str | None] = set()  # sources that are no longer recorded

    def add(self, step: Step) -> None:
        if step.source in self.ended:
            return
        drawn = self.annotate(step)
        try:
            if step.source not in self.files:
                self.files[step.source] = self._begin(str(step.source))
            self.files[step.source].add(drawn, step.time)
        except OSError as error:
            self._fail(step.source, error)
            with suppress(OSError, KeyError):  # KeyError: it could not be opened
                self.files[step.source].close()

    def _fail(self, source: str | None, error: OSError) -> None:
        self.ended.add(source)
        self.report(ClipError(str(source), str(error), "its stream and the other recordings continue"))

    def _begin(self, source: str) -> Recording:
        # What follows a question mark in an address is often a key, which a name must not show.
        address = f"camera {source}" if source.isdigit() else source.split("?")[0]
        name = re.sub(r"[^\w.-]+", "-", Path(source).stem if os.path.exists(source) else address).strip("-.")
        short = name.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore")
        stem = f"{short} {datetime.now():%Y-%m-%d %H-%M-%S}"
        for number in range(1, 1000):
            try:
                return Recording(self.folder / f"{stem}{f' ({number})' if number > 1 else ''}.mp4")
            except FileExistsError:
                continue
        raise FileExistsError(f"{self.folder}: 999 recordings of {source} from this second exist already")

    def close(self) -> None:
        for source in [each for each in self.files if each not in self.ended]:
            try:
                self.files[source].close()
            except OSError as error:
                self._fail(source, error)


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
