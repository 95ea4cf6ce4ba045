"""Events of streams, sent to addresses when they are over: webhooks, MQTT, subtitles."""

import hmac
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from http.client import HTTPException
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Signal
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlooker.base.files import explain_write_errors, read_bytes
from onlooker.base.records import ClipError, Event
from onlooker.base.text import without_password
from onlooker.formats.annotations import WATCHED_AGAIN, make_interval, webvtt_cue

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.reasoncodes import ReasonCode

_WAITING = 1000  # events that wait for one address; later ones are dropped
_ANSWER = 10.0  # seconds to wait for the answer to a request
# seconds for events that wait when a program ends: `docker stop` kills it after 10, and sources,
# brokers and reports may need 1.3 of them
_CLOSING = 8.7
_LATE = 0.3  # seconds after these in which a sender that has given up says what is lost
_CLOSING_PAUSE = 0.5  # seconds between attempts while it closes
_PAUSES = (1, 2, 4, 8, 15, 30, 60, 60, 60)  # seconds between the ten attempts to send an event
_TRANSIENT = (408, 425, 429)  # status codes after which a retry may succeed, as after all above 499
_HOST = r"(\[[\da-f:.]+\]|[^@/?#\s:]+)(?::(\d{1,5}))?"
_HTTP = re.compile(rf"https?://{_HOST}([/?#]\S*)?", re.IGNORECASE)
_WEBHOOK_PATH = re.compile(r"^(https?://[^/?#]*[/?#]).+", re.IGNORECASE | re.DOTALL)
_MQTT = re.compile(rf"mqtt(s?)://(?:([^@/?#\s:]+)@)?{_HOST}/([^?#+\s]*[^?#+\s/])/?", re.IGNORECASE)


class Publisher(ABC):
    """Sends events to an address in the background, in order; a slow or dead receiver delays nobody
    else.

    An event is sent at most ten times, within about five minutes, while the receiver cannot be
    reached or does not answer within ten seconds; others wait meanwhile. It may arrive twice, with
    the same `id`. While a thousand events wait, new ones are dropped and counted.

    Args:
        name: the address, without what may be secret.
        on_lost: called for each event that is refused or not sent in the end, and when events are
            dropped.
    """

    def __init__(self, name: str, on_lost: Callable[[ClipError], None]) -> None:
        self.name = name
        self._on_lost = on_lost
        self._dropped = 0
        self._closing = Signal()
        self._until = float("inf")
        self._queue: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Send an event as soon as those before it are sent."""
        if self._queue.qsize() < _WAITING:
            self._queue.put(event.to_dict())
        else:
            self._dropped += 1
            if self._dropped == 1:
                self._lose(f"{_WAITING} events wait for it; new ones are dropped")

    def stop(self, seconds: float = _CLOSING) -> None:
        """Begin to close, without waiting: of several publishers, all at the same time."""
        if not self._closing.is_set():
            self._until = monotonic() + seconds
            self._closing.set()
            self._queue.put(None)

    def close(self, seconds: float = _CLOSING) -> None:
        """Wait until all events are sent, but not longer than `seconds` after `stop`; events that
        are not sent by then are lost, and reported.
        """
        self.stop(seconds)
        try:
            self._thread.join(max(0.0, self._until - monotonic()) + _LATE)
        finally:  # also if Ctrl-C ends the wait
            if self._thread.is_alive():
                # those that wait and the one on its way; the end of the queue is no event
                self._lose(f"no answer; {self._queue.qsize()} events may not have been sent")
            if self._dropped:
                self._lose(
                    f"{self._dropped} events were dropped, while {_WAITING} others waited for it"
                )

    def _lose(self, problem: str) -> None:
        with suppress(OSError):  # a terminal that is closed must not end the thread
            self._on_lost(ClipError(self.name, problem, "check the address"))

    def _run(self) -> None:
        for event in iter(self._queue.get, None):
            if problem := self._deliver(event):
                self._lose(f"{problem}; not sent: {json.dumps(event)}")

    def _deliver(self, event: dict[str, Any]) -> str | None:
        """Send an event, if need be several times; what was wrong in the end."""
        problem: str | None = "no time to send it"
        for pause in (*_PAUSES, 0):
            # not longer than `close` waits
            if (patience := min(_ANSWER, self._until - monotonic())) <= 0:
                break
            try:
                if (problem := self._send(event, patience)) is None:
                    return None
            except PermissionError as error:
                return str(error)
            except (OSError, HTTPException, RuntimeError, ValueError) as error:
                problem = f"does not answer ({getattr(error, 'reason', None) or error or type(error).__name__})"
            if self._closing.wait(pause):
                sleep(min(pause, _CLOSING_PAUSE, max(0.0, self._until - monotonic())))
        return problem

    @abstractmethod
    def _send(self, event: dict[str, Any], patience: float) -> str | None:
        """Send an event within so many seconds; why it should be tried again, or a PermissionError
        if it should not.
        """


class _Webhook(Publisher):
    """HTTP POST of JSON. After answers other than 2xx, 408, 425, 429 and 5xx, redirects included,
    an event is lost.

    With the environment variable `ONLOOKER_WEBHOOK_SECRET`, `X-Onlooker-Signature` is `sha256=` and
    the HMAC-SHA256 of the body in hexadecimal digits.
    """

    def __init__(self, address: str, name: str, on_lost: Callable[[ClipError], None]) -> None:
        self._address = quote(address, safe="/%:@!$&'()*+,;=~?[]#")
        self._opener = build_opener(_NoRedirects)
        self._secret = os.environ.get("ONLOOKER_WEBHOOK_SECRET", "").encode()
        super().__init__(name, on_lost)

    def _send(self, event: dict[str, Any], patience: float) -> str | None:
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["X-Onlooker-Signature"] = (
                f"sha256={hmac.new(self._secret, body, sha256).hexdigest()}"
            )
        try:
            with self._opener.open(Request(self._address, body, headers), timeout=patience):
                return None
        except HTTPError as error:
            error.close()
            problem = f"answers {error.code} {error.reason}"
            if error.code < 500 and error.code not in _TRANSIENT:
                raise PermissionError(problem) from error
            return problem


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: it is an answer that refuses the
    event.
    """

    def redirect_request(self, *_: Any) -> None:
        return None


