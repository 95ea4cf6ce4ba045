"""A picture and a clip of each event of watched streams: the last frames that are kept for them, the
files, and the limits of their age and size.
"""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Semaphore
from typing import NamedTuple

import cv2
import numpy as np

from onlooker.base.config import StreamConfig
from onlooker.base.files import DiskFullError, check_writable, write_bytes
from onlooker.base.records import ClipError, Event, Step
from onlooker.report.overlay import BOX_COLORS, boxes, caption, enlarge
from onlooker.storage import is_address, is_stored
from onlooker.video.resize import Pixels, shrink
from onlooker.video.write import FAST, VideoWriter

_SIDE = 540  # pixels of the shorter side of a frame that is kept, at most
_RATE = 15.0  # frames per second that are kept, at most
_SECONDS = 30.0  # of a stream
_BYTES = 32_000_000  # of the frames of a stream
_CLIP = 10.0  # seconds of a clip, at least
_BEFORE = 3.0  # seconds of a clip before its event, at least
_WAITING = 4  # events with frames that wait to be written
_CHECKING = 3600.0  # seconds after which files are checked for their age without any event
_QUALITY = 90  # of JPEG
_GB = 1e9
_DAY = 24 * 3600.0  # seconds
_CLASS = re.compile(r"[^\w-]+")
# only files of such names are ever removed: time of day, class, id of the event
_NAME = re.compile(r"\d{8}-\d{6}-.+-[0-9a-f]{32}\.(jpg|mp4)")
_ENCODER = {**FAST, "threads": "1"}  # the model needs the other cores


class _Frame(NamedTuple):
    """A frame that is kept, as a JPEG.

    Args:
        time: in the stream, seconds.
        taken: what its picture shows of the time: the time of day, or of a recording its seconds.
        size: height and width in the stream.
        box: the first one, in pixels of the stream; None: there is none.
    """

    time: float
    taken: str
    jpeg: bytes
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None


