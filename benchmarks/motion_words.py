"""The words of `onlooker.video.motion_words`: learned from generated figures, and compared with words
that are learned from the clips of each set.

    python benchmarks/motion_words.py --write WORDS.safetensors  # the file in the package
    python benchmarks/motion_words.py  # results/motion-words.json

The comparison needs `ONLOOKER_DATA`. It leaves recordings out among clips that published splits train
with, and shows the share of clips that a linear layer on Fisher vectors classifies correctly. Words
of a set are learned from all of its clips, without their classes, which favors them.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import harness
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from safetensors.numpy import save_file
from sklearn.linear_model import RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold

from onlooker.base.fisher import fisher_vector
from onlooker.base.records import Clip
from onlooker.data.sets import read_set
from onlooker.data.split import group_of
from onlooker.data.stick_figures import ACTIONS, StickFigures
from onlooker.video.motion_words import MotionEye, Words, last_blocks, next_blocks
from onlooker.video.reader import VideoReader
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.sets import data_folder, few_of_each

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Frames = Iterable[tuple[float, Pixels]]

# of each part
COUNT = harness.size(32, 2)
AXES = harness.size(48, 2)
# random blocks of a clip: described, and those of them that words are learned from
BLOCKS = 300
LEARNED = 60
VIDEOS = harness.size(10, 2)  # generated ones of an action
FOLDS = harness.size(5, 2)
REGULARIZATION = 1.0  # of vectors whose squared norm is 4


def blocks_of(frames: Frames, seed: int) -> list[Floats]:
    """Descriptors of random blocks of a clip, by part; none: an empty list."""
    rows: list[list[Floats]] = []
    state = None
    for time, frame in frames:
        state, blocks = next_blocks(frame, time, state)
        if blocks is not None:
            rows.append(blocks.parts)
    if not rows and state is not None and (blocks := last_blocks(state)):
        rows.append(blocks.parts)
    parts = [np.concatenate(part) for part in zip(*rows, strict=True)]
    if not parts:
        return []
    chosen = np.random.default_rng(seed).permutation(len(parts[0]))[:BLOCKS]
    return [part[chosen] for part in parts]


def generated() -> Iterator[Frames]:
    """Videos of figures, by cameras that stand still, or pan and zoom."""
    rng = np.random.default_rng(0)
    frames = harness.size(40, 20)
    for number in range(VIDEOS):
        for action in harness.size([*ACTIONS], ["walk"]):
            figures = StickFigures(
                frames=frames, fps=25, size=(180, 240), people=VIDEOS, noise=rng.uniform(0, 4)
            )
            yield filmed(figures.video(action, number).pixels, rng)


def filmed(pixels: Pixels, rng: np.random.Generator) -> Frames:
    """Frames of a part of a video, 120×160; in half of the videos the part moves and grows."""
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


def learn(clips: Sequence[list[Floats]]) -> list[Words]:
    """The words of the parts, from blocks of clips."""
    parts = zip(*filter(None, clips), strict=True)
    return [learn_part(np.concatenate([blocks[:LEARNED] for blocks in part])) for part in parts]


def learn_part(descriptors: Floats, seed: int = 0) -> Words:
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


def write(words: Sequence[Words], file: Path) -> None:
    """Write the words of all parts."""
    arrays = {
        f"{part}.{name}": array
        for part, part_words in enumerate(words)
        for name, array in part_words._asdict().items()
    }
    save_file(arrays, file, {"learned_from": "figures of onlooker.data.stick_figures"})


class DescribedSet(NamedTuple):
    """Blocks, classes and recordings of clips."""

    blocks: list[list[Floats]]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]


def describe(clips: Sequence[Clip], title: str) -> DescribedSet:
    """Random blocks of the clips of a set."""
    blocks = []
    for seed, clip in enumerate(track(clips, title)):
        frames = ((time, frame) for _, time, frame in VideoReader(clip.path))
        blocks.append(blocks_of(frames, seed))
    labels = np.array([clip.label for clip in clips])
    return DescribedSet(blocks, labels, np.array([group_of(clip) for clip in clips]))


def vectors(words: Sequence[Words], clips: Sequence[list[Floats]]) -> Floats:
    """Fisher vectors of clips, `N F`."""
    rows = np.zeros((len(clips), 1 + sum(2 * part.means.size for part in words)), np.float32)
    for row, blocks in zip(rows, clips, strict=True):
        if blocks and len(blocks[0]):
            row[0] = len(blocks[0])
            parts = zip(words, blocks, strict=True)
            row[1:] = np.concatenate([part.contributions(values).ravel() for part, values in parts])
    return fisher_vector(rows)


def accuracy(words: Sequence[Words], clips: DescribedSet) -> float:
    """The cross-validated share of the clips of a set that are classified correctly."""
    x = vectors(words, clips.blocks)
    correct: list[bool] = []
    for training, test in GroupKFold(FOLDS).split(clips.labels, groups=clips.groups):
        layer = RidgeClassifier(alpha=REGULARIZATION).fit(x[training], clips.labels[training])
        correct += [*(layer.predict(x[test]) == clips.labels[test])]
    return round(float(np.mean(correct)), 4)


def sets(folder: Path) -> dict[str, Sequence[Clip]]:
    """Clips to compare words with; with `--smoke` generated ones, in a new folder."""
    if harness.smoke():
        return {"generated": read_set(harness.write_clips(folder / "clips")).clips}
    clips: dict[str, Sequence[Clip]] = {}
    for name in ("jhmdb", "hand_gestures"):
        split = next(iter(splits_of(name).values()))
        clips[name] = [*split.training, *split.validation]
    # sets that are cross-validated as a whole
    for name in ("surveillance", "weizmann/frames"):
        clips[name.partition("/")[0]] = read_set(data_folder() / "clips" / name).clips
    return clips


def main() -> None:
    parser = harness.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--write", type=Path, help="learn the words, and write them to this file")
    parser.add_argument("--clips", type=int, default=700, help="maximum number of a set")
    options = parser.parse_args()
    if options.write is not None or harness.smoke():
        words = learn([blocks_of(frames, seed) for seed, frames in enumerate(generated())])
    else:
        words = MotionEye().words
    if options.write is not None:
        write(words, options.write)
        return
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, clips in sets(Path(folder)).items():
            classes = len({clip.label for clip in clips})
            described = describe(few_of_each(clips, options.clips // classes), name)
            figures[name] = {
                "clips": len(described.labels),
                "shipped": accuracy(words, described),
                "learned": accuracy(learn(described.blocks), described),
            }
    rows = [[name, row["shipped"], row["learned"]] for name, row in figures.items()]
    harness.show("Clips classified correctly", ["", "shipped", "learned"], rows)
    what = "motion words alone, recordings left out: shipped words and those of training clips"
    print(harness.record("motion-words", what, figures, seeds=[0]))


if __name__ == "__main__":
    main()
