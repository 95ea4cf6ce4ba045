"""Playing a result in a real browser: opacity, speeds, keys, mouse, another model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import drop, serving, texts_of
from serving import save_model

import onlooker

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("playwright", reason="no playwright, which drives a browser")

VIDEO = "document.querySelector('.stage video')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("player")


@pytest.fixture(scope="module")
def two_models(folder: Path, trained: tuple[Path, str], squares: Path) -> Iterator[str]:
    """A server with the trained model, and another one."""
    save_model(folder / "runs", "other")
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
    page.wait_for_function(
        f"() => !{VIDEO}.seeking && Math.abs({VIDEO}.currentTime - {time}) < 0.01"
    )
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


def test_the_opacity_slider_changes_the_heat_map_alone(page: Any):
    page.uncheck(".drawn .switch:has-text('Box') input")
    heat = {}
    for value in ("0", "0.3", "1"):
        page.fill(".drawn input[type=range]", value)
        heat[value] = drawn(page)
    assert heat["0"] == 0
    assert heat["0.3"] == pytest.approx(0.3 * heat["1"], rel=0.1)


def test_a_clip_plays_from_a_quarter_to_four_times_its_speed(page: Any):
    speed = page.locator(".controls select")
    assert texts_of(speed.locator("option")) == ["¼×", "½×", "1×", "2×", "4×"]
    for value in ("0.25", "0.5", "1", "2", "4"):
        speed.select_option(value)
        assert page.evaluate(f"{VIDEO}.playbackRate") == float(value)


def test_keys_move_through_the_clip_and_another_model_looks_at_it(
    page: Any, trained: tuple[Path, str], folder: Path, squares: Path
):
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    now = f"{VIDEO}.currentTime"
    # the middle of the second of 10 frames per second
    assert page.evaluate(now) == pytest.approx(0.15, abs=0.02)
    box = page.locator(".timeline").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 20)
    assert page.evaluate(now) == pytest.approx(0.6, abs=0.05)
    if page.locator(".event").count():
        page.click(".event >> nth=0")
        assert page.evaluate(now) == pytest.approx(
            float(page.inner_text(".event .when").split(" – ")[0]), abs=0.06
        )
    page.select_option("select[aria-label='Model']", label="other")
    page.wait_for_selector(".result")
    expected = onlooker.load(folder / "runs" / "other").predict(squares / "up" / "01.mp4").label
    page.wait_for_function(
        "(label) => document.querySelector('.answer .label')?.textContent === label", arg=expected
    )
