"""A convolution in a loop over time: its weights are packed once, their gradient is computed once.

A plain loop over `Y_t = W ∗ X_t + b` converts the weights to the layout of the CPU kernels at every step, and adds up
`T` gradients of the weights. But the weights do not change within a loop, and `dW = Σ_t dY_t ⋆ X_t` is one convolution
of all steps, concatenated.
"""

from collections.abc import Iterator
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

# What the convolutions of one loop share, by layer, shape and type of the maps: begin one with `Loop()`.
Loop = dict[Any, Any]

_LOOP: ContextVar[Loop | None] = ContextVar("loop", default=None)


@contextmanager
def repeated(loop: Loop | None) -> Iterator[None]:
    """A context in which each `RepeatedConv2d` keeps the weights of its first call; None: an ordinary convolution.

    An endless loop without gradients, such as a live stream, enters it for every step with the same `loop`.
    """
    before = _LOOP.set(loop)
    try:
        yield
    finally:
        _LOOP.reset(before)


class RepeatedConv2d(nn.Conv2d):
    """A convolution that keeps the size of its maps, and shares work between calls within `repeated`.

    Outside of `repeated`, and on devices other than CPUs, it is `torch.nn.Conv2d`.

    Args:
        in_channels, out_channels: D of its input and output.
        kernel: height and width of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """`B in_channels h w -> B out_channels h w`."""
        loop = _LOOP.get()
        if loop is None or maps.device.type != "cpu" or not maps.numel():
            return super().forward(maps)
        # Only calls with gradients build a graph, so calls under no_grad have a separate entry.
        key = (self, torch.is_grad_enabled(), maps.shape, _dtype(maps))
        if key not in loop:
            weights = _Weights(self, maps)
            loop[key] = weights, _Sum.apply(self.weight, self.bias, weights)
        weights, total = loop[key]
        output: Tensor = _Step.apply(maps.to(weights.dtype), total, self.weight, weights)
        return output


class _Weights:
    """The packed weights of one loop; it holds no tensor of an autograd graph."""

    def __init__(self, conv: RepeatedConv2d, maps: Tensor) -> None:
        self.dtype, self.padding = _dtype(maps), [side // 2 for side in conv.kernel_size]
        self.weight = conv.weight.detach().to(self.dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(self.dtype)
        self.packs = _can_pack(self.dtype)
        self.forwards = self._packed(self.weight, maps.shape) if self.packs else self.weight
        self.backwards: Tensor | None = None
        self.steps: list[tuple[Tensor, Tensor]] = []  # `X_t` and `dY_t` of one backward pass, the last step first
        self.backward_pass: int | None = None

    def forward(self, maps: Tensor) -> Tensor:
        """`Y_t` of `X_t`."""
        if self.packs:
            return _convolve_packed(maps, self.forwards, self.bias, self.padding)
        return F.conv2d(maps, self.weight, self.bias, padding=self.padding)

    def backward(self, gradient: Tensor) -> Tensor:
        """`dX_t` of `dY_t`: a convolution with the flipped kernel."""
        if not self.packs:
            shape = (len(gradient), self.weight.shape[1], *gradient.shape[2:])
            return conv2d_input(shape, self.weight, gradient, padding=self.padding)
        if self.backwards is None:
            self.backwards = self._packed(self.weight.flip(2, 3).transpose(0, 1), gradient.shape)
        return _convolve_packed(gradient, self.backwards, None, self.padding)

    def _packed(self, weight: Tensor, shape: torch.Size) -> Tensor:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight, self.padding, _ONES, _ONES, 1, list(shape)
        )
        return packed


class _Sum(Function):
    """A zero that every step depends on, so that its backward pass comes after those of all steps that are reached."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, weights: _Weights) -> Tensor:
        ctx.weights, ctx.dtype = weights, weight.dtype
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, Tensor | None, None]:
        weights: _Weights = ctx.weights
        maps, outputs = (torch.cat(part) for part in zip(*reversed(weights.steps), strict=True))
        weights.steps.clear()
        of_weight = conv2d_weight(maps, weights.weight.shape, outputs, padding=weights.padding)
        of_bias = None if weights.bias is None else outputs.sum((0, 2, 3), dtype=ctx.dtype)
        return of_weight.to(ctx.dtype), of_bias, None


class _Step(Function):
    """One step; the gradient of the weights goes through `_Sum`."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, total: Tensor, weight: Tensor, weights: _Weights) -> Tensor:
        ctx.weights = weights
        ctx.save_for_backward(maps, weight)  # the weight, so that PyTorch reports if it is changed in between
        return weights.forward(maps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weights, (maps, _) = ctx.weights, ctx.saved_tensors
        current = torch._C._current_graph_task_id()
        if weights.backward_pass != current:  # those of a pass in which the weights got no gradient
            weights.backward_pass, weights.steps = current, []
        weights.steps.append((maps, gradient))
        of_maps = weights.backward(gradient) if ctx.needs_input_grad[0] else None
        return of_maps, gradient.new_zeros(()), None, None


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
