"""Playing a result in a real browser: opacity, speeds, repeated and taught parts, two models side by side."""

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browsing import drop, serving, texts_of
from serving import save_model

import onlooker
from onlooker.video.reader import VideoReader

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("playwright", reason="no playwright, which drives a browser")

VIDEO = "document.querySelector('.stage video')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("player")


@pytest.fixture(scope="module")
def two_models(folder: Path, trained: tuple[Path, str], squares: Path) -> Iterator[str]:
    """A server with the trained model, another one, and clips of one class."""
    save_model(folder / "runs", "other")
    shutil.copytree(squares / "up", folder / "clips" / "up")
    with serving(folder / "clips", folder / "runs", trained[0]) as url:
        yield url


@pytest.fixture
def page(two_models: str, open_page: Callable[..., Any], squares: Path) -> Any:
    """A result, paused at 0.55 s of 1.2."""
    page = open_page(two_models, reduced_motion="reduce")
    page.wait_for_selector(".drop")
    drop(page, ".drop", squares / "up" / "01.mp4")
    page.wait_for_selector(".answer .label")
    page.wait_for_function(f"() => {VIDEO}.readyState >= 2")
    seek(page, 0.55)
    return page


def seek(page: Any, time: float) -> None:
    page.evaluate(f"({VIDEO}.pause(), {VIDEO}.currentTime = {time})")
    page.wait_for_function(f"() => !{VIDEO}.seeking && Math.abs({VIDEO}.currentTime - {time}) < 0.01")
    page.wait_for_timeout(50)  # it is drawn


def drawn(page: Any) -> int:
    """The sum of the opacity of all pixels over the video."""
    return int(
        page.evaluate("""() => {
            const canvas = document.querySelector('.stage canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.reduce((sum, value, i) => (i % 4 === 3 ? sum + value : sum), 0);
        }""")
    )


def times(page: Any, seconds: float) -> list[float]:
    """The time of the video at each frame of the screen."""
    return list(
        page.evaluate(
            """(milliseconds) => new Promise((resolve) => {
                const [times, begin] = [[], performance.now()];
                const look = (now) => {
                    times.push(document.querySelector('.stage video').currentTime);
                    if (now - begin < milliseconds) requestAnimationFrame(look); else resolve(times);
                };
                requestAnimationFrame(look);
            })""",
            1000 * seconds,
        )
    )


def test_the_opacity_slider_changes_the_heat_map_alone(page: Any):
    page.uncheck(".drawn .switch:has-text('Box') input")
    page.uncheck(".drawn .switch:has-text('Point') input")
    heat = {}
    for value in ("0", "0.3", "1"):
        page.fill(".drawn input[type=range]", value)
        heat[value] = drawn(page)
    assert heat["0"] == 0
    assert heat["0.3"] == pytest.approx(0.3 * heat["1"], rel=0.1)
    page.fill(".drawn input[type=range]", "0")
    page.check(".drawn .switch:has-text('Point') input")
    assert drawn(page) > 0


def test_a_clip_plays_from_a_quarter_to_four_times_its_speed(page: Any):
    speed = page.locator(".controls select")
    assert texts_of(speed.locator("option")) == ["¼×", "½×", "1×", "2×", "4×"]
    for value in ("0.25", "0.5", "1", "2", "4"):
        speed.select_option(value)
        assert page.evaluate(f"{VIDEO}.playbackRate") == float(value)
    page.evaluate("document.activeElement.blur()")
    for _ in range(2):
        page.keyboard.press("-")
    assert (page.evaluate(f"{VIDEO}.playbackRate"), speed.input_value()) == (1, "1")
    lengths = {}
    for value in ("0.25", "1"):
        speed.select_option(value)
        seek(page, 0)
        page.click("button[aria-label=Play]")
        page.wait_for_function(f"() => {VIDEO}.currentTime > 0.01")
        seen = times(page, 0.8)
        lengths[value] = seen[-1] - seen[0]
    assert lengths["0.25"] == pytest.approx(0.2, abs=0.08)
    assert lengths["1"] > 2.5 * lengths["0.25"]


