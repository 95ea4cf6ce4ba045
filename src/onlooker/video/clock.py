"""When the frames of a file are shown: by the clock of its packets, without wrong time stamps."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.video.rates import HIGHEST, RATE

if TYPE_CHECKING:
    from av.packet import Packet

_SAME = 1e-3  # seconds: less is rounding
AHEAD = 16  # packets that are read before one is decoded
REORDERED = 16  # frames that a decoder holds back at most, to bring them into display order
_LAST = 3  # of these, frames that are decoded after one that is shown later, at the end of a file
_NEXT = (
    8  # packets that tell whether a stamp is wrong: if fewer of them lie before it, they are broken
)
# formats of frames without timestamps
RAW = frozenset({"h264", "hevc", "m4v", "mpegvideo", "mjpeg", "mpjpeg"})


def has_display_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether packet timestamps are display times. AVI stores only the decoding order."""
    reordered = stream.codec_context.has_b_frames or stream.codec_context.name in ("h264", "hevc")
    return not (container.format.name == "avi" and reordered)


def start_of(container: InputContainer, first_stamp: float) -> float:
    """The time stamp, in seconds, at which players begin a file: its first frame, or sound before
    it.
    """
    start = first_stamp if container.start_time is None else container.start_time / av.time_base
    return start if start < first_stamp - _SAME else first_stamp


def frame_rate(container: InputContainer, stream: VideoStream) -> float:
    """Frames per second; 25 if the file or sender states none, or an impossible rate."""
    codec_rate = stream.codec_context.framerate if container.format.name in RAW else None
    rate = float(codec_rate or stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate <= HIGHEST else RATE


def is_decoding_order(stamps: NDArray[np.int64], *, is_reordered: bool) -> bool:
    """Whether the stamps of packets can be those of frames in decoding order, with none that is
    wrong. A decoder holds back few frames; of the first and last ones, a wrong stamp could look like
    a pause.
    """
    order = np.argsort(stamps, kind="stable")
    moved = order - np.arange(len(order))
    if np.abs(moved).max(initial=0) > (REORDERED if is_reordered else 0):
        return False
    pauses = np.diff(stamps[order])
    if not is_reordered or not len(pauses):
        return True
    is_mixed = np.cumsum(moved)[:-1] != 0  # packets from before and after the pause
    is_mixed[REORDERED:-REORDERED] = False
    is_mixed[-_LAST:] = True  # nothing is decoded after them
    return not (is_mixed & (pauses > REORDERED * np.median(pauses))).any()


class FileClock:
    """The times of the frames of a file in display order, always ascending.

    A stamp is wrong if it is not between the frame before and most of the next packets: this
    frame alone is moved, next to the frame before. If most of these are earlier as well, stamps
    begin again, and time goes on. Frames of AVI, which stores no display times, have the clock of
    the packets with which the decoder gives them: empty packets and damaged ones count.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._unit = float(stream.time_base or 0)
        self._step = 1 / frame_rate(container, stream)
        self._has_display_times = has_display_times(container, stream)
        # display and decoding times of the last packets that were read, in decoding order
        self._packets = deque[tuple[int | None, int | None]](maxlen=AHEAD + 2 * REORDERED)
        self._last: float | None = None  # stamp of the last frame, or what it should be
        self._offset = 0.0  # from stamps to times
        self._delay = 0.0  # of the decoder: from stamps of decoding to those of display

    def reading(self, packets: Iterable["Packet[VideoStream]"]) -> Iterator["Packet[VideoStream]"]:
        """The packets, read a little ahead of those that are decoded."""
        waiting = deque["Packet[VideoStream]"]()
        for packet in packets:
            self._packets.append((packet.pts, packet.dts))
            waiting.append(packet)
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting

    def __call__(self, frame: VideoFrame) -> float:
        """The time of the next frame in seconds (`base.records`)."""
        stamp = self._stamp(frame)
        if self._last is None:
            stamp = self._first(frame, stamp)
            self._offset = -start_of(self._container, stamp)
        elif stamp is None:
            stamp = self._last + self._step
        else:
            stamp = self._checked(stamp, self._following(frame), last=self._last)
        self._last = stamp
        return stamp + self._offset

    def _stamp(self, frame: VideoFrame) -> float | None:
        """The stamp of a frame, in seconds; None: unknown."""
        if self._has_display_times and frame.pts is not None:
            if frame.dts is not None:
                self._delay = (frame.pts - frame.dts) * self._unit
            return frame.pts * self._unit
        return None if frame.dts is None else frame.dts * self._unit + self._delay

    def _first(self, frame: VideoFrame, stamp: float | None) -> float:
        if not self._has_display_times:
            own = dict(self._packets).get(frame.pts)  # it is decoded first, and shown first
            if stamp is not None and own is not None:
                self._delay = own * self._unit - stamp
                stamp += self._delay
            return stamp or 0.0
        following = self._following(frame)
        if stamp is not None and sum(later < stamp for later in following) > len(following) / 2:
            return min(following) - self._step
        return stamp or 0.0

    def _checked(self, stamp: float, following: list[float], *, last: float) -> float:
        """The stamp, or what it should be after the stamp `last`."""
        ahead = [later for later in following if later > last]
        if stamp > last and sum(later < stamp for later in ahead) <= len(ahead) / 2:
            return stamp
        if stamp <= last and len(ahead) <= len(following) / 2:  # stamps begin again
            self._offset += last + self._step - stamp
            return stamp
        return last + min(self._step, (min(ahead) - last) / 2)

    def _following(self, frame: VideoFrame) -> list[float]:
        """The stamps of packets that follow that of a frame in decoding order."""
        if not self._has_display_times:
            return []
        stamps = [pts for pts, _ in self._packets]
        own = stamps.index(frame.pts) if frame.pts in stamps else len(stamps)
        # the last ones that are decoded may be shown before others
        nearest = stamps[own + 1 : own + 1 + _NEXT] or stamps[max(own - _LAST, 0) : own]
        return [pts * self._unit for pts in nearest if pts is not None]
