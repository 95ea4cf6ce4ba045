"""Who may use the page, what it may load, and senders that hold connections open: half a header,
half an upload.
"""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
from browsing import serving
from fastapi.testclient import TestClient
from serving import ADDRESS, OWN, save_model
from starlette.websockets import WebSocketDisconnect
from waiting import wait_until

import onlooker.serve
from onlooker.serve import app, security
from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings, page_address

HERE = Path(onlooker.serve.__file__).parent
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "10.0.0.1:8765",
        "localhost@evil",
        "a b",
        "",
    ],
)
def test_a_foreign_name_of_this_machine_is_refused(page: TestClient, host: str) -> None:
    answer = page.get("/api/state", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host")


@pytest.mark.parametrize(
    "host", ["localhost:8765", "127.0.0.1", "LOCALHOST", "[::1]:8765", "127.0.0.2:1"]
)
def test_own_names_are_accepted(page: TestClient, host: str) -> None:
    assert page.get("/api/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Onlooker": ""}, "header"),
        ({"X-Onlooker": "2"}, "header"),
        ({"Origin": "http://evil.example"}, "origin"),
        ({"Origin": "null"}, "origin"),
        ({"Origin": "http://127.0.0.1:9999"}, "origin"),
        ({"Origin": "http://127.0.0.1:8765.evil.example"}, "origin"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/look?model=x"),
        ("DELETE", "/api/jobs/x"),
        ("POST", "/api/project/changes/undo"),
        ("PATCH", "/nowhere"),
    ],
)
def test_only_the_page_itself_changes_something(
    page: TestClient, headers: dict[str, str], code: str, method: str, path: str
) -> None:
    answer = page.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)


def test_a_request_without_an_origin_changes_nothing(settings: ServeSettings) -> None:
    with TestClient(
        create_app(settings), base_url=ADDRESS, headers={"X-Onlooker": "1"}
    ) as client:
        assert client.delete("/api/jobs/x").json()["error"]["code"] == "origin"


def test_a_camera_is_watched_by_the_page_alone(page: TestClient, model: str) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        connecting = page.websocket_connect(
            f"{ADDRESS.replace('http', 'ws')}/api/live?model={model}", headers=headers
        )
        with pytest.raises(WebSocketDisconnect), connecting:
            pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One page for all tests of this file: none of them changes anything."""
    folder = tmp_path_factory.mktemp("page")
    save_model(folder / "runs")
    settings = ServeSettings(clips=folder / "clips", runs=folder / "runs", max_upload=2_000_000)
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as client:
        yield client


def with_token(settings: ServeSettings, tmp_path: Path) -> TestClient:
    kept = ServeSettings(
        clips=tmp_path / "clips", runs=settings.runs, host="0.0.0.0", token=TOKEN
    )
    return TestClient(
        create_app(kept), base_url="http://192.0.2.7:8765", follow_redirects=False
    )


def test_other_machines_need_the_token(settings: ServeSettings, tmp_path: Path) -> None:
    with with_token(settings, tmp_path) as client:
        for path in (
            "/",
            "/api/state",
            "/static/main.js",
            "/media/a.mp4",
            "/?token=",
            "/?token=wrong",
            "/?token=%00",
        ):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token"), path
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/api/live", headers={"Origin": "http://a"}),
        ):
            pass
        answer = client.get(f"/?token={TOKEN}&tab=look")
        # the address no longer shows it
        assert (answer.status_code, answer.headers["location"]) == (303, "./?tab=look")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Max-Age=2592000" in cookie
        assert client.get("/api/state").status_code == 200  # by the cookie
        assert client.get("/api/state", headers={"Host": "evil.example"}).status_code == 403
        token = cookie.partition(";")[0]
        client.cookies.clear()
        # of other programs on this host
        for other in ('a={"x":1}', 'theme="d', "foo", "foo@bar=1"):
            assert (
                client.get("/api/state", headers={"Cookie": f"{other}; {token}"}).status_code
                == 200
            ), other
        assert client.get("/api/state", headers={"Cookie": "foo"}).status_code == 401


def test_the_redirect_with_the_token_stays_on_this_server(
    settings: ServeSettings, tmp_path: Path
) -> None:
    with with_token(settings, tmp_path) as client:
        for path in (
            "//evil.example",
            "/\\evil.example",
            "/%5Cevil.example",
            "///evil.example//x",
        ):
            answer = client.get(f"http://192.0.2.7:8765{path}?token={TOKEN}")
            assert (answer.status_code, answer.headers["location"][:2]) == (303, "./"), path
            client.cookies.clear()


def test_a_proxy_makes_the_page_public(settings: ServeSettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected an address such as https://page"):
        ServeSettings(public="page.example.org", token=TOKEN)
    public = ServeSettings(runs=settings.runs, token=TOKEN, public="https://page.example.org")
    assert page_address(public, local=False) == f"https://page.example.org/?token={TOKEN}"
    with TestClient(
        create_app(public), base_url="http://page.example.org", follow_redirects=False
    ) as client:
        answer = client.get(f"/?token={TOKEN}")
        assert "Secure" in answer.headers["set-cookie"]
        own = {"X-Onlooker": "1", "Cookie": answer.headers["set-cookie"].partition(";")[0]}
        for origin, status in (
            ("https://page.example.org", 404),
            ("https://evil.example", 403),
        ):
            assert (
                client.delete("/api/jobs/none", headers=own | {"Origin": origin}).status_code
                == status
            )


def test_a_person_without_the_token_is_told_in_words(
    settings: ServeSettings, tmp_path: Path
) -> None:
    with with_token(settings, tmp_path) as client:
        answer = client.get(
            "/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (
            401,
            "text/html; charset=utf-8",
        )
        assert "needs its token" in answer.text


@pytest.mark.parametrize("name", ["box:8765", "my_page", "192.0.2.7:1", "[fd00::5]:8765"])
def test_a_person_who_opens_another_name_is_told_how_the_page_gets_it(
    settings: ServeSettings, page: TestClient, name: str
) -> None:
    headers = {"Host": name, "Accept": "text/html,*/*;q=0.8"}
    told = page.get("/", headers=headers)
    assert (told.status_code, told.headers["content-type"]) == (
        403,
        "text/html; charset=utf-8",
    )
    command = re.search(r"--public (\S+)$", told.text)
    assert command
    named = ServeSettings(runs=settings.runs, token=TOKEN, public=command[1])
    with TestClient(create_app(named), base_url=f"http://{name}") as client:
        assert client.get(f"/?token={TOKEN}", headers=headers).status_code == 200
        assert client.get("/", headers=headers | {"Host": "evil.example"}).status_code == 403


def test_an_impossible_name_is_no_markup(page: TestClient) -> None:
    for path, host in (("/", "<b>.example"), ("/<b>nowhere", "localhost")):
        told = page.get(path, headers={"Host": host, "Accept": "text/html"})
        assert told.status_code in (403, 404)
        assert "<b>" not in told.text


def test_the_page_loads_nothing_from_the_root_of_its_server() -> None:
    code = [*HERE.glob("static/*.*s"), *HERE.glob("templates/*.html")]
    rooted = re.compile(r"""["'`(=]/(?:api|media|static)\b""")
    assert [path.name for path in code if rooted.search(path.read_text("utf-8"))] == []


