"""Videos of moving digits, compared with an independent loop over frames."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from blobs import assert_boxes_hold_the_ink, assert_equal, blobs

from onlooker_papers.digits.data import moving_mnist
from onlooker_papers.digits.data.canvas import ink_boxes
from onlooker_papers.digits.data.moving_mnist import (
    PAIRS,
    MovingDigits,
    bounce,
    pair_label,
    random_stream,
)
from onlooker_papers.mnist import Digits


@pytest.fixture(scope="module")
def digits() -> Digits:
    return blobs()


def naive_path(
    start: list[float], velocity: list[float], frames: int, largest: float
) -> list[list[float]]:
    (x, y) = start
    (u, v) = velocity
    path = []
    for _ in range(frames):
        path.append([x, y])
        x = x + u
        y = y + v
        while not 0 <= x <= largest:
            x = -x if x < 0 else 2 * largest - x
            u = -u
        while not 0 <= y <= largest:
            y = -y if y < 0 else 2 * largest - y
            v = -v
    return path


@pytest.mark.parametrize("side", [64, 45, 28])
def test_videos_equal_a_loop_over_frames(digits: Digits, side: int) -> None:
    moving = MovingDigits(digits, num_digits=3, canvas=side, frames=6)
    batch = moving.batch(4, seed=11)
    positions = moving.positions(4, random_stream(11, "paths"))
    layers = np.zeros((4, 6, 3, side, side), np.uint8)
    for b, t, k in np.ndindex(layers.shape[:3]):
        x, y = positions[b, k, t].tolist()
        layers[b, t, k, y : y + 28, x : x + 28] = digits.images[batch.indices[b, k]]
    np.testing.assert_array_equal(batch.video[:, :, 0], layers.max(2))
    assert torch.equal(batch.boxes, ink_boxes(torch.from_numpy(layers)))
    np.testing.assert_array_equal(batch.labels, digits.labels[batch.indices])


def test_paths_bounce_as_step_by_step() -> None:
    random = np.random.default_rng(0)
    start = random.uniform(0, 9, (40, 2))
    velocity = random.uniform(-30, 30, (40, 2))
    path = bounce(torch.from_numpy(start), torch.from_numpy(velocity), 100, largest=9)
    expected = [
        naive_path(a, v, 100, largest=9)
        for a, v in zip(start.tolist(), velocity.tolist(), strict=True)
    ]
    np.testing.assert_allclose(path.numpy(), expected, atol=1e-9)


def test_a_digit_as_large_as_the_canvas_does_not_move(digits: Digits) -> None:
    batch = MovingDigits(digits, canvas=28, frames=3, num_digits=1).batch(2)
    np.testing.assert_array_equal(batch.video[:, 1, 0].numpy(), digits.images[batch.indices[:, 0]])


def test_a_box_is_exactly_the_ink(digits: Digits) -> None:
    assert_boxes_hold_the_ink(MovingDigits(digits, num_digits=1, frames=10).batch(6))


def test_distribution_of_speeds_directions_and_positions(digits: Digits) -> None:
    moving = MovingDigits(digits, canvas=100_000, frames=101)
    positions = moving.positions(2000, random_stream(0, "paths")).double()
    start = positions[:, :, 0].flatten(0, 1)
    end = positions[:, :, -1].flatten(0, 1)
    inside = ((start > 1300) & (start < 98_000)).all(1)
    way = (end - start)[inside]
    speed = way.norm(dim=1) / 100
    # 4 to 12 pixels per frame (Shan & Atanasov 2017).
    assert 3.98 < speed.min() < 4.1
    assert 11.9 < speed.max() < 12.02
    assert abs(speed.mean() - 8) < 0.2  # the mean of 3,800 has a standard deviation of 0.04
    angle = torch.atan2(way[:, 1], way[:, 0])
    assert torch.histc(angle, 8, -math.pi, math.pi).div(len(angle)).sub(1 / 8).abs().max() < 0.03
    assert torch.histc(start, 8, 0, 100_000 - 28).div(start.numel()).sub(1 / 8).abs().max() < 0.03


def test_videos_depend_on_the_seed_and_not_on_the_chunk_size(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = MovingDigits(digits, frames=10)
    first = moving.batch(7, seed=3)
    assert not torch.equal(first.video, moving.batch(7, seed=4).video)
    monkeypatch.setattr(moving_mnist, "CHUNK_BYTES", 1)
    assert_equal(first, moving.batch(7, seed=3))


def test_videos_do_not_depend_on_the_number_of_threads_which_is_restored(digits: Digits) -> None:
    moving = MovingDigits(digits, frames=10)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = moving.batch(7, seed=3)
        torch.set_num_threads(3)
        with torch.inference_mode():  # which holds for one thread alone
            assert_equal(alone, moving.batch(7, seed=3))
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as new:
            assert new.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_digits_and_paths_have_separate_seeds(digits: Digits) -> None:
    moving = MovingDigits(digits, frames=4)
    a = moving.batch(8, digits_seed=1, paths_seed=1)
    paths = moving.batch(8, digits_seed=1, paths_seed=2)
    others = moving.batch(8, digits_seed=2, paths_seed=1)
    assert torch.equal(a.indices, paths.indices)
    assert not torch.equal(a.video, paths.video)
    assert not torch.equal(a.indices, others.indices)
    rim = ink_boxes(torch.from_numpy(digits.images))
    assert torch.equal(
        a.boxes - rim[a.indices][:, None], others.boxes - rim[others.indices][:, None]
    )
    assert not torch.equal(a.boxes, paths.boxes)
    # One seed for both is `seed`.
    assert torch.equal(a.video, moving.batch(8, seed=1).video)


def test_requested_labels_are_shown(digits: Digits) -> None:
    every = [[m, n] for m in range(10) for n in range(10)]
    batch = MovingDigits(digits, frames=1).batch(labels=every)
    assert batch.labels.tolist() == every
    np.testing.assert_array_equal(digits.labels[batch.indices], every)
    # Two images of each class: both are used.
    assert len(batch.indices.unique()) == 20


def test_pairs_have_names() -> None:
    assert len(PAIRS) == 55
    every = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    for (m, n), pair in zip(every.tolist(), pair_label(every), strict=True):
        assert PAIRS[pair] == f"{min(m, n)}+{max(m, n)}"
    assert pair_label(every).unique().tolist() == list(range(55))
