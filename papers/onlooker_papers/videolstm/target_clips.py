"""Clips of a moving target as samples: the image, its optical flow, or both, for a fixed number of
clips.
"""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.base.config import DataConfig, Modality
from onlooker.video.flow import flow, to_bytes
from onlooker_papers.digits.data.moving_mnist import Sample
from onlooker_papers.mnist import Digits, DigitSplit
from onlooker_papers.videolstm.moving_target import SIZE, moving_target

CLASSES = tuple("0123456789")
FRAMES = 10


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
        self.batch = moving_target(digits, FRAMES, count, seed)
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
def clips_of(digits: DigitSplit, split: str, count: int, seed: int) -> TargetClips:
    """Some `training`, `validation` or `test` clips; the three splits never share a clip, for any
    seeds.
    """
    by_split = {"training": digits.training, "validation": digits.validation, "test": digits.test}
    return TargetClips(by_split[split], count, 3 * seed + list(by_split).index(split))
