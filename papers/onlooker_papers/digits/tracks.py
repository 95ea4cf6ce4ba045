"""Windows that share what is in a frame among them, follow it for some frames, and read them together."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.ops.spatial_transformer import cell_centers, spatial_transform

_WINDOW = 32  # height and width of what a window shows
_GRID = 32  # places along the shorter side of a frame among which things are sought
# Lengths, where a frame runs from -1 to 1.
_BLUR = 0.16  # standard deviation of the Gaussian within which a thing's parts belong together, before it is found
_REACH = 0.31  # of that around a thing that has been found, in which no other is sought
_SOFTNESS = 0.125  # of the border between two things: σ
_TURNS = 3  # of the search
_MARGIN = 1.8  # half a window, in root mean square radii of its thing
_SMALLEST, _LARGEST = 0.2, 0.6  # half a window
_CHANNELS = (32, 64, 128)
_MOST_ORDERS = 4096
_TINY = 1e-6


class Tracks(nn.Module):
    """Some things, each followed through a stretch of frames, and described by what all of them show of it.

    A torn, turned or covered thing is hard to read in one frame. Where it keeps its look for some frames, their windows
    can be laid on each other, if they lie on it exactly: an early fusion, before anything is read.

    Windows need no weights. What stands out from the background (the median of the frame) is shared among the things by
    soft k-means, which is slot attention (Locatello et al. 2020) with places for keys and no parameters:

        m_i = |x_i - median(x)|                        averaged over the channels, and to some 32 places a side
        r_gi = softmax_g(-|p_i - c_g|² / 2σ²)          whose a place is
        c_g ← Σ_i r_gi m_i p_i / Σ_i r_gi m_i          three times

    from the highest places of m, blurred, each out of reach of those before (inhibition of return, Itti, Koch &
    Niebur 1998). Half a window is 1.8 root mean square radii of its thing, on average over the stretch, and .2 to .6 of
    half a frame. Things are matched between frames by the smoothest paths: of all orders those with the
    least Σ|c_t - 2c_{t-1} + c_{t-2}|.

    Each window shows the frame less its background, and that times r, both at 32×32: conv 5×5→32, then the mean and
    the maximum over the stretch, conv 3×3→64, 3×3→128, each with max-pool 2, batch norm and ReLU; fully connected,
    ReLU. The same weights for all things.

    Args:
        in_channels: C of the frames.
        things: how many (G).
        stretch: frames that are read together (L).
        width: numbers that describe a thing.

    Raises:
        ValueError: no thing, no frame, or more orders than can be tried.
    """

    orders: Tensor

    def __init__(self, in_channels: int = 1, things: int = 2, stretch: int = 5, width: int = 128) -> None:
        super().__init__()
        if things < 1 or stretch < 1:
            raise ValueError(f"{things} things through {stretch} frames, expected at least one of each")
        if (count := math.factorial(things) ** (stretch - 1)) > _MOST_ORDERS:
            raise ValueError(
                f"{things} things through {stretch} frames can be ordered in {count} ways, and {_MOST_ORDERS} are "
                "tried at most; follow fewer, or through fewer frames"
            )
        self.things, self.stretch, self.num_features = things, stretch, things * width
        same = tuple(range(things))
        orders = [(same, *later) for later in itertools.product(itertools.permutations(same), repeat=stretch - 1)]
        self.register_buffer("orders", torch.tensor(orders), persistent=False)  # O L G
        first, second, third = _CHANNELS
        self.low = _block(2 * in_channels, first, 5)
        self.high = nn.Sequential(
            _block(2 * first, second, 3), _block(second, third, 3),
            nn.Flatten(), nn.Linear(third * (_WINDOW // 8) ** 2, width), nn.ReLU(),
        )  # fmt: skip

    def forward(self, stretches: Tensor) -> Tensor:
        """`N L C H W -> N G·width`: the vectors of the things, which come in no particular order."""
        N, L = stretches.shape[:2]
        seen = self.transform(stretches).to(stretches.dtype)
        low = self.low(seen.flatten(0, 2).contiguous(memory_format=torch.channels_last))
        low = low.unflatten(0, (N, L, self.things))
        together = torch.cat((low.mean(1), low.amax(1)), 2).flatten(0, 1)
        vectors: Tensor = self.high(together.contiguous(memory_format=torch.channels_last))
        return vectors.view(N, self.num_features)

    @torch.no_grad()
    def windows(self, stretches: Tensor) -> Tensor:
        """Where the windows lie, for `spatial_transform`: `N L C H W -> N L G 2 3`; g is one thing in all L frames."""
        frames = _foreground(stretches.flatten(0, 1))
        return _framed(*self._followed(frames, len(stretches))).unflatten(0, stretches.shape[:2])

    @torch.no_grad()
    def transform(self, stretches: Tensor) -> Tensor:
        """What they show, and that weighed by whose it is: `N L C H W -> N L G 2C 32 32`."""
        frames = _foreground(stretches.flatten(0, 1))
        centers, half = self._followed(frames, len(stretches))
        seen = spatial_transform(frames, _framed(centers, half), (_WINDOW, _WINDOW))  # NL G C 32 32
        inside = cell_centers(_WINDOW, _WINDOW).to(centers) * half[..., None, None]  # NL G 1024 2, around the center
        shares = torch.stack(
            [_shares(inside[:, g] + centers[:, g, None], centers)[:, g] for g in range(self.things)], 1
        )
        own = seen * shares.unflatten(2, (1, _WINDOW, _WINDOW)).to(seen.dtype)
        return torch.cat((seen, own), 2).unflatten(0, stretches.shape[:2])

    def _followed(self, frames: Tensor, stretches: int) -> tuple[Tensor, Tensor]:
        """Centers `NL G 2` and half windows `NL G` in frames that are black but for the things."""
        with torch.autocast(frames.device.type, enabled=False):  # places in bfloat16 would be a quarter of a pixel off
            centers, radii = find_things(frames, self.things)
        centers, radii = (part.unflatten(0, (stretches, -1)) for part in (centers, radii))
        order = self._smoothest(centers)
        centers = centers.gather(2, order[..., None].expand_as(centers))
        half = (_MARGIN * radii.gather(2, order).mean(1, keepdim=True)).clamp(_SMALLEST, _LARGEST)
        return centers.flatten(0, 1), half.expand_as(radii).flatten(0, 1)

    def _smoothest(self, centers: Tensor) -> Tensor:
        """Which thing is which in each frame, `N L G`, by the least acceleration; in two frames, by the way between."""
        shape = len(centers), *self.orders.shape, 2
        paths = centers[:, None].expand(shape).gather(3, self.orders[None, ..., None].expand(shape))
        changes = paths.diff(n=min(2, self.stretch - 1), dim=2)
        return self.orders[changes.norm(dim=-1).sum((2, 3)).argmin(1)]


def find_things(frames: Tensor, things: int) -> tuple[Tensor, Tensor]:
    """Share what is not black among things by soft k-means: `Tracks` has the equations.

    Args:
        frames: `N C H W`, 0 where there is nothing.
        things: how many (G).

    Returns:
        Centers `N G 2`, x and y from -1 to 1, and root mean square radii `N G` in the same unit; of an empty frame its
        middle and 0.
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
    """Of a map `N 1 h w` the highest places once it is blurred, each out of reach of those before, `N G 2`."""
    blurred = mass
    for dim in (2, 3):
        cell = 2 / mass.shape[dim]
        reach = math.ceil(3 * _BLUR / cell)
        weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) * cell / _BLUR) ** 2).to(mass)
        shape, padding = ((-1, 1), (reach, 0)) if dim == 2 else ((1, -1), (0, reach))
        blurred = F.conv2d(blurred, (weights / weights.sum()).view(1, 1, *shape), padding=padding)
    left, chosen = blurred.flatten(1), []
    for _ in range(things):
        chosen.append(places[left.argmax(1)])  # N 2
        away = (places - chosen[-1][:, None]).square().sum(2)
        left = left * (1 - torch.exp(-0.5 * away / _REACH**2))
    return torch.stack(chosen, 1)


def _shares(places: Tensor, centers: Tensor) -> Tensor:
    """Whose each place is: places `P 2` or `N P 2`, centers `N G 2`, to `N G P`, 1 in sum over the things."""
    away = (places.view(-1, 1, *places.shape[-2:]) - centers[:, :, None]).square().sum(3)
    return (-0.5 * away / _SOFTNESS**2).softmax(1)


def _mean(weights: Tensor, places: Tensor) -> Tensor:
    """The mean of places `P 2` by weights `N G P`, `N G 2`."""
    return weights @ places / weights.sum(2, keepdim=True).clamp_min(_TINY)


def _foreground(frames: Tensor) -> Tensor:
    """Frames `N C H W` less the median of each channel, in single precision at least."""
    frames = frames.to(torch.promote_types(frames.dtype, torch.float32))
    return frames - frames.flatten(2).median(2).values[..., None, None]


def _framed(centers: Tensor, half: Tensor) -> Tensor:
    """Windows `… 2 3` around centers `… 2` that reach `half` to each side, as shares of the frame."""
    return torch.cat((half[..., None, None] * torch.eye(2).to(centers), centers[..., None]), -1)


def _block(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.MaxPool2d(2), nn.BatchNorm2d(out_channels), nn.ReLU())
