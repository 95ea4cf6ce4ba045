"""Recognizers that were not trained, for tests; one finds events, and one states."""

from collections.abc import Sequence
from typing import Any

import torch
from made_heads import event_heads, head

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision, TierStates
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer

LENGTHS = (4, 6, 9)
CLASSES = ("clap", "run", "wave")
DATA = DataConfig(frames=6, size=16, normalization="half")


def untrained(
    name: str = "convalstm",
    classes: Sequence[str] = CLASSES,
    data: DataConfig = DATA,
    **settings: Any,
) -> Recognizer:
    """A model with random weights, the same in every run."""
    torch.manual_seed(0)
    net = create_model(
        name, len(classes), in_channels=data.in_channels, size=data.size, hidden=8
    )
    return Recognizer(net, data, Decision(classes, **settings))


def eventful(
    classes: Sequence[str] = CLASSES,
    bias: float = 2.0,
    lengths: Sequence[int] = LENGTHS,
    **settings: Any,
) -> Recognizer:
    """A model with an event layer: nearly every window is an event, more so the more changes in it."""
    torch.manual_seed(0)
    net = LinearClassifier(len(classes), window=6, size=16)
    M = net.num_features
    K = len(classes)
    change = torch.zeros(1, M)
    change[:, 2 * M // 16 : 3 * M // 16] = 5.0
    of_class = (
        torch.randn(K, M) / M**0.5,
        4 * torch.eye(K)[1],
    )  # nearly all are of the second class
    unscaled = torch.zeros(M), torch.ones(M)
    heads = event_heads((*unscaled, change, torch.tensor([bias])), (*unscaled, *of_class))
    net.set_heads(heads, lengths)
    return Recognizer(net, DATA, Decision(classes, **settings))


def stateful() -> Recognizer:
    """A model of two groups of states: it is sit where it is dark, else walk and eat."""
    torch.manual_seed(0)
    net = LinearClassifier(3, window=6, size=16).eval()
    M = net.num_features
    zeros = torch.zeros(1, M), torch.ones(1, M), torch.zeros(4, 1, M), torch.zeros(4)
    net.set_heads({"state": head(zeros)}, (4,))
    bright, dark = (
        net.state_statistics(net.encode(torch.full((12, 3, 16, 16), gray))[None])[0, -1, 0]
        for gray in (1.0, -1.0)
    )
    change = (bright - dark) / (bright - dark).square().sum()
    weight = 20 * torch.stack((-change, change, change, -change))[:, None]
    bias = -(weight * (bright + dark)[None, None] / 2).sum((1, 2))
    net.set_heads({"state": Head(weight, bias)}, (4,))
    chains = (
        TierStates([1, 2], [2.0, 2.0], [0.6, 0.6], weight=0.4),
        TierStates([0, -1], [2.0, 2.0], [0.6, 0.6], weight=0.4),
    )
    return Recognizer(
        net, DATA, Decision(("eat", "sit", "walk"), states=chains, frame_rate=5.0)
    )
