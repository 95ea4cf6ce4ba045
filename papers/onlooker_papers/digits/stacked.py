"""Small classifiers stacked side by side, R at a time, with forward, backward and RMSprop written out by hand.

The product of features and input kernel is nearly all of the work. It is one matrix product over all frames and rounds,
and another one for the gradient; only the small states need a loop over time. Values for all time steps are stored as
`T R H B`, so that the R recurrent products of a step are one batched product, and a gate is contiguous in memory. `H`
is the number of units, `G` that of gates.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

DECAY, EPSILON = 0.9, 1e-8  # of RMSprop

_ALIGNED = 16  # floats of a cache line; a multiple of it makes the product of the gradient an eighth faster
_CHUNK = 1 << 16  # weights updated at a time on a CPU, near the size of its cache

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def behind(count: int) -> Tensor:
    """Padding after `count` features: a one, whose weight is the bias, and zeros up to a multiple of `_ALIGNED`."""
    return torch.eye(1, 1 + -(count + 1) % _ALIGNED)[0]


class Stack(ABC):
    """R rounds of one model: hidden states `T R H B`, flattened, a dense layer, softmax; or a softmax for each frame.

    Kernels are initialized Xavier-uniform, recurrent ones orthogonal, biases with zeros. Each round has its own random
    generator, so that it does not depend on the other rounds.

    Args:
        generators: one for each round.
        frames: T.
        num_features: D, including features that are left out.
        num_classes: K.
        moving: features that are trained on; their weights and those of the padding `behind` are the kernel `R GH D'`.
        waiting: other features that test videos may have; their weights keep their initial values.
        like: a tensor with the dtype and device to use.
    """

    hidden: int
    gates: int
    each_frame = False  # whether each frame has a softmax; False: one softmax for all frames

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
                    end = self.draw_bias()[:, None] * behind(len(moving))
                    weight = torch.cat((weight[:, columns], end), 1)
                drawn.setdefault(name, []).append(weight)
        weights = {name: torch.stack(of).to(like) for name, of in drawn.items()}
        self.waiting = weights["kernel"][:, :, : len(waiting)].clone()
        weights["kernel"] = weights["kernel"][:, :, len(waiting) :].contiguous()
        self.weights = weights
        self._minus_one = like.new_full((), -1)
        self._squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    @classmethod
    def arrange(cls, features: Tensor) -> Tensor:
        """`V T D` in the form with the T and D that the model uses."""
        return features

    @classmethod
    def draw(cls, chance: torch.Generator, frames: int, num_features: int, num_classes: int) -> dict[str, Tensor]:
        """Initial weights of one round; the kernel `GH D` without its bias."""
        head = torch.empty(num_classes, cls.hidden if cls.each_frame else frames * cls.hidden)
        kernel = torch.empty(cls.gates * cls.hidden, num_features)
        nn.init.xavier_uniform_(kernel, generator=chance)
        weights = {"kernel": kernel} | cls.draw_recurrent(chance)
        nn.init.xavier_uniform_(head, generator=chance)
        return weights | {"head": head, "head_bias": torch.zeros(num_classes)}

    @classmethod
    def draw_recurrent(cls, chance: torch.Generator) -> dict[str, Tensor]:
        """Initial recurrent weights."""
        return {}

    @classmethod
    def draw_bias(cls) -> Tensor:
        """Initial biases of the gates, `GH`."""
        return torch.zeros(cls.gates * cls.hidden)

    @abstractmethod
    def run(self, gates: Tensor) -> Tensor:
        """Hidden states `T R H B` from the input terms of the gates, `T R GH B`, which are overwritten."""

    @abstractmethod
    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the gates, `R GH T B`, and of the recurrent weights, from those of the hidden states, `T R H B`,
        which are overwritten. Called after `run`."""

    def collect(self, number: int, features: Tensor, videos: Tensor) -> Tensor:
        """The batch `T B D` of a round from `T V D`; valid until the next batch of this round."""
        out = self._space(f"batch {number}", features.shape[0], len(videos), features.shape[2])
        return torch.index_select(features, 1, videos, out=out)

    def logits(self, features: Tensor) -> Tensor:
        """`T B D'`, waiting features first, to `R K B`, or `R K TB` if each frame has its own."""
        kernel = torch.cat((self.waiting, self.weights["kernel"]), 2) if self.waiting.shape[2] else None
        return self._forward([features] * self.rounds, kernel)[0]

    def gradients(self, batches: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the mean cross entropy for the gates and for all weights except the kernel.

        Args:
            batches: for each round, features `T B D'`.
            targets: `R B`.
        """
        logits, flat = self._forward(batches)
        B, each = targets.shape[1], logits.shape[2]
        errors = torch.softmax(logits, 1)
        truth = targets.repeat(1, each // B)[:, None]
        errors.scatter_add_(1, truth, errors.new_full((), -1.0).expand(truth.shape))
        errors.div_(each)
        found = {"head": torch.bmm(errors, flat.mT), "head_bias": errors.sum(2)}
        pull = torch.bmm(self.weights["head"].mT, errors, out=self._space("pull", *flat.shape))
        # Steps first, because only a product into contiguous memory is batched over all rounds.
        steps = self._space("pull by steps", self.frames, len(pull), self.hidden, B)
        errors, recurrent = self.back(steps.copy_(self._by_steps(pull)))
        return errors, found | recurrent

    def kernel_gradient(self, errors: Tensor, number: int, features: Tensor) -> Tensor:
        """The kernel gradient `GH D'` of a round, from the result of `gradients` and its batch `T B D'`."""
        out = self._space("kernel gradient", errors.shape[1], features.shape[2])
        return torch.mm(errors[number].flatten(1), features.flatten(0, 1), out=out)

    def step(self, batches: Sequence[Tensor], targets: Tensor, lr: float) -> None:
        """One step of RMSprop in every round."""
        errors, found = self.gradients(batches, targets)
        for name, gradient in found.items():
            self._descend(name, slice(None), gradient, lr)
        for number, features in enumerate(batches):  # a gradient is used while it is still in the cache
            self._descend("kernel", number, self.kernel_gradient(errors, number, features), lr)

    def _forward(self, batches: Sequence[Tensor], kernel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits `R K B`, and the flattened hidden states `R TH B`; `R K TB` and `R H TB` for each frame."""
        kernel = self.weights["kernel"] if kernel is None else kernel
        rows, T, B = self.gates * self.hidden, self.frames, batches[0].shape[1]
        gates, brought = self._space("gates", T, self.rounds, rows, B), self._space("brought", T * B, rows)
        for number, features in enumerate(batches):
            # One product and a transposed copy are faster than a product for each step.
            torch.mm(features.flatten(0, 1), kernel[number].T, out=brought)
            gates[:, number].copy_(brought.view(T, B, rows).transpose(1, 2))
        states = self.run(gates)
        if self.each_frame:
            flat = self._space("flat", self.rounds, self.hidden, T, B).copy_(states.permute(1, 2, 0, 3)).flatten(2)
        else:
            flat = self._space("flat", self.rounds, T, self.hidden, B).copy_(states.transpose(0, 1)).flatten(1, 2)
        return torch.baddbmm(self.weights["head_bias"][:, :, None], self.weights["head"], flat), flat

    def _by_steps(self, flat: Tensor) -> Tensor:
        """Flattened hidden states as `T R H B`."""
        if self.each_frame:
            return flat.unflatten(2, (self.frames, -1)).permute(2, 0, 1, 3)
        return flat.unflatten(1, (self.frames, self.hidden)).transpose(0, 1)

    def _descend(self, name: str, rounds: slice | int, gradient: Tensor, lr: float) -> None:
        """RMSprop as in Keras 2.0: v = ρ v + (1 - ρ) g², w -= lr g / (√v + ε)."""
        flat = [t.view(-1) for t in (self.weights[name][rounds], self._squares[name][rounds], gradient)]
        chunk = flat[0].numel() if gradient.is_cuda else _CHUNK
        for weight, square, slope in zip(*(t.split(max(1, chunk)) for t in flat), strict=True):
            square.mul_(DECAY).addcmul_(slope, slope, value=1 - DECAY)
            root = torch.sqrt(square, out=self._space("root", len(slope))).add_(EPSILON)
            weight.addcdiv_(slope, root, value=-lr)

    def _space(self, name: str, *shape: int) -> Tensor:
        """A buffer that is reused at every step, because allocating new pages costs more than filling them."""
        key = (name, *shape)
        if key not in self._spaces:
            self._spaces[key] = self.weights["head"].new_empty(shape)
        return self._spaces[key]

    def _by_recurrent(self, errors: Tensor, states: Tensor, delay: int = 1) -> Tensor:
        """Gradient of recurrent weights, `R GH H`, from those of the gates `R GH T B` and earlier states `T R H B`."""
        T, R, H, B = states.shape
        before = self._space("before", R, H, T, B)
        before[:, :, :delay] = 0
        before[:, :, delay:] = states[: T - delay].permute(1, 2, 0, 3)
        return torch.bmm(before.flatten(2), errors.flatten(2).mT).mT.contiguous()


class LSTMStack(Stack):
    """LSTM(8) without forget bias (the text of Shan & Atanasov 2017); gates in the order i, f, g, o."""

    hidden, gates = 8, 4

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
            self.squash(gate)
            torch.mul(i[t], g[t], out=c)
            if t:
                c.addcmul_(f[t], memory[t - 1])
            _tanh(torch.mul(c, 2, out=b).sigmoid_(), self._minus_one)
            torch.mul(o[t], b, out=h)
        return states

    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Backpropagation through time; factors of the states' gradients are computed first, for all steps at once."""
        gates, states, memory, bent = self._kept
        T, R, H, B = states.shape
        slopes, out = self._space("slopes", *gates.shape), self._space("out", R, 4 * H, T, B)
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
        # All views are made first, because making one costs as much as its arithmetic.
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

    def squash(self, gate: Tensor) -> None:
        """σ for i, f and o, tanh for g: `R 4H B`, in place."""
        g = gate[:, 2 * self.hidden : 3 * self.hidden].mul_(2)
        gate.sigmoid_()
        _tanh(g, self._minus_one)

    def squash_backward(self, pull: Tensor, gate: Tensor, out: Tensor) -> None:
        """Gradient of the argument of σ, from that of its value `gate`."""
        _sigmoid_backward(pull, gate, grad_input=out)


class KerasLSTMStack(LSTMStack):
    """LSTM(8) as in Keras 2.0, which the authors' code uses: forget bias 1, σ(x) = min(max(.2 x + .5, 0), 1)."""

    @classmethod
    def draw_bias(cls) -> Tensor:
        """1 for the forget gate."""
        return torch.tensor([0.0, 1, 0, 0]).repeat_interleave(cls.hidden)

    def squash(self, gate: Tensor) -> None:
        """`R 4H B`, in place."""
        gate[:, 2 * self.hidden : 3 * self.hidden].tanh_()
        _hard_sigmoid(gate[:, : 2 * self.hidden])
        _hard_sigmoid(gate[:, 3 * self.hidden :])

    def squash_backward(self, pull: Tensor, gate: Tensor, out: Tensor) -> None:
        """.2 where the gate is neither closed nor open."""
        torch.mul(pull, _hard_slope(gate), out=out)


class FrameLSTMStack(LSTMStack):
    """LSTM(8) without forget bias, and one softmax for every frame, as in the text of the paper."""

    each_frame = True


class GRUStack(Stack):
    """GRU(32) as in Keras 2.0: n = tanh(W x + U (r h)), h = (1 - z) n + z h; gates in the order z, r, n.

    σ is that of `KerasLSTMStack`.
    """

    hidden, gates = 32, 3

    @classmethod
    def draw_recurrent(cls, chance: torch.Generator) -> dict[str, Tensor]:
        """`recurrent`: `GH H`."""
        return {"recurrent": _orthogonal(cls.gates * cls.hidden, cls.hidden, chance)}

    def run(self, gates: Tensor) -> Tensor:
        """All steps."""
        T, R, _, B = gates.shape
        H = self.hidden
        states, reset = self._space("states", T, R, H, B), self._space("reset", T, R, H, B)
        self._kept = gates, states, reset
        by_state, by_reset = self.weights["recurrent"].split((2 * H, H), 1)
        before = self._space("start", R, H, B).zero_()
        for gate, held, h in zip(gates, reset, states, strict=True):
            zr, n = gate.split((2 * H, H), 1)
            _hard_sigmoid(zr.baddbmm_(by_state, before))
            torch.mul(zr[:, H:], before, out=held)
            n.baddbmm_(by_reset, held).tanh_()
            before = torch.lerp(n, before, zr[:, :H], out=h)
        return states

    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Backpropagation through time."""
        gates, states, reset = self._kept
        T, R, H, B = states.shape
        out = self._space("out", R, 3 * H, T, B)
        by_state, by_reset = (w.mT for w in self.weights["recurrent"].split((2 * H, H), 1))
        later = torch.zeros_like(pull[0])
        for t in reversed(range(T)):
            z, r, n = gates[t].split(H, 1)
            before = states[t - 1] if t else torch.zeros_like(z)
            here = later.add_(pull[t])
            by_z, by_r, by_n = out[:, :, t].split(H, 1)
            torch.mul(here * (before - n), _hard_slope(z), out=by_z)
            torch.mul(here * (1 - z), 1 - n * n, out=by_n)
            held = torch.bmm(by_reset, by_n)
            torch.mul(held * before, _hard_slope(r), out=by_r)
            later = torch.baddbmm(here * z + held * r, by_state, out[:, : 2 * H, t])
        gradients = self._by_recurrent(out[:, : 2 * H], states), self._by_recurrent(out[:, 2 * H :], reset, 0)
        return out, {"recurrent": torch.cat(gradients, 1)}


class MLPStack(Stack):
    """All T·D features to 256 linear units, as in the authors' code."""

    hidden, gates = 256, 1

    @classmethod
    def arrange(cls, features: Tensor) -> Tensor:
        """A single frame with the features of all frames."""
        return features.flatten(1)[:, None]

    def run(self, gates: Tensor) -> Tensor:
        """The identity."""
        return gates

    def back(self, pull: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The identity, transposed."""
        return pull.permute(1, 2, 0, 3), {}


def _orthogonal(rows: int, columns: int, chance: torch.Generator) -> Tensor:
    """An orthogonal matrix, made in double precision: in single precision, it would depend on the number of threads."""
    return nn.init.orthogonal_(torch.empty(rows, columns, dtype=torch.float64), generator=chance).float()


def _tanh(sigmoids: Tensor, minus_one: Tensor) -> Tensor:
    """tanh x = 2 σ(2x) - 1, in place, from σ(2x): four times as fast as `tanh`, and exact to rounding."""
    return torch.add(minus_one, sigmoids, alpha=2, out=sigmoids)


def _hard_sigmoid(x: Tensor) -> Tensor:
    """In place."""
    return x.mul_(0.2).add_(0.5).clamp_(0, 1)


def _hard_slope(sigmoids: Tensor) -> Tensor:
    return ((sigmoids > 0) & (sigmoids < 1)).to(sigmoids).mul_(0.2)


STACKS: dict[str, type[Stack]] = {
    "lstm": LSTMStack,
    "lstm-keras": KerasLSTMStack,
    "lstm-frames": FrameLSTMStack,
    "gru": GRUStack,
    "mlp": MLPStack,
}
