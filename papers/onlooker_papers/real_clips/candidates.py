"""Other inputs for the linear model: other statistics, a crop that follows motion, histograms of optical flow.

Every row is an accuracy in cross-validation on the training clips of the first split of a set, with each recording in
one fold, and with the method that has the lowest log loss there. Test clips are not used, so the default may be chosen
by these figures.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track
from torch import nn

from onlooker.config import TrainConfig
from onlooker.data.samples import read_sample
from onlooker.data.split import group_of
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import resolve
from onlooker.runs.features import weights_digest
from onlooker.structures import Clip
from onlooker.training.forward import encode_samples
from onlooker.training.linear import METHODS, Clips, choose
from onlooker.video.flow import flow
from onlooker_papers.real_clips.frozen import DATA, MODEL, splits_of, write_arrays
from onlooker_papers.results import About, Row, write_rows

FILE = "candidates"
COMMAND = "python -m onlooker_papers.real_clips.candidates"
OF = ("hand_gestures", "basketball", "surveillance", "weizmann", "jhmdb")
CROP = 0.5  # side of the crop that follows motion, as a share of the frame
_CELLS, _STILL, _DIRECTIONS = 7, 0.4, 8  # cells per side; pixels; bins of direction
_ENDS = 4  # frames at the start, and at the end

# Row -> blocks of statistics, which are concatenated.
ROWS = {
    "the default": ("whole",),
    "and end minus start": ("whole", "end"),
    "and its changes in 2×2 parts": ("whole", "parts"),
    "and a crop that follows motion": ("whole", "crop"),
    "and histograms of flow": ("whole", "flow"),
    "and both": ("whole", "crop", "flow"),
    "histograms of flow alone": ("flow",),
}

Floats = NDArray[np.float32]


def directions(x: Floats, y: Floats) -> Floats:
    """Lengths of vectors `P H W` by direction, `P 8 H W`; each is divided between the two nearest directions."""
    length, angle = np.hypot(x, y), np.arctan2(y, x) * _DIRECTIONS / (2 * np.pi)
    apart = np.abs((angle[:, None] - np.arange(_DIRECTIONS)[:, None, None] + 4) % _DIRECTIONS - 4)
    shares: Floats = (length[:, None] * np.maximum(0, 1 - apart)).astype(np.float32)
    return shares


def motion_histograms(frames: NDArray[np.uint8]) -> Floats:
    """Histograms of optical flow and of its boundaries in 7×7 cells: frames `T H W 3` to `T-1 25 7 7`.

    As in dense trajectories (Wang et al. 2013): flow by direction, the share of still pixels, and the gradients of both
    components of flow by direction.
    """
    u, v = np.moveaxis(flow(frames, DATA.flow), -1, 0)
    still = (np.hypot(u, v) < _STILL).astype(np.float32)[:, None]
    gradients = [np.gradient(component, axis=(2, 1)) for component in (u, v)]
    maps = np.concatenate([directions(u, v), still, *(directions(x, y) for x, y in gradients)], 1)
    return np.stack(
        [cv2.resize(each.transpose(1, 2, 0), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA) for each in maps]
    ).transpose(0, 3, 1, 2)


def flow_statistics(frames: NDArray[np.uint8]) -> Floats:
    """Square roots of mean, maximum and spread over time for the frame, and of the mean for its 3×3 parts: `M`."""
    of = motion_histograms(frames)
    mean, parts = of.mean(0), (slice(0, 3), slice(2, 5), slice(4, 7))
    whole = [each.mean((1, 2)) for each in (mean, of.max(0), of.std(0))]
    return np.sqrt(
        np.concatenate([*whole, *(mean[:, rows, columns].mean((1, 2)) for rows in parts for columns in parts)])
    )


@torch.inference_mode()
def statistics(path: Path, net: LinearClassifier, parted: LinearClassifier) -> dict[str, Floats]:
    """The statistics of one clip by block, each `M`; `parted` has the changes in 2×2 parts."""
    _, data, _ = resolve(replace(MODEL, pretrained=True), DATA, TrainConfig())
    pixels = read_sample(path, data).pixels
    whole, crop = (
        encode_samples(net, torch.from_numpy(frames)[None], data)
        for frames in (pixels, read_sample(path, replace(data, motion_crop=CROP)).pixels)
    )
    by_frame = whole[0].mean((-2, -1))
    blocks = {
        "whole": net.summarize(whole)[0],
        "end": by_frame[-_ENDS:].mean(0) - by_frame[:_ENDS].mean(0),
        "parts": parted.summarize(whole)[0],
        "crop": net.summarize(crop)[0],
    }
    return {**{name: block.numpy() for name, block in blocks.items()}, "flow": flow_statistics(pixels)}


def encode(name: str, clips: Sequence[Clip], run: Path) -> dict[str, Floats]:
    """The statistics of clips by block, each `B M`; those stored in the folder `run` are not computed again."""
    net, parted = (
        LinearClassifier(2, MODEL.encoder, of, DATA.frames, regions, size=DATA.size, pretrained=True).eval()
        for of, regions in (("mean,spread,change,largest", 1), ("change,largest", 2))
    )
    file = run / f"{name}-{FILE}-{weights_digest(cast(nn.Module, net.encoder))[:16]}.npz"
    if not file.exists():
        rows = [statistics(clip.path, net, parted) for clip in track(clips, name)]
        write_arrays(file, {block: np.stack([row[block] for row in rows]) for block in rows[0]})
    with np.load(file) as stored:
        return dict(stored)


def measure(name: str, run: Path, results: Path) -> dict[str, float]:
    """Measure all rows of one set, and write them to `candidates.json`."""
    split = next(iter(splits_of(name).values()))
    clips = (*split.training, *split.validation)
    classes = sorted({clip.label for clip in clips})
    y = np.array([classes.index(clip.label) for clip in clips], np.int64)
    groups, blocks = np.array([group_of(clip) for clip in clips]), encode(name, clips, run)
    accuracy = {}
    for row, names in ROWS.items():
        x = np.concatenate([blocks[block] for block in names], 1).astype(np.float64)
        accuracy[row] = choose(Clips(x, y, groups, len(classes), ("all",))).tried["all"]
    settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "methods": [*map(str, METHODS)]}
    what = "accuracy in cross-validation of the training clips of the first split, by what the linear model sees"
    write_rows(
        results, FILE, About(what, COMMAND, [0]), {(name,): Row({"accuracy": accuracy, "clips": len(y)}, settings)}
    )
    return accuracy


def main(
    sets: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(OF)}. Default: all.")] = None,
) -> None:
    """Measure additional statistics on sets of clips."""
    run, results = Path("runs/real-clips/features"), Path("results")
    for name in sets or OF:
        found = measure(name, run, results)
        print(name, ", ".join(f"{row} {share:.1%}" for row, share in found.items()))


if __name__ == "__main__":
    typer.run(main)
