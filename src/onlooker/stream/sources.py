"""Live frames from a camera, an address or a file, read by a thread that reconnects when the
connection is lost.
"""

import math
import os
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from select import select
from threading import Condition, Event, Thread
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError
from onlooker.base.text import without_password
from onlooker.video.clock import frame_rate, start_of
from onlooker.video.container import LENIENT, MAX_PIXELS, error_text, video_stream
from onlooker.video.decode import (
    Converter,
    decode_packets,
    lacks_times,
)
from onlooker.video.eyes import Eye, EyeRows, added, look
from onlooker.video.rates import RATE, UNKNOWN_RATE
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels

State = Literal["online", "reconnecting", "gone"]
Frame = tuple[int, float, Pixels]  # index, seconds, `H W 3`
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "tcp", "udp", "http", "https")

# Without "file": a playlist from the network must not name files of this machine.
_PROTOCOLS = "rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto,rtmp,rtmps"
_DEMUXERS = "rtsp,sdp,rtp,mpegts,flv,mjpeg,mpjpeg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpeg,mpegvideo,m4v,h264,hevc"
# Microseconds of a stream that FFmpeg analyzes before the first frame; its default would take 7 s
# of MPEG-TS.
_ANALYZE = "1000000"

_PIPE = "pipe:0"  # standard input
_LAST_CAMERA = 9999
_BY_FFMPEG = "ffmpeg -i ADDRESS -c copy -f mpegts - | onlooker watch RUN -"
_MAX_WAIT = 30.0  # seconds between two connection attempts
_FASTEST = 1000.0  # frames per second of a sender that does not say when they were taken
_ASSUMED = f"{UNKNOWN_RATE} {RATE:g} frames per second; give --frame-rate N"
_ARRIVAL = f"{UNKNOWN_RATE} the arrival of frames; give --frame-rate N"
# A pipe that gives more frames per second is no camera. To find out, at most so many packets are
# read, for so many seconds: packets that FFmpeg has buffered come at once.
_FAST = 100
_MANY = 200
_OPENING = 0.5
_MAX_QUEUE = 4  # frames held for a slow reader that wants all of them
_SILENT = 1.0  # seconds without a frame after which a camera is assumed to omit unchanged frames
# How much too early a frame may be for a slot, as a share of the distance between two slots: if the
# times of a source are rounded, and if they are times of arrival.
ON_TIME = 0.1
EARLY = 0.5
# times the timeout after which data that contain no frame count as a lost connection
_FRAMELESS = 3


def slot_of(position: float, next_slot: int, early: float) -> int | None:
    """The slot of a frame at a time in units of slots: `next_slot` or a later one; None if it is
    too early for `next_slot`.
    """
    if position < next_slot - early:
        return None
    return max(next_slot, math.floor(position + ON_TIME))


class Status(NamedTuple):
    """A change of the connection to a source.

    Args:
        source: its name, without a password.
        state: `reconnecting`: the connection is lost, or not there yet; `gone`: it has ended, or
            was given up.
        time: seconds since its first frame; None before it, and for a file.
        reason: what was found; for `online`, that the frame rate is unknown, or empty.
    """

    source: str
    state: State
    time: float | None
    reason: str = ""


class _Arrival(NamedTuple):
    """A frame of a source.

    Args:
        pixels: converts the frame; called only if it is used.
        recorded: from a source with an end, which waits for its reader: nothing is dropped.
        note: for the user, about its time.
        rows: of the eyes, since the frame that was handed out before.
    """

    time: float
    pixels: Callable[[], Pixels]
    recorded: bool = False
    note: str = ""
    rows: EyeRows = MappingProxyType({})


class _LostError(Exception):
    """A lost connection, which may come back.

    Args:
        ended: whether the sender has ended it.
    """

    def __init__(self, reason: str, *, ended: bool = False) -> None:
        super().__init__(reason)
        self.ended = ended


