"""LSTM classifiers stacked side by side, R at a time, and their steps of RMSprop.

The product of features and input kernel is nearly all of the work. It is one matrix product over
all frames of a round, and another one for the gradient; only the small states need a loop over
time. Gates and states are stored as `R … B`, so that the R recurrent products of a step are one
batched product, and a gate is contiguous in memory. `H` is the number of units, 8, and `G` that of
gates, 4.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 8  # units
# of RMSprop
DECAY = 0.9
EPSILON = 1e-8

# floats of a cache line; a multiple of it makes the product of the gradient an eighth faster
_ALIGNED = 16


def behind(count: int) -> Tensor:
    """Padding after `count` features: a one, whose weight is the bias, and zeros up to a multiple
    of `_ALIGNED`.
    """
    return torch.eye(1, 1 + -(count + 1) % _ALIGNED)[0]


def first_weights(
    chance: torch.Generator, *, frames: int, num_features: int, num_classes: int
) -> dict[str, Tensor]:
    """Initial weights of one round; the kernel `GH D` without its bias."""
    head = torch.empty(num_classes, frames * HIDDEN)
    kernel = nn.init.xavier_uniform_(torch.empty(4 * HIDDEN, num_features), generator=chance)
    # In double precision: in single precision, an orthogonal matrix would depend on the number of
    # threads.
    recurrent = torch.empty(4 * HIDDEN, HIDDEN, dtype=torch.float64)
    nn.init.orthogonal_(recurrent, generator=chance)
    nn.init.xavier_uniform_(head, generator=chance)
    return {
        "kernel": kernel,
        "recurrent": recurrent.float(),
        "head": head,
        "head_bias": torch.zeros(num_classes),
    }


class LSTMStack:
    """R rounds of LSTM(8) without forget bias (the text of Shan & Atanasov 2017), a dense layer on
    all states, softmax.

    Gates are in the order i, f, g, o. Kernels are initialized Xavier-uniform, recurrent ones
    orthogonal, biases with zeros. Each round has its own random generator, so that it does not
    depend on the other rounds. RMSprop adds its epsilon to the root, as in Keras 2.0.

    Args:
        generators: one for each round.
        frames: T.
        num_features: D; their weights and those of the padding `behind` are the kernel `R GH D'`.
        num_classes: K.
        lr: learning rate.
        like: a tensor with the dtype and device to use.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        *,
        frames: int,
        num_features: int,
        num_classes: int,
        lr: float,
        like: Tensor,
    ) -> None:
        bias = self.draw_bias()[:, None] * behind(num_features)
        drawn: dict[str, list[Tensor]] = {}
        for chance in generators:
            weights = first_weights(
                chance, frames=frames, num_features=num_features, num_classes=num_classes
            )
            weights["kernel"] = torch.cat((weights["kernel"], bias), 1)
            for name, weight in weights.items():
                drawn.setdefault(name, []).append(weight)
        self.rounds = len(generators)
        self.weights = {
            name: torch.stack(of).to(like).requires_grad_() for name, of in drawn.items()
        }
        self._optimizer = torch.optim.RMSprop(self.weights.values(), lr, DECAY, EPSILON)
        self._batches: dict[tuple[int, int], Tensor] = {}

    def draw_bias(self) -> Tensor:
        """Initial biases of the gates, `GH`."""
        return torch.zeros(4 * HIDDEN)

    def collect(self, number: int, features: Tensor, videos: Tensor) -> Tensor:
        """The batch `T B D'` of a round from `T V D'`; valid until the next batch of this round,
        because filling new memory costs more than using it again.
        """
        key = (number, len(videos))
        if key not in self._batches:
            self._batches[key] = features.new_empty(len(features), key[1], features.shape[2])
        return torch.index_select(features, 1, videos, out=self._batches[key])

    def logits(self, batches: Sequence[Tensor]) -> Tensor:
        """The features `T B D'` of each round to `R K B`: C_t = f C_{t-1} + i g, H_t = o tanh(C_t)."""
        T, B, _ = batches[0].shape
        kernels = self.weights["kernel"].unbind()
        brought = torch.stack(
            [
                kernel @ features.flatten(0, 1).T
                for kernel, features in zip(kernels, batches, strict=True)
            ]
        )
        hidden = memory = brought.new_zeros(self.rounds, HIDDEN, B)
        states = []
        for gates in brought.unflatten(2, (T, B)).unbind(2):
            gates = torch.baddbmm(gates, self.weights["recurrent"], hidden)
            first, g, o = gates.split((2 * HIDDEN, HIDDEN, HIDDEN), 1)
            i, f = self.squash(first).chunk(2, 1)
            memory = torch.addcmul(f * memory, i, g.tanh())
            hidden = self.squash(o) * memory.tanh()
            states.append(hidden)
        bias = self.weights["head_bias"][:, :, None]
        return torch.baddbmm(bias, self.weights["head"], torch.cat(states, 1))

    def step(self, batches: Sequence[Tensor], targets: Tensor) -> None:
        """One step in every round, with features `T B D'` of each and targets `R B`."""
        self._optimizer.zero_grad()
        losses = F.cross_entropy(self.logits(batches), targets, reduction="none").mean(1)
        losses.sum().backward()
        self._optimizer.step()

    def squash(self, gates: Tensor) -> Tensor:
        """σ, for i, f and o."""
        return gates.sigmoid()


class KerasLSTMStack(LSTMStack):
    """LSTM(8) as in Keras 2.0, which the authors' code uses: forget bias 1, σ(x) = min(max(.2 x +
    .5, 0), 1).
    """

    def draw_bias(self) -> Tensor:
        """1 for the forget gate."""
        return torch.tensor([0.0, 1, 0, 0]).repeat_interleave(HIDDEN)

    def squash(self, gates: Tensor) -> Tensor:
        """The hard sigmoid."""
        return F.hardtanh(0.2 * gates + 0.5, 0, 1)


STACKS = {"lstm": LSTMStack, "lstm-keras": KerasLSTMStack}
