"""Time and peak memory of training on stored features, by number of frames, grid size, number of clips and model.

A step is forward, backward, gradient clipping and update of the model without its encoder, on VGG-16 features of 512
channels (RGB and flow for `motion`), with 512 hidden channels. Every point is measured in a separate process; its peak
memory includes libraries and weights. An epoch reads its clips from disk, not from the page cache, and reports the time
spent on reading.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from onlooker.config import DataConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.feature_store import FeatureStore, StoreSettings
from onlooker.data.transforms import to_features
from onlooker.drawing.plots import COLORS, to_png
from onlooker.files import write_bytes
from onlooker.models.registry import MODELS, create_model
from onlooker.structures import Clip
from onlooker.training.epoch_order import EpochOrder
from onlooker.training.losses import frame_cross_entropy
from onlooker.training.precision import choose_precision
from onlooker.video.sampling import equally_spaced
from onlooker_papers.digits.memory import largest_so_far

NAMES = ("lstm", "alstm", "convlstm", "convalstm", "motion", "report")
FRAMES, GRIDS, CLIPS = (10, 20, 30, 60), (7, 10, 12, 14), (8, 16, 32)
T, GRID, BATCH, CHANNELS, HIDDEN, CLASSES, SEED = 30, 7, 2, 512, 512, 51, 0
EPOCH_BATCH = 8
STRIDE = 32  # of VGG-16
# The batch that must fit into 8 GB, for the models with hidden maps.
LARGE_BATCH, LARGE, LIMIT = 15, ("convlstm", "convalstm", "motion", "report"), 8 * 1e9 / 2**30
PLOT = harness.ROOT / "docs" / "training-cost.png"


def own_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call `work` in a new process, forked from one that has only imported the libraries."""
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        return pool.submit(work, *arguments).result()


class Training:
    """A model trained on stored features, as in `onlooker.training.fit`.

    Args:
        name: the model.
        grid: height and width of the feature maps.
        half: compute in bfloat16.
    """

    def __init__(self, name: str, grid: int, half: bool) -> None:
        torch.manual_seed(SEED)
        flow = MODELS[name].settings.get("flow_channels", 0)
        settings = {"encoder": "vgg16", "size": STRIDE * grid, "hidden": HIDDEN, "in_channels": 3 + flow}
        if flow:
            settings["flow_channels"] = flow
        self.model: Any = create_model(name, CLASSES, **settings)
        self.model.encoder.requires_grad_(False)
        self.half = half
        self.learning = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learning, fused=True)

    def step(self, maps: Tensor, targets: Tensor) -> None:
        """Train on one batch of maps `B T h w D` in half precision."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            loss = frame_cross_entropy(self.model.forward_features(to_features(maps)).logits, targets, smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(self.learning, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def random_maps(name: str, count: int, frames: int, grid: int) -> Tensor:
    """Feature maps `count T h w D` after a ReLU, in the format of feature stores."""
    channels = CHANNELS * (2 if MODELS[name].settings.get("flow_channels") else 1)
    return torch.randn(count, frames, grid, grid, channels, generator=torch.Generator().manual_seed(SEED)).relu().half()


def step_cost(name: str, batch: int, frames: int, grid: int, half: bool, threads: int, steps: int) -> dict[str, float]:
    """Median seconds of a step, without the first, and peak memory in GiB."""
    torch.set_num_threads(threads)
    training = Training(name, grid, half)
    maps, targets, seconds = random_maps(name, batch, frames, grid), torch.arange(batch) % CLASSES, []
    # The first step also allocates the optimizer's state.
    for _ in range(1 + steps):
        start = time.perf_counter()
        training.step(maps, targets)
        seconds.append(time.perf_counter() - start)
    return {"seconds": round(median(seconds[1:]), 4), "gib": round(largest_so_far(), 3)}


def epoch_cost(name: str, folder: Path, count: int, half: bool, threads: int) -> dict[str, float]:
    """Seconds of an epoch, seconds of reading, and peak memory in GiB."""
    torch.set_num_threads(threads)
    training, store = Training(name, GRID, half), FeatureStore.open(folder)
    files = [(store.folder / "maps" / f"{number}.npy",) for number in range(count)]
    clips = [Clip(file, str(number % CLASSES)) for number, (file,) in enumerate(files)]
    data = ClipFrames(clips, files, [str(k) for k in range(CLASSES)], partial(equally_spaced, count=T))
    training.step(*next(iter(DataLoader(data, EPOCH_BATCH)))[:2])  # the first step takes longer than any other
    for (file,) in files:
        forget(file)
    order, reading, start = EpochOrder(data, SEED), 0.0, time.perf_counter()
    batches = iter(DataLoader(data, EPOCH_BATCH, sampler=order))
    while True:
        before = time.perf_counter()
        batch = next(batches, None)
        reading += time.perf_counter() - before
        if batch is None:
            break
        training.step(*batch[:2])
    seconds = {"seconds": time.perf_counter() - start, "reading": reading}
    return {key: round(value, 4) for key, value in seconds.items()} | {"gib": round(largest_so_far(), 3)}


def forget(file: Path) -> None:
    """Ask the system to drop a file from its page cache, where it supports that (Linux)."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def make_store(folder: Path, name: str, count: int) -> Path:
    """A feature store of `count` clips with the channels that model `name` needs; without encoder weights."""
    data = DataConfig(frames=T, size=STRIDE * GRID, normalization="imagenet")
    store = FeatureStore.make(folder, StoreSettings("vgg16", data, pretrained=False, precision="bf16"), lambda: b"")
    (maps,) = random_maps(name, 1, T, GRID).numpy()
    for number in range(count):
        claim = store.cache.claim(store.folder / "maps" / f"{number}.npy")
        assert claim is not None
        claim.write([np.roll(maps, number, axis=0)])
    return folder


