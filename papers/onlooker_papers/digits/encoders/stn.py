"""The spatial transformer network of Shan & Atanasov 2017."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.encoders.vector import VectorEncoder, WideLinear, init_xavier
from onlooker_papers.digits.sampling.spatial_transformer import spatial_transform

_WINDOW = 32  # height and width at which the window is sampled


class STN(VectorEncoder):
    """A localization network chooses an affine window, which is resampled and encoded (Jaderberg et
    al. 2015).

    Localization: max-pool 2, conv 5×5→20, max-pool 2, conv 5×5→20 (both "valid", without
    activation), fully connected 50, ReLU, fully connected 6, which starts at the identity. On the
    window: conv 5×5→20, ReLU, conv 5×5→50, ReLU (both "same", no pooling), fully connected 500,
    ReLU.

    With `Linear(500, 10)` on top and 64×64 gray frames it has 25,741,976 parameters: localization
    520 + 10,020 + 100,050 + 306, convolutions 520 + 25,050, fully connected 25,600,500 + 5,010.

    Args:
        in_channels: C of the frames.
        size: their height and width, at least 28.
        literal: the window is sampled as in the authors' code; see `spatial_transform`.

    Raises:
        ValueError: frames that are too small for the localization network.
    """

    num_features = 500

    def __init__(self, in_channels: int = 1, size: int = 64, literal: bool = False) -> None:
        super().__init__()
        self.literal = literal
        side = (size // 2 - 4) // 2 - 4
        if side < 1:
            raise ValueError(
                f"stn pools and convolves the frame before it looks: size is {size}, expected at least 28"
            )
        self.localization = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(in_channels, 20, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 20, 5),
            nn.Flatten(),
            nn.Linear(20 * side**2, 50),
            nn.ReLU(),
        )
        self.theta = nn.Linear(50, 6)
        self.conv1 = nn.Conv2d(in_channels, 20, 5, padding="same")
        self.conv2 = nn.Conv2d(20, 50, 5, padding="same")
        self.fc = WideLinear(50 * _WINDOW**2, self.num_features)
        init_xavier(*self.modules())
        nn.init.zeros_(self.theta.weight)
        with torch.no_grad():
            self.theta.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def windows(self, frames: Tensor) -> Tensor:
        """The window of each frame, as `spatial_transform` takes it: `N C H W -> N 2 3`."""
        theta: Tensor = self.theta(self.localization(frames))
        return theta.view(-1, 2, 3)

    def transform(self, frames: Tensor) -> Tensor:
        """The sampled windows: `N C H W -> N C 32 32`."""
        return spatial_transform(
            frames, self.windows(frames), (_WINDOW, _WINDOW), literal=self.literal
        )

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N 500 1 1`."""
        x = F.relu(self.conv1(self.transform(frames)))
        x = F.relu(self.conv2(x))
        return F.relu(self.fc(x.flatten(1)))[:, :, None, None]
