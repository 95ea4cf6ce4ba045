"""The words of `onlooker.video.motion_words`: learned from generated figures and written, or
compared with words that are learned from the training clips of each set.

    python benchmarks/motion_words.py --write   # the file in the package
    python benchmarks/motion_words.py           # results/motion-words.json; needs ONLOOKER_DATA

The comparison leaves recordings out among training clips; no test clip is among them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import harness
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.mixture import GaussianMixture

from onlooker.data.stick_figures import ACTIONS, StickFigures
from onlooker.video.motion_words import WORDS, Words, last_blocks, next_blocks

Floats = NDArray[np.float32]
Frames = Iterator[tuple[float, NDArray[np.uint8]]]

COUNT = 32
AXES = 48
BLOCKS = 200  # random ones of a clip


def blocks_of(frames: Frames, seed: int) -> list[Floats]:
    """Descriptors of random blocks of a clip, by part."""
    rows: list[list[Floats]] = []
    state = None
    for time, frame in frames:
        state, blocks = next_blocks(frame, time, state)
        if blocks is not None:
            rows.append(blocks)
    if not rows and state is not None and (blocks := last_blocks(state)):
        rows.append(blocks)
    if not rows:
        return []
    parts = [np.concatenate(part) for part in zip(*rows, strict=True)]
    chosen = np.random.default_rng(seed).permutation(len(parts[0]))[:BLOCKS]
    return [part[chosen] for part in parts]


def generated(videos: int) -> Iterator[Frames]:
    """Videos of figures, with cameras that stand still, pan or zoom."""
    rng = np.random.default_rng(0)
    for number in range(videos):
        for action in harness.size([*ACTIONS], ["walk"]):
            figures = StickFigures(
                frames=40, fps=25, size=(180, 240), people=videos, noise=rng.uniform(0, 4)
            )
            yield filmed(figures.video(action, number).pixels, rng)


def filmed(pixels: NDArray[np.uint8], rng: np.random.Generator) -> Frames:
    """Frames of a part of a video, 120×160, that moves and grows, or does not."""
    moves = rng.random() < 0.5
    shift = rng.uniform(-1.5, 1.5, 2) * moves
    zoom = 1 + rng.uniform(-0.008, 0.008) * moves
    center = np.array((120.0, 95.0))
    start = rng.uniform(1, 1.3)
    T = len(pixels)
    for t, frame in enumerate(pixels):
        scale = start * zoom**t
        corner = center + shift * (t - T / 2) - scale * np.array((80, 60))
        matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(frame, matrix, (160, 120), flags=flags, borderMode=cv2.BORDER_REFLECT)
        yield t / 25, seen.astype(np.uint8)


def learn(descriptors: Floats, seed: int = 0) -> Words:
    """Principal axes and words of descriptors `N D`."""
    mean = descriptors.mean(0)
    axes = np.linalg.svd(descriptors - mean, full_matrices=False)[2][:AXES].T
    x = (descriptors - mean) @ axes
    mixture = GaussianMixture(
        COUNT, covariance_type="diag", reg_covar=1e-3 * float(x.var(0).mean()), random_state=seed
    ).fit(x)
    arrays = (axes, mean @ axes, mixture.means_, mixture.covariances_, mixture.weights_)
    values = [np.ascontiguousarray(array, np.float32) for array in arrays]
    return Words(**dict(zip(Words._fields, values, strict=True)))


def write(words: list[Words], file: Path) -> None:
    """Write the words of all parts."""
    arrays = {
        f"{part}.{name}": array
        for part, of_part in enumerate(words)
        for name, array in of_part._asdict().items()
    }
    save_file(arrays, file, {"learned_from": "figures of onlooker.data.stick_figures"})


def main() -> None:
    parser = harness.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--write", type=Path, nargs="?", const=WORDS)
    options = parser.parse_args()
    clips = [blocks_of(frames, seed) for seed, frames in enumerate(generated(harness.size(20, 1)))]
    descriptors = [np.concatenate(part) for part in zip(*filter(None, clips), strict=True)]
    print(*(part.shape for part in descriptors))
    words = [learn(part) for part in descriptors]
    if options.write is not None:
        write(words, options.write)


if __name__ == "__main__":
    main()
