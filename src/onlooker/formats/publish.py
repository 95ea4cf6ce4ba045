"""Events and bouts of states, sent to sinks when they begin and when they are over:
webhooks, MQTT, subtitles, JSON lines, and what other packages register.
"""

import errno
import hmac
import json
import os
import re
import sys
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from hashlib import sha256
from http.client import HTTPException
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Signal
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlooker.base.config import StreamConfig
from onlooker.base.files import check_regular, explain_write_errors, read_bytes
from onlooker.base.records import ClipError, Event, Step
from onlooker.base.text import without_password
from onlooker.formats.alerts import AlertRules
from onlooker.formats.labels import make_label
from onlooker.formats.snapshots import Snapshots
from onlooker.formats.webvtt import WATCHED_AGAIN, webvtt_cue
from onlooker.storage import is_stored

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

__all__ = ["Sink", "register_sink"]

OnReach = Callable[[str, str], None]  # the name of a receiver, and a problem; "": it is back

_WAITING = 1000  # events that wait for one sink; later ones are dropped
_ANSWER = 10.0  # seconds to wait for the answer to a request
# seconds for events that wait when a program ends: `docker stop` kills it after 10, and sources,
# brokers and reports may need 1.3 of them
_CLOSING = 8.7
_WRITING = 2.0  # of these, to write pictures and clips
_REPORTING = 0.3  # seconds after these in which a sender that has given up reports what is lost
_CLOSING_PAUSE = 0.5  # seconds between attempts while it closes
_PAUSES = (1, 2, 4, 8, 15, 30, 60, 60, 60)  # seconds between the ten attempts to send an event
_CHECKING = 3.0  # seconds between attempts to reach a receiver that was not reached
_RECONNECTING = 8  # longest pause between attempts to connect to a broker, seconds
_REACHING = 5.0  # seconds for such an attempt; with `_CHECKING`, below ten
_TRANSIENT = (408, 425, 429)  # status codes after which a retry may succeed, as after all above 499
_LAST_PORT = 65535
_LINE = 100_000  # bytes of the first line of an existing file that are read
_HOST = r"(\[[\da-f:.]+\]|[^@/?#\s:]+)(?::(\d{1,5}))?"
_HTTP = re.compile(rf"https?://{_HOST}([/?#]\S*)?", re.IGNORECASE)
_MQTT = re.compile(rf"mqtt(s?)://(?:([^@/?#\s:]+)@)?{_HOST}/([^?#+\s]*[^?#+\s/])/?", re.IGNORECASE)
# the path of an address, which is the key of a webhook; of a broker's, it is the topic
_PATH = re.compile(r"^((?!mqtts?:)[a-z][\w+.-]*://[^/?#]*[/?#]).+", re.IGNORECASE | re.DOTALL)


@runtime_checkable
class Sink(Protocol):
    """A receiver of events: an object with these methods. A subclass may leave out `open` and
    `close`. One that is slow, or raises errors, delays nobody else: each has a thread of its own.
    """

    def open(self, sources: Sequence[str]) -> None:
        """Prepare for the events of the streams of these names; called once, before the first
        frame.

        Raises:
            OSError, ValueError: it cannot receive them.
        """

    @abstractmethod
    def send(self, event: Event, seconds: float) -> None:
        """Deliver an event, within so many seconds; they come one after the other. The begin
        and the end of an event (`Event.phase`) come with one `id`; an event that was none has no end,
        and is withdrawn.

        Raises:
            PermissionError: the event is refused. It is not sent again.
            ConnectionError: the receiver is out of reach; the event is sent when it is back.
            Exception: it is not delivered, and sent again, at most ten times in all.
        """

    def close(self) -> None:
        """End; no event follows."""


class _NetworkSink(Sink):
    """A sink that may be out of reach."""

    @abstractmethod
    def reach(self, seconds: float) -> None:
        """Find out, within so many seconds, whether it is in reach; other errors than
        `ConnectionError` do not occur.

        Raises:
            ConnectionError: it is not.
        """


def register_sink(scheme: str, build: Callable[[str], Sink]) -> None:
    """Add a kind of address to those that events can be sent to.

    A package declares it as an entry point, which is loaded when an address needs it:

        [project.entry-points."onlooker.sinks"]
        kafka = "my_package:KafkaSink"

    Args:
        scheme: how the addresses begin, such as `kafka` of `kafka://host/topic`; or the suffix of
            files, such as `.log`.
        build: makes a sink of an address. What it raises is shown: a ValueError for an address
            that is not valid, without its secrets.

    Raises:
        ValueError: another sink has this scheme.
    """
    if _SINKS.setdefault(scheme.lower(), build) is not build:
        raise ValueError(f"a sink {scheme!r} is registered already; choose another scheme")