def drag(page: Any, selector: str, to: float) -> None:
    """Drags the middle of an element to a share of the timeline."""
    timeline, start = page.locator(".lanes").bounding_box(), page.locator(selector).bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(timeline["x"] + to * timeline["width"], start["y"] + start["height"] / 2, steps=5)
    page.mouse.up()


def part(page: Any) -> tuple[float, float]:
    start, end = page.inner_text(".selection .range").removesuffix(" s").split(" – ")
    return float(start), float(end)


def test_an_event_is_selected_its_ends_are_dragged_and_the_part_repeats_and_is_taught(page: Any, folder: Path):
    page.keyboard.press("l")  # the event at this moment
    start, _ = part(page)
    drag(page, ".edge[data-edge=end]", 0.5)
    drag(page, ".edge[data-edge=start]", 0.25)
    assert part(page) == pytest.approx((0.3, 0.6), abs=0.02)
    assert part(page)[0] != pytest.approx(start, abs=0.02)
    page.keyboard.press("Space")
    page.wait_for_function(f"() => !{VIDEO}.paused")
    seen = times(page, 1.5)
    assert 0.25 <= min(seen) <= max(seen) < 0.75
    again = [after for before, after in pairwise(seen) if after < before]
    assert len(again) >= 2
    assert max(again) < 0.4
    page.select_option(".selection select", "up")
    page.click("text=Teach this part")
    page.wait_for_selector(".toast:has-text('Added to “up”')")
    (taught,) = (folder / "clips" / "up").glob("01-*.mp4")
    assert len(VideoReader(taught)) == 3  # frames from 0.3 to 0.6 s at 10 per second


def test_a_second_model_looks_at_the_same_clip_side_by_side(
    page: Any, trained: tuple[Path, str], folder: Path, squares: Path
):
    assert page.locator(".lane").count() == 1
    page.select_option("select[aria-label='Compare with']", label="other")
    page.wait_for_selector(".lane >> nth=1")
    clip = squares / "up" / "01.mp4"
    runs = {run.name: onlooker.load(run).predict(clip).label for run in (trained[0], folder / "runs" / "other")}
    assert texts_of(page.locator(".lane-name")) == list(runs)
    assert texts_of(page.locator(".answer .label")) == list(runs.values())
    assert texts_of(page.locator(".which")) == list(runs)
    assert page.locator(".answer .bars").count() == 2
    page.click(".which >> nth=1")  # its attention is drawn
    pressed = [which.get_attribute("aria-pressed") for which in page.locator(".which").all()]
    assert pressed == ["false", "true"]
    page.select_option("select[aria-label='Compare with']", label="no other model")
    page.wait_for_selector(".lane >> nth=1", state="detached")


def test_a_second_model_that_was_removed_is_not_asked_again(
    two_models: str, open_page: Callable[..., Any], trained: tuple[Path, str], folder: Path, squares: Path
):
    shutil.copytree(trained[0], folder / "runs" / "short-lived")
    page = open_page(two_models, errors_expected=True, reduced_motion="reduce")
    page.set_input_files("#clip-file", squares / "up" / "01.mp4")
    page.select_option("select[aria-label='Compare with']", label="short-lived")
    page.wait_for_selector(".lane >> nth=1")
    shutil.rmtree(folder / "runs" / "short-lived")
    page.click("text=Another clip")
    page.set_input_files("#clip-file", squares / "up" / "01.mp4")
    page.click(".error >> text=Try again")
    page.wait_for_selector(".lane")
    assert page.locator(".lane").count() == 1
    assert page.input_value("select[aria-label='Compare with']") == ""
    assert "short-lived" not in page.inner_text(".models")