@dataclass(frozen=True)
class Points:
    """What is measured: steps by frames and by grid size, epochs by clips, a large batch; and the number of steps."""

    names: tuple[str, ...] = NAMES
    frames: tuple[int, ...] = FRAMES
    grids: tuple[int, ...] = GRIDS
    clips: tuple[int, ...] = CLIPS
    base: tuple[int, int] = (T, GRID)
    large_names: tuple[str, ...] = LARGE
    large: tuple[int, int, int] = (LARGE_BATCH, T, GRID)
    steps: int = 2


QUICK = Points(("alstm", "motion"), (1, 2), (2, 3), (1, 2), (2, 2), ("convalstm",), (2, 2, 2), 1)


def measure(points: Points, threads: int) -> dict[str, Any]:
    half = choose_precision("auto") == "bf16-mixed"
    names, clips, steps = points.names, points.clips, points.steps
    step: dict[str, Any] = {name: {"frames": {}, "grid": {}} for name in names}
    for name in names:
        along = {(t, points.base[1]) for t in points.frames} | {(points.base[0], side) for side in points.grids}
        costs = {at: own_process(step_cost, name, BATCH, *at, half, threads, steps) for at in sorted(along)}
        step[name]["frames"] = {str(t): costs[t, points.base[1]] for t in points.frames}
        step[name]["grid"] = {str(side): costs[points.base[0], side] for side in points.grids}
        print(f"{name}: a step {step[name]}", flush=True)
    epoch: dict[str, Any] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        stores = {wide: make_store(Path(temporary) / wide, wide, max(clips)) for wide in ("lstm", "motion")}
        for name, count in product(names, clips):
            store = stores["motion" if name == "motion" else "lstm"]
            epoch[name][str(count)] = own_process(epoch_cost, name, store, count, half, threads)
    print(f"an epoch {epoch}", flush=True)
    large: dict[str, Any] = {}
    for name in points.large_names:
        large[name] = {
            precision: own_process(step_cost, name, *points.large, precision == "bf16", threads, steps)
            for precision in ("fp32", "bf16")
        }
        print(f"{name}: a batch of {points.large[0]} {large[name]}", flush=True)
    return {
        "step": step,
        "epoch": epoch,
        "large": large,
        "libraries_gib": round(own_process(largest_so_far), 3),
        "most_gib": max(cost["gib"] for both in large.values() for cost in both.values()),
        "batch": {"step": BATCH, "epoch": EPOCH_BATCH, "large": LARGE_BATCH},
        "precision": "bf16" if half else "fp32",
        "hidden": HIDDEN,
        "steps": steps,
        "threads": threads,
    }


def draw(figures: dict[str, Any]) -> bytes:
    """Plot time in the first row, peak memory in the second, one color per model; as a PNG file."""
    from matplotlib.figure import Figure

    step = figures["step"]
    costs = {
        f"frames, {GRID}×{GRID} places": ("a step", {name: step[name]["frames"] for name in step}),
        f"places along a side, {T} frames": ("a step", {name: step[name]["grid"] for name in step}),
        "clips": ("an epoch", figures["epoch"]),
    }
    names = list(dict.fromkeys(name for _, lines in costs.values() for name in lines))
    figure = Figure(figsize=(11.1, 5.8), layout="constrained", facecolor="white")
    for row, (key, what) in zip(
        figure.subplots(2, 3), (("seconds", "seconds"), ("gib", "GiB, peak of the process")), strict=True
    ):
        for axes, (x, (each, lines)) in zip(row, costs.items(), strict=True):
            for name, points in lines.items():
                values = [cost[key] for cost in points.values()]
                axes.plot([int(at) for at in points], values, "o-", color=COLORS[names.index(name)], label=name)
            axes.set(xlabel=x, ylabel=f"{what}, {each}", xticks=sorted({int(at) for p in lines.values() for at in p}))
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)
    return to_png(figure)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument(
        "--quick", action="store_true", help="tiny sizes, to check that everything runs; results are not recorded"
    )
    options = arguments.parse_args()
    # Modules by name: in Python 3.11, the server preloads neither this file nor those next to it.
    get_context("forkserver").set_forkserver_preload(
        ["timm", "onlooker_papers.digits.memory", "onlooker.training.fit", "onlooker.drawing.plots"]
    )
    figures = measure(QUICK if options.quick else Points(), options.threads)
    rows = [
        [name, *(cost[key] for cost in both.values() for key in ("seconds", "gib"))]
        for name, both in figures["large"].items()
    ]
    columns = ["", "fp32 seconds", "fp32 GiB", "bf16 seconds", "bf16 GiB"]
    harness.show(f"A step of {LARGE_BATCH} videos of {T} frames, threads: {options.threads}", columns, rows)
    print(f"at most {figures['most_gib']} GiB of {LIMIT:.2f} (8 GB)")
    image = draw(figures)
    if not options.quick:
        write_bytes(PLOT, image)
        print(harness.record("bench-training", __doc__.partition("\n")[0], figures, [SEED]))


if __name__ == "__main__":
    main()
