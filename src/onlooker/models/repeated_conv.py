"""A convolution in a loop over time: its weights are packed once, their gradient is computed once.

A plain loop over `Y_t = W ∗ X_t + b` converts the weights to the layout of the CPU kernels at every step, and adds up
`T` gradients of the weights. But the weights do not change within a loop, and `dW = Σ_t dY_t ⋆ X_t` is one convolution
of all steps, concatenated.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

_ONES = [1, 1]  # stride and dilation


class RepeatedConv2d(nn.Conv2d):
    """A convolution that keeps the size of its maps, and shares work between calls within `repeated`.

    Outside of `repeated`, on devices other than CPUs, and under activation checkpointing, it is `torch.nn.Conv2d`.

    Args:
        in_channels, out_channels: D of its input and output.
        kernel: height and width of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}, expected an odd number: the map must keep its size")
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """`B in_channels h w -> B out_channels h w`."""
        loop = _LOOP.get()
        if loop is None or maps.device.type != "cpu" or not maps.numel() or _is_checkpointed():
            return super().forward(maps)
        # Only calls with gradients build a graph, so calls under no_grad have a separate entry.
        key = (id(self), torch.is_grad_enabled(), maps.shape, _dtype(maps))
        if key not in loop.convs:
            loop.convs[key] = _Repeats(self, maps, loop.steps)
        return loop.convs[key](maps)


class Loop:
    """The convolutions of one loop that have run so far; each runs at most `steps` times with gradients."""

    def __init__(self, steps: int = 0) -> None:
        self.steps, self.convs = steps, dict[Any, "_Repeats"]()


_LOOP: ContextVar[Loop | None] = ContextVar("loop", default=None)


@contextmanager
def repeated(steps: int) -> Iterator[None]:
    """A context in which each `RepeatedConv2d` runs at most `steps` times, with the weights of its first call."""
    with resumed(Loop(steps) if steps > 1 else None):
        yield


@contextmanager
def resumed(loop: Loop | None) -> Iterator[None]:
    """Like `repeated`, for an endless loop without gradients, such as a live stream: enter it for every step."""
    before = _LOOP.set(loop)
    try:
        yield
    finally:
        _LOOP.reset(before)


class _Repeats:
    """One convolution in one loop of at most `steps` steps; `maps`: its first input."""

    def __init__(self, conv: RepeatedConv2d, maps: Tensor, steps: int) -> None:
        self.conv, self.weights = conv, _Weights(conv, maps)
        needs_gradient = torch.is_grad_enabled() and any(p.requires_grad for p in conv.parameters())
        shape = (len(maps), conv.out_channels, *maps.shape[2:])
        self.probes = (
            iter(_GradientProbes.apply(conv.weight, conv.bias, self.weights, shape, steps)) if needs_gradient else None
        )

    def __call__(self, maps: Tensor) -> Tensor:
        maps, probe = maps.to(self.weights.dtype), None
        if self.probes is not None:
            probe = next(self.probes, None)
            if probe is None:
                steps = len(self.weights.inputs)
                raise RuntimeError(f"a convolution ran more often than the {steps} times of its loop")
            self.weights.inputs.append(maps.detach())
        output: Tensor = _Step.apply(maps, probe, self.conv.weight, self.conv.bias, self.weights)
        return output


