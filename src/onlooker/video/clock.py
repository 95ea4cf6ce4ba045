"""The time of frames that arrive live, whatever their timestamps say."""

import time

from onlooker.video.decode import RATE


class LiveClock:
    """Seconds since the first frame of a source, always ascending, despite lost connections and damaged timestamps.

    A timestamp that runs backwards, or jumps by more than `leap` seconds, is ignored, and the clock continues from
    there. After a reconnection, whose timestamps may start anywhere, the wall-clock time is used.
    """

    def __init__(self, leap: float) -> None:
        self._leap, self._step = leap, 1 / RATE
        self._began: float | None = None
        self._last: float | None = None
        self._offset: float | None = None  # from timestamps to times, in this connection

    def connected(self, rate: float) -> None:
        """Timestamps restart; `rate`: expected frames per second, 0 if unknown."""
        self._offset, self._step = None, 1 / (rate if rate > 0 else RATE)

    @property
    def now(self) -> float | None:
        """Seconds since the first frame; None before it."""
        return None if self._began is None else max(self._last or 0.0, time.monotonic() - self._began)

    def __call__(self, stamp: float | None) -> float:
        """The time of the next frame; `stamp`: its timestamp in seconds, or None."""
        now = time.monotonic()
        if self._began is None or self._last is None:
            self._began, seconds = now, 0.0
        else:
            seconds = after = self._last + self._step
            if self._offset is None:
                seconds = max(now - self._began, after)
            elif stamp is not None and self._last < stamp + self._offset <= self._last + self._leap:
                seconds = stamp + self._offset
        if stamp is not None:
            self._offset = seconds - stamp
        self._last = seconds
        return seconds
