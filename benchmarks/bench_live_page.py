"""The camera in a browser, with one model behind three pages: answers per second, and delay from
frame to answer.

    PEERS=python benchmarks/bench_live_page.py      # without PEERS onlooker's page alone, which is
    not recorded

PEERS is the Python of an environment that has onlooker, gradio and streamlit-webrtc; not made with
constraints.txt, since gradio needs an older Pillow: `pip install -e ".[serve]" -e papers gradio
streamlit-webrtc`.

The camera is Chromium's, and films a file that changes between dark and bright. Every page makes
the same step of the same model on each frame, and answers whether the frame is dark or bright. The
delay is the time from the moment at which the browser gets the first frame after a change to the
moment at which the page shows the other answer: as text, in streamlit-webrtc as the frames that it
sends back. gradio is asked for as many answers as the camera has frames. Needs playwright and
Chromium.
"""

import argparse
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from playwright.sync_api import Browser, Frame, Page, Playwright

import harness

# of the film: frames per second; width and height
RATE = 30
SIDE = (320, 240)
PEERS = os.environ.get("PEERS")
PAGES = ("onlooker", "gradio", "streamlit-webrtc")
TEXT = {
    "onlooker": "document.querySelector('.answer .label')?.innerText",
    "gradio": "document.querySelector('#answer textarea')?.value",
}
READ_TEXT = "() => {{ const text = {0}; return ['bright', 'dark'].includes(text) ? text : null; }}"
READ_VIDEO = """() => {{
    const video = document.querySelector('video');
    return video?.videoWidth ? ({0})(video) : null;
}}"""
# Both note when dark becomes bright or the other way, on one clock.
WATCH_PAGE = """(read) => {
    window.shown = [];
    let last = null;
    const look = () => {
        const now = read();
        if (now !== null && now !== last) shown.push([performance.timeOrigin + performance.now(), last = now]);
        requestAnimationFrame(look);
    };
    look();
}"""
WATCH_CAMERA = """async (brightness) => {
    const video = document.createElement('video');
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
    video.muted = true;
    await video.play();
    let last = null;
    window.filmed = [];
    const look = () => {
        const now = brightness(video);
        if (now !== last) filmed.push([performance.timeOrigin + performance.now(), last = now]);
        video.requestVideoFrameCallback(look);
    };
    look();
}"""
BRIGHTNESS = """(video) => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 8, height: 8 });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0, 8, 8);
    return context.getImageData(4, 4, 1, 1).data[0] > 128 ? 'bright' : 'dark';
}"""


class Step:
    """A step of the model on a frame, counted in a file, and whether the frame is bright."""

    def __init__(self, folder: Path) -> None:
        from onlooker import load

        self._streams = load(folder / "runs" / "model").streams(rate=0)
        self._index = 0
        self._count = os.open(folder / "count", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def __call__(self, pixels: "NDArray[np.uint8]") -> str:
        self._index += 1
        self._streams.step({"": (self._index, self._index / RATE, pixels)})
        return self.answer(pixels)

    def answer(self, pixels: "NDArray[np.uint8]") -> str:
        os.write(self._count, b".")
        return "bright" if pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, 0] > 128 else "dark"


def serve_onlooker(folder: Path, port: int) -> None:
    import uvicorn

    from onlooker.serve import look
    from onlooker.serve.app import ServeSettings, create_app

    step = Step(folder)
    decode = look.decode_jpeg
    see = look.Viewer.step
    answers: list[str] = []

    def decode_and_answer(content: bytes) -> "NDArray[np.uint8]":
        pixels = decode(content)
        answers.append(step.answer(pixels))
        return pixels

    look.decode_jpeg = decode_and_answer
    # Patched, so that the page that is measured is the one that people get.
    look.Viewer.step = lambda self, *frame: {**see(self, *frame), "label": answers.pop()}  # type: ignore[method-assign]
    settings = ServeSettings(clips=folder / "clips", runs=folder / "runs", port=port)
    uvicorn.run(create_app(settings), port=port, log_level="error")


def serve_gradio(folder: Path, port: int) -> None:
    import gradio

    step = Step(folder)
    with gradio.Blocks() as demo:
        camera = gradio.Image(sources="webcam", streaming=True, height=SIDE[1])
        answer = gradio.Textbox(elem_id="answer")
        camera.stream(
            step, camera, answer, stream_every=1 / RATE, concurrency_limit=1, show_progress="hidden"
        )
    demo.launch(server_port=port, server_name="127.0.0.1")