class LiveClock:
    """Seconds since the first frame of a source, always ascending, despite lost connections and
    damaged timestamps.

    A timestamp that runs backwards, or jumps by more than `leap` seconds, is ignored, and the clock
    continues from there; after a single wrong one, as before it. In a recording, such as of a pipe, a
    jump forward that the next timestamp confirms is time without pictures; the clock of a camera may
    have been set. After a reconnection, whose timestamps may start anywhere, the wall-clock time is
    used.
    """

    def __init__(self, leap: float) -> None:
        self._leap = leap
        self._step = 1 / RATE
        self._began: float | None = None
        self._last: float | None = None
        self._offset: float | None = None  # from timestamps to times, in this connection
        self._before: float | None = None  # the offset before the last timestamp that was ignored
        self._recorded = False

    def connected(self, rate: float, *, recorded: bool = False) -> None:
        """Timestamps restart.

        Args:
            rate: expected frames per second, 0 if unknown.
            recorded: whether the source has an end, and waits for its reader.
        """
        self._offset = self._before = None
        self._recorded = recorded
        self._step = 1 / (rate if rate > 0 else RATE)

    @property
    def now(self) -> float | None:
        """Seconds since the first frame; None before it."""
        return (
            None if self._began is None else max(self._last or 0.0, time.monotonic() - self._began)
        )

    def __call__(self, stamp: float | None) -> float:
        """The time of the next frame; `stamp`: its timestamp in seconds, or None."""
        now = time.monotonic()
        if self._began is None or self._last is None:
            self._began = now
            seconds = 0.0
        else:
            seconds = after = self._last + self._step
            if self._offset is None:
                seconds = max(now - self._began, after)
            elif stamp is not None:
                seconds = self._believed(stamp, self._last) or after
        if stamp is not None:
            self._offset = seconds - stamp
        self._last = seconds
        return seconds

    def _believed(self, stamp: float, last: float) -> float | None:
        """The time by a timestamp that follows the last one, or the one before a wrong one; None if
        it is ignored.
        """
        for offset in (self._offset, self._before):
            if offset is not None and last < stamp + offset <= last + self._leap:
                if self._recorded and self._before is not None:
                    return max(stamp + offset, stamp + self._before)
                return stamp + offset
        self._before = self._offset
        return None


