"""The exported step in a browser: milliseconds of a frame next to onnxruntime in Python, and how
far its scores differ.

    python benchmarks/bench_browser.py

It runs `examples/in_the_browser` in Chromium, with onnxruntime-web from npm. Needs playwright,
Chromium and npm.
"""

import base64
import functools
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import NamedTuple

import harness
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.export import export
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer

EXAMPLE = harness.ROOT / "examples" / "in_the_browser"
RUNTIME = "onnxruntime-web@1.30.0"
CLASSES = 10
SIDE = harness.size(112, 32)
FRAMES = harness.size(100, 3)
WARM = harness.size(10, 1)
RUN = """async (frames) => {
    const { Step } = await import("./step.js");
    const step = await Step.load("export"), scores = [], milliseconds = [];
    for (const text of frames) {
        const pixels = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const begin = performance.now();
        scores.push((await step.run(pixels)).scores);
        milliseconds.push(performance.now() - begin);
    }
    return { scores, milliseconds };
}"""


class Ran(NamedTuple):
    """Scores `T K`, and milliseconds of each frame."""

    scores: NDArray[np.float64]
    milliseconds: list[float]


def example_with(exported: Path, folder: Path) -> Path:
    """The example's folder with an exported step and onnxruntime-web.

    Raises:
        OSError, CalledProcessError: npm is not installed, or cannot install the package.
    """
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(exported, folder / "export")
    npm = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(folder),
        RUNTIME,
    ]
    subprocess.run(npm, check=True, capture_output=True, timeout=120)
    return folder


def run_in_browser(folder: Path, frames: NDArray[np.uint8]) -> Ran:
    """Frames `T H W C` through the example's step, on its page."""
    from playwright.sync_api import sync_playwright

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=harness.chromium(), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        found = page.evaluate(RUN, [base64.b64encode(frame.tobytes()).decode() for frame in frames])
        browser.close()
    server.shutdown()
    return Ran(np.array(found["scores"]), found["milliseconds"])


def run_here(exported: Path, frames: NDArray[np.uint8]) -> Ran:
    """The same by onnxruntime in Python, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported / "step.onnx", options)
    names = [output.name for output in session.get_outputs()]
    _, *states = session.get_inputs()
    state = {each.name: np.zeros((1, *each.shape[1:]), np.float32) for each in states}
    scores = []
    milliseconds = []
    for frame in frames:
        begin = time.perf_counter()
        values = session.run(None, {"frame": frame[None], **state})
        milliseconds.append(1e3 * (time.perf_counter() - begin))
        output = dict(zip(names, values, strict=True))
        state = {name: output[f"next_{name}"] for name in state}
        scores.append(output["scores"][0])
    return Ran(np.array(scores, float), milliseconds)


def untrained() -> Recognizer:
    """A model with the default encoder and a small cell, and random weights."""
    torch.manual_seed(0)
    model = create_model("convalstm", CLASSES, size=SIDE, encoder="small", hidden=32)
    data = DataConfig(frames=16, size=SIDE, normalization="half")
    return Recognizer(model, data, Decision([f"class {number}" for number in range(CLASSES)]))


def main() -> None:
    harness.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, SIDE, SIDE, 3), np.uint8)
    with tempfile.TemporaryDirectory() as name:
        exported = export(untrained(), Path(name, "export"))
        here = run_here(exported, frames)
        if harness.smoke():
            print("the browser is left out: its onnxruntime-web is downloaded")
            browser = run_here(exported, frames)
        else:
            folder = example_with(exported, Path(name, "example"))
            browser = run_in_browser(folder, frames)
    figures = {
        "milliseconds": round(median(browser.milliseconds[WARM:]), 2),
        "milliseconds_python": round(median(here.milliseconds[WARM:]), 2),
        "largest_difference": float(np.abs(browser.scores - here.scores).max()),
        "frames": FRAMES,
        "runtime": RUNTIME,
    }
    print(figures)
    what = "a step of the live model in a browser by onnxruntime-web, next to onnxruntime in Python, one thread"
    print(
        harness.record(
            "bench-browser", what, figures, seeds=[0], packages=("onnxruntime", "playwright")
        )
    )


if __name__ == "__main__":
    main()
