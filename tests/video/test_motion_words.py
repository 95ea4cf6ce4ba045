"""Motion words compared with known motion, and their sums with naive loops of the definition."""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from onlooker.base.fisher import PARTS, fisher_vector
from onlooker.video.eyes import describe
from onlooker.video.motion_words import (
    WORDS,
    MotionEye,
    MotionMemory,
    Words,
    _blocks,
    _cells,
    _small_gray,
    next_blocks,
)

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

rng = np.random.default_rng
HOG, HOF, STILL = slice(0, 8), slice(8, 16), 16
EYE = MotionEye()


def described(
    frames: Iterable[tuple[float, Pixels]], times: list[float]
) -> NDArray[np.float32]:
    return describe({"motion": EYE}, frames, times)["motion"]


def texture(height: int, width: int, seed: int = 0) -> Pixels:
    """A smooth pattern that looks different everywhere, `H W 3`."""
    noise = rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def square(
    seconds: float = 2.0,
    rate: float = 25,
    *,
    side: int = 40,
    angle: float = 0.0,
    pan: float = 0.0,
) -> list[tuple[float, Pixels]]:
    """Times and frames of a square that moves forth and back by up to 40 pixels a second, along a
    line; the camera pans by some pixels a second.
    """
    H, W = 120, 160
    wide = texture(H, W + 200)
    patch = texture(side, side, 1) if side else None
    frames = []
    for time in np.arange(round(seconds * rate)) / rate:
        matrix = np.array([[1, 0, -50 - pan * time], [0, 1, 0]])
        frame = cv2.warpAffine(wide, matrix, (W, H))
        if patch is not None:
            way = 20 * math.sin(2 * time)
            x, y = 60 + way * math.cos(angle), 40 + way * math.sin(angle)
            shift = np.array([[1, 0, x], [0, 1, y]])
            cv2.warpAffine(patch, shift, (W, H), dst=frame, borderMode=cv2.BORDER_TRANSPARENT)
        frames.append((float(time), frame))
    return frames


def energies(frames: list[Pixels]) -> Floats:
    """Energies of cells, the mean over neighboring frames."""
    grays = [_small_gray(frame) for frame in frames]
    return np.mean([_cells(*pair, seconds=0.04) for pair in pairwise(grays)], axis=0)


