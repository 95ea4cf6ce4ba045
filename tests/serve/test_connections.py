"""Senders that hold connections open: half a header, half an upload."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
from browsing import serving
from serving import save_model

from onlooker.serve import app, security

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    save_model(tmp_path / "runs")
    with serving(tmp_path / "clips", tmp_path / "runs") as address:
        yield address


def open_half(address: str, stack: ExitStack, sent: bytes = HALF) -> socket.socket:
    name, port = address.rstrip("/").removeprefix("http://").split(":")
    connection = stack.enter_context(socket.create_connection((name, int(port)), timeout=10))
    connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket, seconds: float = 5) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_header_that_does_not_end_is_given_up(address, monkeypatch):
    monkeypatch.setattr(app, "HEADER_SECONDS", 0.3)
    with ExitStack() as stack:
        assert is_closed(open_half(address, stack))
        # The same after a complete request on the same connection.
        reused = open_half(
            address, stack, b"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        assert reused.recv(12) == b"HTTP/1.1 200"
        reused.sendall(HALF)
        reused.settimeout(5)
        while reused.recv(65536):
            pass


def test_of_many_the_one_that_waits_longest_is_closed(address, monkeypatch):
    monkeypatch.setattr(app, "MAX_WAITING", 20)
    with ExitStack() as stack:
        slow = [open_half(address, stack) for _ in range(25)]
        assert httpx.get(f"{address}api/state").status_code == 200
        assert all(is_closed(each) for each in slow[:5])
        assert not is_closed(slow[-1], 0.1)


def test_an_upload_that_stops_is_given_up_and_one_that_is_cut_off_leaves_nothing(
    address, monkeypatch, caplog, tmp_path
):
    monkeypatch.setattr(security, "_STALLED", 0.3)
    host = address.removeprefix("http://").rstrip("/")
    head = (
        f"POST /api/project/clips?class=a HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nX-Onlooker: 1\r\n"
        "Content-Length: 1000\r\n\r\nhalf"
    )
    with caplog.at_level(logging.WARNING), ExitStack() as stack:
        assert open_half(address, stack, head.encode()).recv(12) == b"HTTP/1.1 408"
        monkeypatch.setattr(security, "_STALLED", 30)
        open_half(address, stack, head.encode()).close()
        time.sleep(0.5)
    assert caplog.records == []
    left = [path.name for path in (tmp_path / "clips").rglob("*") if path.is_file()]
    assert left == ["lock"], "nothing stays of it"
