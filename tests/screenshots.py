"""Takes screenshots of every state of the web page: `python tests/screenshots.py FOLDER [--docs]`.

Each state is shown on a desktop and on a phone, in light and in dark colors. All clips are drawn, the camera films a
drawn figure, and the model is trained by the page itself. With `--docs`, docs/page.png is made again.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from browsing import chromium, drop, serving, write_camera
from PIL import Image

from onlooker.data.stick_figures import StickFigures

DOCS = Path(__file__).parents[1] / "docs" / "page.png"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
VARIANTS = [(device, scheme) for device in ("desktop", "phone") for scheme in ("light", "dark")]
SIZES = {"desktop": DESKTOP, "phone": PHONE}
LONG = 300_000  # ms, for a training on a machine with other work
PERSON = 5  # of the examples; the arm is up at 1.9 s
VIDEO = "document.querySelector('.stage video')"
REFUSE = "(name) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name)); }"


class Screenshots:
    """A browser, and the folder of the screenshots that it takes."""

    def __init__(self, folder: Path, browser: Any) -> None:
        self.folder, self.browser = folder, browser
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, url: str) -> Any:
        """A new page, before its address is opened if the address is empty."""
        page = self.browser.new_context(viewport=DESKTOP).new_page()
        page.set_default_timeout(60_000)
        if url:
            page.goto(url)
        return page

    def take(self, page: Any, state: str, whole: bool = True) -> None:
        """Screenshots of a state in all variants, of the whole page or of what fits on the screen."""
        for device, scheme in VARIANTS:
            page.set_viewport_size(SIZES[device])
            page.emulate_media(color_scheme=scheme)
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(400)  # transitions
            page.screenshot(path=self.folder / f"{state}-{device}-{scheme}.png", full_page=whole)
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")


def take_empty(screenshots: Screenshots, folder: Path) -> None:
    """Without a model and without clips; a page for the network; a server that does not answer."""
    with serving(folder / "none", folder / "no-runs") as url:
        page = screenshots.open("")
        page.route("**/api/state", lambda route: None)
        page.goto(url)
        screenshots.take(page, "loading")
        page = screenshots.open("")
        page.route("**/api/state", lambda route: route.fulfill(status=500, body="no JSON"))
        page.goto(url)
        page.wait_for_selector(".error")
        screenshots.take(page, "error-of-the-server")
        page = screenshots.open(url)
        for tab in ("look", "teach", "correct"):
            page.click(f"#tab-{tab}")
            page.wait_for_selector(f"#panel-{tab} .empty")
            screenshots.take(page, f"{tab}-empty")
        for name in ("phone", "keys"):
            page.click(f"#open-{name}")
            screenshots.take(page, f"dialog-{name}", whole=False)
            page.keyboard.press("Escape")
    page.click("#tab-teach")  # the next request finds that the server does not answer
    page.wait_for_selector("#offline:visible")
    screenshots.take(page, "connection-lost")
    with serving(folder / "none", folder / "no-runs", host="0.0.0.0", token="abcd1234efgh5678") as url:
        page = screenshots.open("")
        page.goto(url)
        screenshots.take(page, "token-missing")
        page.goto(f"{url}?token=abcd1234efgh5678")
        page.wait_for_selector("#panel-look .empty")
        page.click("#open-phone")
        page.wait_for_function("() => document.querySelector('.qr').naturalWidth > 0")
        screenshots.take(page, "dialog-phone-code", whole=False)


def take_teaching(screenshots: Screenshots, page: Any, folder: Path) -> None:
    """From drawn clips to a trained model."""
    page.click("#tab-teach")
    page.click("text=Add drawn examples")
    page.wait_for_selector(".tile .length >> nth=23")
    screenshots.take(page, "teach-clips")
    (folder / "notes.mp4").write_text("no video")
    (folder / "letter.mp4").write_text("no video")
    page.set_input_files("[data-class=bend] input[type=file]", [folder / "notes.mp4", folder / "letter.mp4"])
    page.wait_for_selector(".failures")
    screenshots.take(page, "teach-uploads-failed")
    page.click(".uploads >> text=Close")
    page.fill("#new-class", "walk")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-class=walk]")
    page.click("text=Turn on the camera")
    page.wait_for_selector(".hold")
    page.uncheck(".target .switch >> nth=0")
    page.click(".hold")
    page.wait_for_selector(".count.big")
    take_one(screenshots, page, "teach-countdown")
    page.wait_for_selector(".count.running")
    take_one(screenshots, page, "teach-recording")
    page.wait_for_selector("[data-class=walk] .tile .length")
    page.wait_for_selector(".hints li >> nth=0")
    screenshots.take(page, "teach-hints")
    page.click("[data-class=walk] button[aria-label^=Delete]")
    page.wait_for_selector("[data-class=walk]", state="detached")
    page.click(".train-action .primary")
    page.wait_for_function("() => document.querySelector('.train-action progress').value > 0.2", timeout=LONG)
    screenshots.take(page, "training")
    page.wait_for_selector(".accuracy b", timeout=LONG)
    page.wait_for_selector(".train-action .primary", timeout=LONG)
    page.wait_for_selector(".stage.looking")
    page.wait_for_timeout(4000)  # of the strip below the camera
    screenshots.take(page, "teach-live")
    page.click(".cell >> nth=0")
    page.wait_for_selector("dialog .tile")
    screenshots.take(page, "dialog-cell", whole=False)
    page.click("dialog .tile >> nth=0")
    page.wait_for_selector("dialog video.large")
    screenshots.take(page, "dialog-clip", whole=False)
    page.keyboard.press("Escape")


def take_one(screenshots: Screenshots, page: Any, state: str) -> None:
    """A screenshot of a state that lasts a second."""
    page.screenshot(path=screenshots.folder / f"{state}-desktop-light.png", full_page=True)


def take_looks(screenshots: Screenshots, page: Any, folder: Path) -> None:
    """Clips and the camera in Look."""
    page.click("#tab-look")
    page.wait_for_selector(".example img")
    screenshots.take(page, "look")
    page.click(".example >> nth=0")
    page.wait_for_selector(".working")
    screenshots.take(page, "look-waiting")
    result(page, 1.9)
    screenshots.take(page, "look-result")
    page.keyboard.press("l")
    page.click(".save summary")
    page.wait_for_selector(".facts dd >> nth=3")
    screenshots.take(page, "look-part")
    page.click("text=Another clip")
    (folder / "text.mp4").write_text("no video")
    drop(page, ".drop", folder / "text.mp4")
    page.wait_for_selector(".error")
    screenshots.take(page, "look-error")
    page.click(".error .primary")
    page.click("text=Use the camera")
    page.wait_for_selector(".stage.looking")
    page.wait_for_timeout(4000)
    screenshots.take(page, "look-live")
    page.click("text=Stop the camera")
    for name, state in (("NotAllowedError", "denied"), ("NotFoundError", "missing")):
        page.evaluate(REFUSE, name)
        page.click("text=Use the camera")
        page.wait_for_selector(".cover .error")
        screenshots.take(page, f"camera-{state}")
        page.click("text=Stop the camera")
    page.evaluate("delete navigator.mediaDevices.getUserMedia")


def result(page: Any, time: float) -> None:
    """Waits for a result, and stops it at a time."""
    page.wait_for_selector(".answer .label", timeout=LONG)
    page.wait_for_function(f"() => {VIDEO}.readyState >= 2")
    page.evaluate(f"({VIDEO}.pause(), {VIDEO}.currentTime = {time})")
    page.wait_for_function(f"() => !{VIDEO}.seeking")


def take_second(screenshots: Screenshots, page: Any) -> None:
    """Two models side by side."""
    page.reload()
    page.click(".example >> nth=1")
    result(page, 1.5)
    page.locator(".models select").last.select_option(index=2)
    page.wait_for_selector(".lane >> nth=1", timeout=LONG)
    result(page, 1.5)
    screenshots.take(page, "look-two-models")


def take_corrections(screenshots: Screenshots, page: Any) -> None:
    """The inbox with its map, and without clips to check."""
    page.click("#tab-correct")
    page.wait_for_selector(".map .mark", timeout=LONG)
    page.focus(".map .mark")
    screenshots.take(page, "correct")
    page.route("**/api/project/inbox", lambda route: route.fulfill(body='{"items": []}'))
    page.reload()
    page.wait_for_selector(".inbox-note .empty")
    screenshots.take(page, "correct-done")
    page.unroute("**/api/project/inbox")


def mislabel(page: Any) -> None:
    """Moves two clips to another class, for the inbox."""
    for clip, label in (("wave", "bend"), ("jumping_jack", "wave")):
        page.click(f"[data-class={clip}] .tile >> nth=0")
        page.select_option("dialog select", label)
        page.click("dialog >> text=Set class")
        page.wait_for_selector("dialog", state="detached")
        page.wait_for_timeout(500)


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description=re.sub(r"\n+", " ", __doc__ or ""))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--docs", action="store_true", help="make docs/page.png again")
    options = parser.parse_args()
    figures = StickFigures(frames=80, size=(240, 320), bystanders=0, event=(0.9, 0.9))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = np.ascontiguousarray(figures.video("wave", 3).pixels)
        drawn = patch("onlooker.serve.examples.secrets.randbelow", return_value=PERSON)  # the same at each time
        with drawn, chromium(write_camera(folder / "camera.mjpeg", frames)) as browser:
            screenshots = Screenshots(options.folder, browser)
            take_empty(screenshots, folder)
            with serving(folder / "clips", folder / "runs") as url:
                page = screenshots.open(url)
                take_teaching(screenshots, page, folder)
                take_looks(screenshots, page, folder)
                page.click("#tab-teach")
                mislabel(page)
                page.click(".train-action .primary")
                page.wait_for_selector(".train-action progress")
                page.wait_for_selector(".train-action progress", state="detached", timeout=LONG)
                take_corrections(screenshots, page)
                page.click("#tab-look")
                take_second(screenshots, page)
    if options.docs:
        with Image.open(options.folder / "look-result-desktop-light.png") as image:
            image.convert("RGB").quantize(256).save(DOCS, optimize=True)


if __name__ == "__main__":
    main()
