"""Events of streams, sent to an address as they begin and end: one HTTP POST with a JSON object for each."""

import base64
import json
import re
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from threading import Condition, Thread
from time import monotonic
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlooker.answer import nothing_class
from onlooker.files import without_password
from onlooker.structures import ClipError, Step

__all__ = ["Event", "EventTracker", "Publisher"]

_ANSWER = 10.0  # seconds to wait for the answer to a request
_MOST = 10_000  # events that wait to be sent
_LONGEST = 30.0  # seconds between two attempts, at most
_AT_END = 1.0  # the same, after the streams have ended
_TRANSIENT = (408, 425, 429)  # status codes after which a retry may succeed, as after all above 499

OnLost = Callable[[ClipError], None]
OnStatus = Callable[[str], None]


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
        address: http or https; a user and password in it are sent as basic authentication.
        on_lost: called for each event that is refused, or not sent in the end.
        on_status: called when the address stops answering, and when it answers again.
        wait: seconds before the second attempt; doubled before each further one, up to 30.

    Raises:
        ValueError: an address of another kind.
    """

    def __init__(self, address: str, on_lost: OnLost, on_status: OnStatus, wait: float = 0.5) -> None:
        parts = _parse(address)
        self.name, self._wait = _shown(address), wait
        self._on_lost, self._on_status = on_lost, on_status
        self._headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
        self._address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path, fragment=""))
        self._opener = build_opener(_NoRedirects)
        self._waiting: deque[dict[str, Any]] = deque()
        self._condition, self._closing = Condition(), False
        self._until = float("inf")
        self._thread = Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Send an event as soon as those before it are sent; at most 10,000 wait, then the oldest is lost."""
        with self._condition:
            self._waiting.append(event.to_values())
            lost = self._waiting.popleft() if len(self._waiting) > _MOST else None
            self._condition.notify()
        if lost:
            self._lose(lost, f"{_MOST} events wait already")

    def close(self, seconds: float = 10.0) -> None:
        """Wait until all events are sent, but not longer than `seconds`; events that are not sent by then are lost."""
        with self._condition:
            self._closing, self._until = True, monotonic() + seconds
            self._condition.notify()
        self._thread.join(seconds + 0.1)
        with self._condition:  # the thread sends nothing more
            lost, self._waiting = [*self._waiting], deque()
        for event in lost:
            self._lose(event, f"no time to send it within {seconds:g} s")

    def _lose(self, event: dict[str, Any], problem: str) -> None:
        self._on_lost(ClipError(self.name, f"{problem}; not sent: {json.dumps(event)}", "check the address"))

    def _run(self) -> None:
        failures, pause = 0, self._wait
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                event = self._waiting[0]
            problem, again = self._send(event)
            if problem and again:
                failures += 1
                if failures == 1:
                    self._on_status(f"{self.name}: {problem}; events wait until it does")
                if not self._pause(pause):
                    return
                pause = min(2 * pause, _LONGEST)
                continue
            if failures:
                self._on_status(f"{self.name}: answers again")
            failures, pause = 0, self._wait
            with self._condition:
                if self._waiting and self._waiting[0] is event:
                    self._waiting.popleft()
            if problem:
                self._lose(event, problem)

    def _pause(self, seconds: float) -> bool:
        """Wait before another attempt; whether there is time for one. After `close`, attempts are one second apart."""
        with self._condition:
            if not self._closing:
                self._condition.wait_for(lambda: self._closing, seconds)
            else:
                self._condition.wait_for(lambda: False, min(seconds, _AT_END, max(self._until - monotonic(), 0)))
            return monotonic() < self._until

    def _send(self, event: dict[str, Any]) -> tuple[str, bool]:
        """What went wrong, if anything, and whether sending it again may help."""
        patience = min(_ANSWER, max(self._until - monotonic(), 0.1))  # not longer than `close` waits
        try:
            request = Request(self._address, json.dumps(event).encode(), self._headers)
            with self._opener.open(request, timeout=patience) as answer:
                answer.read(1)
            return "", False
        except HTTPError as error:
            error.close()
            return f"answers {error.code} {error.reason}", error.code >= 500 or error.code in _TRANSIENT
        except (OSError, HTTPException) as error:
            return f"does not answer ({getattr(error, 'reason', None) or error or type(error).__name__})", True
        except Exception as error:  # this event cannot be sent; the others can
            return f"cannot be sent to ({type(error).__name__}: {error})", False


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: it is an answer that refuses the event."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _parse(address: str) -> SplitResult:
    """The parts of an http or https address; a ValueError for any other, without its password."""
    with suppress(ValueError):  # a port that is no number
        parts = urlsplit(address)
        valid = parts.scheme.lower() in ("http", "https") and parts.hostname and not re.search(r"\s", address)
        if valid and parts.port != 0:
            return parts
    raise ValueError(f"publish is {_shown(address).rpartition('@')[2]!r}, expected an address like https://host/path")


def _shown(address: str) -> str:
    """An address without password and without what follows a question mark, which is often a key."""
    return without_password(address).split("?")[0].split("#")[0]
