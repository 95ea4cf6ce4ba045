"""Access to the page: from this machine or with the token, by requests of the page itself, under a
name of this server.

Protection against other web pages in the same browser: the header `Host` must be a name of this
server (another name that resolves to this machine is refused); a request that changes something
needs a custom header and the origin of the page; and the content-security policy keeps the page
from loading or sending anything elsewhere.
"""

import asyncio
import re
import secrets
import socket
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from onlooker.base.text import format_bytes
from onlooker.serve.problem import API, Problem, refusal, t
from onlooker.serve.settings import ServeSettings, is_loopback

# addresses whose request bodies are clips
UPLOADS = ("/api/look", "/api/project/clips", "/api/project/recordings", f"{API}/predict")
_MAX_JSON = 64_000  # bytes of any other request body
_STALLED = 30  # seconds without any byte of a body
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:\d{1,5})?", re.IGNORECASE)
_ADDRESS = re.compile(r"\[.+\]|[\d.]+")
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' ws://{host} "
    "wss://{host}; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REMEMBERED = 30 * 24 * 3600  # seconds for which a browser keeps the token
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
}


class Guard:
    """ASGI middleware: checks host, token, origin and size of every request before the page sees
    it.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self.app = app
        self.settings = settings
        self.cookie = f"onlooker-{settings.port}"  # all ports of a machine share their cookies
        self._names = {settings.host.lower()}
        public = urlsplit(settings.public or "")
        self._prefix = public.path.rstrip("/")
        if match := _HOST.fullmatch(public.netloc):
            self._names.add(match[1].lower())
        if not is_loopback(settings.host):
            name = socket.gethostname().lower()
            self._names |= {name, f"{name.partition('.')[0]}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if self._prefix and f"{path}/".startswith(f"{self._prefix}/"):  # some proxies leave it
            scope = {**scope, "path": path.removeprefix(self._prefix) or "/"}
        request = HTTPConnection(scope)
        if scope["type"] == "http":
            send = _with_headers(send, request.headers.get("host", ""))
        try:
            self._check_host(request)
            bearer = self._is_program(request)
            response: Response | None = None
            if path == self._prefix:  # what the page loads is below this
                response = RedirectResponse(f"{path}/?{request.url.query}".rstrip("?"))
            elif not bearer:
                response = self._check_token(request)
            if response is None:
                if not bearer:
                    _check_origin(request)
                await self.app(scope, self._limited(request, receive), send)
                return
        except Problem as problem:
            response = refusal(problem, request.headers.get("accept", ""))
        if scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await response(scope, receive, send)

    def _check_host(self, request: HTTPConnection) -> None:
        """Require a name of this server; an IP address is one, because nobody else can assign it to
        this machine.
        """
        match = _HOST.fullmatch(request.headers.get("host", ""))
        name = match[1].lower() if match else ""
        by_address = _ADDRESS.fullmatch(name) and not is_loopback(self.settings.host)
        if not (by_address or is_loopback(name) or name in self._names):
            secure = "https" in (
                request.scope["scheme"],
                request.headers.get("x-forwarded-proto"),
            )
            asked = match[0] if match else "NAME:PORT"
            address = f"{'https' if secure else 'http'}://{asked}"
            raise Problem(403, "host", name=asked, address=address)

    def _is_program(self, request: HTTPConnection) -> bool:
        """Whether this is a request to the API with `Authorization: Bearer TOKEN`, which no other
        web page can send.

        A server without a token accepts any: before a browser sends this header to another site, it
        asks that site for permission, and is refused.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_api = request.scope["type"] == "http" and request.scope["path"].startswith(f"{API}/")
        expected = given if self.settings.token is None else self.settings.token
        return (
            is_api
            and scheme.lower() == "bearer"
            and secrets.compare_digest(given.encode(), expected.encode())
        )

    def _check_token(self, request: HTTPConnection) -> Response | None:
        """A redirect that stores the token in a cookie, if the address contains it; None if the
        request has it.
        """
        given = request.cookies.get(self.cookie, "")
        if (token := self.settings.token) is None or secrets.compare_digest(
            given.encode(), token.encode()
        ):
            return None
        given = request.query_params.get("token", "")
        if request.scope["type"] == "websocket" or not secrets.compare_digest(
            given.encode(), token.encode()
        ):
            raise Problem(401, "token")
        query = request.url.remove_query_params("token").query
        # as seen from this address, which a proxy may have put into a folder
        name = request.scope["path"].rpartition("/")[2]
        response = RedirectResponse(f"./{name}?{query}".rstrip("?"), 303)
        # Lax: a link in a web mail opens the page; requests that change something need the page's
        # origin and header.
        secure = request.url.scheme == "https" or str(self.settings.public).startswith("https:")
        response.set_cookie(
            self.cookie, token, _REMEMBERED, httponly=True, samesite="lax", secure=secure
        )
        return response

    def _limited(self, request: HTTPConnection, receive: Receive) -> Receive:
        """A `receive` with the limit of bytes of this address."""
        limit = self.settings.max_upload if request.scope["path"] in UPLOADS else _MAX_JSON
        # h11 has checked that it is a number
        stated = int(request.headers.get("content-length", 0))
        if stated > limit:
            raise _too_large(format_bytes(stated), limit)
        received = 0
        more = request.scope["type"] == "http"

        async def limited() -> Message:
            nonlocal received, more
            try:
                message = await asyncio.wait_for(receive(), _STALLED if more else None)
            except TimeoutError:
                raise Problem(408, "stalled", seconds=_STALLED) from None
            more = message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(t("more_than", size=format_bytes(limit)), limit)
            return message

        return limited


def _too_large(size: str, limit: int) -> Problem:
    return Problem(413, "too_large", size=size, most=format_bytes(limit))


def _check_origin(request: HTTPConnection) -> None:
    """Refuse a request that changes something unless it comes from the page itself."""
    if request.scope.get("method") in ("GET", "HEAD"):
        return
    host = request.headers.get("host", "")
    if request.headers.get("origin") not in (f"http://{host}", f"https://{host}"):
        raise Problem(403, "origin")
    if request.scope["type"] == "http" and request.headers.get("x-onlooker") != "1":
        raise Problem(403, "header")


def _with_headers(send: Send, host: str) -> Send:
    policy = (
        _POLICY.format(host=host)
        if _HOST.fullmatch(host)
        else _POLICY.replace("ws://{host} wss://{host}", "")
    )

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", policy)
            headers.setdefault("Cache-Control", "no-store")
            headers.update(_HEADERS)
        await send(message)

    return sending
