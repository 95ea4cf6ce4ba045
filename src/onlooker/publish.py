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

from onlooker.answer import nothing_class
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
        label = _event(step)
        if of.event and of.event.label == label:
            of.total, of.steps = of.total + step.score, of.steps + 1
            return []
        changes = self._end(of, self.lag)
        if label is not None:
            agreed = 0 if step.threshold is None else self.agreement - 1
            of.event = Event(step.source, label, _earlier(of.times, self.lag + agreed), None, step.score)
            of.total, of.steps = step.score, 1
            changes.append(of.event)
        return changes

    def end(self, source: str | None) -> list[Event]:
        """End the event of a stream, if there is one, at the last step of the stream."""
        return self._end(self._streams[source], 0) if source in self._streams else []

    def end_all(self) -> list[Event]:
        """End the events of all streams."""
        return [event for source in self._streams for event in self.end(source)]

    def _end(self, of: _Stream, back: int) -> list[Event]:
        if of.event is None:
            return []
        ended = max(of.event.began, _earlier(of.times, back))
        event, of.event = replace(of.event, ended=ended, score=of.total / of.steps), None
        return [event]


def _earlier(times: Sequence[float], back: int) -> float:
    """The time of the step `back` steps before the last one, or of the first one that is known."""
    return times[max(0, len(times) - 1 - back)]


def _event(step: Step) -> str | None:
    """The class of the event that a step shows; None if there is none."""
    nothing = nothing_class(step.classes)
    quiet = step.happening is False or step.label not in step.classes
    return None if quiet or (nothing is not None and step.label == step.classes[nothing]) else step.label


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
        problem, again = self._send(event)
        for pause in _PAUSES:
            if not again:
                break
            self._closing.wait(pause)
            problem, again = self._send(event)
        if problem:
            self._on_lost(ClipError(self.name, f"{problem}; not sent: {json.dumps(event)}", "check the address"))

    def _send(self, event: dict[str, Any]) -> tuple[str, bool]:
        """What went wrong, if anything, and whether sending it again may help."""
        patience = min(_ANSWER, self._until - monotonic())  # not longer than `close` waits
        if patience <= 0:
            return "no time to send it", False
        try:
            request = Request(self._address, json.dumps(event).encode(), {"Content-Type": "application/json"})
            with self._opener.open(request, timeout=patience):
                return "", False
        except HTTPError as error:
            error.close()
            return f"answers {error.code} {error.reason}", error.code >= 500 or error.code in _TRANSIENT
        except (OSError, HTTPException) as error:
            return f"does not answer ({getattr(error, 'reason', None) or error or type(error).__name__})", True


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: it is an answer that refuses the event."""

    def redirect_request(self, *_: Any) -> None:
        return None
