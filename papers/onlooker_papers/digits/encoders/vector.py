"""Parts of the encoders that return one vector per frame, as a 1×1 map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# rows below which a bfloat16 copy of the weights takes longer than the multiplication saves
_FEW = 128


class VectorEncoder(nn.Module):
    """An encoder whose feature map has a single location."""

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """`(1, 1)`."""
        return 1, 1


class WideLinear(nn.Linear):
    """`Linear`; under autocast on a CPU, small batches are multiplied in float32.

    Autocast copies the weights to bfloat16 at every call, and their gradient back. For the 102
    million weights of `DCN` and 32 frames this was more than a third of a training step.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`N D_in -> N D_out`."""
        if input.device.type != "cpu" or len(input) >= _FEW or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return F.linear(input.float(), self.weight, self.bias)


def pooled_block(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution without bias, max-pool 2, batch norm and ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.MaxPool2d(2), nn.BatchNorm2d(out_channels), nn.ReLU())


def init_xavier(*layers: nn.Module) -> None:
    """Initialize convolutions and linear layers with Xavier-uniform weights and zero biases."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
