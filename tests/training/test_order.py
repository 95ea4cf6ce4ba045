"""The default model tells a clip from its reverse: it knows in which order things happen, and where
they come from.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.stick_figures import StickFigures
from onlooker.models.linear import ORDERED
from onlooker.models.registry import configured, resolve
from onlooker.training.forward import encode_samples
from onlooker.training.linear import choose, fit_layer, statistics_of
from onlooker.video.resize import resize

MODEL, DATA, _ = resolve(ModelConfig(), DataConfig(), TrainConfig())


class Reversed(Dataset[tuple[Tensor, int, int]]):
    """Clips of different people, each as it is and then backwards; class 1: what rises, or moves to
    the right.
    """

    def __init__(self, action: str, people: int, seed: int) -> None:
        figures = StickFigures(frames=16, fps=8, size=(112, 112), people=people)
        self.samples: list[Tensor] = []
        self.targets: list[int] = []
        for number in range(people):
            video = figures.video(action, number, seed=seed)
            pixels = torch.from_numpy(resize(video.pixels, 112, 3))
            x = video.boxes[:, [0, 2]].mean(1)
            first = int(action == "raise_arm" or x[-1] > x[0])
            self.samples += [pixels, pixels.flip(0)]
            self.targets += [first, 1 - first]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.samples[index], self.targets[index], index

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.samples)


@pytest.mark.parametrize("action", ["raise_arm", pytest.param("walk", marks=pytest.mark.slow)])
def test_a_clip_and_its_reverse_are_told_apart(action: str) -> None:
    training = Reversed(action, 20, seed=0)
    test = Reversed(action, 20, seed=5)
    net = configured(MODEL, DATA, 2).eval()
    groups = [str(index // 2) for index in range(len(training))]
    clips, early, _ = statistics_of(net, training, groups, DATA)
    choice = choose(clips)
    assert set(ORDERED) < set(choice.statistics.split(","))
    assert choice.tried["changes and order"] < 0.5 < choice.tried["changes"]
    fit_layer(net, clips, choice, early)
    with torch.inference_mode():
        features = (encode_samples(net, sample[None], DATA) for sample in test)
        logits = torch.cat([net.forward_features(each).logits[:, -1] for each in features])
    margins = (logits[:, 1] - logits[:, 0]).view(-1, 2).numpy()
    first = np.array(test.targets)[::2]
    assert ((margins[:, 0] > margins[:, 1]) == first).mean() >= 0.95
