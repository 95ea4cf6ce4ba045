"""The loss of one training on 1, 2 and 4 processes, and on 1, 2, 4 and again 1, killed in between and continued.

    python benchmarks/bench_devices.py           # also draws docs/devices.png

ALSTM on features of stick figures, without dropout and augmentation. Processes are CPU processes (gloo), also more of
them than there are cores. In float64, too: there rounding is too small to matter, so any difference left is an error.
"""

import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.stick_figures import StickFigures
from onlooker.data.transforms import to_video
from onlooker.drawing.plots import COLORS, QUIET, plain
from onlooker.models.classifier import Classifier
from onlooker.models.video_model import Output
from onlooker.training import processes as workers
from onlooker.training.fit import fit

CLASSES, EACH, HELD_BACK, SIDE = ("wave", "kick", "jumping_jack"), 32, 8, 64
DATA = DataConfig(frames=8, size=SIDE, normalization="imagenet", translate=0.0, scale=0.0)
TRAIN = TrainConfig(epochs=12, batch=12, lr=3e-3, schedule="constant", precision="32")
CHANGES = (1, 2, 4, 1)  # processes; after a quarter of the epochs all of them are killed
PICTURE = harness.ROOT / "docs" / "devices.png"


class Features(Dataset[tuple[Tensor, int, int]]):
    """Features `T h w D` of clips, with their classes."""

    def __init__(self, maps: Tensor, targets: list[int]) -> None:
        self.maps, self.targets = maps, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.maps[index], self.targets[index], index


class Float64(Classifier):
    """Computes in float64; its encoder does not run in training."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.double()

    def forward_features(self, features: Tensor) -> Output:
        return super().forward_features(features.double())


def alstm(kind: type[Classifier]) -> Classifier:
    torch.manual_seed(0)
    cell = {"cell": "lstm", "attention": "soft", "glimpse": "sum", "hidden": 32, "dropout": 0.0}
    return kind(len(CLASSES), **cell, encoder="small", pretrained=True, size=SIDE)


@torch.inference_mode()
def features(first: int, count: int) -> Features:
    """Those of some clips of each class."""
    encoder, maps, targets = alstm(Classifier).eval().encoder, [], list[int]()
    drawn = StickFigures(
        frames=DATA.frames,
        fps=6.0,
        size=(SIDE, SIDE),
        event=(1, 1),
        bystanders=0,
        background="plain",
        height=(0.8, 0.9),
    )
    for target, action in enumerate(CLASSES):
        for number in range(first, first + count):
            pixels = torch.from_numpy(drawn.video(action, number).pixels)
            maps.append(encoder(to_video(pixels[None], DATA.normalization)[0]).permute(0, 2, 3, 1).half())
            targets.append(target)
    return Features(torch.stack(maps), targets)


def train(folder: Path, processes: int, sides: tuple[Features, Features], kind: type[Classifier] = Classifier) -> None:
    torch.set_num_threads(1)
    workers.cores = lambda: max(CHANGES)  # otherwise it refuses to start more processes than cores
    fit(alstm(kind), *sides, DATA, TRAIN, folder, title=None, devices=processes)


def epochs_of(folder: Path) -> list[dict[str, float]]:
    """The rows of `curves.csv`."""
    try:
        names, *rows = (folder / "curves.csv").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [dict(zip(names.split(","), map(float, row.split(",")), strict=True)) for row in rows]


def train_and_kill(folder: Path, sides: tuple[Features, Features]) -> None:
    """A quarter of the epochs with each number of processes; then they are killed, whatever they are doing."""
    context, each = multiprocessing.get_context("spawn"), TRAIN.epochs // len(CHANGES)
    for number, processes in enumerate(CHANGES, 1):
        work = context.Process(target=train, args=(folder, processes, sides))
        work.start()
        last = number == len(CHANGES)
        while work.is_alive() and (last or len(epochs_of(folder)) < number * each):
            time.sleep(0.02)
        if not last:
            assert work.pid
            os.kill(work.pid, signal.SIGKILL)
        work.join()
        print(f"{processes} processes: {len(epochs_of(folder))} epochs", flush=True)


def draw(curves: dict[str, list[float]]) -> None:
    """Loss by epoch, and how far it is from that of one process."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    one, epochs = np.array(curves["1"]), np.arange(1, TRAIN.epochs + 1)
    for number, (name, losses) in enumerate(curves.items()):
        color, width = COLORS[number], 7 - 2 * number  # lines that are on top of each other
        left.plot(
            epochs, losses, color=color, linewidth=width, label=f"{name} processes" if name != "1" else "1 process"
        )
        if name != "1":
            right.plot(
                epochs, np.maximum(np.abs(losses - one), 1e-9), color=color, marker="o", markersize=4, label=name
            )
    right.axhline(1e-3, color=QUIET, linewidth=1, linestyle="--")
    right.set_yscale("log")
    right.set_ylim(1e-9, 1e-2)
    left.legend(frameon=False, fontsize=9)
    for axes, title in ((left, "Training loss"), (right, "Distance from one process")):
        plain(axes, "epoch", title=title)
    figure.savefig(PICTURE, dpi=130)


def main() -> None:
    torch.set_num_threads(1)
    sides = features(HELD_BACK, EACH), features(0, HELD_BACK)
    curves: dict[str, dict[str, dict[str, list[float]]]] = {"float32": {}, "float64": {}}
    with tempfile.TemporaryDirectory() as name:
        for bits, kind in (("float32", Classifier), ("float64", Float64)):
            for processes in (1, 2, 4):
                folder = Path(name, f"{bits}-{processes}")
                train(folder, processes, sides, kind)
                curves[bits][str(processes)] = losses_of(folder)
                print(bits, processes, curves[bits][str(processes)]["validation"], flush=True)
        train_and_kill(Path(name, "changing"), sides)
        curves["float32"]["1, 2, 4, 1"] = losses_of(Path(name, "changing"))
    distance = {
        bits: {
            name: {side: float(np.abs(np.subtract(of[side], these["1"][side])).max()) for side in of}
            for name, of in these.items()
        }
        for bits, these in curves.items()
    }
    print(distance)
    draw({name: of["training"] for name, of in curves["float32"].items()})
    figures = {"curves": curves, "distance": distance, "epochs": TRAIN.epochs, "batch": TRAIN.batch}
    what = "loss by epoch of one training on 1, 2, 4 and a changing number of processes, killed in between"
    print(harness.record("bench-devices", what, figures, [0]))


def losses_of(folder: Path) -> dict[str, list[float]]:
    rows = epochs_of(folder)
    return {side: [row[f"{side}_loss"] for row in rows] for side in ("training", "validation")}


if __name__ == "__main__":
    main()