def _make_sink(address: str) -> Sink:
    scheme, separator, _ = address.partition("://")
    kind = (scheme if separator else Path(address).suffix).lower()
    installed = entry_points(group="onlooker.sinks", name=kind) if kind not in _SINKS else ()
    for entry_point in installed:
        register_sink(kind, entry_point.load())
    if kind not in _SINKS:
        raise _address_error(address)
    return _SINKS[kind](address)


def _address_error(address: str) -> ValueError:
    files = "a file .vtt, .jsonl or .ndjson"
    expected = f"https://host/path, mqtt://host/topic or {files}, without a password"
    return ValueError(f"events is {_shown(address)!r}, expected {expected}")


def _shown(address: str) -> str:
    """An address without what may be secret, for display."""
    return _PATH.sub(r"\1***", without_password(address))


def publish(
    steps: Generator[Step],
    sinks: Sequence[str | Path | Sink],
    sources: Sequence[str],
    *,
    config: StreamConfig | None = None,
    classes: Sequence[str] = (),
    on_error: Callable[[ClipError], None] | None,
    on_reach: OnReach = lambda *_: None,
) -> Generator[Step]:
    """The steps; the events of each are queued for the sinks before it, and before that, their
    pictures and clips are written (`Snapshots`). At the end, also by an
    exception in the loop over the steps, `Publishers.close` delivers the events that wait.

    Args:
        sources: the names of the streams.
        config: which events are sent, and what is kept of them; None: as by default.
        classes: of their events.
        on_error: as `on_lost` of `Publishers`; None: the first error is raised at the end.
        on_reach: see `Publishers`.

    Raises:
        RuntimeError, ValueError: an invalid sink, or a class in `config` that is none.
    """
    errors = list[ClipError]()
    config = config or StreamConfig()
    on_lost = on_error or errors.append
    rules = AlertRules(config, classes)
    publishers = Publishers(sinks, on_lost, on_reach, rules=rules)

    def published() -> Generator[Step]:
        snapshots: Snapshots | None = None
        try:
            publishers.open(sources, classes, has_pictures=bool(config.snapshots))
            if config.snapshots:
                snapshots = Snapshots(config, sources, pass_on=publishers.add, on_lost=on_lost)
            with closing(steps):
                for step in steps:
                    if snapshots is None:
                        publishers.add(step.changes)
                    else:
                        snapshots.add(step)
                    yield step
            if snapshots is not None:
                snapshots.close()
        finally:  # sources are closed before, so that no events are added
            began = monotonic()
            try:
                if snapshots is not None:
                    snapshots.close(_WRITING)
            finally:
                publishers.close(_CLOSING - (monotonic() - began))
        if errors:
            raise errors[0]

    return published()


