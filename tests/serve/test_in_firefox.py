"""The page in Firefox: look at a clip and the camera, teach."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import moving_squares
import pytest
from browsing import is_foreign, serving

import onlooker

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("websockets", reason="the page needs onlooker[serve]")

from firefox import Firefox, firefox

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("no Firefox on this machine")
    with firefox(program, tmp_path_factory.mktemp("firefox") / "profile") as started:
        yield started


@pytest.fixture
def page(started: Firefox) -> Iterator[Firefox]:
    """A tab that logs no error, and asks nobody but the page's server."""
    started.errors.clear()
    started.requests.clear()
    yield started
    started.open("about:blank")
    own = next(re.match(r"http://[^/]+", url)[0] for url in started.requests if url.startswith("http://127"))  # type: ignore[index]
    assert [url for url in started.requests if is_foreign(url, own) and not url.startswith("about:")] == []
    assert started.errors == []


def drop(page: Firefox, selector: str, *paths: Path) -> None:
    """Drops files, as from the desktop."""
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    page.run(f"""(() => {{
        const dataTransfer = new DataTransfer();
        for (const [name, text] of {json.dumps(files)}) {{
            dataTransfer.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
        }}
        const event = new DragEvent("drop", {{ dataTransfer, bubbles: true, cancelable: true }});
        document.querySelector({json.dumps(selector)}).dispatchEvent(event);
    }})()""")


def text(selector: str) -> str:
    return f"document.querySelector({selector!r})?.innerText"


def there(selector: str) -> str:
    return f"Boolean(document.querySelector({selector!r}))"


def click(page: Firefox, label: str) -> None:
    find = f"[...document.querySelectorAll('button')].find((each) => each.innerText.trim() === {label!r})"
    page.wait(f"Boolean({find})")
    page.run(f"{find}.click()")


def test_a_dropped_clip_shows_label_attention_and_timeline(
    trained: tuple[Path, str], squares: Path, tmp_path: Path, page: Firefox
):
    clip = squares / "left" / "00.mp4"
    expected = onlooker.load(trained[0]).predict(clip)
    with serving(tmp_path / "clips", tmp_path / "runs", trained[0]) as url:
        page.open(url)
        page.wait(there(".drop"))
        drop(page, ".drop", clip)
        assert page.wait(text(".answer .label")) == expected.label
        runs = page.run("[...document.querySelectorAll('.run .name')].map((run) => run.innerText.trim())")
        assert {*runs} <= {*moving_squares.WAYS, "nothing"}
        if not page.run("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.42E01E\"')"):
            pytest.skip("no libavcodec, with which Firefox plays H.264")
        page.wait("document.querySelector('.stage video').currentTime > 0.3")  # it plays
        page.wait("""(() => {
            const canvas = document.querySelector('.stage canvas');
            return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
        })()""")
        page.open("about:blank")


def test_the_camera_is_recognized_live(trained: tuple[Path, str], tmp_path: Path, page: Firefox):
    with serving(tmp_path / "clips", tmp_path / "runs", trained[0]) as url:
        page.open(url)
        click(page, "Use the camera")
        page.wait("Number(document.querySelector('.stage')?.dataset.rate) > 0")
        assert page.run(text(".answer .label")) in {*moving_squares.WAYS, "nothing"}
        assert re.match(r"\d+ ms from camera to answer", page.run(text(".speed")))
        page.open("about:blank")


def test_classes_are_taught_by_files_and_recordings_and_trained(squares: Path, tmp_path: Path, page: Firefox):
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page.open(f"{url}#teach")
        for label in ("left", "up"):
            page.wait(there("#new-class"))
            page.run(f"document.querySelector('#new-class').value = {label!r}")
            click(page, "Add class")
            page.wait(there(f"[data-class={label}]"))
            drop(page, f"[data-class={label}]", *sorted((squares / label).glob("*.mp4"))[:4])
            page.wait(f"document.querySelectorAll('[data-class={label}] .tile').length === 4")
        click(page, "Turn on the camera")
        page.wait(there(".target:not([hidden]) .hold:not(:disabled)"))
        page.run("document.activeElement.blur()")
        page.press(" ", hold=1.2)
        page.wait("document.querySelectorAll('.tile').length === 9")  # a recording of this browser can be decoded
        click(page, "Train")
        assert re.fullmatch(r"\d+\s%", page.wait(text(".accuracy b"), 150))
        page.wait("Number(document.querySelector('.stage.live')?.dataset.rate) > 0")
        page.open("about:blank")
