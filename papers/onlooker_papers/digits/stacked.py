"""Small classifiers stacked side by side, R at a time, with forward, backward and RMSprop written out by hand.

The product of features and input kernel is nearly all of the work. It is one matrix product over all frames and rounds,
and another one for its gradient; time only runs over the small states. Whatever is kept over time lies as `T R H B`,
so that the R recurrent products of a step are one batched product, and a gate is one long run of memory. `H` counts
units, `G` gates.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

DECAY, EPSILON = 0.9, 1e-7  # of RMSprop

_ALIGNED = 16  # floats of a cache line: a multiple makes the gradient's product an eighth faster
_CHUNK = 1 << 16  # weights updated at a time on a processor, near the size of its cache
_BLOCK = 1 << 18  # weights whose gradient is computed at a time

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input

Part = tuple[slice, Tensor]  # some of the rounds, and the features `T B D` of their batch


def behind(count: int) -> Tensor:
    """What follows `count` features: a one, whose weight is the bias, and zeros up to a width that products like."""
    return torch.eye(1, 1 + -(count + 1) % _ALIGNED)[0]


class Stack(ABC):
    """R rounds of one model: hidden states `T R H B`, all of them flattened, dense, softmax.

    Kernels are drawn Xavier-uniform, recurrent ones orthogonal, biases are zero. All that is drawn comes from the
    round's own generator, so that a round does not know its neighbors.

    Args:
        generators: of each round.
        frames: T.
        num_features: D of all features, before any is left out.
        num_classes: K.
        moving: which features are trained on; their weights and those of what is `behind` are the kernel `R GH D'`.
        waiting: which other features a test may show; their weights stay as drawn.
        like: has the wanted dtype and device.
    """

    hidden: int
    gates: int
    blocks: int  # of rows in the gradient of the gates; the input kernel's come first

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        frames: int,
        num_features: int,
        num_classes: int,
        moving: Tensor,
        waiting: Tensor,
        like: Tensor,
    ) -> None:
        self.rounds, self.frames = len(generators), frames
        self._spaces: dict[tuple[object, ...], Tensor] = {}
        columns = torch.cat((waiting, moving)).cpu()
        drawn: dict[str, list[Tensor]] = {}
        for chance in generators:
            for name, weight in self.draw(chance, frames, num_features, num_classes).items():
                if name == "kernel":
                    weight = torch.cat((weight[:, columns], torch.zeros(len(weight), len(behind(len(moving))))), 1)
                drawn.setdefault(name, []).append(weight)
        weights = {name: torch.stack(of).to(like) for name, of in drawn.items()}
        self.waiting = weights["kernel"][:, :, : len(waiting)].clone()
        weights["kernel"] = weights["kernel"][:, :, len(waiting) :].contiguous()
        self.weights = weights
        self._minus_one = like.new_full((), -1)
        self._squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    @classmethod
    def arrange(cls, features: Tensor) -> Tensor:
        """`V T D` to the T and D that the model goes through."""
        return features

    @classmethod
    def draw(cls, chance: torch.Generator, frames: int, num_features: int, num_classes: int) -> dict[str, Tensor]:
        """First weights of one round; the kernel `GH D` without its bias."""
        head = torch.empty(num_classes, frames * cls.hidden)
        kernel = torch.empty(cls.gates * cls.hidden, num_features)
        nn.init.xavier_uniform_(kernel, generator=chance)
        weights = {"kernel": kernel} | cls.draw_recurrent(chance)
        nn.init.xavier_uniform_(head, generator=chance)
        return weights | {"head": head, "head_bias": torch.zeros(num_classes)}

    @classmethod
    def draw_recurrent(cls, chance: torch.Generator) -> dict[str, Tensor]:
        """First weights from state to state."""
        return {}

    @abstractmethod
    def run(self, gates: Tensor) -> Tensor:
        """What the features bring to the gates, `T R GH B`, overwritten, to hidden states `T R H B`."""

    @abstractmethod
    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the hidden states, `T R H B`, overwritten: to those of the gates, `R blocks·H T B`, and of the
        recurrent weights. Follows `run`."""

    def collect(self, group: int, features: Tensor, videos: Tensor) -> Tensor:
        """The batch `T B D` of a group of rounds from `T V D`; valid until the group's next one."""
        out = self._space(f"batch {group}", features.shape[0], len(videos), features.shape[2])
        return torch.index_select(features, 1, videos, out=out)

    def logits(self, features: Tensor) -> Tensor:
        """`T B D'`, waiting features first, to `R K B`."""
        kernel = torch.cat((self.waiting, self.weights["kernel"]), 2) if self.waiting.shape[2] else None
        return self._forward([(slice(0, self.rounds), features)], kernel)[0]

    def gradients(self, parts: Sequence[Part], targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Of the mean cross entropy, towards the gates and all weights but the kernel.

        Args:
            parts: cover all rounds, in order.
            targets: `R B`.
        """
        logits, flat = self._forward(parts)
        errors = torch.softmax(logits, 1)
        errors.scatter_add_(1, targets[:, None], errors.new_full((), -1.0).expand(targets[:, None].shape))
        errors.div_(targets.shape[1])
        found = {"head": torch.bmm(errors, flat.mT), "head_bias": errors.sum(2)}
        pull = torch.bmm(self.weights["head"].mT, errors, out=self._space("pull", *flat.shape))
        # Steps first: only a product into contiguous memory is done for all rounds at once.
        steps = self._space("pull by steps", self.frames, len(pull), self.hidden, targets.shape[1])
        errors, recurrent = self.back(steps.copy_(pull.unflatten(1, (self.frames, self.hidden)).transpose(0, 1)))
        return errors, found | recurrent

    def kernel_gradient(self, errors: Tensor, part: Part) -> Tensor:
        """`P GH D'` of the rounds `part[0]`, from the gradients that `gradients` gave."""
        rows = self.gates * self.hidden
        rounds, features = part
        slopes = errors[rounds, :rows].reshape(-1, features.shape[0] * features.shape[1])
        out = self._space("kernel gradient", len(slopes), features.shape[2])
        return torch.mm(slopes, features.flatten(0, 1), out=out).unflatten(0, (-1, rows))

    def step(self, parts: Sequence[Part], targets: Tensor, lr: float) -> None:
        """One step of RMSprop in every round."""
        errors, found = self.gradients(parts, targets)
        for name, gradient in found.items():
            self._descend(name, slice(None), gradient, lr)
        for rounds, features in parts:
            # A gradient is used while it still lies in the cache; states of several blocks cannot be joined.
            rows = self.gates * self.hidden
            many = max(1, _BLOCK // (rows * features.shape[2])) if self.blocks == self.gates else 1
            for first in range(rounds.start, rounds.stop, many):
                some = slice(first, min(first + many, rounds.stop))
                self._descend("kernel", some, self.kernel_gradient(errors, (some, features)), lr)

    def _forward(self, parts: Sequence[Part], kernel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits `R K B`, and the flattened hidden states `R TH B`."""
        kernel = self.weights["kernel"] if kernel is None else kernel
        rows, T, B = self.gates * self.hidden, self.frames, parts[0][1].shape[1]
        gates = self._space("gates", T, self.rounds, rows, B)
        for rounds, features in parts:
            # One product and a transposing copy are faster than a product for each step.
            brought = self._space("brought", T * B, (rounds.stop - rounds.start) * rows)
            torch.mm(features.flatten(0, 1), kernel[rounds].flatten(0, 1).T, out=brought)
            gates[:, rounds].copy_(brought.view(T, B, -1, rows).permute(0, 2, 3, 1))
        states = self.run(gates)
        flat = self._space("flat", self.rounds, T, self.hidden, B).copy_(states.transpose(0, 1)).flatten(1, 2)
        return torch.baddbmm(self.weights["head_bias"][:, :, None], self.weights["head"], flat), flat

    def _descend(self, name: str, rounds: slice, gradient: Tensor, lr: float) -> None:
        """RMSprop as Keras has it: v = ρ v + (1 - ρ) g², w -= lr g / √(v + ε)."""
        flat = [t.view(-1) for t in (self.weights[name][rounds], self._squares[name][rounds], gradient)]
        chunk = flat[0].numel() if gradient.is_cuda else _CHUNK
        for weight, square, slope in zip(*(t.split(max(1, chunk)) for t in flat), strict=True):
            square.mul_(DECAY).addcmul_(slope, slope, value=1 - DECAY)
            root = torch.add(square, EPSILON, out=self._space("root", len(slope))).sqrt_()
            weight.addcdiv_(slope, root, value=-lr)

    def _space(self, name: str, *shape: int) -> Tensor:
        """Memory to write into, the same at every step: fresh pages cost more than filling them."""
        key = (name, *shape)
        if key not in self._spaces:
            self._spaces[key] = self.weights["head"].new_empty(shape)
        return self._spaces[key]

    def _by_recurrent(self, errors: Tensor, states: Tensor) -> Tensor:
        """Gradient of the recurrent weights, `R GH H`, from those of the gates, `R GH T B`, and states `T R H B`."""
        T, R, H, B = states.shape
        before = self._space("before", R, H, T, B)
        before[:, :, 0] = 0
        before[:, :, 1:] = states[:-1].permute(1, 2, 0, 3)
        return torch.bmm(before.flatten(2), errors.flatten(2).mT).mT.contiguous()


class LSTMStack(Stack):
    """LSTM(8) without forget bias (Shan & Atanasov 2017); gates in the order i, f, g, o."""

    hidden, gates, blocks = 8, 4, 4

    @classmethod
    def draw_recurrent(cls, chance: torch.Generator) -> dict[str, Tensor]:
        """`recurrent`: `GH H`."""
        return {"recurrent": _orthogonal(cls.gates * cls.hidden, cls.hidden, chance)}

    def run(self, gates: Tensor) -> Tensor:
        """C_t = f C_{t-1} + i g, H_t = o tanh(C_t)."""
        T, R, _, B = gates.shape
        states, memory, bent = (self._space(name, T, R, self.hidden, B) for name in ("states", "memory", "bent"))
        self._kept = gates, states, memory, bent
        i, f, g, o = (gate.unbind() for gate in gates.unflatten(2, (4, -1)).unbind(2))
        for t, (gate, c, b, h) in enumerate(zip(gates, memory, bent, states, strict=True)):
            if t:
                gate.baddbmm_(self.weights["recurrent"], states[t - 1])
            g[t].mul_(2)
            gate.sigmoid_()
            _tanh(g[t], self._minus_one)
            torch.mul(i[t], g[t], out=c)
            if t:
                c.addcmul_(f[t], memory[t - 1])
            _tanh(torch.mul(c, 2, out=b).sigmoid_(), self._minus_one)
            torch.mul(o[t], b, out=h)
        return states

    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Through time: what multiplies the states' gradients is made beforehand, for all steps at once."""
        gates, states, memory, bent = self._kept
        T, R, H, B = states.shape
        slopes, out = self._space("slopes", *gates.shape), self._space("out", R, 4 * H, T, B)
        i, f, g, o = gates.unflatten(2, (4, H)).unbind(2)
        by_i, by_f, by_g, by_o = slopes.unflatten(2, (4, H)).unbind(2)
        _sigmoid_backward(g, i, grad_input=by_i)
        by_f[0] = 0
        _sigmoid_backward(memory[:-1], f[1:], grad_input=by_f[1:])
        _tanh_backward(i, g, grad_input=by_g)
        _sigmoid_backward(bent, o, grad_input=by_o)
        by_memory = _tanh_backward(o, bent, grad_input=bent)

        back = self.weights["recurrent"].mT
        memory_pull = self._space("memory pull", R, H, B).zero_()
        # All views beforehand: making one costs as much as the arithmetic in it.
        ifg, by_ifg = (t.unflatten(d, (4, H)).narrow(d, 0, 3) for t, d in ((out, 1), (slopes, 2)))
        steps = zip(
            pull, by_memory, by_ifg, by_o, f, out.unbind(2), ifg.unbind(3), out[:, 3 * H :].unbind(2), strict=True
        )
        later = None
        for here, slope, slope_ifg, slope_o, forget, errors, errors_ifg, errors_o in reversed(list(steps)):
            if later is not None:
                here.baddbmm_(back, later)
            memory_pull.addcmul_(here, slope)
            torch.mul(memory_pull[:, None], slope_ifg, out=errors_ifg)
            torch.mul(here, slope_o, out=errors_o)
            memory_pull.mul_(forget)
            later = errors
        return out, {"recurrent": self._by_recurrent(out, states)}


class GRUStack(Stack):
    """GRU(32) in the form of cuDNN, PyTorch and Keras: n = tanh(W x + r (U h + b)), h = (1 - z) n + z h.

    Gates lie in the order n, r, z, those from state to state in the order r, z, n: with one block for each of the two
    parts of n, first and last, both are neighbors in the gradient n, r, z, n.
    """

    hidden, gates, blocks = 32, 3, 4

    @classmethod
    def draw_recurrent(cls, chance: torch.Generator) -> dict[str, Tensor]:
        """`recurrent`: `GH H`, and its bias."""
        rows = cls.gates * cls.hidden
        return {"recurrent": _orthogonal(rows, cls.hidden, chance), "recurrent_bias": torch.zeros(rows)}

    def run(self, gates: Tensor) -> Tensor:
        """All steps."""
        T, R, rows, B = gates.shape
        H = self.hidden
        states, recurrent = self._space("states", T, R, H, B), self._space("recurrent", T, R, rows, B)
        self._kept = gates, states, recurrent
        bias = self.weights["recurrent_bias"][:, :, None]
        start = self._space("start", R, H, B).zero_()
        for t, (gate, by_state, h) in enumerate(zip(gates, recurrent, states, strict=True)):
            before = states[t - 1] if t else start
            torch.baddbmm(bias, self.weights["recurrent"], before, out=by_state)
            n, r, z = gate[:, :H], gate[:, H : 2 * H], gate[:, 2 * H :]
            gate[:, H:].add_(by_state[:, : 2 * H]).sigmoid_()
            _tanh(n.addcmul_(r, by_state[:, 2 * H :]).mul_(2).sigmoid_(), self._minus_one)
            torch.lerp(n, before, z, out=h)
        return states

    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Through time, as in the LSTM."""
        gates, states, recurrent = self._kept
        T, R, H, B = states.shape
        slopes, out = self._space("slopes", T, R, 4 * H, B), self._space("out", R, 4 * H, T, B)
        n, r, z = gates.unflatten(2, (3, H)).unbind(2)
        by_n, by_r, by_z, by_recurrent = slopes.unflatten(2, (4, H)).unbind(2)
        torch.sub(1, z, out=by_n)
        _tanh_backward(by_n, n, grad_input=by_n)
        torch.mul(by_n, r, out=by_recurrent)
        torch.mul(by_n, recurrent[:, :, 2 * H :], out=by_r)
        _sigmoid_backward(by_r, r, grad_input=by_r)
        torch.sub(states[:-1], n[1:], out=by_z[1:])
        torch.neg(n[0], out=by_z[0])
        _sigmoid_backward(by_z, z, grad_input=by_z)

        back = self.weights["recurrent"].mT
        for t in reversed(range(T)):
            here, errors = pull[t], out[:, :, t]
            if t < T - 1:
                here.addcmul_(pull[t + 1], z[t + 1]).baddbmm_(back, out[:, H:, t + 1])
            torch.mul(here[:, None], slopes[t].unflatten(1, (4, H)), out=errors.unflatten(1, (4, H)))
        errors = out[:, H:]
        return out, {"recurrent": self._by_recurrent(errors, states), "recurrent_bias": errors.sum((2, 3))}


class MLPStack(Stack):
    """All T·D features to 64 rectified units (the authors do not state their number)."""

    hidden, gates, blocks = 64, 1, 1

    @classmethod
    def arrange(cls, features: Tensor) -> Tensor:
        """One frame that holds all."""
        return features.flatten(1)[:, None]

    def run(self, gates: Tensor) -> Tensor:
        """max(0, x)."""
        self._kept = gates.relu_()
        return gates

    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Where a unit was on."""
        return pull.mul_(self._kept > 0).permute(1, 2, 0, 3), {}


def _orthogonal(rows: int, columns: int, chance: torch.Generator) -> Tensor:
    """Drawn in double precision: in single, the decomposition gives other numbers with more threads."""
    return nn.init.orthogonal_(torch.empty(rows, columns, dtype=torch.float64), generator=chance).float()


def _tanh(sigmoids: Tensor, minus_one: Tensor) -> Tensor:
    """tanh x = 2 σ(2x) - 1, in place, from σ(2x): four times as fast as `tanh`, and exact to rounding."""
    return torch.add(minus_one, sigmoids, alpha=2, out=sigmoids)


STACKS: dict[str, type[Stack]] = {"lstm": LSTMStack, "gru": GRUStack, "mlp": MLPStack}
