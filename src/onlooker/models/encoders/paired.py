"""Two encoders side by side: one sees the picture, one the optical flow that is stacked behind it."""

import torch
from torch import Tensor, nn

__all__ = ["Paired"]


class Paired(nn.Module):
    """The features of picture and flow, one behind the other, for models in which motion says where to look.

    Args:
        picture: sees the first channels.
        flow: sees the last `flow_channels`, which are 2 for one field of displacements, 20 for a stack of ten.
        flow_channels: how many.

    Raises:
        ValueError: the two make maps of different grids.
    """

    def __init__(self, picture: nn.Module, flow: nn.Module, flow_channels: int) -> None:
        super().__init__()
        self.picture, self.flow, self.flow_channels = picture, flow, flow_channels
        self.num_features: int = picture.num_features + flow.num_features  # type: ignore[operator, assignment]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """That of both."""
        grids = {encoder.grid(height, width) for encoder in (self.picture, self.flow)}  # type: ignore[operator]
        if len(grids) > 1:
            raise ValueError(f"picture and flow are encoded on the grids {sorted(grids)}, expected one for both")
        found: tuple[int, int] = grids.pop()
        return found

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`, the picture's features first."""
        picture, flow = frames.tensor_split((frames.shape[1] - self.flow_channels,), 1)
        # Contiguous in the order that the convolutions want, which a part of the channels is not.
        parts = (part.contiguous(memory_format=torch.channels_last) for part in (picture, flow))
        return torch.cat([encoder(part) for encoder, part in zip((self.picture, self.flow), parts, strict=True)], 1)
