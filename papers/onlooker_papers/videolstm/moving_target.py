"""Moving target: several digits on a canvas, one of them moves, and its class is the label.

A single frame gives only a hint at the moving digit (the others stay in the cells of a grid, and
the moving one leaves its cell), so a model must use motion. The boxes are known, so localization
can be scored. The task tests a claim of VideoLSTM (Li et al. 2016), that
motion tells where to look, and is small enough for a laptop.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.base.config import DataConfig
from onlooker.video.flow import flow, to_bytes
from onlooker_papers.digits.data.canvas import ink_boxes, paste
from onlooker_papers.digits.data.moving_mnist import Sample, bounce, random_stream
from onlooker_papers.mnist import Digits, DigitSplit
from onlooker_papers.videolstm import Modality

DIGITS = 4  # in a video (k)
SIDE = 20  # height and width of a digit's square, to which the 28×28 pixels are averaged
SIZE = 64  # height and width of a frame, in pixels
SPEED = (2.0, 4.0)  # slowest and fastest, in pixels per frame
CLASSES = tuple("0123456789")
FRAMES = 10


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """Videos of a moving target with their ground truth. `k` is the number of digits; the first one
    moves.

    Args:
        video: `B T 1 H W`, uint8.
        targets: `B`, int64, the class of the digit that moves.
        boxes: `B T k 4`, float32, `x1 y1 x2 y2` in pixels: the smallest rectangle around the ink of
        each digit.
        indices: `B k`, int64, which image of the data set each digit is.
    """

    video: Tensor
    targets: Tensor
    boxes: Tensor
    indices: Tensor


def moving_target(digits: Digits, *, frames: int, size: int, seed: int) -> TargetBatch:
    """`size` videos of still digits, among which one moves.

    The canvas is divided into cells of a digit's size. Each digit starts in a different cell, at a
    random position in it. The target moves in a random direction at a constant speed, and is
    reflected at the borders of the canvas; it may pass over other digits (combined by the pixel
    maximum). The other digits have any of the other classes and do not move. Equal arguments give
    equal videos; every class is equally probable.
    """
    by_digits = random_stream(seed, "digits")
    by_paths = random_stream(seed, "paths")
    labels = _labels(digits, size, by_digits)
    indices = digits.draw(labels, by_digits)
    full = torch.from_numpy(digits.images[indices.flatten().numpy()])[:, None].float()
    small = F.interpolate(full, (SIDE, SIDE), mode="area").round_().to(torch.uint8)
    patches = small.view(size, DIGITS, 1, SIDE, SIDE)
    corners = _paths(size, frames, by_paths)
    video = torch.empty(size, frames, SIZE, SIZE, dtype=torch.uint8)
    paste(patches, corners, video)
    ink = ink_boxes(patches)  # B k 1 4
    boxes = (ink + corners.repeat(1, 1, 1, 2)).transpose(1, 2)
    return TargetBatch(video[:, :, None], labels[:, 0], boxes, indices=indices)


def _labels(digits: Digits, size: int, generator: torch.Generator) -> Tensor:
    """`B k` classes; the first one is the target, and all others differ from it."""
    present = digits.classes
    wanted = present[torch.randint(len(present), (size,), generator=generator)]
    # Another class is one of the following ones, cyclically.
    place = torch.searchsorted(present, wanted)
    further = torch.randint(1, len(present), (size, DIGITS - 1), generator=generator)
    return torch.cat((wanted[:, None], present[(place[:, None] + further) % len(present)]), 1)


def _paths(size: int, frames: int, generator: torch.Generator) -> Tensor:
    """Upper left corners `B k T 2`, int64."""
    double = torch.float64
    row = SIZE // SIDE  # cells along a side of the canvas
    cells = torch.rand(size, row**2, generator=generator).argsort(1)[:, :DIGITS]
    cell = SIZE / row
    start = torch.stack((cells % row, cells // row), -1) * cell  # B k 2
    place = torch.rand(size, DIGITS, 2, generator=generator, dtype=double)
    start = start + place * (cell - SIDE)
    direction = torch.rand(size, generator=generator, dtype=double) * (2 * torch.pi)
    slow, fast = SPEED
    speed = slow + (fast - slow) * torch.rand(size, generator=generator, dtype=double)
    velocity = torch.stack((direction.cos(), direction.sin()), -1) * speed[:, None]
    target = bounce(start[:, :1], velocity[:, None], frames, largest=SIZE - SIDE)
    others = start[:, 1:, None].expand(-1, -1, frames, -1)
    return torch.cat((target, others), 1).round().long()


def data(streams: Modality) -> DataConfig:
    """How a clip is sampled for a model of these streams."""
    return DataConfig(frames=FRAMES, size=SIZE, channels=1, modality=streams, normalization="half")


class TargetClips(Dataset[Sample]):
    """A fixed number of clips in which one of four digits moves: `(frames T H W C uint8, target,
    index)`.

    Flow is estimated from the frames, as for any video; the true motion is not used.

    Args:
        digits: the data set of digits.
        count: number of clips (B).
        seed: seed of the clips.
    """

    def __init__(self, digits: Digits, count: int, seed: int) -> None:
        self.modality: Modality = "both"
        self.batch = moving_target(digits, frames=FRAMES, size=count, seed=seed)
        self.images: NDArray[np.uint8] = self.batch.video[:, :, 0, :, :, None].numpy()  # B T H W 1
        limit = data(self.modality).flow_limit
        fields = np.stack([to_bytes(flow(np.repeat(clip, 3, -1)), limit) for clip in self.images])
        self.flow: NDArray[np.uint8] = np.concatenate([fields, fields[:, -1:]], 1)  # B T H W 2

    def seen_as(self, streams: Modality) -> "TargetClips":
        """The same clips for a model of these streams: `rgb` (here gray), `flow` or `both`."""
        other = object.__new__(TargetClips)
        other.__dict__.update(self.__dict__, modality=streams)
        return other

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        parts = [self.images[index]] if self.modality != "flow" else []
        parts += [self.flow[index]] if self.modality != "rgb" else []
        return torch.from_numpy(np.concatenate(parts, -1)), int(self.batch.targets[index]), index

    @property
    def boxes(self) -> NDArray[np.float32]:
        """The true boxes of the digit that moves, `B T 4`."""
        return self.batch.boxes[:, :, 0].numpy()

    def frames(self) -> Tensor:
        """All clips: `B T H W C`, uint8."""
        return torch.stack([self[index][0] for index in range(len(self))])


@functools.lru_cache(maxsize=5)  # three seeds of training clips, validation and test clips
def clips_of(digits: DigitSplit, split: str, *, count: int, seed: int) -> TargetClips:
    """Some `training`, `validation` or `test` clips; the three splits never share a clip, for any
    seeds.
    """
    by_split = {"training": digits.training, "validation": digits.validation, "test": digits.test}
    return TargetClips(by_split[split], count, 3 * seed + list(by_split).index(split))