class _Mqtt(Publisher):
    """MQTT: JSON in TOPIC/SOURCE, `online` or `offline` in TOPIC/SOURCE/status, discovery by Home
    Assistant.

    A connection has one status, that of its first source, because a broker sends one last message
    for it. Programs that share a topic have different sources, and none says another is offline.
    Events are not retained: a receiver that starts later would take the last one for a new one.

    For Home Assistant, each source is a binary sensor, on for two seconds when an event is over,
    with the event's values as attributes. The password of a user in the address is in the
    environment variable `ONLOOKER_MQTT_PASSWORD`.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        sources: Sequence[str],
        on_lost: Callable[[ClipError], None],
    ) -> None:
        secure, user, host, port, self._topic = _MQTT.findall(address)[0]
        try:
            mqtt = import_module("paho.mqtt.client")
        except ImportError as error:
            raise RuntimeError('paho is not installed; pip install "onlooker[events]"') from error
        self._client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._connected = Signal()
        self._problem = "it cannot be reached"
        self._sources = sources
        if user:
            client.username_pw_set(user, os.environ.get("ONLOOKER_MQTT_PASSWORD"))
        if secure:
            client.tls_set()
        self._status = f"{self._topic_of(sources[0])}/status"
        client.will_set(self._status, "offline", qos=1, retain=True)
        client.on_connect = self._greet
        client.on_disconnect = lambda *_: self._connected.clear()
        client.connect_async(host.strip("[]"), int(port or (8883 if secure else 1883)))
        client.loop_start()
        super().__init__(name, on_lost)

    def _greet(
        self, client: "Client", _: object, __: object, reason: "ReasonCode", ___: object
    ) -> None:
        """After each connection: the sensors, and that they are there."""
        if reason.is_failure:
            self._problem = str(reason)
            return
        for source in self._sources:
            topic = self._topic_of(source)
            sensor = {
                "name": source,
                "unique_id": _slug(f"onlooker {topic}"),
                "state_topic": topic,
                "value_template": "ON",
                "off_delay": 2,
                "json_attributes_topic": topic,
                "availability_topic": self._status,
                "device": {
                    "identifiers": [_slug(f"onlooker {self._topic}")],
                    "name": f"Onlooker {self._topic}",
                },
            }
            config = f"homeassistant/binary_sensor/{sensor['unique_id']}/config"
            client.publish(config, json.dumps(sensor), retain=True)
        client.publish(self._status, "online", retain=True)
        self._connected.set()

    def _topic_of(self, source: str) -> str:
        names = [_slug(other) or "source" for other in self._sources]
        name = _slug(source) or "source"
        if names.count(name) > 1:
            name += f"-{sha256(source.encode(errors='surrogateescape')).hexdigest()[:8]}"
        return f"{self._topic}/{name}"

    def _send(self, event: dict[str, Any], patience: float) -> str | None:
        if not self._connected.wait(patience):
            return f"no connection ({self._problem})"
        sent = self._client.publish(self._topic_of(event["source"]), json.dumps(event), qos=1)
        sent.wait_for_publish(patience)
        return None if sent.is_published() else "does not confirm it"

    def close(self, seconds: float = _CLOSING) -> None:
        super().close(seconds)
        if self._connected.is_set():
            ended = self._client.publish(self._status, "offline", qos=1, retain=True)
            with suppress(RuntimeError):  # the connection is lost, and the broker says so
                ended.wait_for_publish(_CLOSING_PAUSE)
        self._client.disconnect()


def _slug(name: str) -> str:
    """A name of letters, digits, _ and - only, as topics and identifiers need it."""
    return re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-")


class _Subtitles(Publisher):
    """A WebVTT file, to which an event is appended when it is over.

    Events of an earlier stream stay; a comment says where those of this one begin.
    """

    def __init__(self, path: Path, on_lost: Callable[[ClipError], None]) -> None:
        self._path = path
        begin = "WEBVTT\n"
        if path.exists() and (before := read_bytes(path)):
            if not before.startswith(b"WEBVTT"):
                raise ValueError(f"{path}: holds something else than WebVTT; choose another file")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            begin = f"\n{WATCHED_AGAIN} at {now}; 00:00:00.000 is the first frame after that\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._append(begin)  # an error now if it cannot be written
        super().__init__(str(path), on_lost)

    def _append(self, text: str) -> None:
        with (
            explain_write_errors("this file", self._path.parent, path=self._path),
            self._path.open("ab") as file,
        ):
            file.write(text.encode(errors="backslashreplace"))

    def _send(self, event: dict[str, Any], _: float) -> None:
        interval = make_interval(
            event["label"], event["began"], event["ended"], score=event["score"]
        )
        self._append(f"\n{webvtt_cue(interval)}")


def open_publisher(
    address: str, sources: Sequence[str], on_lost: Callable[[ClipError], None]
) -> Publisher:
    """A publisher for `https://host/path` (or http), `mqtt://[user@]host[:port]/topic` (or mqtts),
    or a .vtt file.

    Args:
        sources: the names of the streams.
        on_lost: see `Publisher`.

    Raises:
        ValueError: an address of another kind, one with a password, or a file for several streams.
        RuntimeError: paho-mqtt is not installed.
    """
    # the path of a webhook is its key
    name = _WEBHOOK_PATH.sub(r"\1***", without_password(address))
    if _HTTP.fullmatch(address):
        return _Webhook(address, name, on_lost)
    if _MQTT.fullmatch(address):
        return _Mqtt(address, name, sources=sources, on_lost=on_lost)
    if address.lower().endswith(".vtt") and "://" not in address:
        if len(sources) > 1:
            raise ValueError(
                f"{name}: holds the events of one source, not of {len(sources)}; send them elsewhere"
            )
        return _Subtitles(Path(address), on_lost)
    expected = "https://host/path, mqtt://host/topic or a file.vtt, without a password"
    raise ValueError(f"events is {name!r}, expected {expected}")
