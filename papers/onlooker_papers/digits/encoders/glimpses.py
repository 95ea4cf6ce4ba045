"""A recurrent spatial transformer: several windows per frame, one after the other, for scenes with
several objects.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.encoders.vector import VectorEncoder, pooled_block
from onlooker_papers.digits.sampling.spatial_transformer import cell_centers, spatial_transform

_WINDOW = 32  # height and width of a sampled window
_WIDTH = 64  # features of a window
_PLACES = 32  # channels of the map on which windows are chosen
_STATE = 32  # units of the recurrent cell
# Height and width of a window as a share of the frame's. A larger window would cover two objects,
# because training has no other label than the class.
_SMALLEST = 0.3
_START = 0.45
_LARGEST = 0.5
# initial value; high enough that the softmax selects one object, not the middle between two
_GAIN = 5.0
# standard deviation, in half windows, of the Gaussian that excludes regions of earlier windows
_REACH = 0.7


class Glimpses(VectorEncoder):
    """A recurrent cell chooses windows of the frame one after the other; convolutions encode each
    at 32×32.

    One transform per glimpse, from a recurrent cell, as in Sønderby et al. 2015 and AIR (Eslami et
    al. 2016). A window is placed where the frame differs from its mean and no earlier window was
    (saliency and inhibition of return, Itti, Koch & Niebur 1998), so that windows cover different
    objects even before training:

        X = localization network(frame), d_i = |x_i - mean(x)|² averaged over 3×3 places, divided by
        its mean r_i = 2 σ(x_i · W_q s_{g-1} / √32)                   relevance, given the earlier
        windows u_i = Π_{j<g} (1 - exp(-½ |(p_i - c_j) / (.7 z_j)|²))  not covered by them a =
        softmax_i(γ d_i r_i u_i),  c_g = Σ a_i p_i        places p from -1 to 1, center of the
        window s_g = GRU([Σ a_i x_i, c_g], s_{g-1}),  z_g = .3 + .2 σ(W_z s_g + b_z)   half its
        width and height

    The softmax over locations, instead of a fully connected layer, makes localization
    translation-equivariant. For two equally salient objects, it gives the middle between them.
    Windows are not rotated.

    Localization: conv 5×5→16 with stride 2, max-pool 2, conv 3×3→32. On the windows: conv 5×5→16,
    3×3→32, 3×3→64, each with max-pool 2, then fully connected 64, ReLU; the same weights for all
    glimpses. Batch norm and ReLU after every convolution. For gray frames and any number of
    glimpses it has 102,019 parameters: localization 400 + 4,608 + 96, recurrent 1,056 + 6,528 + 66
    + 1, on the windows 400 + 4,608 + 18,432 + 224 + 65,600.

    Args:
        in_channels: C of the frames.
        glimpses: windows per frame (G).
    """

    def __init__(self, in_channels: int = 1, glimpses: int = 2) -> None:
        super().__init__()
        self.glimpses = glimpses
        self.num_features = glimpses * _WIDTH
        self.localization = nn.Sequential(
            nn.Conv2d(in_channels, 16, 5, 2, 2, bias=False),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, _PLACES, 3, 1, 1, bias=False),
            nn.BatchNorm2d(_PLACES),
            nn.ReLU(),
        )
        self.query = nn.Linear(_STATE, _PLACES)
        self.cell = nn.GRUCell(_PLACES + 2, _STATE)
        self.extent = nn.Linear(_STATE, 2)
        self.log_gain = nn.Parameter(torch.tensor(math.log(_GAIN)))
        self.recognition = nn.Sequential(
            *pooled_block(in_channels, 16, 5),
            *pooled_block(16, 32, 3),
            *pooled_block(32, 64, 3),
            nn.Flatten(),
            nn.Linear(64 * (_WINDOW // 8) ** 2, _WIDTH),
            nn.ReLU(),
        )
        nn.init.zeros_(self.extent.weight)
        nn.init.constant_(self.extent.bias, math.log((_START - _SMALLEST) / (_LARGEST - _START)))

    def windows(self, frames: Tensor) -> Tensor:
        """The windows of each frame, in order, as `spatial_transform` takes them: `N C H W -> N G 2
        3`.
        """
        features = self.localization(frames)
        # In bfloat16, coordinates would be off by a quarter of a pixel.
        with torch.autocast(frames.device.type, enabled=False):
            return self._choose(features.to(torch.promote_types(features.dtype, torch.float32)))

    def transform(self, frames: Tensor) -> Tensor:
        """The sampled windows: `N C H W -> N G C 32 32`."""
        return spatial_transform(frames, self.windows(frames), (_WINDOW, _WINDOW))

    def forward(self, frames: Tensor) -> Tensor:
        """`N C H W -> N 64·G 1 1`: the vectors of the windows, in order."""
        windows = self.transform(frames).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.recognition(windows).view(len(frames), self.num_features, 1, 1)

    def _choose(self, features: Tensor) -> Tensor:
        """The localization network's output `N D h w` to windows `N G 2 3`."""
        N, D, h, w = features.shape
        places = cell_centers(h, w).to(features)  # h*w 2
        left = self.log_gain.exp() * contrast(features).flatten(1)  # N h*w
        features = features.flatten(2)
        state = features.new_zeros(N, _STATE)
        windows = []
        for _ in range(self.glimpses):
            relevance = 2 * torch.sigmoid(
                torch.bmm(self.query(state)[:, None], features)[:, 0] / math.sqrt(D)
            )
            attention = (left * relevance).softmax(1)
            center = attention @ places
            content = torch.bmm(features, attention[:, :, None])[:, :, 0]
            state = self.cell(torch.cat((content, center), 1), state)
            half = _SMALLEST + (_LARGEST - _SMALLEST) * torch.sigmoid(self.extent(state))
            windows.append(torch.cat((torch.diag_embed(half), center[:, :, None]), 2))
            away = (places - center[:, None]) / (_REACH * half[:, None])
            left = left * (1 - torch.exp(-0.5 * away.square().sum(2)))
        return torch.stack(windows, 1)


def contrast(features: Tensor) -> Tensor:
    """`N D h w -> N h w`: squared distance of the features at a location from the mean of the map,
    averaged over 3×3.

    Normalized to a mean of 1; 0 for a constant map.
    """
    distance = (features - features.mean((2, 3), keepdim=True)).square().mean(1, keepdim=True)
    distance = F.avg_pool2d(distance, 3, 1, 1)[:, 0]
    return distance / (distance.mean((1, 2), keepdim=True) + 1e-6)
