"""Events of streams, sent to an address as they begin and end: one HTTP POST with a JSON object for each."""

import json
import re
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPException
from threading import Event as Signal
from time import monotonic
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlooker.answer import nothing_name
from onlooker.structures import ClipError, Step

__all__ = ["Event", "EventTracker", "Publisher"]

_ANSWER = 10.0  # seconds to wait for the answer to a request
_PAUSES = (1, 2, 4, 8, 15, 30, 60, 60, 60, 60)  # seconds between the attempts to send an event
_TRANSIENT = (408, 425, 429)  # status codes after which a retry may succeed, as after all above 499
_ADDRESS = re.compile(r"https?://(\[[\da-f:.]+\]|[^@/?#\s:]+)(:\d+)?([/?#]\S*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Event:
    """An event of a stream that begins or has ended.

    Args:
        source: the name of the stream.
        label: its class.
        began, ended: seconds since the first frame of the stream, dated back as `EventTracker` says; `ended` is None
            while it goes on.
        score: the mean probability over its frames so far.
    """

    source: str | None
    label: str
    began: float
    ended: float | None
    score: float

    def to_values(self) -> dict[str, Any]:
        """Plain values, for JSON: with the time of day, and an `id` by which a receiver recognizes duplicates."""
        state = "begins" if self.ended is None else "ends"
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"id": uuid.uuid4().hex, "event": state, **self.__dict__, "at": at}


@dataclass
class _Stream:
    """The times of the last steps of a stream; its event that goes on, the sum of its scores, its number of steps."""

    times: deque[float]
    event: Event | None = None
    total: float = 0.0
    steps: int = 0


class EventTracker:
    """Turns steps into events.

    An event is reported with the first step of its class. It is over with the first step of another class, with the
    first step without an event (`Step.happening`, or the class in which nothing happens), or with its stream. For a
    model that has neither a threshold nor evidence, every change of the class is an event.

    Its times are earlier than these steps: its beginning and its end by the lag of the model, and its beginning also by
    the steps that had to agree. An event that its stream ends lasts until the last step.

    Args:
        lag: `VideoModel.lag`, in steps.
        agreement: number of steps that had to agree (`StreamConfig.agreement`), for steps with a threshold.
    """

    def __init__(self, lag: int = 0, agreement: int = 1) -> None:
        self.lag, self.agreement = lag, agreement
        self._streams: dict[str | None, _Stream] = {}

    def add(self, step: Step) -> list[Event]:
        """The events that end and begin with a step."""
        of = self._streams.setdefault(step.source, _Stream(deque(maxlen=self.lag + self.agreement)))
        of.times.append(step.time)
        label = None if step.happening is False or step.label == nothing_name(step.classes) else step.label
        if of.event and of.event.label == label:
            of.total, of.steps = of.total + step.score, of.steps + 1
            return []
        changes = self.end(step.source, self.lag)
        if label is not None:
            agreed = 0 if step.threshold is None else self.agreement - 1
            of.event = Event(step.source, label, _earlier(of.times, self.lag + agreed), None, step.score)
            of.total, of.steps = step.score, 1
            changes.append(of.event)
        return changes

    def end(self, source: str | None, back: int = 0) -> list[Event]:
        """End the event of a stream, if there is one, `back` steps before the last step of the stream."""
        of = self._streams.get(source)
        if of is None or of.event is None:
            return []
        ended = max(of.event.began, _earlier(of.times, back))
        event, of.event = replace(of.event, ended=ended, score=of.total / of.steps), None
        return [event]

    def end_all(self) -> list[Event]:
        """End the events of all streams."""
        return [event for source in self._streams for event in self.end(source)]


def _earlier(times: Sequence[float], back: int) -> float:
    """The time of the step `back` steps before the last one, or of the first one that is known."""
    return times[max(0, len(times) - 1 - back)]


class Publisher:
    """Sends events to an address in the background, in order.

    An event is sent again, at most ten times within five minutes, while the address cannot be reached, does not answer
    within ten seconds, or answers with 408, 425, 429 or 5xx; others wait meanwhile. After any other answer except 2xx,
    redirects included, it is lost, and the next one is sent. An event may arrive twice, with the same `id`.

    Args:
        address: http or https, without a password: a receiver can check a key after a question mark.
        on_lost: called for each event that is refused, or not sent in the end.

    Raises:
        ValueError: an address of another kind.
    """

    def __init__(self, address: str, on_lost: Callable[[ClipError], None]) -> None:
        self.name = address.rpartition("@")[2].split("?")[0].split("#")[0]  # without what may be secret
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"publish is {self.name!r}, expected an address like https://host/path, no password")
        self._address = quote(address, safe="/%:@!$&'()*+,;=~?[]#")
        self._on_lost, self._opener = on_lost, build_opener(_NoRedirects)
        self._closing, self._until = Signal(), float("inf")
        self._thread = ThreadPoolExecutor(1, "publish")

    def add(self, event: Event) -> None:
        """Send an event as soon as those before it are sent."""
        self._thread.submit(self._deliver, event.to_values())

    def close(self, seconds: float = 10.0) -> None:
        """Wait until all events are sent, but not longer than `seconds`; events that are not sent by then are lost."""
        self._until = monotonic() + seconds
        self._closing.set()
        self._thread.shutdown()

    def _deliver(self, event: dict[str, Any]) -> None:
        request = Request(self._address, json.dumps(event).encode(), {"Content-Type": "application/json"})
        problem = "no time to send it"
        for pause in (*_PAUSES, 0):
            if (patience := min(_ANSWER, self._until - monotonic())) <= 0:  # not longer than `close` waits
                break
            try:
                with self._opener.open(request, timeout=patience):
                    return
            except HTTPError as error:
                error.close()
                problem = f"answers {error.code} {error.reason}"
                if error.code < 500 and error.code not in _TRANSIENT:
                    break
            except (OSError, HTTPException) as error:
                problem = f"does not answer ({getattr(error, 'reason', None) or error or type(error).__name__})"
            self._closing.wait(pause)
        self._on_lost(ClipError(self.name, f"{problem}; not sent: {json.dumps(event)}", "check the address"))


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: it is an answer that refuses the event."""

    def redirect_request(self, *_: Any) -> None:
        return None