class Publishers:
    """Sends events to several sinks, each in the background.

    Args:
        sinks: addresses, or objects with the methods of `Sink`.
        on_lost: called, also by other threads, for each event that is refused or not sent in the
            end, and when events are dropped.
        on_reach: called by other threads when a receiver is found out of reach, with its name and
            what was found, and when it is back, with its name and an empty text.
        rules: which events are sent; files get all. None: all are sent.

    Raises:
        ValueError: an address of another kind, or one with a password.
        RuntimeError: paho-mqtt is not installed.
    """

    def __init__(
        self,
        sinks: Sequence[str | Path | Sink],
        on_lost: Callable[[ClipError], None],
        on_reach: OnReach = lambda *_: None,
        *,
        rules: AlertRules | None = None,
    ) -> None:
        self._on_lost = on_lost
        self._on_reach = on_reach
        self._rules = rules
        self._publishers = list[_Publisher]()
        self._records = set[_Publisher]()  # files, which get all events
        self._sinks = list[tuple[str, Sink, bool]]()  # with its name, and whether it is a file
        for sink in sinks:
            if isinstance(sink, str | Path):
                address = str(sink)
                self._sinks.append((_shown(address), _make_sink(address), "://" not in address))
            else:
                self._sinks.append((type(sink).__name__, sink, False))

    @property
    def _connected(self) -> Signal:
        # programs of earlier versions wait for a broker by what `open_publisher` returns
        ((_, sink, _),) = self._sinks
        return cast(_Mqtt, sink)._connected

    def open(
        self,
        sources: Sequence[str],
        classes: Sequence[str] = (),
        *,
        has_pictures: bool = False,
    ) -> None:
        """Open the sinks for the streams of these names, in which events of these classes may be
        found, with pictures (`Event.snapshot`) or without; errors: see `Sink.open`.
        """
        for name, sink, is_file in self._sinks:
            if isinstance(sink, _Mqtt):
                sink.classes = classes
                sink.has_pictures = has_pictures
            sink.open(sources)
            publisher = _Publisher(sink, name, on_lost=self._on_lost, on_reach=self._on_reach)
            self._publishers.append(publisher)
            if is_file:
                self._records.add(publisher)

    def add(self, events: Iterable[Event]) -> None:
        """Send events as soon as those before them are sent."""
        for event in events:
            is_alert = self._rules is None or self._rules.allow(event)
            for publisher in self._publishers:
                if is_alert or publisher in self._records:
                    publisher.add(event)

    def close(self, seconds: float = _CLOSING) -> None:
        """Wait until all events are sent, but not longer than so many seconds; those that are not
        sent by then are lost, and reported.
        """
        with ExitStack() as ending:  # in the reverse order, also if one of them fails
            ending.callback(self._publishers.clear)
            for publisher in self._publishers:
                ending.callback(publisher.close)
            for publisher in self._publishers:
                ending.callback(publisher.stop, seconds)


def open_publisher(
    address: str, sources: Sequence[str], on_lost: Callable[[ClipError], None]
) -> Publishers:
    """`Publishers` of one address, open: for programs of earlier versions."""
    publishers = Publishers([address], on_lost)
    publishers.open(sources)
    return publishers


