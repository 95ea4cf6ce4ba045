"""Receivers of events, for tests: a web server on the loopback address with given answers, and a
sink as a user would write one.
"""

import json
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from onlooker.base.records import Event


class Receiver(ThreadingHTTPServer):
    """Takes events, with the answers given in turn, then 204."""

    def __init__(self, port: int = 0, answers: tuple[int, ...] = ()) -> None:
        self.answers = list(answers)
        self.got = list[dict[str, Any]]()
        self.headers = list[dict[str, str]]()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/events"

    def __enter__(self) -> "Receiver":
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append(dict(self.headers))
        self.server.got.append(event)
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        self.send_header("Location", "/other")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Collected:
    """A sink that keeps the arguments of its calls; `send` raises the given problems first."""

    def __init__(self, problems: Iterable[Exception] = ()) -> None:
        self.problems = [*problems]
        self.calls = list[Any]()

    def open(self, sources: Sequence[str]) -> None:
        self.calls.append([*sources])

    def send(self, event: Event, seconds: float) -> None:
        assert seconds > 0
        if self.problems:
            raise self.problems.pop(0)
        self.calls.append(event)

    def close(self) -> None:
        self.calls.append("closed")
