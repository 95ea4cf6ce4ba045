"""A model that finds events, for tests: nearly every window is one, more so the more changes in it."""

from collections.abc import Sequence
from typing import Any

import torch

from onlooker.base.config import DataConfig
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer

LENGTHS = (4, 6, 9)


def eventful(
    classes: Sequence[str] = ("clap", "run", "wave"),
    bias: float = 2.0,
    lengths: Sequence[int] = LENGTHS,
    **settings: Any,
) -> Recognizer:
    """A recognizer with an event layer that was not trained."""
    torch.manual_seed(0)
    net = LinearClassifier(len(classes), window=6, size=16)
    M = net.num_features
    K = len(classes)
    change = torch.zeros(1, M)
    change[:, 2 * M // 16 : 3 * M // 16] = 5.0
    of_class = torch.randn(K, M) / M**0.5, 4 * torch.eye(K)[1]  # nearly all are of the second class
    unscaled = torch.zeros(M), torch.ones(M)
    net.set_event_layer(lengths, (*unscaled, change, torch.tensor([bias])), (*unscaled, *of_class))
    return Recognizer(net, classes, DataConfig(frames=6, size=16, normalization="half"), **settings)
