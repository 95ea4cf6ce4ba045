"""A fully connected layer whose weights are the work: a hundred million of them, multiplied with few frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEW = 128  # rows below which a copy of the weights in half precision takes longer than the multiplication saves


class WideLinear(nn.Linear):
    """`Linear`, but under autocast on a processor few rows are multiplied in float32.

    Autocast writes the weights anew in bfloat16 at every call, and their gradient back. For the 102 million weights of
    `DCN` and 32 frames this was more than a third of a training step.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`N D_in -> N D_out`."""
        if input.device.type != "cpu" or len(input) >= _FEW or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return F.linear(input.float(), self.weight, self.bias)
