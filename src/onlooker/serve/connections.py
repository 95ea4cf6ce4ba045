"""The HTTP server of the page, and connections that slow senders cannot hold open."""

import asyncio
from typing import Any, ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from onlooker.serve.settings import ServeSettings

__all__ = ["make_server"]

HEADER_SECONDS = 10.0  # for the header of a request, from the connection or the end of the last request
MAX_WAITING = 200  # connections without a whole header; of more, the one that has waited longest is closed


def make_server(app: ASGIApp, settings: ServeSettings) -> uvicorn.Server:
    """The server of the page, which is given to listen on: `make_server(…).run([socket])`."""
    config = uvicorn.Config(
        app, http=PatientProtocol, backlog=2048, log_level="warning", server_header=False, proxy_headers=False,
        ssl_certfile=settings.certificate, ssl_keyfile=settings.key, ws_max_size=2_000_000, timeout_graceful_shutdown=3,
    )  # fmt: skip
    return uvicorn.Server(config)


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with limits for connections whose next request header is not complete.

    Without them, whoever opens a thousand connections and sends nothing uses up the files that a process may open
    (usually 1,024), and nobody else is served. Somebody who sends the header at once is never among the oldest.
    """

    _waiting: ClassVar[dict["PatientProtocol", asyncio.TimerHandle]] = {}  # the one that has waited longest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first header."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting as soon as a header is complete; wait again for what follows the last request."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif data:
            self._wait()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """A WebSocket has its own protocol."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self in self._waiting:
            return
        self._waiting[self] = self.loop.call_later(HEADER_SECONDS, self._give_up)
        if len(self._waiting) > MAX_WAITING:
            next(iter(self._waiting))._give_up()

    def _stop_waiting(self) -> None:
        if timer := self._waiting.pop(self, None):
            timer.cancel()

    def _give_up(self, *_: Any) -> None:
        self._stop_waiting()
        self.transport.abort()