class Source:
    """Frames of one camera, address or file, read by a thread from `start` to `close`, and handed
    out by `poll`.

    `dropped` counts frames that arrived but were not handed out because the reader was too slow
    (frames that `rate` skips do not count), `reconnections` how often the connection was lost and
    came back. `changes`: what happened to the connection before the last frame from `poll`.

    If a camera or address is lost after its first frame, `config.attempts` attempts are made to
    reconnect, and times continue by the wall clock. With 0 attempts, an address ends when its
    sender ends it. A file on a server that is lost is an error; so is a source that does not answer
    at the start, unless there is no limit of attempts (-1).

    With a `rate`, the first frame in each slot of 1 / rate seconds is handed out. The last one is
    handed out again, with a later time, while a camera is silent: it may leave out unchanged
    frames. `rows`: what the eyes saw in all frames since the frame that `poll` returned before,
    including frames that were not handed out.

    Args:
        source: a number, as `int` or `str`, or `/dev/video0`: that camera of the machine; an
            address that starts with one of `SCHEMES`; `-`: standard input; else the path of a video
            file or of a folder of numbered images (`./0` for one that is called 0); or a reader.
        condition: is notified of every frame and of the end; several sources may share one.
        hold: how often in a row a frame is handed out again at most; what a model remembers.
        name: how it is shown; None: `source` without a password.
        eyes: what looks at all frames, besides pictures.

    Raises:
        ValueError: an invalid source.
    """

    def __init__(
        self,
        source: int | str | Path | VideoReader,
        config: StreamConfig,
        condition: Condition,
        *,
        hold: int = 0,
        name: str | None = None,
        eyes: Mapping[str, Eye] = MappingProxyType({}),
    ) -> None:
        self._source = _parse(source)
        self.name = name or without_password(str(source))
        self.dropped = self.reconnections = 0
        self.recorded = False  # whether it has an end, and waits for its reader
        self._reader: VideoReader | None = None  # of a recording that was read, with its times
        self._config = config
        self.condition = condition
        self._over = Event()
        self._hold = hold
        self._held = 0  # times that the last frame was handed out again
        # Changes, frames to hand out, each with its index, and an error at the end.
        self._queue: deque[Status | tuple[int, _Arrival] | ClipError] = deque()
        self._index = -1
        self._slot = -1
        self._last: _Arrival | None = None  # in this connection
        self._eyes = eyes
        self._eye_states: dict[str, Any] = {}
        self._rows: EyeRows = {}  # since the last frame that was handed out
        self.rows: EyeRows = {}
        self.changes: list[Status] = []
        self._state: State | None = None
        self._convert = Converter(self.name)
        self._clock = LiveClock(leap=max(config.timeout, 1.0))
        # A daemon thread, so that the program can end while it waits for a silent address.
        self._thread = Thread(target=self._read, name=f"onlooker {self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether `poll` has a frame, a change or an error, or the source has ended."""
        return bool(self._queue) or self._over.is_set() or self._is_silent

    @property
    def finished(self) -> bool:
        """Whether all frames and changes were handed out, and the error if there was one."""
        return self._over.is_set() and not self._queue

    @property
    def seconds(self) -> float | None:
        """When a recording that was read ends; None: unknown."""
        with suppress(ClipError):  # its file may be gone
            return self._reader.seconds if self._reader else None
        return None

    def poll(self) -> Frame | None:
        """The next frame: index, seconds, pixels (uint8, RGB, upright); None if none has arrived.

        Raises:
            ClipError: the source cannot be read, or was lost for good; raised once, after its last
                frame.
        """
        frame = None
        self.changes = []
        with self.condition:
            if self._last and self._is_silent:
                self._hold_frame(self._last, self._slot + 1)
            while frame is None and self._queue:
                item = self._queue.popleft()
                if isinstance(item, ClipError):
                    raise item
                if isinstance(item, Status):
                    self.changes.append(item)
                else:
                    frame = item
            self.condition.notify_all()
        if frame is None:
            return None
        index, arrival = frame
        self.rows = arrival.rows
        try:
            return index, arrival.time, arrival.pixels()
        except ClipError as error:
            self.end(error.found)  # other frames would fail as well
            raise

    def end(self, reason: str) -> None:
        """Stop because of an error, which is the reason of its last status."""
        self.stop()
        self._change("gone", reason)

    def failure(self, error: Exception) -> ClipError:
        """The error of this source that an exception means."""
        if isinstance(error, ClipError):
            return error
        return ClipError(self.name, error_text(error), "check what it sends")

    def stop(self) -> None:
        """Ask the thread to end, without waiting."""
        with self.condition:
            self._over.set()
            self._queue.clear()
            self.condition.notify_all()

    def close(self, timeout: float = 1.0) -> None:
        """Stop reading, and wait at most `timeout` seconds for the thread: it may wait for a silent
        address.
        """
        self.stop()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _change(self, state: State, reason: str = "") -> None:
        """Queue the state of the source if it has changed."""
        with self.condition:
            if state != self._state:
                self._state = state
                self._queue.append(Status(self.name, state, self._clock.now, reason=reason))

    # The methods below run in the thread.

    def _read(self) -> None:
        error: ClipError | None = None
        try:
            self._reconnect_loop()
        except Exception as raised:  # whatever happens to one source must not end the others
            error = self.failure(raised)
        with self.condition:
            self._change("gone", error.found if error else "it has ended")
            if error and not self._over.is_set():
                self._queue.append(error)
            self._over.set()
            self.condition.notify_all()

    def _reconnect_loop(self) -> None:
        """Read one connection after another, until the source ends or must not be tried again."""
        failures = 0  # new connections since the last frame
        while True:
            before = self._index
            lost = self._read_connection()
            if lost is None:
                return
            if self._index > before:
                failures = 0
            attempts = self._attempts
            if lost.ended and attempts == 0 and self._index >= 0:
                return
            if 0 <= attempts <= failures:
                raise self._connection_error(str(lost), failures) from lost
            self._change("reconnecting", str(lost))
            if self._over.wait(min(self._config.wait * 2 ** min(failures, 16), _MAX_WAIT)):
                return
            failures += 1

    @property
    def _attempts(self) -> int:
        """How often in a row a lost connection is made again; -1: no limit."""
        if self._source == _PIPE or self.recorded:
            return 0  # a recording would begin again
        answered = self._index >= 0 or self._config.attempts < 0
        return self._config.attempts if answered else 0

    def _read_connection(self) -> _LostError | None:
        """Queue the frames of one connection, until it is lost; None: a recording is over, or
        reading is stopped.
        """
        before = self._index
        self._last = None
        self._eye_states = {}
        try:
            with closing(self._arrivals()) as arrivals:
                for arrival in arrivals:
                    self._change("online", arrival.note)
                    if self._index == before and before >= 0:
                        self.reconnections += 1
                    if not self._put(arrival):
                        return None
        except _LostError as lost:
            return lost
        if self._index < 0:
            raise ClipError(
                self.name,
                "no frame of it can be decoded",
                "send a whole recording, or record again",
            )
        return None

    def _connection_error(self, reason: str, attempts: int) -> ClipError:
        if isinstance(self._source, int):
            remedy = "check its number, that no other program uses it, and your permission (on Linux: group video)"
            return ClipError(f"camera {self.name}", reason, remedy)
        reason += f"; {attempts} new connections brought no frame" if attempts else ""
        remedy = "check that it sends, and the network; or wait longer (--timeout, --attempts)"
        if self.name.lower().startswith("http"):
            remedy += f"; redirects and playlists are not followed: {_BY_FFMPEG}"
        return ClipError(self.name, reason, remedy)

    def _arrivals(self) -> Generator[_Arrival]:
        if isinstance(self._source, Path | VideoReader):
            reader = VideoReader(self._source) if isinstance(self._source, Path) else self._source
            untimed = reader.assumes_rate
            rate = self._config.frame_rate if untimed else None
            note = _ASSUMED if untimed and rate is None else ""
            for index, seconds, pixels in reader:
                self._index = index - 1  # of a part, not 0 at first
                time_of = index / rate if rate else seconds
                yield _Arrival(time_of, partial(np.asarray, pixels), recorded=True, note=note)
            if rate is None:
                self._reader = reader
        elif isinstance(self._source, int):
            yield from _of_camera(self._source, self._clock)
        else:
            timeout = self._config.timeout
            yield from _of_address(
                self._source,
                self.name,
                timeout=timeout,
                rate=self._config.frame_rate,
                clock=self._clock,
                convert=self._convert,
            )

    def _put(self, arrival: _Arrival) -> bool:
        """Queue a frame for the reader; False if reading has been stopped."""
        rows: EyeRows = {}
        if self._eyes:
            pixels = arrival.pixels()
            arrival = arrival._replace(pixels=partial(np.asarray, pixels))
            self._eye_states, rows = look(self._eyes, pixels, arrival.time, states=self._eye_states)
        with self.condition:
            self._rows = added(self._rows, rows)
            rate = self._config.rate
            self.recorded = arrival.recorded
            slot: int | None = self._index + 1
            if rate:
                early = ON_TIME if arrival.recorded else EARLY
                slot = slot_of(arrival.time * rate, self._slot + 1, early)
                # it has arrived late, after others were expected
                if self._held and slot is None:
                    slot = self._slot + 1
                    arrival = arrival._replace(time=slot / rate)
            self._held = 0
            self._index += 1
            self._last = arrival
            if slot is not None:
                self._hand_out(slot, arrival)
            return not self._over.is_set()

    def _hand_out(self, slot: int, arrival: _Arrival) -> None:
        """Queue the last frame for a slot of the frame rate."""
        self._slot = slot
        if self._config.drop == "latest" and not self.recorded:
            changes = [item for item in self._queue if isinstance(item, Status)]
            for item in self._queue:
                if not isinstance(item, Status | ClipError):
                    self.dropped += 1
                    self._rows = added(self._rows, item[1].rows)
            self._queue = deque(changes)
        else:
            self.condition.wait_for(lambda: len(self._queue) < _MAX_QUEUE or self._over.is_set())
        if not self._over.is_set():
            self._queue.append((self._index, arrival._replace(rows=self._rows)))
            self._rows = {}
            self.condition.notify_all()

    def _hold_frame(self, last: _Arrival, slot: int) -> None:
        """Queue the last frame again, for a later slot."""
        assert self._config.rate
        self._held += 1
        self._hand_out(slot, last._replace(time=slot / self._config.rate))

    @property
    def _is_silent(self) -> bool:
        """Whether a camera has sent nothing for so long that its last frame is handed out again."""
        rate = self._config.rate
        now = self._clock.now
        if not rate or now is None or not self._last or self._queue or self._held >= self._hold:
            return False
        if self._state != "online" or self.recorded:
            return False
        return now >= max(self._last.time + _SILENT * (self._held == 0), (self._slot + 1) / rate)


def stream_names(sources: Sequence[int | str | Path | VideoReader]) -> list[str]:
    """The names of the streams of some sources: the sources without passwords, numbered where they
    differ in these alone.

    Raises:
        ValueError: a source is given twice.
    """
    names = list[str]()
    given = list(map(str, sources))
    shown = list(map(without_password, given))
    for number, name in enumerate(shown):
        if given[number] in given[:number]:
            raise ValueError(f"source {name} is given twice; each is watched once")
        earlier = shown[:number].count(name)
        names.append(f"{name} ({earlier + 1})" if earlier else name)
    return names


def _parse(source: int | str | Path | VideoReader) -> int | str | Path | VideoReader:
    """A camera as `int`, an address as `str`, a file or folder as `Path`."""
    if isinstance(source, int) or (isinstance(source, str) and source.isdecimal()):
        return _camera_number(source)
    if source == "-":
        return _PIPE
    device = os.path.realpath(source) if str(source).startswith("/dev/") else ""
    if camera := re.fullmatch(r"/dev/video(\d+)", device, re.ASCII):
        return _camera_number(camera[1])
    scheme, separator, rest = str(source).partition("://")
    if isinstance(source, VideoReader):
        return source
    if isinstance(source, Path) or not separator:
        return Path(source)
    if scheme.lower() not in SCHEMES or not rest:
        kinds = ", ".join(SCHEMES)
        raise ValueError(
            f"source is {without_password(source)!r}, expected an address of {kinds}, or a path; "
            f"for others: {_BY_FFMPEG}"
        )
    return f"{scheme.lower()}{separator}{rest}"  # FFmpeg knows no other spelling


def _camera_number(source: int | str) -> int:
    number = int(source)
    if not 0 <= number <= _LAST_CAMERA:  # OpenCV crashes with a negative number
        raise ValueError(
            f"source is {number}, expected a camera from 0 to {_LAST_CAMERA}; "
            f"a file or folder of this name is ./{number}"
        )
    return number


def _of_camera(number: int, clock: LiveClock) -> Generator[_Arrival]:
    """Frames of a camera through OpenCV, which numbers cameras on every system; FFmpeg needs names
    on some.
    """
    logging: Any = cv2.utils.logging
    to_rgb: Any = cv2.cvtColor
    # it would print a warning for a missing camera
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        camera = cv2.VideoCapture(number)
    finally:
        logging.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise _LostError("no camera answers there")
        clock.connected(camera.get(cv2.CAP_PROP_FPS))
        while True:
            success, pixels = camera.read()
            if not success:
                raise _LostError("the camera sends no more frames")
            yield _Arrival(clock(time.monotonic()), partial(to_rgb, pixels, cv2.COLOR_BGR2RGB))
    finally:
        camera.release()


def _open_address(address: str, timeout: float) -> InputContainer:
    """Open a live address. No redirect or playlist leads to another one."""
    options = {
        "protocol_whitelist": "pipe" if address == _PIPE else _PROTOCOLS,
        "format_whitelist": _DEMUXERS,
        "max_pixels": str(MAX_PIXELS),
        "analyzeduration": _ANALYZE,
        "max_redirects": "0",
    }
    if address.startswith("rtsp"):
        options["rtsp_flags"] = "prefer_tcp"  # packets lost over UDP would damage frames
    return av.open(address, options=options, timeout=(timeout, timeout), **LENIENT)


def _comes_at_once(
    packets: Iterator["Packet[VideoStream] | None"],
    early: list["Packet[VideoStream] | None"],
    begin: float,
) -> bool:
    """Whether a pipe gives its packets faster than any camera records them; the packets that are
    read to find out are added to `early`.

    Args:
        begin: when it had its first byte, by the monotonic clock.
    """
    opened = time.monotonic()
    for packet in packets:
        early.append(packet)
        if packet is None:
            return True
        if len(early) == _MANY or time.monotonic() > opened + _OPENING:
            break
    return len(early) > _FAST * (time.monotonic() - begin)


def _of_address(
    address: str,
    name: str,
    *,
    timeout: float,
    rate: float | None,
    clock: LiveClock,
    convert: Converter,
) -> Generator[_Arrival]:
    opened = False
    if address == _PIPE:
        with suppress(OSError, ValueError):  # Windows cannot wait for a pipe
            select([int(address.rpartition(":")[2])], [], [])
    begin = last = time.monotonic()
    try:
        with _open_address(address, timeout) as container:
            opened = True
            video = video_stream(name, container)
            unit = float(video.time_base or 0)
            # A file on a server has a duration, and a live stream has none; standard input waits for
            # its reader.
            recorded = container.duration is not None or address == _PIPE
            untimed = lacks_times(container, video, is_live=not recorded)

            def video_packets() -> Iterator["Packet[VideoStream] | None"]:
                # of all streams: one that sends only sound must not block forever
                for packet in container.demux():
                    if not recorded and time.monotonic() - last > _FRAMELESS * timeout:
                        raise _LostError(f"data, but no frame within {_FRAMELESS * timeout:g} s")
                    if packet.stream is video and packet.size:
                        yield cast("Packet[VideoStream]", packet)
                yield None

            last = time.monotonic()
            note = ""
            packets = video_packets()
            early = list["Packet[VideoStream] | None"]()
            if untimed and rate is None:
                if address == _PIPE:
                    recorded = _comes_at_once(packets, early, begin)
                note = _ASSUMED if recorded else _ARRIVAL
                rate = RATE if recorded else None
            late = None if recorded else 0.0  # seconds from the start of a file to its first frame
            clock.connected(
                (rate or _FASTEST) if untimed else frame_rate(container, video),
                recorded=recorded,
            )
            for index, frame in enumerate(decode_packets(name, video, chain(early, packets))):
                even = index / rate if untimed and rate else None
                stamp = even if untimed or frame.pts is None else frame.pts * unit
                if late is None:
                    late = stamp - start_of(container, stamp) if stamp is not None else 0.0
                time_of = clock(stamp) + late
                yield _Arrival(time_of, partial(convert, frame), recorded=recorded, note=note)
                last = time.monotonic()
    # IndexError: from PyAV, for a new stream. ValueError: includes frames of an impossible size,
    # and no video stream.
    except (av.error.FFmpegError, OSError, IndexError, RuntimeError, ValueError) as error:
        # Some protocols, such as RTSP, report a timeout as another error.
        if isinstance(error, av.error.ExitError) or (
            not opened and time.monotonic() - begin >= timeout
        ):
            raise _LostError(
                f"no {'frame' if opened else 'answer'} within {timeout:g} s"
            ) from error
        problem = error.found if isinstance(error, ClipError) else error_text(error)
        raise _LostError(
            f"{'connection broken' if opened else 'cannot be opened'} ({problem})"
        ) from error
    if not recorded:
        raise _LostError("the sender has ended it", ended=True)
