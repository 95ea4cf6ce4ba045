"""Motion words: how the things in a video move, as Fisher vectors of blocks of optical flow.

Between neighboring frames, the optical flow minus the motion of the camera; in cells, the energy in
eight directions of the gradient of the image, of the flow, and of the gradients of its components
(HOG, HOF, MBH: Dalal, Triggs & Schmid, *Human detection using oriented histograms of flow and
appearance*, 2006; Wang et al., *Dense trajectories and motion boundary descriptors*, 2013). Blocks
are 2×2 cells × 3 bins of time, where something moves. The words are the Gaussians of a mixture, and
a block contributes the gradient of its log likelihood by their means and variances (Perronnin &
Dance, *Fisher kernels on visual vocabularies*, 2007).

Speeds are per 1/25 s, and a bin lasts about 1/5 s, whatever the frame rate is: of frames that
follow each other faster than 1/35 s, some are left out (at 50 to 60 frames per second, every second
one). At 2 to 18 frames per second the flow is that between all frames, scaled to 1/25 s: motion
that turns back between two frames is not seen, and faster motion is followed less exactly. Across
more than half a second no flow is computed.

The words in the package were learned from generated figures (`onlooker.data.stick_figures`) by still
and moving cameras, and from no other video: `python benchmarks/motion_words.py --write FILE`.

This file needs NumPy, OpenCV and safetensors alone, so that a program with an exported model can use
it without PyTorch (`examples/live_without_pytorch.py`).
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# of what is computed here: it must grow when blocks or contributions change, because words are
# stored
VERSION = 1
WORDS = Path(__file__).with_name("weights") / "motion-words.safetensors"

# seconds
_STEP = 1 / 25  # unit of time of speeds
_MIN_STEP = _STEP / 2**0.5
_GAP = 0.5  # maximum between two frames
_BIN = 0.175  # minimum: 5 steps at 25 frames per second, 6 at 30

# pixels of the frames that are compared
_SHORTER_SIDE = 120
_AREA = 120 * 160  # about the largest: it bounds time and memory
_ASPECT = 8  # the largest ratio of sides: longer ones are compressed
_CELL = 10
_FINER = 2  # flow is pooled to this part of the height and width
_GRID = 4  # of pooled flow, between the points for estimating the motion of the camera
_FOLLOWS = 0.35  # of pooled flow: maximum distance of points that move with the camera
_SHARE = 0.4  # minimum share of such points
_STILL = 0.3  # pixels per step: slower is noise
_MOVES = 0.02  # pixels per step: minimum mean speed in a block

_BINS = 3
WARM_UP = _BINS * (_BIN + _GAP)  # seconds until three bins are over, at the latest
_ANGLES = np.arange(8, dtype=np.float32) * np.float32(np.pi / 4)
_DIRECTIONS = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), 1)
# values of a cell: directions of the parts, and how much of it is still, which belongs to the flow
_VALUES = (slice(0, 8), slice(8, 17), slice(17, 25), slice(25, 33))
_FLOW = slice(8, 16)
_TINY = np.float32(1e-6)

Cells = NDArray[np.float16]  # `rows columns 33`


class MotionMemory(NamedTuple):
    """What computing the next blocks of a video needs: at most 64 KB.

    Args:
        frame: the last frame that was compared, gray, in the size for comparisons.
        time: when it was shown, in seconds.
        earlier: the last finished bins, at most two.
        cells: the sums of the bin that is not finished; None: there are none.
        seconds: how long it lasts so far.
        bins: number of finished bins.
    """

    frame: Pixels
    time: float
    earlier: tuple[Cells, ...] = ()
    cells: Cells | None = None
    seconds: float = 0.0
    bins: int = 0


class Blocks(NamedTuple):
    """The N blocks that end together, one per place where something moves.

    Args:
        parts: descriptors of the parts, each `N 96` or (flow) `N 108`.
        moving: the places of these blocks in the frame, `rows-1 columns-1` of its cells.
    """

    parts: list[Floats]
    moving: NDArray[np.bool_]


def next_blocks(
    frame: Pixels, time: float, state: MotionMemory | None
) -> tuple[MotionMemory, Blocks | None]:
    """The state after a frame, and the blocks that end with it; None: no bin ends.

    A frame of another size, one before the last one, or one after a gap begins anew.

    Args:
        frame: `H W 3`, RGB, or `H W 1`, of any size.
        time: in seconds.
    """
    seconds = time - state.time if state is not None else 0.0
    if state is not None and 0 <= seconds < _MIN_STEP:
        return state, None
    gray = _small_gray(frame)
    if state is None or state.frame.shape != gray.shape or not 0 < seconds <= _GAP:
        return MotionMemory(gray, time), None
    cells = _cells(state.frame, gray, seconds) * np.float32(seconds)
    if state.cells is not None:
        cells += state.cells
    after = state._replace(
        frame=gray, time=time, cells=cells.astype(np.float16), seconds=state.seconds + seconds
    )
    if after.seconds < _BIN:
        return after, None
    bins = _bins(after)
    after = after._replace(earlier=bins[-2:], cells=None, seconds=0.0, bins=state.bins + 1)
    return after, _blocks(bins) if len(bins) == _BINS else None


def bin_ends(times: Sequence[float]) -> list[int]:
    """Positions of the frames where a bin ends or a video begins again (`next_blocks`), from the
    times of all frames: decoding from there gives the same blocks after `WARM_UP` seconds.
    """
    ends = list[int]()
    last = -math.inf
    lasts = 0.0  # the bin that is not finished
    for position, time in enumerate(times):
        seconds = time - last
        if 0 <= seconds < _MIN_STEP:
            continue
        last = time
        follows = 0 < seconds <= _GAP
        lasts = lasts + seconds if follows else 0.0
        if not follows or lasts >= _BIN:
            ends.append(position)
            lasts = 0.0
    return ends


def last_blocks(state: MotionMemory) -> Blocks | None:
    """The blocks of a video that ends before its first blocks do: its bins are repeated. None:
    there were blocks, or nothing to compare.
    """
    bins = _bins(state)
    if state.bins >= _BINS or not bins:
        return None
    return _blocks(tuple(bins[len(bins) * number // _BINS] for number in range(_BINS)))


def _bins(state: MotionMemory) -> tuple[Cells, ...]:
    """The bins of a state, also that which is not finished."""
    if state.cells is None:
        return state.earlier
    return (*state.earlier, (state.cells / np.float16(state.seconds)).astype(np.float16))


def _small_gray(frame: Pixels) -> Pixels:
    """A gray frame in the size for comparisons: whole cells."""
    H, W = frame.shape[:2]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.shape[2] == 3 else frame[..., 0]
    sides = (min(W, _ASPECT * H), min(H, _ASPECT * W))
    scale = min(_SHORTER_SIDE / min(sides), (_AREA / (sides[0] * sides[1])) ** 0.5)
    width, height = (round(side * scale / _CELL) * _CELL for side in sides)
    shrinks = height < H or width < W
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(gray, (width, height), interpolation=interpolation).astype(
        np.uint8, copy=False
    )


def _cells(before: Pixels, after: Pixels, seconds: float) -> Floats:
    """The energies in cells of two frames, `rows columns 33`."""
    H, W = before.shape
    h, w = H // _FINER, W // _FINER
    # not shared: it has buffers, and clips are read in threads
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = cv2.resize(estimator.calc(before, after, None), (w, h), interpolation=cv2.INTER_AREA)
    flow = (flow - _camera(flow)) * np.float32(_STEP / seconds)
    x, y = cv2.split(flow)
    is_still = cv2.magnitude(x, y) < _STILL
    moving = flow.transpose(2, 0, 1).copy()
    moving[:, is_still] = 0
    size = (H // _CELL, W // _CELL)
    gradients = [_gradient(values) for values in (x, y)]
    hog = _energies(_gradient(before)[:, None], size)
    hof, *mbh = _energies(np.stack((moving, *gradients), 1), size).reshape(3, 8, *size)
    still = _mean(np.float32(_STILL) * is_still[None].astype(np.float32), size)
    return np.concatenate((hog, hof, still, *mbh)).transpose(1, 2, 0)


def _gradient(image: NDArray[np.uint8 | np.float32]) -> Floats:
    """The derivatives of an image by x and y, `2 H W`."""
    by_x = cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 32)
    by_y = cv2.Scharr(image, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.stack((by_x, by_y)).astype(np.float32, copy=False)


def _energies(fields: Floats, size: tuple[int, int]) -> Floats:
    """The energies of fields `2 N H W` in each direction, the means over cells, `N*8 rows columns`:
    the square of the part of a vector along a direction, divided by its length.
    """
    _, N, H, W = fields.shape
    lengths = np.sqrt((fields * fields).sum(0)) + _TINY
    along = np.maximum(np.tensordot(_DIRECTIONS, fields, 1), 0)
    along *= along
    along /= lengths
    return _mean(along.transpose(1, 0, 2, 3).reshape(N * 8, H, W), size)


def _mean(images: Floats, size: tuple[int, int]) -> Floats:
    """The means of images `N H W` over cells, `N rows columns`."""
    N, _, W = images.shape
    rows, columns = size
    below = images.reshape(-1, W)  # of one another: cells are in one of them
    means = cv2.resize(below, (columns, N * rows), interpolation=cv2.INTER_AREA)
    return means.reshape(N, rows, columns).astype(np.float32, copy=False)


@lru_cache(8)
def _places(h: int, w: int) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Rows and columns of a grid of points, `2 n`; its x and y, `n 2`; x and y of all, `h w 2`."""
    rows, columns = (
        axis.ravel() for axis in np.mgrid[_GRID // 2 : h : _GRID, _GRID // 2 : w : _GRID]
    )
    points = np.stack((columns, rows), 1).astype(np.float32)
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    return np.stack((rows, columns)), points, np.stack((x, y), -1)


def _camera(flow: Floats) -> Floats:
    """The flow of the background, `h w 2`: a similarity transform that most points follow (RANSAC);
    zero, if too few do.
    """
    (rows, columns), points, places = _places(*flow.shape[:2])
    # in pixels of the pooled field
    moved = points + flow[rows, columns] / _FINER
    transform, follows = cv2.estimateAffinePartial2D(
        points, moved, ransacReprojThreshold=_FOLLOWS, maxIters=200
    )
    if transform is None or follows.mean() < _SHARE:
        return np.zeros_like(flow)
    matrix = transform.astype(np.float32)
    return (places @ (matrix[:, :2].T - np.eye(2, dtype=np.float32)) + matrix[:, 2]) * _FINER


def _blocks(bins: tuple[Cells, ...]) -> Blocks:
    """Descriptors of the blocks of three bins in which something moves: the roots of the shares of
    a part's energies (Arandjelović & Zisserman 2012).
    """
    cells = np.stack(bins).astype(np.float32)
    corners = [
        cells[:, row : row + cells.shape[1] - 1, column : column + cells.shape[2] - 1]
        for row in (0, 1)
        for column in (0, 1)
    ]
    blocks = np.stack(corners, 1)  # bins 4 rows columns 33
    # the directions of a vector have twice its length in all
    speeds = blocks[..., _FLOW].sum(-1).mean((0, 1)) / 2
    moving = speeds > _MOVES
    energies = blocks[:, :, moving].reshape(4 * _BINS, -1, cells.shape[-1])
    parts = [np.concatenate([*energies[..., values]], 1) for values in _VALUES]
    roots = [np.sqrt(part / np.maximum(part.sum(1, keepdims=True), _TINY)) for part in parts]
    return Blocks(roots, moving)


class Words(NamedTuple):
    """The words of a part: principal axes and a mixture of K Gaussians along them.

    Args:
        axes: `96 d` or (flow) `108 d`, orthonormal.
        offset: `d`, the mean of descriptors along them.
        means: `K d`.
        variances: `K d`.
        shares: `K`, of the words in all blocks.
    """

    axes: Floats
    offset: Floats
    means: Floats
    variances: Floats
    shares: Floats

    def contributions(self, descriptors: Floats) -> Floats:
        """The sums over blocks `N 96` or `N 108` of the gradients by the means and the variances,
        `2 K d`, divided by their standard deviation (the Fisher information).
        """
        x, squares, posteriors = self._soft_words(descriptors)
        inverse = 1 / self.variances
        count = posteriors.sum(0)[:, None]
        total = posteriors.T @ x
        total_squares = posteriors.T @ squares
        by_means = (total - count * self.means) * np.sqrt(inverse / self.shares[:, None])
        by_variances = (
            total_squares
            - 2 * total * self.means
            + count * (self.means * self.means - self.variances)
        )
        return np.stack((by_means, by_variances * inverse / np.sqrt(2 * self.shares)[:, None]))

    def products(self, descriptors: Floats, weights: Floats) -> Floats:
        """The inner product of the contribution of each block `N 96` or `N 108` with some weights,
        `2 K d`: `N`.
        """
        x, squares, posteriors = self._soft_words(descriptors)
        inverse = 1 / self.variances
        by_means = weights[0] * np.sqrt(inverse / self.shares[:, None])
        by_squares = weights[1] * inverse / np.sqrt(2 * self.shares)[:, None]
        by_x = by_means - 2 * self.means * by_squares
        offsets = by_squares * (self.means * self.means - self.variances) - by_means * self.means
        products = x @ by_x.T + squares @ by_squares.T + offsets.sum(1)
        return (posteriors * products).sum(1)

    def _soft_words(self, descriptors: Floats) -> tuple[Floats, Floats, Floats]:
        """Blocks along the axes, `N d`, their squares, and the probabilities of the words, `N K`."""
        x = descriptors @ self.axes - self.offset
        squares = x * x
        inverse = 1 / self.variances
        constants = np.log(self.shares) - 0.5 * (
            np.log(self.variances).sum(1) + (self.means * self.means * inverse).sum(1)
        )
        logits = x @ (self.means * inverse).T - 0.5 * (squares @ inverse.T) + constants
        posteriors = np.exp(logits - logits.max(1, keepdims=True))
        posteriors /= posteriors.sum(1, keepdims=True)
        return x, squares, posteriors


class BlockShares(NamedTuple):
    """The shares of the blocks that end together in a score.

    Args:
        start, end: of the blocks, in seconds.
        shares: at their places in the frame, `rows-1 columns-1` of its cells; zero where nothing
            moves.
    """

    start: float
    end: float
    shares: Floats


class MotionEye:
    """Fisher contributions of the blocks of a video, with words that are fixed.

    Args:
        file: safetensors with the words (`Words`) of the parts, as `<part>.<name>`.
    """

    def __init__(self, file: Path = WORDS) -> None:
        # of the words and of how they are used
        self.digest = hashlib.sha256(b"%d " % VERSION + file.read_bytes()).hexdigest()[:16]
        arrays = load_file(file)
        self.words = [
            Words(**{name: arrays[f"{part}.{name}"] for name in Words._fields})
            for part in range(len(_VALUES))
        ]
        self.num_features = sum(2 * words.means.size for words in self.words)
        self._none = np.zeros(1 + self.num_features, np.float32)
        self._none.flags.writeable = False

    def step(
        self, frame: Pixels, time: float, state: MotionMemory | None
    ) -> tuple[MotionMemory, Floats]:
        """The state after a frame; and the number of the blocks that end with it, and the sums of
        their contributions, `1+F`.

        Args:
            frame: `H W 3`, RGB, or `H W 1`, at the size of the file.
            time: in seconds.
            state: after the previous frame; None at the first.
        """
        state, blocks = next_blocks(frame, time, state)
        return state, self._row(blocks)

    def finish(self, state: MotionMemory) -> Floats:
        """As the row of `step`, of a video that ends before its first blocks do: its bins are
        repeated.
        """
        return self._row(last_blocks(state))

    def shares(
        self, frames: Iterable[tuple[float, Pixels]], weights: Floats
    ) -> Iterator[BlockShares]:
        """What each block of a video adds to the product of weights, `F`, and the sums of
        contributions, `F`: all shares add up to the product with the sum of all rows.
        """
        sizes = np.cumsum([2 * words.means.size for words in self.words])
        parts = [
            part.reshape(2, *words.means.shape)
            for part, words in zip(np.split(weights, sizes[:-1]), self.words, strict=True)
        ]
        state: MotionMemory | None = None
        ends = list[float]()  # of bins that follow each other, after their beginning
        are_complete = False
        for time, frame in frames:
            state, blocks = next_blocks(frame, time, state)
            if not state.bins and state.cells is None:
                ends = [state.time]
            elif len(ends) <= state.bins:
                ends.append(state.time)
            if blocks is not None:
                yield self._shares(blocks, parts, start=ends[-1 - _BINS], end=time)
                are_complete = are_complete or bool(blocks.moving.any())
        if state is not None and not are_complete and (blocks := last_blocks(state)):
            yield self._shares(blocks, parts, start=ends[0], end=state.time)

    def _shares(
        self, blocks: Blocks, weights: Sequence[Floats], *, start: float, end: float
    ) -> BlockShares:
        shares = np.zeros(blocks.moving.shape, np.float32)
        products = zip(self.words, blocks.parts, weights, strict=True)
        shares[blocks.moving] = sum(words.products(*part) for words, *part in products)
        return BlockShares(start, end, shares)

    def _row(self, blocks: Blocks | None) -> Floats:
        if blocks is None or not blocks.moving.any():
            return self._none
        parts = [
            words.contributions(part).ravel()
            for words, part in zip(self.words, blocks.parts, strict=True)
        ]
        return np.concatenate([[np.float32(blocks.moving.sum())], *parts])


@lru_cache(1)
def motion_eye() -> MotionEye:
    """The eye with the words of this package."""
    return MotionEye()