def test_a_proxy_may_have_the_page_in_a_folder(settings: ServeSettings) -> None:
    public = ServeSettings(
        runs=settings.runs, token=TOKEN, public="https://example.org/my/page/"
    )
    assert page_address(public, local=False) == f"https://example.org/my/page/?token={TOKEN}"
    for left_out in ("", "/my/page"):  # by the proxy
        with TestClient(create_app(public), base_url="https://example.org") as client:
            answer = client.get(f"/my/page?token={TOKEN}"[len(left_out) :] or "/")
            assert answer.status_code == 200, left_out
            assert b"<!doctype html>" in answer.content
            where = "/my/page/".removeprefix(left_out)
            assert answer.url.path == where
            assert client.get(f"{where}static/main.js").status_code == 200
            assert client.get(f"{where}api/v1/models").status_code == 200
            assert client.get(f"{where}api/nowhere").status_code == 404
    with pytest.raises(ValueError, match=r"--public is 'https://example\.org/a b'"):
        ServeSettings(public="https://example.org/a b")


def test_the_address_has_the_token(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    secure = ServeSettings(host="192.0.2.7", token=TOKEN, certificate=certificate)
    assert page_address(secure) == f"https://192.0.2.7:8765/?token={TOKEN}"
    everywhere = ServeSettings(host="0.0.0.0", token=TOKEN)
    # which browsers trust with the camera
    assert page_address(everywhere) == f"http://localhost:8765/?token={TOKEN}"
    assert re.fullmatch(
        rf"http://[\d.]+:8765/\?token={TOKEN}", page_address(everywhere, local=False)
    )


def test_a_page_that_others_reach_has_a_token() -> None:
    assert len(ServeSettings(host="0.0.0.0").token or "") == 16
    assert ServeSettings(public="https://page.example.org").token


@pytest.mark.parametrize("token", ["", "short", "with space", "ünicode-token"])
def test_a_host_for_others_needs_a_good_token(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        ServeSettings(host="0.0.0.0", token=token)


def test_bodies_are_limited(page: TestClient, model: str) -> None:
    clip = page.post(f"/api/look?model={model}", content=bytes(2_000_001))
    assert (clip.status_code, clip.json()["error"]["code"]) == (413, "too_large")
    assert clip.json()["error"]["found"] == "2.0 MB"
    stated = page.post(
        "/api/project/changes/undo", content=b"x", headers={"Content-Length": "65000"}
    )
    assert stated.status_code == 413
    streamed = page.post(
        f"/api/look?model={model}", content=(bytes(100_000) for _ in range(30))
    )
    assert (streamed.status_code, streamed.json()["error"]["code"]) == (413, "too_large")
    assert list((page.app.state.folder / "looks").glob("*")) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/media/../../../etc/passwd.mp4",
        "/media/%2e%2e%2fclip.mp4",
        "/media/clip/..%2f..%2fa.mp4",
        "/api/look/..%2f/overlay.mp4?model=..",
    ],
)
def test_no_path_leads_out(page: TestClient, path: str) -> None:
    answer = page.get(path)
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]["remedy"]


