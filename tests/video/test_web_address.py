"""Web addresses lead nowhere else: neither by redirects nor by playlists."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

import pytest
from senders import transport_stream

from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError
from onlooker.stream.sources import Source

FRAMES = 12


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
    pages: dict[str, bytes | str] = {"/video.ts": transport_stream(FRAMES)}
    with server(pages) as port:
        target = f"http://127.0.0.1:{port}/video.ts"
        pages["/redirect"] = target
        lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:0.48,", target, "#EXT-X-ENDLIST")
        pages["/list.m3u8"] = "\n".join([*lines, ""]).encode()
        yield {path: f"http://127.0.0.1:{port}{path}" for path in pages}


def count_frames(address: str) -> int:
    condition = Condition()
    frames = 0
    source = Source(address, StreamConfig(attempts=0, timeout=5, drop="none"), condition)
    source.start()
    try:
        while not source.finished:
            with condition:
                condition.wait_for(lambda: source.ready, 5)
            frames += source.poll() is not None
    finally:
        source.close()
    return frames


def test_a_file_on_a_server_is_read(addresses):
    assert count_frames(addresses["/video.ts"]) == FRAMES


@pytest.mark.parametrize("path", ["/redirect", "/list.m3u8"])
def test_redirects_and_playlists_are_not_followed(addresses, path):
    message = r"cannot be opened .* redirects and playlists are not followed: ffmpeg"
    with pytest.raises(ClipError, match=message):
        count_frames(addresses[path])