def serve_streamlit(folder: Path, port: int) -> None:
    """Run by streamlit, for each visit."""
    import av
    import numpy as np
    from streamlit_webrtc import webrtc_streamer

    step = Step(folder)

    def answer(frame: av.VideoFrame) -> av.VideoFrame:
        pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        level = 255 if step(pixels) == "bright" else 0
        return av.VideoFrame.from_ndarray(np.full_like(pixels, level), format="rgb24")

    webrtc_streamer(
        key="camera",
        video_frame_callback=answer,
        rtc_configuration={"iceServers": []},
        media_stream_constraints={"video": True, "audio": False},
    )


SERVERS = {"onlooker": serve_onlooker, "gradio": serve_gradio, "streamlit-webrtc": serve_streamlit}


def save_model(runs: Path) -> None:
    """A model that is not trained: what it answers does not matter here."""
    import torch

    from onlooker.base.config import DataConfig
    from onlooker.base.decision import Decision
    from onlooker.models.registry import create_model
    from onlooker.recognizer import Recognizer

    torch.manual_seed(0)
    data = DataConfig(frames=8, size=64, normalization="half")
    Recognizer(
        create_model("convalstm", 2, size=64, hidden=32), data, Decision(("bright", "dark"))
    ).save(runs / "model" / "model")


