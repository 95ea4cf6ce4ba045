"""Where web addresses may lead: playlists and redirects, on the same server, on another one, and on
a named one.
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

import av
import numpy as np
import pytest

from onlooker.config import StreamConfig
from onlooker.structures import ClipError
from onlooker.video.stream import Source, WebAddress

FRAMES = 12


def segment() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width = 64
        stream.height = 48
        stream.pix_fmt = "yuv420p"
        for t in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 10 * t, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


@contextmanager
def server(pages: dict[str, bytes | str]) -> Iterator[int]:
    """Serve pages; a text is a redirect. Gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages[self.path]
            if isinstance(page, str):
                self.send_response(302)
                self.send_header("Location", page)
                self.end_headers()
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port
        serving.shutdown()


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Addresses on 127.0.0.1 that lead there or to localhost, which is another name."""
    with ExitStack() as stack:
        pages: dict[str, bytes | str] = {"/video.ts": segment()}
        port = stack.enter_context(server(pages))
        for name, host in (("own", "127.0.0.1"), ("other", "localhost")):
            target = f"http://{host}:{port}/video.ts"
            pages[f"/{name}"] = target
            lines = (
                "#EXTM3U",
                "#EXT-X-TARGETDURATION:1",
                "#EXTINF:0.48,",
                target,
                "#EXT-X-ENDLIST",
                "",
            )
            pages[f"/{name}.m3u8"] = "\n".join(lines).encode()
        yield {path: f"http://127.0.0.1:{port}{path}" for path in pages}


def count_frames(address: str, follow: str = "") -> int:
    condition = Condition()
    frames = 0
    source = Source(
        address, StreamConfig(attempts=0, timeout=5, drop="none", follow=follow), condition
    )
    source.start()
    try:
        while not source.finished:
            with condition:
                condition.wait_for(lambda: source.ready, 5)
            frames += source.poll() is not None
    finally:
        source.close()
    return frames


@pytest.mark.parametrize("path", ["/video.ts", "/own", "/own.m3u8"])
def test_redirects_and_playlists_on_the_same_server_are_followed(addresses, path):
    assert count_frames(addresses[path]) == FRAMES


@pytest.mark.parametrize("path", ["/other", "/other.m3u8"])
def test_another_server_is_followed_only_if_it_is_named(addresses, path):
    with pytest.raises(
        ClipError, match="leads to localhost; if you trust that server, give --follow localhost"
    ):
        count_frames(addresses[path])
    assert count_frames(addresses[path], "example.org, localhost") == FRAMES


def test_files_are_never_followed():
    with pytest.raises(ValueError, match="leads to file:///etc/passwd"):
        WebAddress("http://127.0.0.1/list.m3u8", [""], 1).open("file:///etc/passwd")


def test_a_password_is_sent_only_to_its_own_server():
    found: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.append(self.headers["Authorization"])
            if self.path in ("/first", "/here"):
                host = "localhost" if self.path == "/first" else "127.0.0.1"
                self.send_response(302)
                self.send_header(
                    "Location", f"http://{host}:{self.server.server_address[1]}/second"
                )
            else:
                self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://me:secret@127.0.0.1:{serving.server_port}/first"
        assert (
            WebAddress(address, ["localhost"], 5).leads_to()
            == f"http://localhost:{serving.server_port}/second"
        )
        own = address.replace("/first", "/second")
        assert WebAddress(own, [""], 5).leads_to() == own  # no redirect
        assert WebAddress(address.replace("/first", "/here"), [""], 5).leads_to() == own
        serving.shutdown()
    assert found[:2] == ["Basic bWU6c2VjcmV0", None]
