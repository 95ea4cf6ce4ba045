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
from torch import Tensor

__all__ = ["cosines"]

WAVES = 4
# frames whose windows are computed together: their sums fit in memory that is used again
_TOGETHER = 64


def cosines(counts: Tensor, frames: int) -> Tensor:
    """√2/T cos(π k (τ + ½) / T) of the last T = `counts` of some frames, zero before these, and for
    k ≥ T: `B` to `B frames 4`.
    """
    T = counts[:, None, None]
    k = torch.arange(1, WAVES + 1, device=counts.device)
    times = torch.arange(frames, device=counts.device)[:, None] + (T - frames) + 0.5
    return (k < T) * (times > 0) * math.sqrt(2) / T * torch.cos(math.pi / T * k * times)


def newest_windows(frames: Tensor, moments: Tensor, lengths: Sequence[int], usual: int) -> Tensor:
    """The statistics of the windows that end with the last frame: `B L M`.

    Args:
        frames: the last frames of a stream, `B T D N`, the newest last, as many as the longest
            window has.
        moments: of these frames, `B T 3 D`.
        lengths: L numbers of frames, ascending, at least 2.
        usual: W.
    """
    # Each window is the one before it and some earlier frames, which are added to its sums.
    T = frames.shape[1]
    newest = frames[:, -1:]
    parts = [frames[:, T - b : T - a] for a, b in pairwise((0, *lengths))]
    moved = [part - newest for part in parts]
    changes = frames[:, T - lengths[-1] :].diff(dim=1).abs_()
    steps = [changes[:, lengths[-1] - b : lengths[-1] - a] for a, b in pairwise((1, *lengths))]
    count = torch.tensor(lengths, dtype=frames.dtype, device=frames.device)[:, None, None]
    mean = _added(part.sum(1) for part in moved) / count
    square = _added(part.square().sum(1) for part in moved) / count
    spread = (square - mean.square()).clamp_min(0).sqrt()
    change = _added(part.sum(1) for part in steps) / (usual - 1)
    largest = torch.stack([*accumulate((part.amax(1) for part in steps), torch.maximum)], 1)
    unordered = [mean + newest, spread, change, largest]
    ordered = [waves(moments[:, T - n :]) for n in lengths]
    return torch.cat([*(each.mean(-1) for each in unordered), torch.stack(ordered, 1)], -1)


def _added(parts: Iterable[Tensor]) -> Tensor:
    """The sum of the first of some parts `B D N`, of the first two, and so on: `B L D N`."""
    return torch.stack([*accumulate(parts)], 1)


def windows_of(frames: Tensor, moments: Tensor, lengths: Sequence[int], usual: int) -> Tensor:
    """The statistics of the windows that end at each frame of a video, `B T L M`; zero for one that
    begins before it.

    The arguments are those of `newest_windows`, for all T frames of the video.
    """
    B, T, D, _ = frames.shape
    result = frames.new_zeros(B, T, len(lengths), (4 + 3 * WAVES) * D)
    for first in range(0, T, _TOGETHER):
        begin = max(0, first - lengths[-1] + 1)
        part = slice(begin, first + _TOGETHER)
        for place, (n, values) in enumerate(
            _complete(frames[:, part], moments[:, part], lengths, usual)
        ):
            new = values[:, max(0, first - begin - n + 1) :]
            result[:, max(first, n - 1) : first + _TOGETHER, place] = new
    return result


def _complete(
    frames: Tensor, moments: Tensor, lengths: Sequence[int], usual: int
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
