"""Temporal crops of consecutive frames: VideoLSTM is trained on random ones, and tested on the mean
of several.
"""

from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.records import Evaluation
from onlooker.data.clips import ClipFrames
from onlooker.recognizer import Recognizer

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TemporalCrops:
    """`count` temporal crops of `length` consecutive frames, evenly spread over the whole video
    (VideoLSTM).

    As a sampling, they are the frames of all crops, each once, ascending. Crops overlap where the
    video is short. In a video shorter than `length` every crop is the whole video with its last
    frame repeated. A single crop is central.
    """

    length: int
    count: int

    def rows(self, total: int) -> Indices:
        """`W T`: the frames of each crop."""
        free = max(total - self.length, 0)
        last = self.count - 1
        starts = (
            np.arange(self.count, dtype=np.int64) * free // last if last else np.array([free // 2])
        )
        return np.minimum(starts[:, None] + np.arange(self.length, dtype=np.int64), total - 1)

    def __call__(self, total: int) -> Indices:
        """The frames of all crops, each once."""
        return np.unique(self.rows(total))

    def positions(self, total: int) -> Indices:
        """`W T`: the frames of each crop, as positions in `self(total)`."""
        return np.searchsorted(self(total), self.rows(total))


class ClipCrops(ClipFrames):
    """Clips as temporal crops of consecutive frames (VideoLSTM): the central one, or a random one
    in each epoch.

    The arguments are those of `ClipFrames`; the files hold every frame of a clip, and `sampling` is
    used in testing.
    """

    sampling: TemporalCrops
    _seed: int | None = None
    _epoch = 0

    def random(self, seed: int) -> Self:
        """The same clips with random temporal crops, a function of `seed`, epoch and clip."""
        random = copy(self)
        random._seed = seed
        return random

    def set_epoch(self, epoch: int) -> None:
        """Training calls it before each epoch, because random crops are different in each."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self._loaded(index, partial(self._crop, index)), self.targets[index], index

    def _crop(self, index: int, total: int) -> NDArray[np.int64]:
        """The frames of the central crop of a clip of `total` frames, or of a random one."""
        length = self.sampling.length
        if self._seed is None or total <= length:
            return TemporalCrops(length, 1).rows(total)[0]
        start = np.random.default_rng((self._seed, self._epoch, index)).integers(total - length + 1)
        return start + np.arange(length)

    def every_crop(self, index: int) -> tuple[Tensor, NDArray[np.int64]]:
        """All frames in the temporal crops of a clip, `U …`, and each crop as positions among them,
        `W T`.
        """
        frames = self._loaded(index, self.sampling)
        total = len(np.load(self.files[index][0], mmap_mode="r"))
        return frames, self.sampling.positions(total)


def evaluate_crops(recognizer: Recognizer, samples: ClipCrops) -> Evaluation:
    """Predictions for a set of clips, each the mean over its temporal crops, with their true
    classes.
    """
    frame_scores = []
    scores = []
    for index in range(len(samples)):
        frames, crops = samples.every_crop(index)
        of_crops = recognizer.classify(frames[crops]).scores
        scores.append(recognizer.aggregate(of_crops).mean(0))
        frame_scores.append(mean_over_crops(of_crops, crops, len(frames)))
    targets = np.array(samples.targets, dtype=np.int64)
    return Evaluation(
        samples.names, recognizer.classes, targets, np.stack(scores), tuple(frame_scores)
    )


def mean_over_crops(
    values: NDArray[np.float32], crops: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Values of temporal crops, `W T …`, as values of `count` frames: the mean over the crops that
    contain a frame.
    """
    summed = np.zeros((count, *values.shape[2:]), np.float32)
    np.add.at(summed, crops, values)
    times = np.bincount(crops.ravel(), minlength=count)
    return np.divide(summed, times.reshape(-1, *[1] * (summed.ndim - 1)), dtype=np.float32)
