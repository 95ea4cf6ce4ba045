"""The motion eye per frame, CPU time on one core, next to a plain version of the same features: energies of
all pixels in double precision, a direction after the other, with words in a loop over blocks.

    python benchmarks/bench_motion.py

Generated figures of 160×120 pixels at 25 frames per second, whose camera pans. And how many decoded frames of
640×480 pixels `watch` takes a second on one core, with pictures by `lite0`, motion, events and boxes, of a
model that `onlooker train` makes from generated figures.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import harness
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import onlooker
from onlooker.data.stick_figures import ACTIONS, StickFigures, write_set
from onlooker.video.motion_words import WORDS, MotionEye, MotionMemory, Words

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

H, W = 120, 160
CELL = 10
RATE = 25  # frames per second
CLIPS = harness.size(6, 3)  # of each class
CLASSES = harness.size(tuple(ACTIONS), ("kick", "wave"))
WATCHED = harness.size(250, 50)  # frames
SIDES = harness.size((480, 640), (120, 160))  # of each, in pixels
LIVE: dict[str, Any] = harness.size({"encoder": "lite0"}, {"frames": 4, "size": 48})
BIN = 5  # steps
BINS = 3  # of a block
STILL = 0.3  # pixels
DIRECTIONS = np.arange(8) * np.pi / 4


def clip(frames: int) -> Pixels:
    """Frames of a person who walks, seen by a camera that pans by a pixel a frame."""
    figures = StickFigures(frames=frames, fps=RATE, size=(H, W + frames), people=2)
    pixels = figures.video("walk").pixels
    return np.stack([frame[:, t : t + W] for t, frame in enumerate(pixels)])


def steps(eye: MotionEye, frames: Pixels) -> int:
    """The largest state in bytes, of all frames."""
    state: MotionMemory | None = None
    largest = 0
    for t, frame in enumerate(frames):
        state, _ = eye.step(frame, t / RATE, state)
        cells = 0 if state.cells is None else state.cells.nbytes
        earlier = sum(finished.nbytes for finished in state.earlier)
        largest = max(largest, state.frame.nbytes + earlier + cells)
    return largest


def plain(eye: MotionEye, frames: Pixels) -> Floats:
    """Sums of the contributions of all blocks."""
    energies = [plain_cells(before, after) for before, after in pairwise(frames)]
    bins = [np.sum(energies[t : t + BIN], 0) for t in range(0, len(energies) - BIN + 1, BIN)]
    sums = np.zeros(eye.num_features)
    for start in range(len(bins) - BINS + 1):
        block = bins[start : start + BINS]
        for row, column in np.ndindex(H // CELL - 1, W // CELL - 1):
            parts = [
                np.array([cells[row : row + 2, column : column + 2] for cells in part])
                for part in zip(*block, strict=True)
            ]
            if parts[1].any():
                values = map(plain_contributions, eye.words, parts)
                sums += np.concatenate([*values])
    return sums


def plain_cells(before: Pixels, after: Pixels) -> Floats:
    """Energies of the gradient, of flow and of its gradients in cells, `4 rows columns 9`."""
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = np.asarray(estimator.calc(*grays, None), np.float64)
    points = np.stack(np.meshgrid(np.arange(W), np.arange(H)), -1)
    some = points[4::8, 4::8].reshape(-1, 2)
    camera, _ = cv2.estimateAffinePartial2D(some, some + flow[4::8, 4::8].reshape(-1, 2))
    flow -= points @ camera[:, :2].T + camera[:, 2] - points
    x, y = flow[..., 0], flow[..., 1]
    moves = np.hypot(x, y) >= STILL
    image_y, image_x = np.gradient(grays[0].astype(np.float64))
    (x_y, x_x), (y_y, y_x) = np.gradient(x), np.gradient(y)
    fields = ((image_x, image_y), (x * moves, y * moves), (x_x, x_y), (y_x, y_y))
    return np.stack([plain_directions(*field) for field in fields])


def plain_directions(x: Floats, y: Floats) -> Floats:
    """Energies of vectors in eight directions, and whether there are none, by cells."""
    length = np.hypot(x, y)
    images = [
        np.maximum(x * np.cos(angle) + y * np.sin(angle), 0) ** 2 / (length + 1e-6)
        for angle in DIRECTIONS
    ]
    images.append(STILL * (length == 0))
    return np.stack(
        [image.reshape(H // CELL, CELL, W // CELL, CELL).mean((1, 3)) for image in images], -1
    )


def plain_contributions(words: Words, block: Floats) -> Floats:
    """The contributions of a block, by the definition."""
    width = len(words.axes) // (4 * BINS)
    values = block[..., :width].ravel()
    x = np.sqrt(values / max(values.sum(), 1e-6)) @ words.axes - words.offset
    distances = (x - words.means) / np.sqrt(words.variances)
    logits = np.log(words.shares) - 0.5 * (distances**2 + np.log(words.variances)).sum(1)
    posteriors = np.exp(logits - logits.max())
    posteriors /= posteriors.sum()
    weights = (posteriors / np.sqrt(words.shares))[:, None]
    return np.concatenate(
        ((weights * distances).ravel(), (weights * (distances**2 - 1) / np.sqrt(2)).ravel())
    )


def watched_a_second(folder: Path) -> float:
    """Frames of a person who waves, whose pixels `watch` has, in a CPU second."""
    write_set(folder / "clips", CLIPS, actions=CLASSES)
    onlooker.train(folder / "clips", run=folder / "run", quiet=True, eyes="both", **LIVE)
    streams = onlooker.load(folder / "run", "cpu").streams()
    video = StickFigures(frames=WATCHED, fps=RATE, size=SIDES).video("wave")
    began = time.process_time()
    for t, pixels in enumerate(video.pixels):
        streams.step({"": (t, t / RATE, pixels)})
    return WATCHED / (time.process_time() - began)


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=harness.MINIMUM)
    options = parser.parse_args()
    eye = MotionEye()
    frames = clip(harness.size(60, 20))
    works: dict[str, Callable[[], object]] = {
        "onlooker": partial(steps, eye, frames),
        "plain": partial(plain, eye, frames),
    }
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        seconds = harness.interleaved(works, options.repetitions, clock=time.process_time)
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            watched = watched_a_second(Path(folder))
    cv2.setNumThreads(threads)
    milliseconds = {
        name: round(1e3 * total / len(frames), 3)
        for name, total in harness.medians(seconds).items()
    }
    figures = {
        "milliseconds": milliseconds,
        "ratios": harness.ratios(seconds),
        "state_bytes": steps(eye, frames),
        "model_bytes": WORDS.stat().st_size,
        "features": eye.num_features,
        "watched_a_second": round(watched, 1),
    }
    harness.show("A frame", ["", "ms"], [[*row] for row in milliseconds.items()])
    print(figures)
    what = "motion words per frame on one core, next to a plain version in double precision"
    print(harness.record("bench-motion", what, figures, seeds=[0]))


if __name__ == "__main__":
    main()
