"""Takes screenshots of the main states of the web page: `python tests/screenshots.py FOLDER
[--docs]`.

Each state is shown on a desktop in light colors and on a phone in dark ones. All clips are drawn,
the camera films a drawn figure, and the model is trained by the page itself. With `--docs`,
docs/page.png is made again.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from browsing import chromium, drop, serving, write_camera
from PIL import Image

from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.video.write import write

DOCS = Path(__file__).parents[1] / "docs" / "page.png"
VARIANTS = {
    "desktop": ({"width": 1280, "height": 800}, "light"),
    "phone": ({"width": 390, "height": 844}, "dark"),
}
LONG = 300_000  # ms, for a training on a machine with other work
VIDEO = "document.querySelector('.stage video')"


class Screenshots:
    """A browser, and the folder of the screenshots that it takes."""

    def __init__(self, folder: Path, browser: Any) -> None:
        self.folder = folder
        self.browser = browser
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, url: str) -> Any:
        """A new page."""
        page = self.browser.new_context(viewport=VARIANTS["desktop"][0]).new_page()
        page.set_default_timeout(60_000)
        page.goto(url)
        return page

    def take(self, page: Any, state: str, whole: bool = True) -> None:
        """Screenshots of a state in all variants, of the whole page or of what fits on the screen."""
        for name, (size, scheme) in [*VARIANTS.items(), *[*VARIANTS.items()][:1]]:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(400)  # transitions
            page.screenshot(path=self.folder / f"{state}-{name}.png", full_page=whole)


def take_empty(screenshots: Screenshots, folder: Path) -> None:
    """Without a model and without clips; a server that does not answer."""
    with serving(folder / "none", folder / "no-runs") as url:
        page = screenshots.open(url)
        for tab in ("look", "teach", "correct"):
            page.click(f"#tab-{tab}")
            page.wait_for_selector(f"#panel-{tab} .empty")
            screenshots.take(page, f"{tab}-empty")
    page.click("#tab-teach")  # the next request finds that the server does not answer
    page.wait_for_selector("#offline:visible")
    screenshots.take(page, "connection-lost")


def take_teaching(screenshots: Screenshots, page: Any, folder: Path) -> None:
    """From clips to a trained model."""
    page.click("#tab-teach")
    page.wait_for_selector(".tile >> nth=23")
    page.wait_for_function(
        "() => [...document.images].every((image) => image.complete && image.naturalWidth)"
    )
    screenshots.take(page, "teach-clips")
    (folder / "notes.mp4").write_text("no video")
    page.set_input_files("[data-class=bend] input[type=file]", [folder / "notes.mp4"])
    page.wait_for_selector(".failures")
    screenshots.take(page, "teach-upload-failed")
    page.click(".uploads >> text=Close")
    page.click("text=Turn on the camera")
    page.wait_for_selector(".hold")
    page.click(".hold")
    page.wait_for_selector(".count.running")
    page.screenshot(path=screenshots.folder / "teach-recording-desktop.png", full_page=True)
    train(page)
    page.wait_for_selector(".stage.looking")
    screenshots.take(page, "teach-live")
    page.click(".cell >> nth=0")
    page.wait_for_selector("dialog .tile")
    screenshots.take(page, "dialog-cell", whole=False)
    page.click("dialog .tile >> nth=0")
    page.wait_for_selector("dialog video.large")
    screenshots.take(page, "dialog-clip", whole=False)
    page.keyboard.press("Escape")


def train(page: Any) -> None:
    page.click(".train-action .primary")
    page.wait_for_selector(".train-action progress")
    page.wait_for_selector(".train-action .primary", timeout=LONG)
    page.wait_for_selector(".accuracy b")


def take_looks(screenshots: Screenshots, page: Any, folder: Path, clip: Path) -> None:
    """A clip and the camera in Look."""
    page.click("#tab-look")
    page.wait_for_selector(".drop")
    screenshots.take(page, "look")
    drop(page, ".drop", clip)
    page.wait_for_selector(".answer .label", timeout=LONG)
    page.wait_for_function(f"() => {VIDEO}.readyState >= 2")
    page.evaluate(f"({VIDEO}.pause(), {VIDEO}.currentTime = 1.9)")  # the arm is up
    page.wait_for_function(f"() => !{VIDEO}.seeking")
    page.click(".save summary")
    screenshots.take(page, "look-saved")
    page.click(".save summary")
    screenshots.take(page, "look-result")
    page.click("text=Another clip")
    drop(page, ".drop", folder / "notes.mp4")
    page.wait_for_selector(".error")
    screenshots.take(page, "look-error")
    page.click(".error .primary")
    page.click("text=Use the camera")
    page.wait_for_selector(".stage.looking")
    page.wait_for_timeout(2000)
    screenshots.take(page, "look-live")
    page.click("text=Stop the camera")


def take_corrections(screenshots: Screenshots, page: Any) -> None:
    """The inbox after two wrong labels and another training."""
    page.click("#tab-teach")
    for clip, label in (("wave", "bend"), ("jumping_jack", "wave")):
        page.click(f"[data-class={clip}] .tile >> nth=0")
        page.select_option("dialog select", label)
        page.click("dialog >> text=Set class")
        page.wait_for_selector("dialog", state="detached")
        page.wait_for_timeout(500)
    page.reload()
    train(page)
    page.click("#tab-correct")
    page.wait_for_selector(".inbox-note :not(.spinner)")
    screenshots.take(page, "correct")


def draw_clips(folder: Path) -> None:
    """Six clips of each of three actions, and of the moments before a short movement, in which
    nothing happens.
    """
    acting = StickFigures(frames=36, size=(120, 160), people=6, event=(0.6, 0.9))
    write_set(folder, 6, seed=7, figures=acting, actions=("wave", "jumping_jack", "bend"))
    waiting = StickFigures(frames=80, size=(120, 160), people=6, event=(0.05, 0.05))
    (folder / "recordings.csv").unlink()  # which would have to list the clips that follow
    (folder / "nothing").mkdir()
    for number in range(6):
        video = waiting.video("wave", number, seed=7)
        first, last = np.flatnonzero(video.moving)[[0, -1]]
        pixels = video.pixels[: first - 1] if first > 40 else video.pixels[last + 1 :]
        write(folder / "nothing" / f"{number}.mp4", pixels[:36], waiting.fps)


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description=re.sub(r"\n+", " ", __doc__ or ""))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--docs", action="store_true", help="make docs/page.png again")
    options = parser.parse_args()
    figures = StickFigures(frames=80, size=(240, 320), event=(0.9, 0.9))
    looked = StickFigures(frames=72, size=(288, 384))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw_clips(folder / "clips")
        clip = write(folder / "waving.mp4", looked.video("wave", 5).pixels, looked.fps)
        frames = np.ascontiguousarray(figures.video("wave", 3).pixels)
        with chromium(write_camera(folder / "camera.mjpeg", frames)) as browser:
            screenshots = Screenshots(options.folder, browser)
            take_empty(screenshots, folder)
            with serving(folder / "clips", folder / "runs") as url:
                page = screenshots.open(url)
                take_teaching(screenshots, page, folder)
                take_looks(screenshots, page, folder, clip)
                take_corrections(screenshots, page)
    if options.docs:
        with Image.open(options.folder / "look-result-desktop.png") as image:
            image.convert("RGB").quantize(256).save(DOCS, optimize=True)


if __name__ == "__main__":
    main()
