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

from onlooker import Evaluation, Recognizer
from onlooker.data.clips import ClipFrames

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TemporalCrops:
    """`count` temporal crops of `length` consecutive frames, evenly spread over the whole video
    (VideoLSTM).

    As a sampling, they are the frames of all crops, one after another. Crops overlap where the video
    is short. In a video shorter than `length` every crop is the whole video with its last
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
        """The frames of all crops, one after another."""
        return self.rows(total).ravel()


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

    def every_crop(self, index: int) -> Tensor:
        """The frames of all temporal crops of a clip, `W T …`."""
        return self._loaded(index, self.sampling).unflatten(0, (self.sampling.count, -1))


def evaluate_crops(recognizer: Recognizer, samples: ClipCrops) -> Evaluation:
    """Predictions for a set of clips, each the mean over its temporal crops, with their true
    classes; the scores of frames are those in all crops.
    """
    frame_scores = []
    scores = []
    for index in range(len(samples)):
        of_crops = recognizer.classify(samples.every_crop(index)).scores
        scores.append(recognizer.decision.aggregate(of_crops).mean(0))
        frame_scores.append(of_crops.reshape(-1, of_crops.shape[-1]))
    targets = np.array(samples.targets, dtype=np.int64)
    return Evaluation(
        samples.names,
        recognizer.decision,
        targets,
        scores=np.stack(scores),
        frame_scores=tuple(frame_scores),
    )
