"""ConvNets that are trained on frames or flow of a split's training clips before their features are
stored.

VideoLSTM does this: its VGG-16 starts from ImageNet weights, and is trained on the images and on
the flow of each set.
"""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from onlooker import create_model
from onlooker.base.config import DataConfig, TrainConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split
from onlooker.training.fit import fit

RANDOM_FRAMES = 4  # of each clip in an epoch


class RandomFrames(Dataset[tuple[Tensor, int, int]]):
    """A few random frames of each clip, determined by the epoch and the clip; they change in every
    epoch.
    """

    def __init__(self, clips: ClipFrames, count: int) -> None:
        self.clips = clips
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; training calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        frames, target, _ = self.clips[index]
        random = np.random.default_rng((self.epoch, index))
        rows = np.sort(random.choice(len(frames), min(self.count, len(frames)), replace=False))
        return frames[rows], target, index


def fine_tune(
    encoder: str,
    samples: ClipFrames,
    split: Split,
    *,
    data: DataConfig,
    folder: Path,
    how: TrainConfig,
    pretrained: bool = True,
) -> nn.Module:
    """Train an encoder frame by frame with a linear classifier; returns the epoch with the lowest
    validation loss.

    Args:
        encoder: its name (`build_encoder`).
        samples, split: clips as `data` samples them; its training and validation clips are used.
        data: how clips are sampled; training frames are also translated, scaled and mirrored.
        folder: folder of the training, which is resumed after an interruption.
        how: the settings of the training.
        pretrained: start from the encoder's pretrained weights.
    """
    augmented = replace(data, translate=0.1, scale=0.1, hflip=True)
    torch.manual_seed(how.seed)
    net = create_model(
        "convnet",
        len(samples.classes),
        encoder=encoder,
        in_channels=data.in_channels,
        size=data.size,
        pretrained=pretrained,
    )
    some, others = (
        RandomFrames(samples.subset(clips), RANDOM_FRAMES)
        for clips in (split.training, split.validation)
    )
    fit(net, some, others, data=augmented, train=how, folder=folder, title="encoder")
    return cast(nn.Module, net.encoder).cpu().eval()
