"""Takes screenshots of the web page: `python tests/support/screenshots.py FOLDER`.

The clips of Teach, the model in use, a result of Look, and the inbox, each on a desktop in light
colors and on a phone in dark ones. All clips are drawn, and the model is trained by the page
itself, without the clip that Look shows.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from browsing import chromium, drop, serving, write_camera

from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.video.write import write

VARIANTS = {
    "phone": ({"width": 390, "height": 844}, "dark"),
    "desktop": ({"width": 1280, "height": 800}, "light"),
}
LONG = 300_000  # ms, for a training on a machine with other work
VIDEO = "document.querySelector('.stage video')"


def take(page: Any, folder: Path, state: str) -> None:
    """Screenshots of a state in all variants."""
    for name, (size, scheme) in VARIANTS.items():
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(400)  # transitions
        page.screenshot(path=folder / f"{state}-{name}.png", full_page=True)


def take_all(page: Any, folder: Path, clip: Path) -> None:
    """From clips to a trained model, to what it says of a clip, and what it asks about."""
    page.set_default_timeout(LONG)
    page.click("#tab-teach")
    page.wait_for_selector(".tile >> nth=23")
    page.wait_for_function(
        "() => [...document.images].every((image) => image.complete && image.naturalWidth)"
    )
    take(page, folder, "teach-clips")
    page.click(".train-action .primary")
    page.wait_for_selector(".accuracy b")
    page.click("text=Turn on the camera")
    page.wait_for_selector(".stage.looking")
    take(page, folder, "teach-live")
    page.click("#tab-look")
    page.wait_for_selector(".drop")
    drop(page, ".drop", clip)
    page.wait_for_selector(".answer .label")
    page.wait_for_function(f"() => {VIDEO}.readyState >= 2")
    page.evaluate(f"({VIDEO}.pause(), {VIDEO}.currentTime = 1.9)")  # the arm is up
    page.wait_for_function(f"() => !{VIDEO}.seeking")
    take(page, folder, "look-result")
    page.click("#tab-correct")
    page.wait_for_selector(".inbox-note :not(.spinner)")
    take(page, folder, "correct")


def draw_clips(folder: Path) -> None:
    """Six clips of each of three actions, and of the moments before a short movement, in which
    nothing happens.
    """
    acting = StickFigures(frames=36, size=(120, 160), people=6, event=(0.6, 0.9))
    write_set(folder, 6, seed=7, figures=acting, actions=("wave", "jumping_jack", "bend"))
    waiting = StickFigures(frames=80, size=(120, 160), people=6, event=(0.05, 0.05))
    (folder / "recordings.csv").unlink()  # people whom nobody has named on the page
    (folder / "nothing").mkdir()
    for number in range(6):
        video = waiting.video("wave", number, seed=7)
        first, last = np.flatnonzero(video.moving)[[0, -1]]
        pixels = video.pixels[: first - 1] if first > 40 else video.pixels[last + 1 :]
        write(folder / "nothing" / f"{number}.mp4", pixels[:36], fps=waiting.fps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Take screenshots of the web page.")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    filmed = StickFigures(frames=80, size=(240, 320), event=(0.9, 0.9)).video("wave", 3).pixels
    looked = StickFigures(frames=72, size=(288, 384))
    with tempfile.TemporaryDirectory() as temporary:
        clips = Path(temporary) / "clips"
        draw_clips(clips)
        waving = write(
            Path(temporary) / "waving.mp4", looked.video("wave", 5).pixels, fps=looked.fps
        )
        film = write_camera(Path(temporary) / "camera.mjpeg", np.ascontiguousarray(filmed))
        with chromium(film) as browser, serving(clips, Path(temporary) / "runs") as url:
            opened = browser.new_page()
            opened.goto(url)
            take_all(opened, options.folder, waving)