def alike(a: Floats, b: Floats) -> float:
    """Cosine of the angle of two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("direction", range(8))
def test_a_square_that_moves_has_one_direction(direction: int) -> None:
    clip = square(0.2, angle=direction * math.pi / 4)
    energy = energies([frame for _, frame in clip])[..., HOF].sum((0, 1))
    assert energy.argmax() == direction
    opposite = [(direction + turn) % 8 for turn in (3, 4, 5)]
    assert energy[opposite].sum() < 0.03 * energy.sum()
    # the square has 16 cells of 100 pixels, which move by 1.6 pixels
    assert energy.sum() / 2 == pytest.approx(16 * 1.6, rel=0.5)


def test_a_rotated_clip_turns_directions() -> None:
    clip = [np.ascontiguousarray(frame[:, 20:140]) for _, frame in square(0.4)]
    upright = energies(clip)
    turned = energies([np.rot90(frame).copy() for frame in clip])
    # After a turn by 90 degrees to the left, x of flow is what y was, and y what -x was.
    for part, before, turns in ((0, 0, -2), (8, 8, -2), (17, 25, -2), (25, 17, 2)):
        values = upright[..., before : before + 8].sum((0, 1))
        rotated = turned[..., part : part + 8].sum((0, 1))
        assert alike(rotated, np.roll(values, turns)) > 0.97


@pytest.mark.parametrize("pan", [0.0, 30.0])
def test_a_still_scene_has_no_blocks_also_if_the_camera_pans(pan: float) -> None:
    rows = described(square(side=0, pan=pan), [2.0])
    assert not rows.any()
    assert not fisher_vector(rows).any()
    with_square = described(square(pan=pan), [2.0])
    assert with_square[0, 0] > 20


def test_describe_has_the_numbers_of_steps() -> None:
    clip = square(pan=10)
    times = [0.5, 0.9, 1.6]
    rows = described(clip, times)
    expected = np.zeros((3, 1 + EYE.num_features), np.float32)
    state = None
    for time, frame in clip:
        state, row = EYE.step(frame, time, state)
        expected[sum(time > limit for limit in times[:2])] += row
    np.testing.assert_array_equal(rows, expected)
    assert (expected[1:, 0] > 0).all()
    assert expected[0, 0] == 0


def test_the_frame_rate_hardly_changes_the_vector() -> None:
    vector = {
        rate: fisher_vector(described(square(2, rate), [2.0]))[0]
        for rate in (12.5, 25, 30, 50, 100)
    }
    np.testing.assert_array_equal(vector[25], vector[50])
    assert alike(vector[25], vector[100]) > 0.9
    assert alike(vector[25], vector[30]) > 0.9
    assert alike(vector[25], vector[12.5]) > 0.7


def test_frames_at_irregular_times_are_described_alike() -> None:
    clip = square(2, 100)
    steps = rng(0).choice([3, 4, 5], 60)
    irregular = [clip[place] for place in np.cumsum([0, *steps]) if place < len(clip)]
    vectors = fisher_vector(
        np.concatenate([described(frames, [2.0]) for frames in (clip, irregular)])
    )
    assert alike(*vectors) > 0.9


@pytest.mark.parametrize("count", [2, 4, 8, 15])
def test_a_clip_that_is_shorter_than_a_block_has_blocks(count: int) -> None:
    rows = described(square()[:count], [0.1, 0.6])
    assert rows[0, 0] == 0
    assert rows[1, 0] > 20


def test_a_single_frame_has_none() -> None:
    assert not described(square()[:1], [0.0]).any()
    assert not described([], [0.0]).any()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param((1.5, texture(120, 160)), id="a gap"),
        pytest.param((-0.5, texture(120, 160)), id="an earlier one"),
        pytest.param((0.24, texture(120, 120)), id="another size"),
    ],
)
def test_what_does_not_follow_begins_anew(frame: tuple[float, Pixels]) -> None:
    state = None
    for time, pixels in square(0.24):
        state, _ = EYE.step(pixels, time, state)
    assert state is not None
    assert state.bins == 1
    time, pixels = frame
    after, row = EYE.step(pixels, time, state)
    assert (after.bins, after.cells, after.earlier) == (0, None, ())
    assert not row.any()


def arrays_of(state: MotionMemory) -> list[NDArray[np.generic]]:
    return [state.frame, *state.earlier, *([] if state.cells is None else [state.cells])]


@pytest.mark.parametrize(
    "size", [(120, 160), (1080, 1920), (640, 360), (55, 352), (16, 4000), (900, 30), (16, 16)]
)
def test_a_state_has_at_most_64_kilobytes(size: tuple[int, int]) -> None:
    large = texture(size[0], size[1] + 32)
    state = None
    for t in range(13):
        frame = large[:, t : t + size[1]]
        state, _ = EYE.step(frame, t / 25, state)
    assert state is not None
    assert state.bins == 2
    assert state.cells is not None
    assert sum(array.nbytes for array in arrays_of(state)) <= 64 * 1024


def test_words_are_small() -> None:
    assert WORDS.stat().st_size <= 1_000_000


def test_nothing_is_in_double_precision() -> None:
    grays = [_small_gray(frame) for _, frame in square(0.08)]
    cells = _cells(*grays, seconds=0.04)
    blocks = _blocks((cells.astype(np.float16),) * 3)
    arrays = [cells, *blocks.parts, EYE.words[0].contributions(blocks.parts[0])]
    arrays += [array for words in EYE.words for array in words]
    state = None
    for time, frame in square(0.7):
        state, row = EYE.step(frame, time, state)
        arrays.append(row)
    arrays += [
        described(square(0.2), [1.0]),
        fisher_vector(described(square(0.2), [1.0])),
    ]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert state is not None
    assert {array.dtype.itemsize for array in arrays_of(state)} == {1, 2}


def test_gray_frames_are_those_of_three_equal_channels() -> None:
    grays = [(time, frame[..., :1].copy()) for time, frame in square(0.7)]
    colors = [(time, frame.repeat(3, 2)) for time, frame in grays]
    np.testing.assert_array_equal(described(grays, [1.0]), described(colors, [1.0]))


def random_words(seed: int, D: int = 7, d: int = 4, K: int = 3) -> Words:
    random = rng(seed)
    axes, _ = np.linalg.qr(random.normal(size=(D, d)))
    shares = random.dirichlet(np.full(K, 5.0))
    variances = random.uniform(0.5, 2, (K, d))
    arrays = (axes, random.normal(size=d), random.normal(size=(K, d)), variances, shares)
    return Words(*(np.asarray(array, np.float32) for array in arrays))


def naive_contributions(words: Words, descriptors: Floats) -> Iterator[float]:
    """Perronnin, Sanchez & Mensink 2010, equations 1 to 6, in loops."""
    axes, offset, means, variances, shares = (np.asarray(each, np.float64) for each in words)
    K, d = means.shape
    gradients = np.zeros((2, K, d))
    for descriptor in descriptors.astype(np.float64):
        x = [float(descriptor @ axes[:, i] - offset[i]) for i in range(d)]
        densities = []
        for k in range(K):
            density = shares[k]
            for i in range(d):
                density *= math.exp(-((x[i] - means[k, i]) ** 2) / (2 * variances[k, i]))
                density /= math.sqrt(2 * math.pi * variances[k, i])
            densities.append(density)
        for k in range(K):
            posterior = densities[k] / sum(densities)
            for i in range(d):
                distance = (x[i] - means[k, i]) / math.sqrt(variances[k, i])
                gradients[0, k, i] += posterior * distance / math.sqrt(shares[k])
                gradients[1, k, i] += posterior * (distance**2 - 1) / math.sqrt(2 * shares[k])
    yield from gradients.ravel()


def test_sums_of_contributions_are_those_of_the_definition() -> None:
    words = random_words(0)
    descriptors = rng(1).normal(size=(20, 7)).astype(np.float32)
    expected = np.fromiter(naive_contributions(words, descriptors), np.float64)
    found = words.contributions(descriptors).ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_fisher_vector_is_that_of_all_blocks() -> None:
    random = rng(0)
    sums = random.normal(size=(5, 3, 1 + 8 * PARTS)).astype(np.float32)
    sums[..., 0] = random.integers(1, 50, (5, 3))
    vectors = fisher_vector(sums)
    row = sums[2, 1]
    for part in range(PARTS):
        means = row[1 + 8 * part : 9 + 8 * part] / row[0]
        roots = np.sign(means) * np.sqrt(np.abs(means))
        expected = roots / np.linalg.norm(roots)
        np.testing.assert_allclose(vectors[2, 1, 8 * part : 8 * part + 8], expected, rtol=1e-5)
    tensor = torch.from_numpy(sums)
    np.testing.assert_allclose(fisher_vector(tensor).numpy(), vectors, rtol=1e-5, atol=1e-7)
    assert not fisher_vector(torch.zeros(2, 1 + 8 * PARTS)).any()


def test_blocks_are_where_something_moves() -> None:
    blocks = []
    state = None
    for time, frame in square(0.8):
        state, ended = next_blocks(frame, time, state)
        if ended is not None:
            blocks.append(ended)
    assert len(blocks) == 1
    assert [part.shape[1] for part in blocks[0].parts] == [96, 108, 96, 96]
    # of 11 × 15 blocks, those of 20×20 pixels that meet a square of 40 pixels
    assert 16 <= len(blocks[0].parts[0]) <= 50
    for part in blocks[0].parts:
        np.testing.assert_allclose((part * part).sum(1), 1, rtol=1e-4)


def test_shares_of_blocks_are_those_of_the_definition() -> None:
    words = random_words(0)
    descriptors = rng(1).normal(size=(20, 7)).astype(np.float32)
    weights = rng(2).normal(size=(2, *words.means.shape)).astype(np.float32)
    alone = [
        weights.ravel() @ np.fromiter(naive_contributions(words, one[None]), np.float64)
        for one in descriptors
    ]
    np.testing.assert_allclose(
        words.products(descriptors, weights), alone, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.5])
def test_shares_are_where_and_when_something_moves_and_add_up(seconds: float) -> None:
    clip = square(seconds)
    weights = rng(0).normal(size=EYE.num_features).astype(np.float32)
    blocks = [*EYE.shares(clip, weights)]
    row = described(clip, [seconds])[0]
    total = sum(float(block.shares.sum()) for block in blocks)
    assert total == pytest.approx(float(row[1:] @ weights), rel=1e-3)
    assert sum(np.count_nonzero(block.shares) for block in blocks) == row[0]
    for block in blocks:
        assert block.shares.shape == (11, 15)
        assert not block.shares[:, 12:].any(), "the square is at x from 40 to 120"
        assert block.end - block.start == pytest.approx(min(0.6, clip[-1][0]), abs=0.05)
    ends = [block.end for block in blocks]
    assert ends == sorted(ends)
    assert blocks[0].start == 0


@pytest.mark.parametrize("seconds", [0.1, 1.5])
def test_a_video_has_shares_after_a_cut(seconds: float) -> None:
    clip = square(1.5)
    later = [(time + 5, frame) for time, frame in clip]
    weights = np.ones(EYE.num_features, np.float32)
    alone = [*EYE.shares(clip, weights)]
    both = [*EYE.shares([*square(seconds), *later], weights)]
    for block, again in zip(alone, both[-len(alone) :], strict=True):
        assert again.start == pytest.approx(block.start + 5)
        assert again.end == pytest.approx(block.end + 5)
        np.testing.assert_allclose(again.shares, block.shares, rtol=1e-4)