class _Publisher:
    """Sends events to a sink in the background, in order.

    An event waits, and others behind it, while the sink is out of reach. Otherwise it is sent at most
    ten times, within about five minutes, while the sink raises errors or does not answer within ten
    seconds. While a thousand events wait, new ones are dropped and counted.

    Args:
        sink: an open one.
        name: how it is shown.
        on_lost, on_reach: see `Publishers`.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        *,
        on_lost: Callable[[ClipError], None],
        on_reach: OnReach,
    ) -> None:
        self._sink = sink
        self._name = name
        self._on_lost = on_lost
        self._on_reach = on_reach
        self._reached: bool | None = None  # None: unknown
        self._dropped = 0
        self._closing = Signal()
        self._until = float("inf")
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        if self._queue.qsize() < _WAITING:
            self._queue.put(event)
        else:
            self._dropped += 1
            if self._dropped == 1:
                self._lose(f"{_WAITING} events wait for it; new ones are dropped")

    def stop(self, seconds: float) -> None:
        """Begin to close, without waiting: of several publishers, all at the same time."""
        self._until = monotonic() + seconds
        self._closing.set()
        self._queue.put(None)

    def close(self) -> None:
        """Wait until all events are sent, or the time of `stop` is over."""
        try:
            self._thread.join(max(0.0, self._until - monotonic()) + _REPORTING)
        finally:  # also if Ctrl-C ends the wait
            if self._thread.is_alive():
                # waiting events and the one being sent; the queue's end marker is no event
                self._lose(f"no answer; {self._queue.qsize()} events may not have been sent")
            if self._dropped:
                self._lose(
                    f"{self._dropped} events were dropped, while {_WAITING} others waited for it"
                )
            try:
                self._sink.close()
            except Exception as error:  # of whatever kind: other sinks are closed, too
                self._lose(f"cannot be closed ({_text(error)})")

    def _lose(self, problem: str) -> None:
        with suppress(OSError):  # a terminal that is closed must not end the thread
            self._on_lost(ClipError(self._name, problem, "check the address"))

    def _run(self) -> None:
        for event in iter(self._next, None):
            if problem := self._deliver(event):
                self._lose(f"{problem}; not sent: {json.dumps(event.to_dict())}")

    def _next(self) -> Event | None:
        """Wait for the next event, and, until it was reached, try meanwhile to reach the sink; None
        at the end.
        """
        while isinstance(self._sink, _NetworkSink) and not self._reached:
            with suppress(Empty):
                return self._queue.get(timeout=_CHECKING)
            try:
                self._sink.reach(_REACHING)
                self._set_reached()
            except ConnectionError as error:
                self._set_reached(_text(error))
        return self._queue.get()

    def _set_reached(self, problem: str = "") -> None:
        """Report a change, and not that it is reached from the start."""
        before = self._reached
        self._reached = not problem
        if self._reached != (before is not False):
            with suppress(OSError):
                self._on_reach(self._name, problem)

    def _deliver(self, event: Event) -> str | None:
        """Send an event, several times if necessary; the last problem, or None if it is sent."""
        problem = "no time to send it"
        failures = 0
        # not longer than `close` waits
        while (patience := min(_ANSWER, self._until - monotonic())) > 0:
            try:
                self._sink.send(event, patience)
                self._set_reached()
                return None
            except PermissionError as error:
                self._set_reached()
                return _text(error)
            except ConnectionError as error:
                problem = _text(error)
                pause = _CHECKING
                self._set_reached(problem)
            except Exception as error:  # of whatever kind: later events are sent
                problem = _text(error)
                if failures == len(_PAUSES):
                    break
                pause = _PAUSES[failures]
                failures += 1
            if self._closing.wait(pause):
                sleep(min(pause, _CLOSING_PAUSE, max(0.0, self._until - monotonic())))
        return problem


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


class _Webhook(_NetworkSink):
    """HTTP POST of JSON. After answers other than 2xx, 408, 425, 429 and 5xx, redirects included,
    an event is lost.

    With the environment variable `ONLOOKER_WEBHOOK_SECRET`, `X-Onlooker-Signature` is `sha256=` and
    the HMAC-SHA256 of the body in hexadecimal digits.
    """

    def __init__(self, address: str) -> None:
        parts = _HTTP.fullmatch(address)
        if parts is None or int(parts[2] or 0) > _LAST_PORT:
            raise _address_error(address)
        self._address = quote(address, safe="/%:@!$&'()*+,;=~?[]#")
        self._opener = build_opener(_NoRedirects)
        self._secret = os.environ.get("ONLOOKER_WEBHOOK_SECRET", "").encode()

    def send(self, event: Event, seconds: float) -> None:
        body = json.dumps(event.to_dict()).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["X-Onlooker-Signature"] = (
                f"sha256={hmac.new(self._secret, body, sha256).hexdigest()}"
            )
        try:
            self._request(Request(self._address, body, headers), seconds)
        except HTTPError as error:
            is_transient = error.code >= 500 or error.code in _TRANSIENT
            kind = OSError if is_transient else PermissionError
            raise kind(f"answers {error.code} {error.reason}") from error
        except URLError as error:
            raise ConnectionError(f"does not answer ({error.reason})") from error
        except (OSError, HTTPException, ValueError) as error:
            raise OSError(f"does not answer ({_text(error)})") from error

    def reach(self, seconds: float) -> None:
        # of the host alone: the path may be what triggers an action
        host = urlsplit(self._address)._replace(path="/", query="", fragment="").geturl()
        try:
            self._request(Request(host, method="HEAD"), seconds)
        except HTTPError:
            pass  # an answer
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or _text(error)
            raise ConnectionError(f"does not answer ({reason})") from error

    def _request(self, request: Request, seconds: float) -> None:
        try:
            with self._opener.open(request, timeout=seconds):
                pass
        except HTTPError as error:
            error.close()
            raise


class _NoRedirects(HTTPRedirectHandler):
    """Treats a redirect as an answer that refuses the event: a redirected POST would arrive as a
    GET without its body.
    """

    def redirect_request(self, *_: Any) -> None:
        return None


class _Mqtt(_NetworkSink):
    """MQTT: JSON in TOPIC/SOURCE, `online` or `offline` in TOPIC/SOURCE/status, discovery by Home
    Assistant.

    A connection has one status, under its first source, because a broker sends one last message
    for it. Programs that share a topic have different sources, and none says another is offline.
    Events are not retained: a receiver that starts later would take the last one for a new one.

    For Home Assistant, each source is a binary sensor, on for two seconds when an event begins, with
    the values of the last message as attributes; and so is each class of a source, on while an event
    of the class goes on. The password of a user in the address is in the
    environment variable `ONLOOKER_MQTT_PASSWORD`.
    """

    def __init__(self, address: str) -> None:
        parts = _MQTT.fullmatch(address)
        if parts is None or int(parts[4] or 0) > _LAST_PORT:
            raise _address_error(address)
        secure, user, host, port, self._topic = parts.groups()
        try:
            mqtt = import_module("paho.mqtt.client")
        except ImportError as error:
            raise RuntimeError('paho is not installed; pip install "onlooker[events]"') from error
        self._host = host.strip("[]")
        self._port = int(port or (8883 if secure else 1883))
        self._client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._connected = Signal()
        self._answered = Signal()  # whether the first attempt to connect is over
        self._problem = "it cannot be reached"
        self._unconfirmed: tuple[tuple[str, str | None], MQTTMessageInfo] | None = None
        self.classes: Sequence[str] = ()
        self.has_pictures = False
        self._sources: Sequence[str] = ()
        self._status = ""
        if user:
            client.username_pw_set(user, os.environ.get("ONLOOKER_MQTT_PASSWORD"))
        if secure:
            client.tls_set()
        client.on_connect = self._greet
        client.on_connect_fail = self._fail
        client.on_disconnect = lambda *_: self._connected.clear()
        client.reconnect_delay_set(max_delay=_RECONNECTING)

    def open(self, sources: Sequence[str]) -> None:
        self._sources = sources
        self._status = f"{self._topic_of(sources[0])}/status"
        self._client.will_set(self._status, "offline", qos=1, retain=True)
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()

    def send(self, event: Event, seconds: float) -> None:
        self.reach(seconds)
        topic = self._topic_of(event.source or "")
        message = event.id, event.phase
        if self._unconfirmed is None or self._unconfirmed[0] != message:
            if event.snapshot:
                with suppress(OSError):  # it may have been removed since
                    picture = Path(event.snapshot).read_bytes()
                    self._client.publish(f"{topic}/image", picture, qos=1)
            sent = self._client.publish(topic, json.dumps(event.to_dict()), qos=1)
            sent.rc = type(sent.rc)(0)  # also without a connection, paho keeps it
            self._unconfirmed = message, sent
        # paho sends it when it is connected again: a second message would be a second event
        sent = self._unconfirmed[1]
        sent.wait_for_publish(seconds)
        if not sent.is_published():
            raise OSError("does not confirm it")

    def reach(self, seconds: float) -> None:
        self._answered.wait(min(seconds, _REACHING))
        if not self._connected.is_set():
            raise ConnectionError(f"no connection ({self._problem})")

    def close(self) -> None:
        if self._connected.is_set():
            offline = self._client.publish(self._status, "offline", qos=1, retain=True)
            with suppress(RuntimeError):  # the connection is lost, and the broker says so
                offline.wait_for_publish(_CLOSING_PAUSE)
        self._client.disconnect()

    def _fail(self, *_: object) -> None:
        self._problem = str(sys.exc_info()[1] or self._problem)  # paho calls it as it handles that
        self._answered.set()

    def _greet(
        self, client: "Client", _: object, __: object, reason: "ReasonCode", ___: object
    ) -> None:
        """After each connection, announce the sensors, and that they are online."""
        if reason.is_failure:
            self._problem = str(reason)
            self._answered.set()
            return
        for source in self._sources:
            topic = self._topic_of(source)
            sensor = {
                "name": source,
                "unique_id": _identifier(topic),
                "state_topic": topic,
                "value_template": "{% if value_json.state == 'begin' %}ON{% endif %}",
                "off_delay": 2,
                "json_attributes_topic": topic,
                "availability_topic": self._status,
                "device": {
                    "identifiers": [_identifier(self._topic)],
                    "name": f"Onlooker {self._topic}",
                },
            }
            config = f"homeassistant/binary_sensor/{sensor['unique_id']}/config"
            client.publish(config, json.dumps(sensor), retain=True)
            if self.has_pictures:
                config, image = _image_entity(sensor)
                client.publish(config, json.dumps(image), retain=True)
            for label in self.classes:
                config, of_class = _class_sensor(sensor, label)
                client.publish(config, json.dumps(of_class), retain=True)
        client.publish(self._status, "online", retain=True)
        self._connected.set()
        self._answered.set()

    def _topic_of(self, source: str) -> str:
        return f"{self._topic}/{_distinct(source)}"


def _distinct(name: str) -> str:
    """A name of letters, digits, _ and - only, as topics and identifiers need it. It ends in a digest
    if it is another one: two names stay distinct, also in two programs.
    """
    plain = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-") or "source"
    if plain == name:
        return name
    return f"{plain}-{sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _identifier(topic: str) -> str:
    """The identifier of a topic in Home Assistant; see `_distinct`."""
    if re.fullmatch(r"[\w/]+", topic, re.ASCII):
        return f"onlooker-{topic.replace('/', '-')}"
    return f"onlooker-{_distinct(f'{topic}/')}"


def _class_sensor(sensor: dict[str, Any], label: str) -> tuple[str, dict[str, Any]]:
    """The topic that announces the sensor of a class of a source, and what is announced, from the
    sensor of the source. A message of another class, for which the template is empty, changes nothing.
    """
    digest = sha256(label.encode(errors="surrogateescape")).hexdigest()[:8]
    name = json.dumps(label, ensure_ascii=False)
    own = {
        **sensor,
        "name": f"{sensor['name']} {label}",
        "unique_id": f"{sensor['unique_id']}-{digest}",
        "value_template": f"{{% if value_json.label == {name} %}}"
        "{{ 'ON' if value_json.state == 'begin' else 'OFF' }}{% endif %}",
    }
    del own["off_delay"]
    del own["json_attributes_topic"]  # it has those of all classes
    return f"homeassistant/binary_sensor/{own['unique_id']}/config", own


def _image_entity(sensor: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The topic that announces the picture of the last event of a source, and what is announced,
    from the sensor of the source.
    """
    shared = ("name", "unique_id", "availability_topic", "device")
    image = {name: sensor[name] for name in shared} | {
        "image_topic": f"{sensor['state_topic']}/image"
    }
    return f"homeassistant/image/{image['unique_id']}/config", image


