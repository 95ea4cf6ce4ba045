"""The page in a real browser, for tests: its server, what the browser's camera films, and what a
person does.
"""

import base64
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from onlooker.base.files import read_json, write_json
from onlooker.serve.project import Project

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@contextmanager
def serving(
    clips: Path, runs: Path, run: Path | None = None, port: int = 0, **settings: Any
) -> Iterator[str]:
    """A server in a thread; gives its address on this machine. Other settings are those of
    `ServeSettings`.
    """
    from onlooker.serve.app import create_app, make_server
    from onlooker.serve.settings import ServeSettings

    with socket.create_server(("127.0.0.1", port)) as listening:
        port = listening.getsockname()[1]
        of_page = ServeSettings(run, clips, runs, port=port, max_upload=20_000_000, **settings)
        server = make_server(create_app(of_page), of_page)
        server.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        thread.join(180)


@contextmanager
def chromium(film: Path) -> Iterator[Any]:
    """Chromium, whose camera films `film`; raises the Error of playwright where none starts."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        *CAMERA,
        f"--use-file-for-fake-video-capture={film}",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def moving_square(seconds: float = 4.0) -> NDArray[np.uint8]:
    """Frames `T 240 320 3` of a square that moves to the right, 20 per second."""
    frames = np.full((int(20 * seconds), 240, 320, 3), 40, np.uint8)
    for t, frame in enumerate(frames):
        left = 6 * t % 240
        frame[80:160, left : left + 80] = 230
    return frames


def write_camera(path: Path, frames: NDArray[np.uint8]) -> Path:
    """What the fake camera films, as motion JPEG: frames `T H W 3`, 20 per second."""
    height, width = frames.shape[1:3]
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream(
            "mjpeg", rate=20, width=width, height=height, pix_fmt="yuvj420p"
        )
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path


def is_foreign(url: str, origin: str) -> bool:
    return not url.startswith((origin, "data:", f"blob:{origin}"))


def drop(page: Any, selector: str, path: Path, name: str | None = None) -> None:
    """Drops a file, as from the desktop."""
    page.evaluate(
        """([selector, name, text]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            const element = document.querySelector(selector);
            for (const type of ["dragover", "drop"]) {
                element.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        [selector, name or path.name, base64.b64encode(path.read_bytes()).decode()],
    )


def texts_of(locator: Any) -> list[str]:
    return [text.strip() for text in locator.all_inner_texts()]


def teach_run(run: Path, project: Project, runs: Path) -> Path:
    """Make a copy of a run the newest one of the page that teaches this project."""
    project.refresh()
    own = shutil.copytree(run, runs / f"{project.folder.name}-page-1")
    project.remember(
        run=own.name, clips={clip.relative: clip.id for clip in project.all_clips()}
    )
    return own


def make_good(run: Path) -> Path:
    """Give a run figures of a model that is better than guessing, which the page believes."""
    figures = read_json(run / "evaluation.json")
    better = {"accuracy": 0.8, "accuracy_interval": [0.7, 0.9]}
    write_json(run / "evaluation.json", figures | better)
    return run
