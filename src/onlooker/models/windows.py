"""Statistics of windows of several lengths that end at a frame: of all frames of a video at once,
or of the last one.

With frames x_1 to x_n of a window, at each location, they are those of `LinearClassifier`, but a
change is divided by W - 1 whatever n is: Σ |x_τ - x_τ-1| is how far the features have moved, which
is as far in a slow event as in a fast one.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cosines"]

WAVES = 4
# frames whose windows are computed together: their sums fit in memory that is used again
_TOGETHER = 64
_COLUMNS = 16  # of a matrix: products with fewer take several times as long


def cosines(counts: Tensor, frames: int) -> Tensor:
    """√2/T cos(π k (τ + ½) / T) of the last T = `counts` of some frames, zero before these, and for
    k ≥ T: `B` to `B frames 4`.
    """
    T = counts[:, None, None]
    k = torch.arange(1, WAVES + 1, device=counts.device)
    times = torch.arange(frames, device=counts.device)[:, None] + (T - frames) + 0.5
    return (k < T) * (times > 0) * math.sqrt(2) / T * torch.cos(math.pi / T * k * times)


def newest_windows(
    frames: Tensor, seen: Tensor, positions: Tensor, *, lengths: Sequence[int], usual: int
) -> tuple[Tensor, Tensor]:
    """The statistics of the windows that end with the last frame, `B L M`; and how far their means
    are from the last frame, `B L D N`.

    A window that begins before the stream has only the frames of the stream; the change of one of W
    frames is divided by their number minus one.

    Args:
        frames: the last frames of a stream, `B T D N`, the newest last, as many as the longest
            window has; those before the stream are zero.
        seen: the number of frames of the stream, `B 1`.
        positions: u_i, `N 3`.
        lengths: L numbers of frames, ascending, at least 2.
        usual: W.
    """
    # Each window is the one before it and some earlier frames, which are added to its sums.
    # Differences from the newest frame: of what stands still, they are exactly zero.
    T = frames.shape[1]
    ages = torch.arange(T, 0, -1, device=frames.device)
    belongs = (ages <= seen).to(frames.dtype)[..., None, None]
    newest = frames[:, -1:]
    moved = (frames - newest).mul_(belongs)
    changes = moved.diff(dim=1).abs_().mul_(belongs[:, :-1])
    count = torch.minimum(seen, torch.tensor(lengths, dtype=seen.dtype, device=seen.device))
    parts = [slice(T - b, T - a) for a, b in pairwise((0, *lengths))]
    steps = [slice(T - b, T - a) for a, b in pairwise((1, *lengths))]
    mean = _added(moved[:, part].sum(1) for part in parts) / count[..., None, None]
    way = changes.mean(-1)
    is_usual = torch.tensor([n == usual for n in lengths], device=frames.device)
    divisor = (count - 1).clamp_min(1).where(is_usual, usual - 1)
    change = _added(way[:, part].sum(1) for part in steps) / divisor[..., None]
    highest = (changes[:, part].amax(1) for part in steps)
    largest = torch.stack([*accumulate(highest, torch.maximum)], 1)
    ordered = _newest_waves(moments_of(moved, positions), count)
    squares = moved.square_()
    square = _added(squares[:, part].sum(1) for part in parts) / count[..., None, None]
    spread = (square - mean.square()).clamp_min_(0).sqrt_()
    level = mean.mean(-1) + newest.mean(-1)
    return torch.cat((level, spread.mean(-1), change, largest.mean(-1), ordered), -1), mean


def moments_of(frames: Tensor, positions: Tensor) -> Tensor:
    """The average feature of frames, and its moments across and down: `B T D N` to `B T 3 D`.

    `positions`: u_i, `N 3`.
    """
    columns = F.pad(positions, (0, _COLUMNS - positions.shape[1]))
    moments = (frames @ columns)[..., : positions.shape[1]]
    return moments.transpose(2, 3) / len(positions)


def _newest_waves(moments: Tensor, count: Tensor) -> Tensor:
    """The statistics of order `B L 12*D` of the last `count`, `B L`, of moments `B T 3 D`, relative
    to those of the newest frame.
    """
    B, T = moments.shape[:2]
    table = cosines(count.flatten(), T).transpose(1, 2).reshape(B, -1, T)
    waves = (table @ moments.flatten(2)).unflatten(1, (-1, WAVES))
    return waves.unflatten(3, (moments.shape[2], -1)).transpose(2, 3).flatten(2)


def _added(parts: Iterable[Tensor]) -> Tensor:
    """The sum of the first of some parts `B …`, of the first two, and so on: `B L …`."""
    return torch.stack([*accumulate(parts)], 1)


def windows_of(frames: Tensor, moments: Tensor, lengths: Sequence[int], *, usual: int) -> Tensor:
    """The statistics of the windows that end at each frame of a video, `B T L M`; zero for one that
    begins before it.

    Args:
        frames: of the video, `B T D N`.
        moments: of these frames, `B T 3 D`.
        lengths: L numbers of frames, ascending, at least 2.
        usual: W.
    """
    B, T, D, _ = frames.shape
    result = frames.new_zeros(B, T, len(lengths), (4 + 3 * WAVES) * D)
    for first in range(0, T, _TOGETHER):
        begin = max(0, first - lengths[-1] + 1)
        part = slice(begin, first + _TOGETHER)
        for place, (n, values) in enumerate(
            _complete(frames[:, part], moments[:, part], lengths, usual=usual)
        ):
            new = values[:, max(0, first - begin - n + 1) :]
            result[:, max(first, n - 1) : first + _TOGETHER, place] = new
    return result


def _complete(
    frames: Tensor, moments: Tensor, lengths: Sequence[int], *, usual: int
) -> Iterator[tuple[int, Tensor]]:
    """The statistics of all windows of some frames, for each length: `B T-n+1 M`."""
    T = frames.shape[1]
    # Running sums of single precision would round away what changes little; Apple's GPUs have no
    # other one.
    exact = torch.float32 if frames.device.type == "mps" else torch.float64
    start = frames[:, :1].to(exact)
    moved = frames.to(exact) - start
    changes = frames.diff(dim=1).abs()
    levels = _running(moved.mean(-1))
    ways = _running(changes.mean(-1).to(exact))
    sums = _running(moved)
    squares = _running(moved.square_())
    for n in lengths:
        if n > T:
            return
        way = sums[:, n:] - sums[:, :-n]
        square = (squares[:, n:] - squares[:, :-n]).mul_(n).addcmul_(way, way, value=-1)
        spread = square.clamp_min_(0).to(frames.dtype).sqrt_().mean(-1) / n
        level = (levels[:, n:] - levels[:, :-n]) / n + start.mean(-1)
        change = (ways[:, n - 1 :] - ways[:, : T - n + 1]) / (usual - 1)
        largest = _highest(changes, n - 1).mean(-1)
        unordered = torch.cat((level, spread, change, largest), -1)
        ordered = waves(moments.unfold(1, n, 1).movedim(-1, 2))
        yield n, torch.cat((unordered.to(frames.dtype), ordered), -1)


def _running(values: Tensor) -> Tensor:
    """The sum of the first t of `B T …`, for t from 0: `B T+1 …`."""
    sums = values.new_empty(len(values), values.shape[1] + 1, *values.shape[2:])
    sums[:, 0] = 0
    torch.cumsum(values, 1, out=sums[:, 1:])
    return sums


def _highest(values: Tensor, count: int) -> Tensor:
    """The maximum of each `count` consecutive ones of `B T …`: `B T-count+1 …`, by doubling."""
    covered = 1
    while covered < count:
        step = min(covered, count - covered)
        values = torch.maximum(values[:, :-step], values[:, step:])
        covered += step
    return values


def waves(moments: Tensor) -> Tensor:
    """The statistics of order `… 12*D` of windows of moments `… n 3 D`."""
    n = moments.shape[-3]
    moments = moments - moments.mean(-3, keepdim=True)
    table = cosines(torch.tensor([n]), n)[0].to(moments)
    return torch.einsum("...njd,nk->...jkd", moments, table).flatten(-3)
