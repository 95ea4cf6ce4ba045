"""Statistics of frames: of the frames so far of a clip, and of windows of several lengths that end
at each frame of a video, or at the newest frame of a stream.

Frames are features `B T D N` at N locations. M statistics are D columns for each of
`LinearClassifier.names`: mean, spread, change, largest, and 4 waves of each of 3 moments. They are
computed from frames x_1 to x_n of a window, but its change is divided by W - 1 whatever n is: Σ
|x_τ - x_τ-1| is how far the features have moved, which is as far in a slow event as in a fast one.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

WAVES = 4
# frames whose windows are computed together: their sums fit in memory that is used again
_TOGETHER = 64
_COLUMNS = 16  # of a matrix: products with fewer take several times as long


def interpolated(last: Tensor, arrived: Tensor, missed: int) -> list[Tensor]:
    """The features of frames that a stream has missed, between the frames before and after them."""
    shares = [place / (missed + 1) for place in range(1, missed + 1)]
    return [last.lerp(arrived, share) for share in shares]


def cosines(counts: Tensor, frames: int) -> Tensor:
    """√2/T cos(π k (τ + ½) / T) of the last T = `counts` of some frames, zero before these, and for
    k ≥ T: `B` to `B frames 4`.
    """
    T = counts[:, None, None]
    k = torch.arange(1, WAVES + 1, device=counts.device)
    times = torch.arange(frames, device=counts.device)[:, None] + (T - frames) + 0.5
    return (k < T) * (times > 0) * math.sqrt(2) / T * torch.cos(math.pi / T * k * times)


def spatial_moments(frames: Tensor, positions: Tensor) -> Tensor:
    """The average feature of frames, and its moments across and down: `B T D N` to `B T 3 D`.

    `positions`: u_i, `N 3`.
    """
    columns = F.pad(positions, (0, _COLUMNS - positions.shape[1]))
    moments = (frames @ columns)[..., : positions.shape[1]]
    return moments.transpose(2, 3) / len(positions)


def waves(moments: Tensor) -> Tensor:
    """The statistics of order of windows, from their moments: `… n 3 D` to `… 12*D`."""
    n = moments.shape[-3]
    moments = moments - moments.mean(-3, keepdim=True)
    table = cosines(torch.tensor([n]), n)[0].to(moments)
    return torch.einsum("...njd,nk->...jkd", moments, table).flatten(-3)


def running(frames: Tensor, moments: Tensor) -> Tensor:
    """The statistics of the frames so far, at each frame of a clip: `B T M`.

        t        1    2      3          …    T
        frames   1    1 2    1 2 3      …    1 2 3 … T

    The change of t frames is divided by t - 1: it is the mean of their differences.

    Args:
        frames: of the clip, `B T D N`.
        moments: `spatial_moments` of these frames, `B T 3 D`.
    """
    T = frames.shape[1]
    count = torch.arange(1, T + 1, device=frames.device, dtype=frames.dtype)[:, None, None]
    means = frames.cumsum(1) / count
    # By the sums of squares of Welford (1962), which only grow: no difference of large numbers.
    means_before = torch.cat((frames[:, :1], means[:, :-1]), 1)
    squares = (frames - means_before).square() * (1 - 1 / count)
    spread = (squares.cumsum(1) / count).sqrt().mean(-1)
    changes = F.pad(frames.diff(dim=1).abs(), (0, 0, 0, 0, 1, 0))  # none before the first frame
    change = (changes.cumsum(1) / (count - 1).clamp_min(1)).mean(-1)
    largest = changes.cummax(1).values.mean(-1)
    ordered = torch.stack([waves(moments[:, :t]) for t in range(1, T + 1)], 1)
    return torch.cat((means.mean(-1), spread, change, largest, ordered), 2)


def windowed(frames: Tensor, moments: Tensor, lengths: Sequence[int], *, W: int) -> Tensor:
    """The statistics of the windows that end at each frame of a video: `B T L M`.

        t                    1 … n-1    n            n+1            …    T
        window of n frames   zero       1 2 … n      2 3 … n+1      …    T-n+1 … T

    Args:
        frames: of the video, `B T D N`.
        moments: `spatial_moments` of these frames, `B T 3 D`.
        lengths: L numbers of frames n, ascending, at least 2.
        W: the number of frames of a training clip; changes are divided by W - 1.
    """
    B, T, D, _ = frames.shape
    result = frames.new_zeros(B, T, len(lengths), (4 + 3 * WAVES) * D)
    for start in range(0, T, _TOGETHER):
        begin = max(0, start - lengths[-1] + 1)
        part = slice(begin, start + _TOGETHER)
        for i, (n, statistics) in enumerate(
            _complete_windows(frames[:, part], moments[:, part], lengths, W=W)
        ):
            new = statistics[:, max(0, start - begin - n + 1) :]
            result[:, max(start, n - 1) : start + _TOGETHER, i] = new
    return result


def _complete_windows(
    frames: Tensor, moments: Tensor, lengths: Sequence[int], *, W: int
) -> Iterator[tuple[int, Tensor]]:
    """Each length n of at most T frames, and the statistics of all windows of this length: `B T-n+1
    M`.
    """
    T = frames.shape[1]
    # Running sums of single precision would round away what changes little; Apple's GPUs have no
    # other one.
    exact = torch.float32 if frames.device.type == "mps" else torch.float64
    start = frames[:, :1].to(exact)
    offsets = frames.to(exact) - start
    changes = frames.diff(dim=1).abs()
    mean_sums = _prefix_sums(offsets.mean(-1))
    change_sums = _prefix_sums(changes.mean(-1).to(exact))
    sums = _prefix_sums(offsets)
    square_sums = _prefix_sums(offsets.square_())
    for n in lengths:
        if n > T:
            return
        total = sums[:, n:] - sums[:, :-n]
        squares = square_sums[:, n:] - square_sums[:, :-n]
        squares = squares.mul_(n).addcmul_(total, total, value=-1)
        spread = squares.clamp_min_(0).to(frames.dtype).sqrt_().mean(-1) / n
        mean = (mean_sums[:, n:] - mean_sums[:, :-n]) / n + start.mean(-1)
        change = (change_sums[:, n - 1 :] - change_sums[:, : T - n + 1]) / (W - 1)
        largest = _sliding_max(changes, n - 1).mean(-1)
        unordered = torch.cat((mean, spread, change, largest), -1)
        ordered = waves(moments.unfold(1, n, 1).movedim(-1, 2))
        yield n, torch.cat((unordered.to(frames.dtype), ordered), -1)


def _prefix_sums(values: Tensor) -> Tensor:
    """The sum of the first t of T values, for t from 0 to T: `B T …` to `B T+1 …`."""
    sums = values.new_empty(len(values), values.shape[1] + 1, *values.shape[2:])
    sums[:, 0] = 0
    torch.cumsum(values, 1, out=sums[:, 1:])
    return sums


def _sliding_max(values: Tensor, count: int) -> Tensor:
    """The maximum of each `count` consecutive values, by doubling: `B T …` to `B T-count+1 …`."""
    covered = 1
    while covered < count:
        step = min(covered, count - covered)
        values = torch.maximum(values[:, :-step], values[:, step:])
        covered += step
    return values


def newest_windows(
    frames: Tensor, seen: Tensor, positions: Tensor, *, lengths: Sequence[int], W: int
) -> tuple[Tensor, Tensor]:
    """The statistics of the windows that end with the newest frame of a stream, `B L M`; and the
    differences of their means from this frame, `B L D N`.

    A window that begins before the stream has only the frames of the stream; the change of one of W
    frames is divided by their number minus one, as in `running`.

    Args:
        frames: the last frames of a stream, `B T D N`, the newest last, as many as the longest
            window has; those before the stream are zero.
        seen: the number of frames of the stream, `B 1`.
        positions: u_i, `N 3`.
        lengths: L numbers of frames, ascending, at least 2.
        W: the number of frames of a training clip.
    """
    # Differences from the newest frame: of what stands still, they are exactly zero.
    T = frames.shape[1]
    ages = torch.arange(T, 0, -1, device=frames.device)
    counts = torch.tensor(lengths, device=frames.device)
    inside = (ages <= counts[:, None]).to(frames.dtype)  # L T
    in_stream = (ages <= seen).to(frames.dtype)[..., None, None]
    newest = frames[:, -1:]
    offsets = (frames - newest).mul_(in_stream)
    changes = offsets.diff(dim=1).abs_().mul_(in_stream[:, :-1])
    count = torch.minimum(seen, counts.to(seen.dtype))
    divisor = (count - 1).clamp_min(1).where(counts == W, W - 1)
    change = inside[:, :-1] @ changes.mean(-1) / divisor[..., None]
    # Each window extends the window before it by earlier frames.
    added = [slice(T - n, T - shorter) for shorter, n in pairwise((1, *lengths))]
    highest = (changes[:, part].amax(1) for part in added)
    largest = torch.stack([*accumulate(highest, torch.maximum)], 1)
    ordered = _newest_waves(spatial_moments(offsets, positions), count)
    share = inside / count[..., None]
    mean_offset = _weighted_sums(share, offsets)
    mean_square = _weighted_sums(share, offsets.square_())
    spread = (mean_square - mean_offset.square()).clamp_min_(0).sqrt_()
    mean = mean_offset.mean(-1) + newest.mean(-1)
    statistics = torch.cat((mean, spread.mean(-1), change, largest.mean(-1), ordered), -1)
    return statistics, mean_offset


def _weighted_sums(weights: Tensor, frames: Tensor) -> Tensor:
    """Weights `B L T` of frames `B T D N`: `B L D N`."""
    return (weights @ frames.flatten(2)).unflatten(2, frames.shape[2:])


def _newest_waves(moments: Tensor, count: Tensor) -> Tensor:
    """The statistics of order `B L 12*D` of the last `count`, `B L`, of moments `B T 3 D`, relative
    to the newest frame.
    """
    B, T = moments.shape[:2]
    table = cosines(count.flatten(), T).transpose(1, 2).reshape(B, -1, T)
    products = (table @ moments.flatten(2)).unflatten(1, (-1, WAVES))
    return products.unflatten(3, (moments.shape[2], -1)).transpose(2, 3).flatten(2)
