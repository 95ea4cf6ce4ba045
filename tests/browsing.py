"""The page in a real browser, for tests: its server, what the browser's camera films, and what a person does."""

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

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@contextmanager
def serving(clips: Path, runs: Path, run: Path | None = None, port: int = 0) -> Iterator[str]:
    """A server in a thread; gives its address."""
    import uvicorn

    from onlooker.serve.app import create_app
    from onlooker.serve.settings import ServeSettings

    with socket.create_server(("127.0.0.1", port)) as listening:
        port = listening.getsockname()[1]
        settings = ServeSettings(run, clips, runs, port=port, max_upload=20_000_000)
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        thread.join(10)


def write_camera(path: Path, seconds: float = 4.0) -> Path:
    """What the fake camera films, as motion JPEG: a square that moves to the right."""
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=20, width=320, height=240, pix_fmt="yuvj420p")
        for t in range(int(20 * seconds)):
            frame = np.full((240, 320, 3), 40, np.uint8)
            left = 6 * t % 240
            frame[80:160, left : left + 80] = 230
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


def teach_run(run: Path, clips: Path, runs: Path) -> None:
    """Make a run that was trained on a folder of clips the newest one of the page that teaches this folder."""
    from onlooker.files import write_json
    from onlooker.serve.project import Project

    own = runs / f"{clips.name}-page-1"
    shutil.copytree(run, own)
    project = Project(clips)
    ids = {clip.path.relative_to(project.folder).as_posix(): clip.id for clip in project.clips()}
    write_json(project.store / "trained" / f"{own.name}.json", {"run": str(own.resolve()), "clips": ids})
    places = {name: [float(i % 5), float(i // 5), i == 3] for i, name in enumerate(ids)}
    write_json(project.store / "trained" / f"{own.name}-map.json", places)
    project.close()
