"""Rounds: many trainings of one small classifier on the same frozen features, for a mean and its
spread.

Shan & Atanasov 2017 average 300 rounds. Here they are trained side by side (`stacked`).
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker_papers.digits.data.moving_mnist import undivided_operations
from onlooker_papers.digits.stacked import STACKS, LSTMStack, behind

# rounds side by side: as many as fit a core's cache; as fill a GPU
_ON_CPU = 20
_ON_GPU = 100
_STREAMS = {"weights": 0, "order": 1}

TestSets = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Rounds:
    """The results of R rounds on one test set.

    Args:
        loss: `R`, mean cross entropy over the videos.
        accuracy: `R`, share of the videos that are classified correctly.
    """

    loss: Tensor
    accuracy: Tensor


def train_rounds(
    features: Tensor,
    targets: Tensor,
    tests: TestSets,
    *,
    rounds: int,
    model: str = "lstm",
    num_classes: int = 100,
    epochs: int = 10,
    batch: int = 50,
    lr: float = 1e-3,
    seed: int = 0,
    stacked: int | None = None,
) -> dict[str, Rounds]:
    """Train `rounds` classifiers, each from different weights, and measure each on every test set.

    Training uses cross entropy, RMSprop (decay .9, epsilon 1e-8 added to the root, as in Keras 2.0)
    and no dropout. Round r depends only on `seed` and r, not on the number of rounds, stacks and
    threads. Each round has its own order of the videos, which changes every epoch.

    On the CPU, each stack of rounds runs in one thread: `torch.set_num_threads` is 1 meanwhile.

    Args:
        features: `V T D`, floating point; everything runs on their device.
        targets: `V`, classes from 0 to K - 1.
        tests: for each name, features `V T D` (T and D as above, any V) and targets `V`.
        rounds: R.
        model: `lstm`: 8 units, one softmax on the outputs of all T steps; `lstm-keras`: the same
            with the cell of Keras 2.0. See `stacked`.
        num_classes: K.
        epochs: passes through the training videos.
        batch: videos in a step; the last step of an epoch may have fewer.
        lr: learning rate.
        seed: seed of weights and orders.
        stacked: maximum number of rounds side by side; None: by the device. Results depend on it
            only by rounding.

    Returns:
        For each test set, loss and accuracy of every round.
    """
    device = features.device
    like = features.new_empty(0, dtype=torch.promote_types(features.dtype, torch.float32))
    laid = {name: (_laid(given, like), truth.to(device)) for name, (given, truth) in tests.items()}
    work = partial(
        _train_stack,
        kind=STACKS[model],
        features=_laid(features, like),
        num_features=features.shape[2],
        targets=targets.to(device),
        tests=laid,
        num_classes=num_classes,
        seed=seed,
        epochs=epochs,
        batch=batch,
        lr=lr,
    )
    on_cpu = device.type == "cpu"
    with undivided_operations() if on_cpu else nullcontext(1) as threads:
        # With few rounds, every thread still gets a part.
        width = min(stacked or (_ON_CPU if on_cpu else _ON_GPU), -(-rounds // threads))
        parts = [range(first, min(first + width, rounds)) for first in range(0, rounds, width)]
        with ThreadPoolExecutor(threads) as pool:
            stacks = list(pool.map(work, parts))
    return {
        name: Rounds(
            torch.cat([of[name].loss for of in stacks]),
            torch.cat([of[name].accuracy for of in stacks]),
        )
        for name in tests
    }


def _laid(videos: Tensor, like: Tensor) -> Tensor:
    """Features `V T D` as a stack takes them, `T V D'`: each followed by `behind`."""
    features = videos.detach().to(like).transpose(0, 1)
    end = behind(features.shape[2]).to(features).expand(*features.shape[:2], -1)
    return torch.cat((features, end), 2)


def _train_stack(
    numbers: range,
    *,
    kind: type[LSTMStack],
    features: Tensor,
    num_features: int,
    targets: Tensor,
    tests: TestSets,
    num_classes: int,
    seed: int,
    epochs: int,
    batch: int,
    lr: float,
) -> dict[str, Rounds]:
    """Train the rounds `numbers` together, and measure them on every test set; all features are
    `_laid`.
    """
    generators = [round_stream("weights", seed, r) for r in numbers]
    stack = kind(
        generators,
        frames=len(features),
        num_features=num_features,
        num_classes=num_classes,
        lr=lr,
        like=features.new_empty(0),
    )
    orders = [round_stream("order", seed, r) for r in numbers]
    for _ in range(epochs):
        shuffled = torch.stack(
            [torch.randperm(len(targets), generator=chance) for chance in orders]
        )
        for videos in shuffled.to(targets.device).split(batch, 1):
            batches = [stack.collect(r, features, chosen) for r, chosen in enumerate(videos)]
            stack.step(batches, targets[videos])
    return {
        name: _measure(stack, given, truth, batch=batch) for name, (given, truth) in tests.items()
    }


@torch.no_grad()
def _measure(stack: LSTMStack, features: Tensor, targets: Tensor, *, batch: int) -> Rounds:
    """Loss and accuracy of all stacked rounds on `T V D'`."""
    loss = []
    right = []
    for given, truth in zip(features.split(batch, 1), targets.split(batch), strict=True):
        logits = stack.logits([given] * stack.rounds)  # R K B
        goal = truth.expand(len(logits), -1)
        loss.append(F.cross_entropy(logits, goal, reduction="none"))
        right.append(logits.argmax(1) == goal)
    return Rounds(torch.cat(loss, 1).mean(1), torch.cat(right, 1).to(features.dtype).mean(1))


def round_stream(of: str, seed: int, number: int) -> torch.Generator:
    """The random generator of a round's weights or order; always on the CPU, so that all devices
    agree.
    """
    state = int(
        np.random.SeedSequence([seed, _STREAMS[of], number]).generate_state(1, np.uint64)[0]
    )
    return torch.Generator().manual_seed(state >> 1)
