"""States on the page, in Chromium: rows of the timeline, marking with keys, borders, and the camera."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import drop, serving, texts_of
from eventful import stateful
from waiting import wait_until

from onlooker.video.write import write

Open = Callable[..., Any]
# a camera that films two seconds of night and of day in turn
DAYS = """() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
    const context = canvas.getContext("2d");
    setInterval(() => {
        context.fillStyle = performance.now() % 4000 < 2000 ? "black" : "white";
        context.fillRect(0, 0, 64, 48);
    }, 50);
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
}"""
MARKS = "() => document.querySelectorAll('.mark-part:not(.selected)').length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of states, and a recording of 12 s that is bright from 3 to 6 s and from 8 to 10 s."""
    folder = tmp_path_factory.mktemp("states")
    stateful().save(folder / "runs" / "pen" / "model")
    frames = np.full((120, 48, 64, 3), 20, np.uint8)
    frames[30:60] = frames[80:100] = 235
    write(folder / "day.mp4", frames, fps=10)
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return tmp_path / "clips"


@pytest.fixture
def page(folder: Path, clips: Path, open_page: Open) -> Iterator[Any]:
    """The answer for the recording, paused at its beginning."""
    with serving(clips, folder / "runs") as url:
        page = open_page(url)
        page.wait_for_selector(".drop")
        drop(page, ".drop", folder / "day.mp4")
        page.wait_for_selector(".rows .run")
        page.evaluate("document.querySelector('.stage video').pause()")
        seek(page, 0)
        yield page
        page.goto("about:blank")  # nothing more is asked of a server that has ended


def seek(page: Any, seconds: float) -> None:
    page.evaluate(f"document.querySelector('.stage video').currentTime = {seconds}")
    page.wait_for_function("() => !document.querySelector('.stage video').seeking")


def parts(clips: Path) -> list[tuple[str, float, float]]:
    """The parts of recordings that are examples: class, start and end."""
    with (clips / "recordings.csv").open(encoding="utf-8") as table:
        rows = [*csv.DictReader(table)]
    return sorted(
        (row["clip"].split("/")[0], float(row["start"]), float(row["end"])) for row in rows
    )


def test_each_state_has_a_row_and_a_share(page: Any) -> None:
    assert texts_of(page.locator(".rows-names span")) == ["sit", "eat", "walk"]
    assert page.locator(".rows .run").count() == 7
    assert page.inner_text(".answer .label") == "7 bouts"
    shares = [text.replace("\u00a0", " ") for text in texts_of(page.locator(".events li"))]
    assert [text.split()[0] for text in shares] == ["sit", "eat", "walk"]
    assert shares[1].endswith("32 % · 2 bouts")
    seek(page, 4)
    page.wait_for_function(
        "() => document.querySelector('.now').textContent.endsWith('walk, eat')"
    )
    page.click(".events li >> nth=0")  # the next bout of sit
    page.wait_for_function("() => document.querySelector('.now').textContent.endsWith('sit')")
    top = [page.locator(f".rows .run >> nth={i}").bounding_box()["y"] for i in (0, 1, 2)]
    assert len({*top}) == 3


def test_states_are_marked_by_keys_while_the_recording_plays(page: Any, clips: Path) -> None:
    page.get_by_role("button", name="Mark examples").click()
    assert texts_of(page.locator(".key")) == ["1\neat", "2\nsit", "3\nwalk"]
    assert page.eval_on_selector(".controls select", "each => each.options.length") == 6
    page.keyboard.press("2")  # toggled
    assert page.get_attribute("[data-key=sit]", "aria-pressed") == "true"
    seek(page, 3)
    page.keyboard.press("3")  # sit ends
    seek(page, 5)
    page.keyboard.press("3")
    page.wait_for_function(f"{MARKS} === 2")
    seek(page, 6)
    page.keyboard.down("1")  # held down
    page.wait_for_timeout(500)
    seek(page, 8)
    page.keyboard.up("1")
    page.wait_for_function(f"{MARKS} === 3")
    assert page.locator(".mark-part.selected").count() == 0
    page.click("#tab-teach")
    page.wait_for_selector("[data-class=eat] img")
    expected = [("eat", 6, 8), ("sit", 0, 3), ("walk", 3, 5)]
    assert [(label, round(a), round(b)) for label, a, b in parts(clips)] == expected
    (kept,) = (clips / ".onlooker" / "recordings").iterdir()
    assert kept.name.startswith("day.mp4 ")


