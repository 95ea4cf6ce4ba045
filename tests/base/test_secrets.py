"""No secret of an address is printed, logged, sent or stored, whatever its form."""

import re
import string
from pathlib import Path
from typing import Any

import pytest
from clips import Make
from commands import call
from eventful import eventful, untrained
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ports import free_port
from receivers import Receiver
from senders import Sender

from onlooker.base.records import ClipError
from onlooker.base.text import without_password

# Whatever is no secret has other letters.
SECRET = re.compile("[QXZW]{2}")
PORT = free_port()  # nobody listens there
_PLACES = ("127.0.0.1", f"127.0.0.1:{PORT}")
_PARAMETERS = ("pass", "Password", "usr_pass", "pwd", "token", "access_token", "key", "api-key")


def secret(characters: str) -> st.SearchStrategy[str]:
    return st.tuples(st.text("QXZW" + characters), st.text("QXZW", min_size=2)).map("".join)


def parameters() -> st.SearchStrategy[str]:
    """`user=…_password=…_channel=1`, for example, with one of four separators."""
    # a secret has no = after which the name of a parameter could begin
    hidden = st.tuples(st.sampled_from(_PARAMETERS), secret(string.digits + "@:/_-.~!$*+,%"))
    shown = st.sampled_from([("channel", "1"), ("subtype", "0.sdp"), ("x", "a/b")])
    pairs = st.lists(hidden | shown, min_size=1, max_size=4)
    return st.tuples(st.sampled_from("&;_/"), pairs).map(
        lambda drawn: drawn[0].join(map("=".join, drawn[1]))
    )


def addresses(*schemes: str) -> st.SearchStrategy[str]:
    user = st.just("") | secret(string.digits + string.punctuation).map("{}@".format)
    path = st.sampled_from(["", "/", "/live", "/a/h264"])
    more = st.just("") | st.tuples(st.sampled_from(["?", "/", ";", "/?"]), parameters()).map(
        "".join
    )
    plain = st.tuples(st.sampled_from(schemes), user, st.sampled_from(_PLACES), path, more)
    query = st.just("") | parameters().map("?{}".format)
    key = st.tuples(st.sampled_from(["", "/live", "/a/b"]), secret("-_.:="), query)
    stream = st.tuples(
        st.sampled_from(["rtmp", "RTMPS"]),
        user,
        st.sampled_from(_PLACES),
        key.map(lambda parts: "{}/{}{}".format(*parts)),
    )
    return plain.map(lambda parts: "{}://{}{}{}{}".format(*parts)) | stream.map(
        lambda parts: "{}://{}{}{}".format(*parts)
    )


@given(addresses("rtsp", "http", "HTTPS", "tcp", "mqtt", "sftp", "git+ssh"))
@settings(max_examples=300, deadline=None)
def test_no_form_of_a_secret_is_shown(address: str) -> None:
    for given_as in (address, str(Path(address))):
        shown = without_password(given_as)
        assert not SECRET.search(shown), given_as
    assert ("***" in shown) == bool(SECRET.search(address)), "nothing else is hidden"


def test_an_error_about_a_clip_hides_the_secret_of_its_path() -> None:
    """A folder may have the name of an address: `train --run ADDRESS` makes one."""
    error = ClipError(Path("rtmps://camera/QX?channel=1"), "a folder", "give a video")
    assert str(error) == "rtmps:/camera/***: a folder; give a video"
    assert error.path == Path("rtmps:/camera/QX?channel=1")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    untrained().save(folder / "untrained")
    eventful().save(folder / "eventful")
    return folder


@given(
    st.lists(addresses("rtsp", "rtsps", "http", "https", "tcp"), min_size=4, max_size=4),
    addresses("http", "https", "ftp"),
)
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.generate],  # each command takes a while
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_errors_show_no_secret(
    runs: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    sources: list[str],
    other: str,
) -> None:
    monkeypatch.chdir(runs)  # `--run` makes a folder of an address that is none of files
    # none is given twice
    named = [
        f"{source.replace('127.0.0.1', f'127.0.0.{i}', 1)}"
        for i, source in enumerate(sources, 2)
    ]
    said = list[str]()
    for words in (
        ("watch", runs / "untrained", *named, "--timeout", 20, "--attempts", 0, "--json"),
        ("watch", other, "0"),
        ("watch", runs / "untrained", other, other),
        ("watch", runs / "eventful", "0", "--events", f"x{other}"),
        ("check", other),
        ("train", "clips", "--run", other),
        ("predict", runs / "untrained", other),
        ("convert", other, "labels.csv"),
    ):
        done = call(*words, ok=False)
        said += [done.output, done.stderr]
    said += capfd.readouterr()
    assert not SECRET.search("\n".join(said))


def test_what_is_sent_and_stored_has_no_secret(
    runs: Path, tmp_path: Path, make_clip: Make
) -> None:
    content = make_clip("a.mkv", frames=30).read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()

    def send(connection: Any) -> list[bytes]:
        connection.recv(10_000)
        return [head + content]

    with Sender(send, scheme="http") as sender, Receiver(answers=(400,)) as receiver:
        place = sender.address.removeprefix("http://")
        source = f"http://QX:ZW@{place}/user=QX_password=QXZW_channel=1?token=QX/ZW"
        subtitles = tmp_path / "events.vtt"
        done = call(
            *("watch", runs / "eventful", source, "--json", "--timeout", 60),
            *("--events", f"{receiver.address}/QXZW?key=QX"),
            *("--events", subtitles),
            ok=False,  # one event is refused
        )
    shown = f"http://***@{place}/user=***_password=***_channel=1?token=***"
    assert {event["source"] for event in receiver.got} == {shown}
    assert "answers 400" in done.stderr
    said = (done.stdout, done.stderr, subtitles.read_text(), str(receiver.got))
    assert not SECRET.search("\n".join(said))