class _Weights:
    """The packed weights of one loop; it holds no tensor of an autograd graph."""

    def __init__(self, conv: RepeatedConv2d, maps: Tensor) -> None:
        self.dtype, self.padding = _dtype(maps), [side // 2 for side in conv.kernel_size]
        self.given = conv.weight.detach()
        self.version = None if self.given.is_inference() else self.given._version
        self.weight = self.given.to(self.dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(self.dtype)
        self.packs = _can_pack(self.dtype)
        self.forwards = self._packed(self.weight, maps.shape) if self.packs else self.weight
        self.backwards: Tensor | None = None
        self.inputs: list[Tensor] = []  # `X_t` of each step, for the gradient of the weights

    def forward(self, maps: Tensor) -> Tensor:
        """`Y_t` of `X_t`."""
        if self.packs:
            return _convolve_packed(maps, self.forwards, self.bias, self.padding)
        return F.conv2d(maps, self.weight, self.bias, padding=self.padding)

    def backward(self, gradient: Tensor) -> Tensor:
        """`dX_t` of `dY_t`: a convolution with the flipped kernel."""
        if self.version != self.given._version:
            raise RuntimeError("the weights of a convolution were changed between its forward and its backward pass")
        if not self.packs:
            shape = (len(gradient), self.given.shape[1], *gradient.shape[2:])
            return conv2d_input(shape, self.weight, gradient, padding=self.padding)
        if self.backwards is None:
            self.backwards = self._packed(self.weight.flip(2, 3).transpose(0, 1), gradient.shape)
        return _convolve_packed(gradient, self.backwards, None, self.padding)

    def gradient(self, outputs: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
        """`dW` and `db` from the `dY_t` of all steps that have one; None, None if no step has."""
        reached = [(x, dy) for x, dy in zip(self.inputs, outputs, strict=False) if dy is not None]
        if not reached:
            return None, None
        maps, output = torch.cat([x for x, _ in reached]), torch.cat([dy for _, dy in reached])
        of_weight = conv2d_weight(maps, self.given.shape, output, padding=self.padding)
        of_bias = None if self.bias is None else output.sum((0, 2, 3), dtype=self.given.dtype)
        return of_weight.to(self.given.dtype), of_bias

    def _packed(self, weight: Tensor, shape: torch.Size) -> Tensor:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight, self.padding, _ONES, _ONES, 1, list(shape)
        )
        return packed


class _GradientProbes(Function):
    """One zero per step, whose gradient is that of the step's output.

    This way autograd collects `dY_t` of exactly those steps that a backward pass reaches.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, weights: _Weights, shape: tuple[int, ...], steps: int
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.weights = weights
        return tuple(weight.new_zeros((), dtype=weights.dtype).expand(shape) for _ in range(steps))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor | None) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        return *ctx.weights.gradient(outputs), None, None, None


class _Step(Function):
    """One step. The gradient of the weights goes through the probe, unless it is to be differentiated again."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, probe: Tensor | None, weight: Tensor, bias: Tensor | None, weights: _Weights
    ) -> Tensor:
        ctx.weights = weights
        ctx.save_for_backward(maps, weight)
        return weights.forward(maps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights: _Weights = ctx.weights
        if not torch.is_grad_enabled():
            of_maps = weights.backward(gradient) if ctx.needs_input_grad[0] else None
            return of_maps, gradient if ctx.needs_input_grad[1] else None, None, None, None
        # create_graph: plain operations on the layer's own weights, step by step, which autograd can differentiate.
        maps, weight = ctx.saved_tensors
        needed, kernel = ctx.needs_input_grad, weight.to(weights.dtype)
        of_maps = conv2d_input(maps.shape, kernel, gradient, padding=weights.padding) if needed[0] else None
        of_weight = conv2d_weight(maps, weight.shape, gradient, padding=weights.padding) if needed[2] else None
        of_bias = gradient.sum((0, 2, 3), dtype=weight.dtype) if needed[3] else None
        return of_maps, None, None if of_weight is None else of_weight.to(weight.dtype), of_bias, None


def _is_checkpointed() -> bool:
    """Whether tensors are saved through hooks, as by `torch.utils.checkpoint`, which counts them when it recomputes."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def _dtype(maps: Tensor) -> torch.dtype:
    """The type that a convolution of these maps computes in."""
    # Autocast leaves double precision alone.
    if torch.is_autocast_enabled("cpu") and maps.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu")
    return maps.dtype


def _can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN packs weights of this type on this CPU, by the operators that torch.compile uses."""
    operators = torch.ops.mkldnn
    if not (torch.backends.mkldnn.enabled and hasattr(operators, "_reorder_convolution_weight")):
        return False
    if dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _convolve_packed(maps: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int]) -> Tensor:
    # The packed weights are made for channels last.
    maps = maps.contiguous(memory_format=torch.channels_last)
    output: Tensor = torch.ops.mkldnn._convolution_pointwise(
        maps, weight, bias, padding, _ONES, _ONES, 1, "none", [], ""
    )
    return output