class _Subtitles(Sink):
    """A WebVTT file, to which an event, or a bout of a state, is appended when it is over.

    Events of an earlier camera stream stay; a comment says where the new ones begin. A file
    that has the events of a recording is refused: they would be in it twice.
    """

    def __init__(self, address: str) -> None:
        self._path = Path(address)

    def open(self, sources: Sequence[str]) -> None:
        path = self._path
        if len(sources) > 1:
            raise ValueError(
                f"{path}: holds the events of one source, not of {len(sources)}; send them elsewhere"
            )
        begin = "WEBVTT\n"
        if path.exists() and (before := read_bytes(path)):
            if not before.startswith(b"WEBVTT"):
                raise ValueError(f"{path}: holds something else than WebVTT; choose another file")
            if b"-->" in before and is_stored(sources[0]):
                raise FileExistsError(
                    f"{path}: holds events already; choose another file, or remove it"
                )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            begin = f"\n{WATCHED_AGAIN} at {now}; 00:00:00.000 is the first frame after that\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, begin)  # an error now if it cannot be written

    def send(self, event: Event, seconds: float) -> None:
        if event.phase not in (None, "end"):
            return
        segment = make_label(event.label, event.start, event.end, score=event.score)
        _append(self._path, f"\n{webvtt_cue(segment)}")