def test_the_page_loads_and_sends_nothing_elsewhere(page: TestClient) -> None:
    policy = page.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'self'"
    assert "unsafe" not in policy
    assert rules["connect-src"] == "'self' ws://127.0.0.1:8765 wss://127.0.0.1:8765"
    files = [
        path
        for path in HERE.rglob("*")
        if path.suffix in (".html", ".js", ".css", ".json", ".svg")
    ]
    assert len(files) > 5
    code = [
        path.read_text("utf-8") for path in files if path.suffix in (".html", ".js", ".css")
    ]
    assert sum(text.count("\n") for text in code) <= 3000
    for path in files:
        addresses = re.findall(
            r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", path.read_text("utf-8")
        )
        assert [
            each for each in addresses if "www.w3.org" not in each and "//127.0.0.1" not in each
        ] == [], path
    # FastAPI's own pages load scripts from elsewhere
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert page.get(path).status_code == 404


def test_every_answer_has_the_headers(page: TestClient) -> None:
    for path in ("/", "/api/state", "/api/nowhere", "/static/main.js"):
        headers = page.get(path).headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == (
            "nosniff",
            "DENY",
        ), path
        assert "content-security-policy" in headers, path


HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    save_model(tmp_path / "runs")
    with serving(tmp_path / "clips", tmp_path / "runs") as address:
        yield address


def open_half(address: str, stack: ExitStack, sent: bytes = HALF) -> socket.socket:
    name, port = address.rstrip("/").removeprefix("http://").split(":")
    connection = stack.enter_context(socket.create_connection((name, int(port)), timeout=180))
    connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket, seconds: float = 60) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_header_that_does_not_end_is_given_up(address, monkeypatch):
    with ExitStack() as stack:
        # After a complete request on the same connection, and at its start.
        reused = open_half(
            address, stack, b"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        assert reused.recv(12) == b"HTTP/1.1 200"
        monkeypatch.setattr(app, "HEADER_SECONDS", 0.3)
        reused.sendall(HALF)
        while reused.recv(65536):
            pass
        assert is_closed(open_half(address, stack))


def test_of_many_the_one_that_waits_longest_is_closed(address, monkeypatch):
    monkeypatch.setattr(app, "MAX_WAITING", 20)
    monkeypatch.setattr(app, "HEADER_SECONDS", 600)
    with ExitStack() as stack:
        slow = [open_half(address, stack) for _ in range(25)]
        assert httpx.get(f"{address}api/state", timeout=180).status_code == 200
        assert all(is_closed(each) for each in slow[:5])
        assert not is_closed(slow[-1], 0.1)


def test_an_upload_that_stops_is_given_up_and_one_that_is_cut_off_leaves_nothing(
    address, monkeypatch, caplog, tmp_path
):
    monkeypatch.setattr(security, "_STALLED", 0.3)

    def left() -> list[str]:
        return [path.name for path in (tmp_path / "clips").rglob("*") if path.is_file()]

    host = address.removeprefix("http://").rstrip("/")
    head = (
        f"POST /api/project/clips?class=a HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nX-Onlooker: 1\r\n"
        "Content-Length: 1000\r\n\r\nhalf"
    )
    with caplog.at_level(logging.WARNING), ExitStack() as stack:
        assert open_half(address, stack, head.encode()).recv(12) == b"HTTP/1.1 408"
        monkeypatch.setattr(security, "_STALLED", 600)
        wait_until(lambda: left() == ["lock"])
        cut_off = open_half(address, stack, head.encode())
        wait_until(lambda: len(left()) == 2)
        cut_off.close()
        wait_until(lambda: left() == ["lock"])
    assert caplog.records == []
