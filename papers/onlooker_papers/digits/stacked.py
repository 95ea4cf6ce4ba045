"""LSTM classifiers stacked side by side, R at a time, with forward, backward and RMSprop written
out by hand.

The product of features and input kernel is nearly all of the work. It is one matrix product over
all frames and rounds, and another one for the gradient; only the small states need a loop over
time. Values for all time steps are stored as `T R H B`, so that the R recurrent products of a step
are one batched product, and a gate is contiguous in memory. `H` is the number of units, 8, and `G`
that of gates, 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

HIDDEN = 8  # units
# of RMSprop
DECAY = 0.9
EPSILON = 1e-8

# floats of a cache line; a multiple of it makes the product of the gradient an eighth faster
_ALIGNED = 16

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def behind(count: int) -> Tensor:
    """Padding after `count` features: a one, whose weight is the bias, and zeros up to a multiple
    of `_ALIGNED`.
    """
    return torch.eye(1, 1 + -(count + 1) % _ALIGNED)[0]


def first_weights(
    chance: torch.Generator, frames: int, num_features: int, num_classes: int
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
    depend on the other rounds.

    Args:
        generators: one for each round.
        frames: T.
        num_features: D, including features that are left out.
        num_classes: K.
        used: features that some frame shows; their weights and those of the padding `behind` are
        the kernel `R GH D'`.
        like: a tensor with the dtype and device to use.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        frames: int,
        num_features: int,
        num_classes: int,
        used: Tensor,
        like: Tensor,
    ) -> None:
        self.rounds = len(generators)
        self.frames = frames
        self._spaces: dict[tuple[object, ...], Tensor] = {}
        columns = used.cpu()
        drawn: dict[str, list[Tensor]] = {}
        for chance in generators:
            for name, weight in first_weights(chance, frames, num_features, num_classes).items():
                if name == "kernel":
                    end = self.draw_bias()[:, None] * behind(len(used))
                    weight = torch.cat((weight[:, columns], end), 1)
                drawn.setdefault(name, []).append(weight)
        self.weights = {name: torch.stack(of).to(like) for name, of in drawn.items()}
        self._squares = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}

    def draw_bias(self) -> Tensor:
        """Initial biases of the gates, `GH`."""
        return torch.zeros(4 * HIDDEN)

    def collect(self, number: int, features: Tensor, videos: Tensor) -> Tensor:
        """The batch `T B D` of a round from `T V D`; valid until the next batch of this round."""
        out = self._space(f"batch {number}", features.shape[0], len(videos), features.shape[2])
        return torch.index_select(features, 1, videos, out=out)

    def logits(self, features: Tensor) -> Tensor:
        """`T B D'` to `R K B`."""
        return self._forward([features] * self.rounds)[0]

    def gradients(
        self, batches: Sequence[Tensor], targets: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the mean cross entropy for the gates and for all weights except the kernel.

        Args:
            batches: for each round, features `T B D'`.
            targets: `R B`.
        """
        logits, flat = self._forward(batches)
        B = targets.shape[1]
        errors = torch.softmax(logits, 1)
        truth = targets[:, None]
        errors.scatter_add_(1, truth, errors.new_full((), -1.0).expand(truth.shape))
        errors.div_(B)
        found = {"head": torch.bmm(errors, flat.mT), "head_bias": errors.sum(2)}
        pull = torch.bmm(self.weights["head"].mT, errors, out=self._space("pull", *flat.shape))
        # Steps first, because only a product into contiguous memory is batched over all rounds.
        steps = self._space("pull by steps", self.frames, len(pull), HIDDEN, B)
        errors, recurrent = self.back(
            steps.copy_(pull.unflatten(1, (self.frames, HIDDEN)).transpose(0, 1))
        )
        return errors, found | {"recurrent": recurrent}

    def kernel_gradient(self, errors: Tensor, number: int, features: Tensor) -> Tensor:
        """The kernel gradient `GH D'` of a round, from the result of `gradients` and its batch `T B
        D'`.
        """
        out = self._space("kernel gradient", errors.shape[1], features.shape[2])
        return torch.mm(errors[number].flatten(1), features.flatten(0, 1), out=out)

    def step(self, batches: Sequence[Tensor], targets: Tensor, lr: float) -> None:
        """One step of RMSprop in every round."""
        errors, found = self.gradients(batches, targets)
        for name, gradient in found.items():
            self._descend(name, slice(None), gradient, lr)
        # a gradient is used while it is still in the cache
        for number, features in enumerate(batches):
            self._descend("kernel", number, self.kernel_gradient(errors, number, features), lr)

    def _forward(self, batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits `R K B`, and the flattened hidden states `R TH B`."""
        kernel = self.weights["kernel"]
        rows = 4 * HIDDEN
        T = self.frames
        B = batches[0].shape[1]
        gates = self._space("gates", T, self.rounds, rows, B)
        brought = self._space("brought", T * B, rows)
        for number, features in enumerate(batches):
            # One product and a transposed copy are faster than a product for each step.
            torch.mm(features.flatten(0, 1), kernel[number].T, out=brought)
            gates[:, number].copy_(brought.view(T, B, rows).transpose(1, 2))
        states = self.run(gates)
        flat = (
            self._space("flat", self.rounds, T, HIDDEN, B)
            .copy_(states.transpose(0, 1))
            .flatten(1, 2)
        )
        return torch.baddbmm(
            self.weights["head_bias"][:, :, None], self.weights["head"], flat
        ), flat

    def _descend(self, name: str, rounds: slice | int, gradient: Tensor, lr: float) -> None:
        """RMSprop as in Keras 2.0: v = ρ v + (1 - ρ) g², w -= lr g / (√v + ε)."""
        square = self._squares[name][rounds]
        square.mul_(DECAY).addcmul_(gradient, gradient, value=1 - DECAY)
        root = torch.sqrt(square, out=self._space("root", *square.shape)).add_(EPSILON)
        self.weights[name][rounds].addcdiv_(gradient, root, value=-lr)

    def _space(self, name: str, *shape: int) -> Tensor:
        """A buffer that is reused at every step, because allocating new pages costs more than
        filling them.
        """
        key = (name, *shape)
        if key not in self._spaces:
            self._spaces[key] = self.weights["head"].new_empty(shape)
        return self._spaces[key]

    def run(self, gates: Tensor) -> Tensor:
        """Hidden states `T R H B` from the input terms of the gates, `T R GH B`, which are
        overwritten.

        C_t = f C_{t-1} + i g, H_t = o tanh(C_t).
        """
        T, R, _, B = gates.shape
        states, memory, bent = (
            self._space(name, T, R, HIDDEN, B) for name in ("states", "memory", "bent")
        )
        self._kept = gates, states, memory, bent
        i, f, g, o = (gate.unbind() for gate in gates.unflatten(2, (4, -1)).unbind(2))
        for t, (gate, c, b, h) in enumerate(zip(gates, memory, bent, states, strict=True)):
            if t:
                gate.baddbmm_(self.weights["recurrent"], states[t - 1])
            self.squash(gate)
            torch.mul(i[t], g[t], out=c)
            if t:
                c.addcmul_(f[t], memory[t - 1])
            torch.tanh(c, out=b)
            torch.mul(o[t], b, out=h)
        return states

    def back(self, pull: Tensor) -> tuple[Tensor, Tensor]:
        """Backpropagation through time; factors of the states' gradients are computed first, for
        all steps at once.

        Args:
            pull: the gradients of the hidden states, `T R H B`, which are overwritten. Called after
                `run`.

        Returns:
            Gradients of the gates, `R GH T B`, and of the recurrent weights, `R GH H`.
        """
        gates, states, memory, bent = self._kept
        T, R, H, B = states.shape
        slopes = self._space("slopes", *gates.shape)
        out = self._space("out", R, 4 * H, T, B)
        i, f, g, o = gates.unflatten(2, (4, H)).unbind(2)
        by_i, by_f, by_g, by_o = slopes.unflatten(2, (4, H)).unbind(2)
        self.squash_backward(g, i, by_i)
        by_f[0] = 0
        self.squash_backward(memory[:-1], f[1:], by_f[1:])
        _tanh_backward(i, g, grad_input=by_g)
        self.squash_backward(bent, o, by_o)
        by_memory = _tanh_backward(o, bent, grad_input=bent)

        back = self.weights["recurrent"].mT
        memory_pull = self._space("memory pull", R, H, B).zero_()
        ifg = out.unflatten(1, (4, H))[:, :3]
        by_ifg = slopes.unflatten(2, (4, H))[:, :, :3]
        for t in reversed(range(T)):
            if t < T - 1:
                pull[t].baddbmm_(back, out[:, :, t + 1])
            memory_pull.addcmul_(pull[t], by_memory[t])
            torch.mul(memory_pull[:, None], by_ifg[t], out=ifg[:, :, :, t])
            torch.mul(pull[t], by_o[t], out=out[:, 3 * H :, t])
            memory_pull.mul_(f[t])
        before = self._space("before", R, H, T, B)
        before[:, :, 0] = 0
        before[:, :, 1:] = states[:-1].permute(1, 2, 0, 3)
        return out, torch.bmm(before.flatten(2), out.flatten(2).mT).mT.contiguous()

    def squash(self, gate: Tensor) -> None:
        """σ for i, f and o, tanh for g: `R 4H B`, in place."""
        gate[:, : 2 * HIDDEN].sigmoid_()
        gate[:, 2 * HIDDEN : 3 * HIDDEN].tanh_()
        gate[:, 3 * HIDDEN :].sigmoid_()

    def squash_backward(self, pull: Tensor, gate: Tensor, out: Tensor) -> None:
        """Gradient of the argument of σ, from that of its value `gate`."""
        _sigmoid_backward(pull, gate, grad_input=out)


class KerasLSTMStack(LSTMStack):
    """LSTM(8) as in Keras 2.0, which the authors' code uses: forget bias 1, σ(x) = min(max(.2 x +
    .5, 0), 1).
    """

    def draw_bias(self) -> Tensor:
        """1 for the forget gate."""
        return torch.tensor([0.0, 1, 0, 0]).repeat_interleave(HIDDEN)

    def squash(self, gate: Tensor) -> None:
        """`R 4H B`, in place."""
        gate[:, 2 * HIDDEN : 3 * HIDDEN].tanh_()
        _hard_sigmoid(gate[:, : 2 * HIDDEN])
        _hard_sigmoid(gate[:, 3 * HIDDEN :])

    def squash_backward(self, pull: Tensor, gate: Tensor, out: Tensor) -> None:
        """.2 where the gate is neither closed nor open."""
        torch.mul(pull, _hard_slope(gate), out=out)


def _hard_sigmoid(x: Tensor) -> Tensor:
    """In place."""
    return x.mul_(0.2).add_(0.5).clamp_(0, 1)


def _hard_slope(sigmoids: Tensor) -> Tensor:
    return ((sigmoids > 0) & (sigmoids < 1)).to(sigmoids).mul_(0.2)


STACKS = {"lstm": LSTMStack, "lstm-keras": KerasLSTMStack}
