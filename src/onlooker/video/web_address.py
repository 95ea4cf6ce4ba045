"""Web addresses of streams: playlists and redirects lead to the same server only, or to hosts that the user names."""

from base64 import b64encode
from collections.abc import Iterable
from http.client import HTTPMessage
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlooker.files import without_password

_SCHEMES = ("http", "https")


class WebAddress:
    """A web address, and the hosts to which it may lead.

    Args:
        address: of http or https.
        follow: names of hosts, besides its own.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, address: str, follow: Iterable[str], timeout: float) -> None:
        self.address, self.timeout = address, timeout
        self.hosts = {urlsplit(address).hostname, *(host.strip().lower() for host in follow)}
        self.is_playlist = urlsplit(address).path.lower().endswith((".m3u8", ".m3u"))

    def open(self, url: str, flags: int = 0, options: dict[str, str] | None = None) -> Any:
        """Open an address for reading, as `av.open(io_open=…)` takes it.

        Raises:
            ValueError: it is on another host, or leads to one.
            OSError: it cannot be opened.
        """
        self.check(url)
        parts = urlsplit(url)
        server = parts.netloc.rpartition("@")[2]
        request = Request(parts._replace(netloc=server).geturl())
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            request.add_unredirected_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        return build_opener(_Redirects(self)).open(request, timeout=self.timeout)

    def leads_to(self) -> str:
        """The address at the end of its redirects, with the login if that is on the same host; errors as for `open`."""
        with self.open(self.address) as response:
            end, own = urlsplit(response.geturl()), urlsplit(self.address)
        login = own.netloc.rpartition("@")[0] if end.hostname == own.hostname else ""
        return (end._replace(netloc=f"{login}@{end.netloc}") if login else end).geturl()

    def check(self, url: str) -> None:
        """Raise a ValueError for an address on another host."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or parts.hostname not in self.hosts:
            shown = without_password(parts.hostname or url)
            raise ValueError(f"leads to {shown}; if you trust that server, give --follow {shown}")


class _Redirects(HTTPRedirectHandler):
    def __init__(self, of: WebAddress) -> None:
        self.of = of

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Follow a redirect to an allowed host."""
        self.of.check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
