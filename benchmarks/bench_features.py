"""Clips to stored VGG-16 features, compared with the backbone alone on tensors in memory and a loop
over frames.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import bench_read
import cv2
import harness
import numpy as np
import torch
from torch import Tensor, nn

from onlooker.base.config import DataConfig
from onlooker.base.records import Clip
from onlooker.data.array_cache import load_rows
from onlooker.data.samples import read_sample
from onlooker.data.transforms import NORMALIZATIONS, to_video
from onlooker.models.encoders import build_encoder
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.run.features import encoded_clips
from onlooker.training.forward import uses_bf16
from onlooker.video.sampling import equally_spaced

SEED = 0
BATCH = 8
SECONDS = harness.size(10, 1)


def make_clips(folder: Path, count: int) -> list[Path]:
    """Clips of 320x240 pixels as cameras write them; appended bytes make each a different file."""
    suffix, codec, settings = bench_read.KINDS["mp4"]
    folder.mkdir(parents=True, exist_ok=True)
    once = bench_read.make(
        folder.parent / f"once{suffix}", codec, settings, seconds=SECONDS, times=1
    )
    paths = [folder / f"{number}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        # A box of free space, which players skip.
        path.write_bytes(
            once.read_bytes() + (9).to_bytes(4, "big") + b"free" + bytes([number % 256])
        )
    return paths


def naive(paths: list[Path], encoder: nn.Module, data: DataConfig, *, folder: Path) -> None:
    """A simple loop: every frame is read, resized, normalized and encoded alone, in single
    precision.
    """
    mean, deviation = (torch.tensor(values)[:, None, None] for values in NORMALIZATIONS["imagenet"])
    folder.mkdir(exist_ok=True)
    for path in paths:
        video = cv2.VideoCapture(str(path))
        wanted = set(equally_spaced(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), data.frames).tolist())
        maps = []
        index = 0
        while True:
            found, frame = video.read()
            if not found:
                break
            if index in wanted:
                image = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), (data.size, data.size))
                with torch.no_grad():
                    tensor = (
                        torch.from_numpy(image).permute(2, 0, 1).float() / 255 - mean
                    ) / deviation
                    maps.append(encoder(tensor[None])[0].numpy())
            index += 1
        np.save(folder / f"{path.stem}.npy", np.stack(maps))


def alone(batches: list[Tensor], encoder: nn.Module, precision: str) -> Callable[[], None]:
    """The backbone on tensors `N C H W` in memory, in the precision and memory format of stored
    features.
    """

    @torch.inference_mode()
    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            for video in batches:
                encoder(video)

    return run


def network(encoder: str, data: DataConfig) -> VideoModel:
    torch.manual_seed(SEED)
    return create_model("convnet", 2, encoder=encoder, in_channels=data.in_channels, size=data.size)


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--clips", type=int, default=harness.size(4, 1))
    arguments.add_argument(
        "--frames", type=int, default=harness.size(30, 2), help="frames per clip"
    )
    arguments.add_argument("--encoder", default=harness.size("vgg16", "small"))
    arguments.add_argument(
        "--size", type=int, default=harness.size(224, 64), help="side of the frames in pixels"
    )
    arguments.add_argument("--repetitions", type=int, default=harness.MINIMUM)
    options = arguments.parse_args()
    # Random weights: speed does not depend on them, and they need no download.
    data = DataConfig(frames=options.frames, size=options.size, normalization="imagenet")
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(
            Path(temporary),
            options.clips,
            encoder=options.encoder,
            data=data,
            repetitions=options.repetitions,
        )
    default = all(
        value == arguments.get_default(name)
        for name, value in vars(options).items()
        if name != "smoke"
    )
    if default:
        print(harness.record("bench-features", __doc__, figures, seeds=[SEED]))


def measure(
    folder: Path, count: int, *, encoder: str, data: DataConfig, repetitions: int
) -> dict[str, Any]:
    paths = make_clips(folder / "clips" / "all", count)
    cache = folder / "cache"
    net = network(encoder, data)
    os.environ["ONLOOKER_CACHE"] = str(cache)
    clips = [Clip(path, "a") for path in paths]
    files: Any = encoded_clips(clips, ["a"], net, data=data)[0].files
    precision = "bf16" if uses_bf16() else "32"
    frames = count * data.frames

    torch.manual_seed(SEED)
    plain: Any = build_encoder(encoder, data.in_channels, data.size)
    fast: Any = net.encoder
    # As with stored features: a batch holds frames of one clip only.
    videos = [
        to_video(torch.from_numpy(read_sample(path, data).pixels), "imagenet") for path in paths
    ]
    batches = [
        b.contiguous(memory_format=torch.channels_last)
        for video in videos
        for b in video.split(BATCH)
    ]

    def from_clips() -> None:
        shutil.rmtree(cache)
        encoded_clips(clips, ["a"], net, data=data)

    def second_epoch() -> None:
        for file in files:
            torch.from_numpy(load_rows(file, partial(equally_spaced, count=data.frames))).float()

    seconds = harness.interleaved(
        {
            "onlooker": from_clips,
            "backbone alone": alone(batches, fast, precision),
            "frame by frame": lambda: naive(paths, plain.eval(), data, folder=folder / "naive"),
        },
        repetitions,
    )
    seconds |= harness.interleaved({"second epoch": second_epoch}, repetitions)
    check(files, folder / "naive", paths)
    share = median(seconds["backbone alone"]) / median(seconds["onlooker"])
    rates = {name: round(frames / median(times), 2) for name, times in seconds.items()}
    harness.show(
        f"{count} clips to {encoder} features of {data.frames} frames, {precision}",
        ["", "seconds", "frames per second"],
        [[name, median(times), rates[name]] for name, times in seconds.items()],
    )
    faster = harness.ratios(seconds)["frame by frame"]
    print(
        f"{100 * share:.0f} % of the throughput of the backbone; {faster:.2f} times that of the loop over frames"
    )
    return {
        "share_of_backbone": round(share, 3),
        "ratios": {"frame by frame": faster},
        "second_epoch_of_first": round(
            median(seconds["second epoch"]) / median(seconds["onlooker"]), 5
        ),
        "frames_per_second": rates,
        "seconds": harness.medians(seconds),
        "precision": precision,
        "clips": count,
        "frames": data.frames,
    }


def check(files: list[tuple[Path]], folder: Path, paths: list[Path]) -> None:
    """The maps of both are the same, except for decoder, resizing and precision."""
    for (file,), path in zip(files, paths, strict=True):
        ours = np.load(file).astype(np.float32).transpose(0, 3, 1, 2)
        theirs = np.load(folder / f"{path.stem}.npy")
        correlation = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        assert correlation > 0.98, f"{path.name}: the maps correlate only by {correlation:.3f}"


if __name__ == "__main__":
    main()
