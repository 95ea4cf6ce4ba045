"""MoViNet-A0-Stream: inverted residual blocks of depthwise 3-D convolutions, found by architecture search.

Kondratyuk et al. 2021, *MoViNets: Mobile Video Networks for Efficient Video Recognition* (arXiv
2103.11511), after the paper's table of A0. Batch norm has PyTorch's default momentum: the published
one (.99 in Keras) is for long trainings.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

__all__ = ["MoViNet"]

# For each layer: output channels, inner channels, kernel size in frames and pixels, spatial stride.
_A0 = (
    (8, 24, 1, 5, 2),
    (32, 80, 3, 3, 2),
    (32, 80, 3, 3, 1),
    (32, 80, 3, 3, 1),
    (56, 184, 5, 3, 2),
    (56, 112, 3, 3, 1),
    (56, 184, 3, 3, 1),
    (56, 184, 5, 3, 1),
    (56, 184, 3, 3, 1),
    (56, 184, 3, 3, 1),
    (56, 184, 3, 3, 1),
    (104, 384, 5, 3, 2),
    (104, 280, 1, 5, 1),
    (104, 280, 1, 5, 1),
    (104, 344, 1, 5, 1),
)
_STEM = 8
_LAST = 480
_HEAD = 2048
# before the classes; stochastic depth of the last layer, which grows linearly from 0
_DROPOUT = 0.2
_DROP_PATH = 0.2
# channels of squeeze-and-excitation, rounded to multiples of 8
_SQUEEZE = 0.25
_MULTIPLE = 8

# What the layers keep from earlier frames: a list of tensors, in the order in which the layers use
# them.
State = list[Tensor]


class MoViNet(nn.Module):
    """MoViNet-A0-Stream: convolutions and means look at earlier frames alone (section 3.2: stream
    buffers, cumulative global average pooling).

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, _STEM, kernel=(1, 3, 3), stride=2), nn.SiLU())
        channels = _STEM
        layers = []
        for number, (out, inner, frames, pixels, stride) in enumerate(_A0):
            drop = _DROP_PATH * number / len(_A0)
            layers.append(
                Layer(
                    channels,
                    out,
                    inner=inner,
                    kernel=(frames, pixels, pixels),
                    stride=stride,
                    drop=drop,
                )
            )
            channels = out
        self.layers = nn.ModuleList(layers)
        self.last = nn.Sequential(
            *_convolution(channels, _LAST, kernel=(1, 1, 1), stride=1), nn.SiLU()
        )
        self.pool = Pool()
        self.head = nn.Sequential(
            nn.Linear(_LAST, _HEAD), nn.SiLU(), nn.Dropout(_DROPOUT), nn.Linear(_HEAD, num_classes)
        )
        self.to(memory_format=torch.channels_last_3d)

    def frame_logits(self, video: Tensor, state: State) -> tuple[Tensor, State]:
        """`B T C H W` to logits `B T K`, and the state after these frames; [] at the start."""
        x = self.stem(video.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d))
        before = iter(state)
        after = State()
        for layer in self.layers:
            x = layer(x, before, after)
        x = self.pool(self.last(x), before, after)
        return self.head(x.flatten(2).transpose(1, 2)), after

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame `B C H W` of a stream to the logits `B K` of all frames so far, and the state
        after it.
        """
        logits, state = self.frame_logits(frame[:, None], state or [])
        return logits[:, 0], state


class Layer(nn.Module):
    """An inverted residual block: wide, depthwise in space and time, squeeze-and-excitation, narrow
    again.

    A learned factor, initially zero, scales the residual. If the shape of the map changes, the
    shortcut is a mean over 3×3 pixels (if strided) and a 1×1 convolution.
    """

    def __init__(
        self,
        given: int,
        out: int,
        *,
        inner: int,
        kernel: tuple[int, int, int],
        stride: int,
        drop: float,
    ) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            *_convolution(given, inner, kernel=(1, 1, 1), stride=1), nn.SiLU()
        )
        self.depthwise = TemporalConv(inner, kernel, stride)
        self.norm = nn.Sequential(nn.BatchNorm3d(inner, 1e-3), nn.SiLU())
        self.excite = SqueezeExcitation(inner)
        self.project = nn.Sequential(*_convolution(inner, out, kernel=(1, 1, 1), stride=1))
        self.factor = nn.Parameter(torch.zeros(1))
        self.drop = StochasticDepth(drop, "row")
        shortcut: list[nn.Module] = (
            [nn.AvgPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1), count_include_pad=False)]
            if stride > 1
            else []
        )
        if stride > 1 or given != out:
            shortcut += _convolution(given, out, kernel=(1, 1, 1), stride=1)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor, before: Iterator[Tensor], after: State) -> Tensor:
        """`B D T h w` to a map of `out` channels; the state from earlier frames is taken from
        `before`.
        """
        inner = self.norm(self.depthwise(self.expand(x), before, after))
        return self.shortcut(x) + self.drop(
            self.factor * self.project(self.excite(inner, before, after))
        )


class TemporalConv(nn.Conv3d):
    """A depthwise convolution over current and earlier frames."""

    def __init__(self, channels: int, kernel: tuple[int, int, int], stride: int) -> None:
        padding = (0, kernel[1] // 2, kernel[2] // 2)
        super().__init__(
            channels, channels, kernel, (1, stride, stride), padding, groups=channels, bias=False
        )
        self.earlier = kernel[0] - 1

    def forward(self, x: Tensor, before: Iterator[Tensor], after: State) -> Tensor:  # type: ignore[override]
        """`B D T h w` to as many frames."""
        if self.earlier:
            x = torch.cat(
                (next(before, x.new_zeros(*x.shape[:2], self.earlier, *x.shape[3:])), x), 2
            )
            after.append(x[:, :, -self.earlier :])
        return super().forward(x)


class Pool(nn.Module):
    """At each frame the mean over space and all frames so far."""

    def forward(self, x: Tensor, before: Iterator[Tensor], after: State) -> Tensor:
        """`B D T h w` to `B D T 1 1`."""
        means = x.mean((3, 4), keepdim=True)
        counts = torch.ones_like(means[:, :1])
        total = next(before, torch.zeros_like(means[:, :, :1])) + means.cumsum(2)
        count = next(before, torch.zeros_like(counts[:, :, :1])) + counts.cumsum(2)
        after += [total[:, :, -1:], count[:, :, -1:]]
        return total / count


class SqueezeExcitation(nn.Module):
    """Channels weighted by a sigmoid of their means (Hu et al. 2018), with a quarter of the
    channels between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(_MULTIPLE, int(_SQUEEZE * channels + _MULTIPLE / 2) // _MULTIPLE * _MULTIPLE)
        self.pool = Pool()
        self.weights = nn.Sequential(
            nn.Conv3d(channels, inner, 1), nn.SiLU(), nn.Conv3d(inner, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor, before: Iterator[Tensor], after: State) -> Tensor:
        """`B D T h w` to the same."""
        return x * self.weights(self.pool(x, before, after))


def _convolution(
    given: int, out: int, *, kernel: tuple[int, int, int], stride: int
) -> list[nn.Module]:
    padding = (0, kernel[1] // 2, kernel[2] // 2)
    return [
        nn.Conv3d(given, out, kernel, (1, stride, stride), padding, bias=False),
        nn.BatchNorm3d(out, 1e-3),
    ]
