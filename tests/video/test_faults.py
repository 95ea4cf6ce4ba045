"""Network faults: the source reconnects, reports the fault, and its memory does not grow; web
addresses lead nowhere else, neither by redirects nor by playlists.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, groupby, pairwise, repeat
from threading import Thread
from typing import Any

import av
import pytest
from fault_proxy import FAULTS, faulty
from senders import Sender, transport_stream

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError
from onlooker.stream.sources import Source, Status

PATIENT = StreamConfig(drop="none", timeout=180, attempts=-1, wait=0.02)
# Seconds for opening and for reading, of the connections with these faults.
SHORT = {
    "half_open": (0.3, 0.3),
    "frozen": (PATIENT.timeout, 0.3),
    "sound_after": (PATIENT.timeout, 0.3),
}


def told(changes: list[Status]) -> list[str]:
    """The states, without repetitions."""
    return [state for state, _ in groupby(change.state for change in changes)]


def follow(
    source: Source, states: int = 99, frames: int = 0
) -> tuple[list[float], list[Status], str]:
    """Times of frames, changes of the connection and the error, until some number of each or the
    end.
    """
    times: list[float] = []
    changes: list[Status] = []
    error = ""
    end = time.monotonic() + 60
    while (
        not source.finished
        and time.monotonic() < end
        and (len(told(changes)) < states or len(times) < frames)
    ):
        with source.condition:
            source.condition.wait_for(lambda: source.ready, 0.05)
        try:
            if (frame := source.poll()) is not None:
                times.append(frame[1])
        except ClipError as raised:
            error = str(raised)
        changes += source.changes
    return times, changes, error


def opened(address: str, config: StreamConfig = PATIENT) -> Source:
    source = Source(address, config, threading.Condition())
    source.start()
    return source


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_source_comes_back_after_every_fault(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only silence and sound alone are waited for: a busy machine may send all else late.
    timeouts = SHORT.get(fault, (PATIENT.timeout, PATIENT.timeout))
    of_connections = chain([timeouts] * 2, repeat((PATIENT.timeout, PATIENT.timeout)))
    open_address = av.open

    def open_next(*given: Any, **settings: Any) -> Any:
        return open_address(*given, **{**settings, "timeout": next(of_connections)})

    monkeypatch.setattr(av, "open", open_next)
    begins = fault in ("half_open", "only_sound")  # before any frame
    expected = (
        ["reconnecting", "online"]
        if begins
        else ["online", "reconnecting", "online", "reconnecting", "online"]
    )
    with faulty([fault, fault]) as proxy:
        source = opened(proxy.address, replace(PATIENT, timeout=min(timeouts)))
        times, changes, _ = follow(source, len(expected), 20)
        source.close(5)
    assert told(changes)[: len(expected)] == expected, changes
    assert all(a < b for a, b in pairwise(times))
    assert source.reconnections == (0 if begins else 2)


def test_changes_of_the_connection_are_reported_in_order() -> None:
    part = transport_stream(40)
    with Sender(lambda: [part], lambda: [part]) as sender:
        source = opened(sender.address, replace(PATIENT, attempts=1))
        times, changes, error = follow(source)
    assert told(changes) == ["online", "reconnecting", "online", "reconnecting", "gone"]
    assert changes[0] == (sender.address, "online", pytest.approx(0, abs=60), "")
    assert {change.reason for change in changes if change.state == "reconnecting"} == {
        "the sender has ended it"
    }
    assert "connection refused); 1 new connections" in changes[-1].reason
    assert changes[-1].reason in error
    assert len(times) == 80


def test_waiting_for_an_absent_source_on_request() -> None:
    with Sender() as sender:
        pass
    port = int(sender.address.rpartition(":")[2])
    _, changes, error = follow(opened(sender.address, replace(PATIENT, attempts=5)))
    assert (
        "refused); check that it sends, and the network; or wait longer (--timeout, --attempts)"
        in error
    )
    assert [change.state for change in changes] == ["gone"]
    source = opened(sender.address)
    assert [change.state for change in follow(source, states=1)[1]] == ["reconnecting"]
    with Sender(lambda: [transport_stream(10)], port=port):
        _, changes, _ = follow(source, states=1)
        assert (changes[0].state, changes[0].time) == ("online", pytest.approx(0, abs=60))
        source.close()


@contextmanager
def server(pages: dict[str, bytes | str]) -> Iterator[int]:
    """Serve pages; a text is a redirect. Gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages[self.path]
            moved = isinstance(page, str)
            self.send_response(302 if moved else 200)
            self.send_header(
                "Location" if moved else "Content-Length", page if moved else len(page)
            )
            self.end_headers()
            self.wfile.write(b"" if moved else page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port
        serving.shutdown()


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    pages: dict[str, bytes | str] = {"/video.ts": transport_stream(12)}
    with server(pages) as port:
        target = f"http://127.0.0.1:{port}/video.ts"
        pages["/redirect"] = target
        lines = (
            "#EXTM3U",
            "#EXT-X-TARGETDURATION:1",
            "#EXTINF:0.48,",
            target,
            "#EXT-X-ENDLIST",
        )
        pages["/list.m3u8"] = "\n".join([*lines, ""]).encode()
        yield {path: f"http://127.0.0.1:{port}{path}" for path in pages}


@pytest.mark.parametrize("path", ["/redirect", "/list.m3u8"])
def test_redirects_and_playlists_are_not_followed(addresses: dict[str, str], path: str) -> None:
    config = StreamConfig(attempts=0, timeout=180, drop="none")
    times, _, error = follow(opened(addresses[path], config))
    assert "redirects and playlists are not followed: ffmpeg" in error
    assert not times