def test_states_that_overlap_are_marked_in_one_pass(page: Any, clips: Path) -> None:
    page.get_by_role("button", name="Mark examples").click()
    page.get_by_label("Several classes at a time", exact=False).check()
    for seconds, key in ((1, "2"), (2, "1"), (3, "3")):
        seek(page, seconds)
        page.keyboard.press(key)
    going = "each => each.map((key) => key.getAttribute('aria-pressed'))"
    assert page.eval_on_selector_all(".key", going) == ["true", "true", "true"]
    assert page.locator(".mark-part.selected").count() == 3
    for seconds, key in ((5, "1"), (6, "2")):
        seek(page, seconds)
        page.keyboard.press(key)
    seek(page, 7)
    page.get_by_role("button", name="Mark examples").click()  # ends the one that goes on
    page.wait_for_function(f"{MARKS} === 3")
    wait_until(lambda: (clips / "recordings.csv").exists() and len(parts(clips)) == 3)
    assert [(label, round(a), round(b)) for label, a, b in parts(clips)] == [
        ("eat", 2, 5),
        ("sit", 1, 6),
        ("walk", 3, 7),
    ]


def test_a_border_is_moved_by_a_drag(page: Any, clips: Path) -> None:
    page.get_by_role("button", name="Mark examples").click()
    run = page.locator(".rows .run >> nth=0").bounding_box()  # sit until 3.2 s
    strip = page.locator(".strip").bounding_box()
    second = strip["width"] / 12
    y = run["y"] + run["height"] / 2
    page.mouse.move(run["x"] + run["width"] - 2, y)
    page.mouse.down()
    page.mouse.move(strip["x"] + 2 * second, y, steps=5)
    page.mouse.up()
    page.wait_for_function(f"{MARKS} === 2")  # and that of walk, which touches it
    page.get_by_role("button", name="Take the 5 bouts that were found").click()
    page.wait_for_function(f"{MARKS} === 7")
    wait_until(lambda: (clips / "recordings.csv").exists() and len(parts(clips)) == 7)
    sit, walk = (
        next(part for part in parts(clips) if part[0] == name) for name in ("sit", "walk")
    )
    assert sit[1:] == pytest.approx((0, 2), abs=0.1)
    assert walk[1:] == pytest.approx((2, 5.6), abs=0.1)
    page.reload()  # the examples are shown again
    page.wait_for_function(f"{MARKS} === 7")


def test_states_are_marked_without_a_model(
    folder: Path, clips: Path, tmp_path: Path, open_page: Open
) -> None:
    for name in ("rest", "run"):
        (clips / name).mkdir(parents=True)
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(url)
        page.wait_for_selector(".drop")
        assert page.locator("text=Use the camera").count() == 0
        drop(page, ".drop", folder / "day.mp4")
        page.wait_for_selector("[data-key=run]")
        assert page.locator(".answer").count() == 0
        assert texts_of(page.locator(".rows-names span")) == ["rest", "run"]
        page.evaluate("document.querySelector('.stage video').pause()")
        seek(page, 2)
        page.click("[data-key=run]")  # by touch, or with the mouse
        seek(page, 5)
        page.click("[data-key=run]")
        wait_until(lambda: (clips / "recordings.csv").exists())
        assert parts(clips) == [("run", pytest.approx(2, abs=0.1), pytest.approx(5, abs=0.1))]
        page.goto("about:blank")


def test_the_camera_tells_the_state_and_bouts_that_are_over(
    folder: Path, clips: Path, open_page: Open
) -> None:
    with serving(clips, folder / "runs") as url:
        page = open_page(url)
        page.evaluate(DAYS)
        page.click("text=Use the camera")
        page.wait_for_function(
            "() => /^for [0-9.]+ s/.test(document.querySelector('.answer .detail')?.textContent)"
        )
        page.wait_for_selector(".answer .events li >> nth=2")
        assert page.inner_text(".answer .label") in ("sit", "walk, eat")
        assert re.search(r"\d – [\d.]+ s$", page.inner_text(".answer .events li >> nth=0"))
        page.click("text=Stop the camera")
        page.wait_for_selector(".drop")
        page.goto("about:blank")
