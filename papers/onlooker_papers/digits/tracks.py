"""Windows that divide the foreground of a frame, track objects for some frames, and encode all
frames together.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.encoders.vector import pooled_block
from onlooker_papers.digits.sampling.spatial_transformer import cell_centers, spatial_transform

_WINDOW = 32  # height and width of a window's view
_GRID = 32  # locations along the shorter side of a frame at which objects are searched
# Lengths in coordinates in which a frame extends from -1 to 1.
_BLUR = (
    0.16  # standard deviation of the Gaussian that joins the parts of an object before the search
)
# standard deviation of the Gaussian around a found object in which no other one is searched
_REACH = 0.31
_SOFTNESS = 0.125  # σ of the border between two objects
_TURNS = 3  # iterations of k-means
_MARGIN = 1.8  # half a window, in root mean square radii of its object
# limits of half a window
_SMALLEST = 0.2
_LARGEST = 0.6
_CHANNELS = (32, 64, 128)
_TINY = 1e-6


class Tracks(nn.Module):
    """Tracks objects through a group of frames, and encodes each object from all frames of the
    group.

    A torn, rotated or occluded object is hard to recognize in one frame. If it keeps its appearance
    for some frames, exactly aligned windows of these frames can be combined before anything is
    recognized (early fusion).

    Windows have no weights. The foreground (the difference from the background, which is the median
    of the frame) is divided among the objects by soft k-means. This is slot attention (Locatello et
    al. 2020) with locations as keys and without parameters:

        m_i = |x_i - median(x)|                        averaged over channels, on about 32 locations
        per side r_gi = softmax_g(-|p_i - c_g|² / 2σ²)          share of object g in location i c_g
        ← Σ_i r_gi m_i p_i / Σ_i r_gi m_i          three iterations

    The initial centers are maxima of the blurred m, each at a distance from the previous ones
    (inhibition of return, Itti, Koch & Niebur 1998). Half a window is 1.8 root mean square radii of
    its object (mean over the group), limited to .2 to .6 of half a frame. Objects are matched
    between frames by the smoothest paths: the order with the smallest Σ|c_t - 2c_{t-1} + c_{t-2}|.

    The input of each window is the foreground of the frame, and the foreground times r, both at
    32×32: conv 5×5→32, then mean and maximum over the group, conv 3×3→64, 3×3→128, each with
    max-pool 2, batch norm and ReLU; fully connected, ReLU. All objects share the weights.

    Args:
        in_channels: C of the frames.
        things: number of objects (G).
        stretch: number of frames in a group (L).
        width: number of features of an object.
    """

    orders: Tensor

    def __init__(
        self, in_channels: int = 1, things: int = 2, stretch: int = 5, *, width: int = 128
    ) -> None:
        super().__init__()
        self.things = things
        self.stretch = stretch
        self.num_features = things * width
        same = tuple(range(things))
        orders = [
            (same, *later)
            for later in itertools.product(itertools.permutations(same), repeat=stretch - 1)
        ]
        self.register_buffer("orders", torch.tensor(orders), persistent=False)  # O L G
        first, second, third = _CHANNELS
        self.low = pooled_block(2 * in_channels, first, 5)
        self.high = nn.Sequential(
            pooled_block(2 * first, second, 3),
            pooled_block(second, third, 3),
            nn.Flatten(),
            nn.Linear(third * (_WINDOW // 8) ** 2, width),
            nn.ReLU(),
        )

    def forward(self, stretches: Tensor) -> Tensor:
        """`N L C H W -> N G·width`: the vectors of the objects, in no particular order."""
        N, L = stretches.shape[:2]
        seen = self.transform(stretches).to(stretches.dtype)
        low = self.low(seen.flatten(0, 2).contiguous(memory_format=torch.channels_last))
        low = low.unflatten(0, (N, L, self.things))
        together = torch.cat((low.mean(1), low.amax(1)), 2).flatten(0, 1)
        vectors: Tensor = self.high(together.contiguous(memory_format=torch.channels_last))
        return vectors.view(N, self.num_features)

    @torch.no_grad()
    def windows(self, stretches: Tensor) -> Tensor:
        """The windows for `spatial_transform`: `N L C H W -> N L G 2 3`; g is the same object in
        all L frames.
        """
        frames = _foreground(stretches.flatten(0, 1))
        return _framed(*self._followed(frames, len(stretches))).unflatten(0, stretches.shape[:2])

    @torch.no_grad()
    def transform(self, stretches: Tensor) -> Tensor:
        """The views of the windows, and the views times r: `N L C H W -> N L G 2C 32 32`."""
        frames = _foreground(stretches.flatten(0, 1))
        centers, half = self._followed(frames, len(stretches))
        seen = spatial_transform(frames, _framed(centers, half), (_WINDOW, _WINDOW))  # NL G C 32 32
        # NL G 1024 2, around the center
        inside = cell_centers(_WINDOW, _WINDOW).to(centers) * half[..., None, None]
        shares = torch.stack(
            [
                _shares(inside[:, g] + centers[:, g, None], centers)[:, g]
                for g in range(self.things)
            ],
            1,
        )
        own = seen * shares.unflatten(2, (1, _WINDOW, _WINDOW)).to(seen.dtype)
        return torch.cat((seen, own), 2).unflatten(0, stretches.shape[:2])

    def _followed(self, frames: Tensor, stretches: int) -> tuple[Tensor, Tensor]:
        """Centers `NL G 2` and half windows `NL G` in frames whose background is black."""
        # in bfloat16, coordinates would be a quarter of a pixel off
        with torch.autocast(frames.device.type, enabled=False):
            centers, radii = find_things(frames, self.things)
        centers, radii = (part.unflatten(0, (stretches, -1)) for part in (centers, radii))
        order = self.smoothest(centers)
        centers = centers.gather(2, order[..., None].expand_as(centers))
        half = (_MARGIN * radii.gather(2, order).mean(1, keepdim=True)).clamp(_SMALLEST, _LARGEST)
        return centers.flatten(0, 1), half.expand_as(radii).flatten(0, 1)

    def smoothest(self, centers: Tensor) -> Tensor:
        """The order of the objects in each frame, `N L G`: least acceleration; for two frames,
        least distance.
        """
        shape = len(centers), *self.orders.shape, 2
        paths = centers[:, None].expand(shape).gather(3, self.orders[None, ..., None].expand(shape))
        changes = paths.diff(n=min(2, self.stretch - 1), dim=2)
        return self.orders[changes.norm(dim=-1).sum((2, 3)).argmin(1)]


def find_things(frames: Tensor, things: int) -> tuple[Tensor, Tensor]:
    """Divide the foreground among objects by soft k-means; `Tracks` has the equations.

    Args:
        frames: `N C H W`, 0 in the background.
        things: number of objects (G).

    Returns:
        Centers `N G 2`, x and y from -1 to 1, and root mean square radii `N G` in the same unit; an
        empty frame has its center and 0.
    """
    factor = max(1, min(frames.shape[-2:]) // _GRID)
    h, w = (side // factor for side in frames.shape[-2:])
    mass = F.adaptive_avg_pool2d(frames.abs().mean(1, keepdim=True), (h, w))
    places = cell_centers(*mass.shape[-2:]).to(mass)  # P 2
    centers = _begin(mass, places, things)
    mass = mass.flatten(1)[:, None]  # N 1 P
    for _ in range(_TURNS):
        centers = _mean(_shares(places, centers) * mass, places)
    owned = _shares(places, centers) * mass
    away = (places - centers[:, :, None]).square().sum(3)  # N G P
    return centers, ((owned * away).sum(2) / owned.sum(2).clamp_min(_TINY)).sqrt()


def _begin(mass: Tensor, places: Tensor, things: int) -> Tensor:
    """The maxima of a blurred map `N 1 h w`, each at a distance from the previous ones: `N G 2`."""
    blurred = mass
    for dim in (2, 3):
        cell = 2 / mass.shape[dim]
        reach = math.ceil(3 * _BLUR / cell)
        weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) * cell / _BLUR) ** 2).to(mass)
        shape, padding = ((-1, 1), (reach, 0)) if dim == 2 else ((1, -1), (0, reach))
        blurred = F.conv2d(blurred, (weights / weights.sum()).view(1, 1, *shape), padding=padding)
    left = blurred.flatten(1)
    chosen = []
    for _ in range(things):
        chosen.append(places[left.argmax(1)])  # N 2
        away = (places - chosen[-1][:, None]).square().sum(2)
        left = left * (1 - torch.exp(-0.5 * away / _REACH**2))
    return torch.stack(chosen, 1)


def _shares(places: Tensor, centers: Tensor) -> Tensor:
    """The shares of objects in locations `P 2` or `N P 2`, given centers `N G 2`: `N G P`, which
    sum to 1 over G.
    """
    away = (places.view(-1, 1, *places.shape[-2:]) - centers[:, :, None]).square().sum(3)
    return (-0.5 * away / _SOFTNESS**2).softmax(1)


def _mean(weights: Tensor, places: Tensor) -> Tensor:
    """The mean of locations `P 2` with weights `N G P`: `N G 2`."""
    return weights @ places / weights.sum(2, keepdim=True).clamp_min(_TINY)


def _foreground(frames: Tensor) -> Tensor:
    """Frames `N C H W` minus the median of each channel, in single precision or higher."""
    frames = frames.to(torch.promote_types(frames.dtype, torch.float32))
    return frames - frames.flatten(2).median(2).values[..., None, None]


def _framed(centers: Tensor, half: Tensor) -> Tensor:
    """Windows `… 2 3` around centers `… 2`, with half side `half`, in coordinates of the frame."""
    return torch.cat((half[..., None, None] * torch.eye(2).to(centers), centers[..., None]), -1)