def write_film(path: Path, seconds: float = 60.0, seed: int = 0) -> None:
    """Dark and bright in turn, each for 0.9 to 1.7 s."""
    import av
    import numpy as np

    with av.open(str(path), "w", format="mjpeg" if path.suffix == ".mjpeg" else None) as container:
        stream = container.add_stream(
            "mjpeg", rate=RATE, width=SIDE[0], height=SIDE[1], pix_fmt="yuvj420p"
        )
        shuffled = random.Random(seed)
        left = 0
        level = 30
        for _ in range(int(RATE * seconds)):
            if left == 0:
                left = round(RATE * shuffled.uniform(0.9, 1.7))
                level = 250 - level
            left -= 1
            frame = av.VideoFrame.from_ndarray(
                np.full((SIDE[1], SIDE[0], 3), level, np.uint8), "rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@contextmanager
def server(page: str, folder: Path) -> Iterator[str]:
    """The page's address; its server is a separate process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    python = PEERS if page != "onlooker" and PEERS else sys.executable
    arguments = [__file__, "--serve", page, "--folder", str(folder), "--port", str(port)]
    command = [python, *arguments]
    if page == "streamlit-webrtc":
        options = [
            "--server.port",
            str(port),
            "--server.headless",
            "true",
            "--browser.gatherUsageStats",
            "false",
        ]
        command = [python, "-m", "streamlit", "run", arguments[0], *options, "--", *arguments[1:]]
    environment = {
        **os.environ,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with (folder / f"{page}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        for _ in range(1200):
            time.sleep(0.1)
            if process.poll() is not None:
                raise RuntimeError(f"{page}: {(folder / f'{page}.log').read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


def launch(playwright: "Playwright", film: Path) -> "Browser":
    """A browser whose camera films a file, again and again."""
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments = [*camera, "--no-sandbox", f"--use-file-for-fake-video-capture={film}"]
    return playwright.chromium.launch(executable_path=harness.chromium(), args=arguments)


def begin(page: str, tab: "Page") -> "Frame":
    """Start the camera; returns the frame of the page that shows answers."""
    if page == "onlooker":
        tab.click("text=Use the camera")
        return tab.main_frame
    if page == "gradio":
        tab.get_by_text("Click to Access Webcam").click()
        tab.click("button[aria-label='capture photo']")
        return tab.main_frame
    tab.wait_for_selector("iframe")
    frame = next(each for each in tab.frames if "webrtc" in each.url)
    frame.click("button:has-text('START')")
    return frame


def measure(
    page: str, url: str, *, folder: Path, browser: "Browser", seconds: float
) -> tuple[float, list[float]]:
    """Answers per second, and the delays in ms of all changes."""
    tab = browser.new_page()
    tab.goto(url)
    frame = begin(page, tab)
    count = folder / "count"
    read = READ_TEXT.format(TEXT[page]) if page in TEXT else READ_VIDEO.format(BRIGHTNESS)
    for _ in range(300):
        time.sleep(0.1)
        if count.exists() and count.stat().st_size > 2 * RATE:
            break
    frame.evaluate(f"() => ({WATCH_PAGE})({read})")
    tab.evaluate(f"() => ({WATCH_CAMERA})({BRIGHTNESS})")
    before = count.stat().st_size
    begun = time.perf_counter()
    time.sleep(seconds)
    rate = (count.stat().st_size - before) / (time.perf_counter() - begun)
    filmed = tab.evaluate("filmed")
    shown = frame.evaluate("shown")
    tab.close()
    count.unlink()
    return rate, delays(filmed[1:], shown)


def delays(filmed: list[list[Any]], shown: list[list[Any]]) -> list[float]:
    """For each change of the film, ms until the page shows it; changes that it misses are left out."""
    found = []
    for (time_of, level), following in zip(filmed, filmed[2:], strict=False):
        answered = [
            at - time_of for at, answer in shown if answer == level and time_of <= at < following[0]
        ]
        found += answered[:1]
    return found


def versions() -> dict[str, str]:
    """Of the peers."""
    code = f"import importlib.metadata as m; print(*map(m.version, {['gradio', 'streamlit', 'streamlit-webrtc']}))"
    found = subprocess.run(
        [str(PEERS), "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    return dict(zip(("gradio", "streamlit", "streamlit-webrtc"), found, strict=True))


def measure_pages(
    folder: Path, film: Path, *, repetitions: int, seconds: float
) -> dict[str, list[tuple[float, list[float]]]]:
    """For each page the results of `measure`, by turns."""
    from playwright.sync_api import sync_playwright

    pages = PAGES if PEERS else PAGES[:1]
    found: dict[str, list[tuple[float, list[float]]]] = {page: [] for page in pages}
    with sync_playwright() as playwright:
        browser = launch(playwright, film)
        for _ in range(repetitions):
            for page in pages:
                with server(page, folder) as url:
                    found[page].append(
                        measure(page, url, folder=folder, browser=browser, seconds=seconds)
                    )
                rate, delays_of_page = found[page][-1]
                print(page, f"{rate:.1f} per second, {delays_of_page}", flush=True)
    return found


def answers_to_frames(url: str, film: Path) -> tuple[float, list[float]]:
    """The frames of a film in the messages that onlooker's page sends: answers per second, and ms
    from each frame to its answer.
    """
    import av
    from websockets.sync.client import connect
    from websockets.typing import Origin

    answered = list[float]()
    with urllib.request.urlopen(f"{url}api/v1/models", timeout=60) as models:
        model = json.load(models)[0]["id"]
    address = f"{url.replace('http', 'ws')}api/live?model={model}"
    with (
        av.open(str(film)) as container,
        connect(address, origin=Origin(url.rstrip("/"))) as camera,
    ):
        for packet in container.demux(video=0):
            if packet.size:
                begin = time.perf_counter()
                camera.send(struct.pack("<d", 0.0) + bytes(packet))
                answer = json.loads(camera.recv())
                answered.append(1000 * (time.perf_counter() - begin))
                if answer.get("label") not in ("bright", "dark"):
                    raise RuntimeError(f"onlooker answered {answer}")
    return 1000 * len(answered) / sum(answered), answered


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument(
        "--seconds", type=float, default=harness.size(20.0, 4.0), help="for each measurement"
    )
    arguments.add_argument("--repetitions", type=int, default=harness.size(3, 1))
    for name in ("--serve", "--folder", "--port"):
        arguments.add_argument(name, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve:
        SERVERS[options.serve](Path(options.folder), int(options.port))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = folder / "film.mjpeg"
        save_model(folder / "runs")
        write_film(film, harness.size(60.0, 2.0))
        if harness.smoke() and harness.chromium() is None:
            print("Chromium is not installed: the frames are sent without a browser")
            with server("onlooker", folder) as url:
                found = {"onlooker": [answers_to_frames(url, film)]}
        else:
            found = measure_pages(
                folder, film, repetitions=options.repetitions, seconds=options.seconds
            )
    figures: dict[str, dict[str, Any]] = {
        page: {
            "answers_per_second": round(median(rate for rate, _ in runs), 1),
            "delay_ms": round(median(delay for _, each in runs for delay in each)),
            "changes": sum(len(each) for _, each in runs),
        }
        for page, runs in found.items()
    }
    figures |= {"versions": versions()} if PEERS else {}
    harness.show(
        "Live",
        ["page", "answers/s", "delay/ms", "changes"],
        [[page, *each.values()] for page, each in figures.items() if page in PAGES],
    )
    what = "a camera in the browser, the same model behind each page: answers per second, ms from frame to answer"
    if PEERS or harness.smoke():
        print(
            harness.record(
                "bench-live-page",
                what,
                figures,
                seeds=[0],
                packages=("fastapi", "uvicorn", "playwright"),
            )
        )


if __name__ == "__main__":
    main()
