"""Events of streams, sent to an address as they begin and end: one HTTP POST with a JSON object for each."""

import json
import re
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from queue import SimpleQueue
from threading import Event as Signal
from threading import Thread
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlooker.answer import nothing_class
from onlooker.structures import ClipError, Step

__all__ = ["Event", "EventTracker", "Publisher"]

_ANSWER = 10.0  # seconds to wait for the answer to a request
_MOST = 10_000  # events that wait to be sent
_LONGEST, _AT_END = 30.0, 1.0  # seconds between two attempts, at most; the same after the streams have ended
_TRANSIENT = (408, 425, 429)  # status codes after which a retry may succeed, as after all above 499


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
        self._ongoing: dict[str | None, tuple[Event, float, int]] = {}  # begun; sum of scores; number of steps
        self._times: dict[str | None, deque[float]] = {}  # of the last steps of each stream

    def add(self, step: Step) -> list[Event]:
        """The events that end and begin with a step."""
        label, before = _event(step), self._ongoing.get(step.source)
        times = self._times.setdefault(step.source, deque(maxlen=self.lag + self.agreement))
        times.append(step.time)
        if before and before[0].label == label:
            event, total, steps = before
            self._ongoing[step.source] = event, total + step.score, steps + 1
            return []
        changes = self._end(step.source, self.lag)
        if label is not None:
            agreed = 0 if step.threshold is None else self.agreement - 1
            begun = Event(step.source, label, _earlier(times, self.lag + agreed), None, step.score)
            self._ongoing[step.source] = begun, step.score, 1
            changes.append(begun)
        return changes

    def end(self, source: str | None) -> list[Event]:
        """End the event of a stream, if there is one, at the last step of the stream."""
        return self._end(source, 0)

    def end_all(self) -> list[Event]:
        """End the events of all streams."""
        return [event for source in list(self._ongoing) for event in self.end(source)]

    def _end(self, source: str | None, back: int) -> list[Event]:
        if source not in self._ongoing:
            return []
        event, total, steps = self._ongoing.pop(source)
        ended = max(event.began, _earlier(self._times[source], back))
        return [Event(source, event.label, event.began, ended, total / steps)]


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

    An event waits and is sent again while the address cannot be reached, does not answer within ten seconds, or answers
    with 408, 425, 429 or 5xx. Any other answer except 2xx, redirects included, is a refusal: the event is lost, and the
    next one is sent. An event may arrive twice, with the same `id`.

    Args:
        address: http or https, without a password: a receiver can check a key after a question mark.
        on_lost: called for each event that is refused, or not sent in the end.
        on_status: called when the address stops answering, and when it answers again.
        wait: seconds before the second attempt; doubled before each further one, up to 30.

    Raises:
        ValueError: an address of another kind.
    """

    def __init__(
        self, address: str, on_lost: Callable[[ClipError], None], on_status: Callable[[str], None], wait: float = 0.5
    ) -> None:
        self.name = address.rpartition("@")[2].split("?")[0].split("#")[0]  # without what may be secret
        if not re.fullmatch(r"https?://[^@/?#\s]+([/?#]\S*)?", address, re.IGNORECASE) or not _has_port(address):
            raise ValueError(f"publish is {self.name!r}, expected an address like https://host/path, no password")
        self._address = quote(address, safe="/%:@!$&'()*+,;=~?[]#")
        self._on_lost, self._on_status, self._wait = on_lost, on_status, wait
        self._opener = build_opener(_NoRedirects)
        self._waiting, self._closing, self._until = SimpleQueue[dict[str, Any] | None](), Signal(), float("inf")
        self._thread = Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Send an event as soon as those before it are sent; at most 10,000 wait, further ones are lost."""
        if self._waiting.qsize() >= _MOST:
            self._lose(event.to_values(), f"{_MOST} events wait already")
        else:
            self._waiting.put(event.to_values())

    def close(self, seconds: float = 10.0) -> None:
        """Wait until all events are sent, but not longer than `seconds`; events that are not sent by then are lost."""
        self._until = monotonic() + seconds
        self._closing.set()
        self._waiting.put(None)
        self._thread.join(seconds + 1)

    def _lose(self, event: dict[str, Any], problem: str) -> None:
        self._on_lost(ClipError(self.name, f"{problem}; not sent: {json.dumps(event)}", "check the address"))

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None:
            problem, again, pause = *self._send(event), self._wait
            if again:
                self._on_status(f"{self.name}: {problem}; events wait until it does")
                while again and monotonic() < self._until:
                    if self._closing.is_set():
                        sleep(min(pause, _AT_END, max(self._until - monotonic(), 0)))
                    else:
                        self._closing.wait(pause)
                    pause = min(2 * pause, _LONGEST)
                    problem, again = self._send(event)
                if not problem:
                    self._on_status(f"{self.name}: answers again")
            if problem:
                self._lose(event, problem)

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


def _has_port(address: str) -> bool:
    """Whether the port of an address is a number, or missing."""
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False