class _JsonLines(Sink):
    """A file of one JSON object per line, to which each event is appended when it is sent.

    A file that is there goes on, as a log does: each line has its `id` and its time of day, `at`.
    """

    def __init__(self, address: str) -> None:
        self._path = Path(address)

    def open(self, sources: Sequence[str]) -> None:
        path = self._path
        begin = ""
        if path.exists():
            check_regular(path)
            with path.open("rb") as file:
                first = file.readline(_LINE)
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                last = file.read()
            if first and not _is_object(first):
                raise ValueError(
                    f"{path}: holds something else than JSON lines; choose another file"
                )
            if last not in (b"", b"\n"):  # a line that a power cut has torn stays alone
                begin = "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, begin)  # an error now if it cannot be written

    def send(self, event: Event, seconds: float) -> None:
        _append(self._path, f"{json.dumps(event.to_dict())}\n")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _append(path: Path, text: str) -> None:
    """Append all of a text to a file, or nothing."""
    content = text.encode(errors="backslashreplace")
    with (
        explain_write_errors("this file", path.parent, path=path),
        path.open("ab", buffering=0) as file,
    ):
        size = file.seek(0, os.SEEK_END)
        if file.write(content) < len(content):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_SINKS: dict[str, Callable[[str], Sink]] = {
    "http": _Webhook,
    "https": _Webhook,
    "mqtt": _Mqtt,
    "mqtts": _Mqtt,
    ".vtt": _Subtitles,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
}
