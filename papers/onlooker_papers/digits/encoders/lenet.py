"""The LeNet of Shan & Atanasov 2017."""

import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.encoders.vector import VectorEncoder, init_xavier


class LeNet(VectorEncoder):
    """conv 5×5→20, ReLU, pool 2; conv 5×5→50, ReLU, pool 2; fully connected 500, ReLU (Shan &
    Atanasov 2017, figure 1).

    With their `Linear(500, 10)` on top and 64×64 gray frames it has the published 6,431,080
    parameters.

    Args:
        in_channels: C of the frames.
        size: their height and width, a multiple of 4.
    """

    num_features = 500

    def __init__(self, in_channels: int = 1, size: int = 64) -> None:
        super().__init__()
        if size % 4:
            raise ValueError(f"lenet pools twice by two: size is {size}, expected a multiple of 4")
        self.conv1 = nn.Conv2d(in_channels, 20, 5, padding="same")
        self.conv2 = nn.Conv2d(20, 50, 5, padding="same")
        self.fc = nn.Linear(50 * (size // 4) ** 2, self.num_features)
        init_xavier(self.conv1, self.conv2, self.fc)

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N 500 1 1`."""
        x = F.max_pool2d(F.relu(self.conv1(frames)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.relu(self.fc(x.flatten(1)))[:, :, None, None]