class Snapshots:
    """Writes the picture and the clip of each event, in a thread of its own, before it is passed on
    with their names, in order. If they cannot be written, that is reported once, and events are
    passed on without them.

    The picture shows the frame in the middle of the event, which is the window with the highest
    score: at its end, all is over. It has the box and the class. It is written when the event
    begins, replaced when it ends, and removed if the event is withdrawn. The clip is written when
    the end is announced, and ends there. It has ten seconds, and up to thirty of a long event.

    Of each stream, the last thirty seconds are kept, 15 frames a second at most, as JPEG files of at
    most 540 pixels on the shorter side and 32 MB in all; and those of at most four events that wait.

    Args:
        config: the folder, and the limits of age and size.
        sources: the names of the streams. Of recordings, frames wait until events are written; of
            live streams, an event that would have to wait has no files.
        pass_on: called with each event, by the thread.
        on_lost: called with what cannot be written.

    Raises:
        DiskFullError, NotWritableError, ValueError: nothing can be written to the folder.
    """

    def __init__(
        self,
        config: StreamConfig,
        sources: Sequence[str],
        *,
        pass_on: Callable[[Iterable[Event]], None],
        on_lost: Callable[[ClipError], None],
    ) -> None:
        if is_address(config.snapshots):
            raise ValueError(
                f"snapshots is {config.snapshots!r}, expected a folder of this computer"
            )
        self._folder = Path(config.snapshots).absolute()
        self._limit = config.snapshot_gb * _GB
        self._longest = config.snapshot_days * _DAY
        self._stored = {*filter(is_stored, sources)}
        self._pass_on = pass_on
        self._on_lost = on_lost
        self._recent = {name: _Recent() for name in sources}
        self._best = dict[str, _Frame]()  # of events that go on, by their ids
        self._names = dict[str, str]()  # likewise, without suffix
        self._has_failed = False
        self._until = math.inf
        self._checked = time.monotonic()
        check_writable(self._folder)
        self._remove_oldest()
        self._slots = Semaphore(_WAITING)
        self._executor = ThreadPoolExecutor(1, "snapshots")

    def add(self, step: Step) -> None:
        """Keep the frame of a step, and write what belongs to its events."""
        source = step.source or ""
        recent = self._recent[source]
        if step.pause:  # no clip goes on across time without pictures
            recent.clear()
        if step.pixels is not None:
            now = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
            recent.add(step, f"{step.time:.1f} s" if source in self._stored else now)
        for event in step.changes:
            has_room = self._slots.acquire(blocking=source in self._stored)
            frames = tuple(recent.frames) if has_room else None
            self._executor.submit(self._process, event, frames)
        if time.monotonic() - self._checked > _CHECKING:
            self._checked = time.monotonic()
            self._executor.submit(self._remove_oldest)

    def close(self, seconds: float = math.inf) -> None:
        """Wait until all events are passed on; files are written for so many seconds."""
        self._until = time.monotonic() + seconds
        self._executor.shutdown()

    def _process(self, event: Event, frames: tuple[_Frame, ...] | None) -> None:
        """Write the files of an event, and pass it on.

        Args:
            frames: of its stream up to now; None: nothing is written.
        """
        latest = event
        try:
            if frames is not None and time.monotonic() < self._until:
                for with_file in self._written(event, frames):
                    latest = with_file
                if latest.clip:  # a picture may still have room where a clip has none
                    self._has_failed = False
        except Exception as error:  # of whatever kind: the event is sent, and later ones
            if not self._has_failed:
                self._has_failed = True
                remedy = (
                    "free some space" if isinstance(error, DiskFullError) else "check the folder"
                )
                problem = f"pictures and clips of events cannot be written ({error})"
                with suppress(OSError):  # a terminal that is closed must not end the thread
                    self._on_lost(ClipError(self._folder, problem, remedy))
        finally:
            latest = self._with_picture(latest)
            if event.phase != "begin":
                self._best.pop(event.id, None)
                self._names.pop(event.id, None)
            try:
                self._pass_on([latest])
            finally:
                if frames is not None:
                    self._slots.release()

    def _with_picture(self, event: Event) -> Event:
        """The event with the picture of its begin, if there was no time for a later one; that of a
        withdrawn event is removed.
        """
        name = self._names.get(event.id)
        if name is None or event.snapshot:
            return event
        picture = self._folder / f"{name}.jpg"
        if event.phase != "withdrawn":
            return replace(event, snapshot=str(picture)) if picture.exists() else event
        with suppress(OSError):
            picture.unlink(missing_ok=True)
        return event

    def _written(self, event: Event, frames: tuple[_Frame, ...]) -> Iterator[Event]:
        """The event, with the name of each file as soon as it is written."""
        name = self._names.setdefault(event.id, _name(event))
        picture = self._folder / f"{name}.jpg"
        clip = self._folder / f"{name}.mp4"
        if event.phase == "withdrawn":
            return
        during = [frame for frame in frames if event.start <= frame.time <= event.end]
        if before := self._best.get(event.id):
            during.append(before)
        if during:
            middle = (event.start + event.end) / 2
            best = min(during, key=lambda frame: (frame.box is None, abs(frame.time - middle)))
            self._best[event.id] = best
            write_bytes(picture, _encoded(_drawn(best, event)))
            event = replace(event, snapshot=str(picture))
            yield event
        if event.phase == "end" and frames:
            first = min(frames[-1].time - _CLIP, event.start - _BEFORE)
            kept = [frame for frame in frames if frame.time >= first]
            with VideoWriter(clip, _RATE, replace=True, options=_ENCODER) as writer:
                for frame in kept:
                    if time.monotonic() > self._until:
                        raise TimeoutError("the program ends")
                    writer.add(_pixels(frame), frame.time - kept[0].time)
            yield replace(event, clip=str(clip))
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        """Remove files that were written here and are too old, and the oldest of too many."""
        files = list[tuple[float, int, Path]]()
        with suppress(OSError):
            for path in self._folder.iterdir():
                if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    about = path.stat()
                    files.append((about.st_mtime, about.st_size, path))
        total = 0
        oldest = time.time() - self._longest
        for written, size, path in sorted(files, reverse=True):
            total += size
            if written < oldest or total > self._limit:
                with suppress(OSError):
                    path.unlink()


class _Recent:
    """The last frames of a stream."""

    def __init__(self) -> None:
        self.frames = deque[_Frame]()
        self._bytes = 0

    def add(self, step: Step, taken: str) -> None:
        """Keep the frame of a step, unless one was kept just before it."""
        frames = self.frames
        assert step.pixels is not None
        if frames and step.time - frames[-1].time < 0.99 / _RATE:
            return
        frame = _Frame(
            step.time,
            taken,
            jpeg=_encoded(shrink(step.pixels, _SIDE)),
            size=step.pixels.shape[:2],
            box=step.box.corners if step.box else None,
        )
        frames.append(frame)
        self._bytes += len(frame.jpeg)
        while frames[0].time < step.time - _SECONDS or self._bytes > _BYTES:
            self._bytes -= len(frames.popleft().jpeg)

    def clear(self) -> None:
        self.frames.clear()
        self._bytes = 0


def _name(event: Event) -> str:
    """The name of the files of an event, which sorts by time of day; `_NAME` recognizes it."""
    label = _CLASS.sub("-", event.label).strip("-")[:40] or "event"
    return f"{event.at.astimezone():%Y%m%d-%H%M%S}-{label}-{event.id}"


def _encoded(pixels: Pixels) -> bytes:
    swapped = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _pixels(frame: _Frame) -> Pixels:
    content = np.frombuffer(frame.jpeg, np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)


def _drawn(frame: _Frame, event: Event) -> Pixels:
    drawn = enlarge(_pixels(frame))
    if frame.box:
        drawn = boxes(drawn, frame.box, color=BOX_COLORS[0], size=frame.size)
    return caption(drawn, (event.label, f"{100 * event.score:.0f} %  {frame.taken}"))
