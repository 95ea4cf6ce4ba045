"""Videos of moving digits, against a plain loop over frames that knows nothing of how they are made."""

import cmath
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from onlooker.data import canvas, moving_mnist
from onlooker.data.canvas import elastic_fields, ink_boxes
from onlooker.data.digits import Digits
from onlooker.data.moving_mnist import (
    PAIRS,
    VARIANTS,
    Batch,
    MovingDigits,
    bounce,
    ordered_label,
    pair_label,
    random_stream,
)


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Twenty blobs with a dark rim of random width and faint pixels: their ink is smaller than 28x28, as a digit's."""
    random = np.random.default_rng(5)
    images = random.integers(1, 256, (20, 28, 28)).astype(np.uint8)
    for image in images:
        left, top, right, bottom = random.integers(1, 9, 4)
        image[:top], image[28 - bottom :], image[:, :left], image[:, 28 - right :] = 0, 0, 0, 0
    return Digits(images, np.arange(20) % 10)


def naive_path(start: list[float], velocity: list[float], frames: int, largest: float) -> list[list[float]]:
    (x, y), (u, v) = start, velocity
    path = []
    for _ in range(frames):
        path.append([x, y])
        x, y = x + u, y + v
        while not 0 <= x <= largest:
            x, u = (-x if x < 0 else 2 * largest - x), -u
        while not 0 <= y <= largest:
            y, v = (-y if y < 0 else 2 * largest - y), -v
    return path


def naive_layers(moving: MovingDigits, batch: Batch, seed: int) -> np.ndarray:
    """`B k T H W` floats before rounding, one pixel rule at a time."""
    stream = random_stream(seed, "paths")
    motion = moving.motion(len(batch.video), stream)
    side, (B, S) = moving.canvas, motion.angles.shape
    fields = np.zeros((B, S, 2, side, side))
    if moving.variant == "gesture":
        drawn = elastic_fields(B * S, side, stream, moving.alpha, moving.sigma, moving.window)
        fields = drawn.view(B, S, 2, side, side).double().numpy()
    layers = np.zeros((B, moving.num_digits, moving.frames, side, side))
    rows, columns = np.mgrid[:side, :side]
    center = (side - 1) / 2
    for b, k, t in np.ndindex(layers.shape[:3]):
        x, y = motion.positions[b, k, t].tolist()
        alone = np.zeros((side, side))
        alone[y : y + 28, x : x + 28] = moving.digits.images[batch.indices[b, k]]
        s = t * S // moving.frames
        turn = cmath.rect(1 / motion.scales[b, s].item(), -motion.angles[b, s].item())
        source = ((columns + fields[b, s, 0] - center) + 1j * (rows + fields[b, s, 1] - center)) * turn
        coordinates = [source.imag + center, source.real + center]
        layers[b, k, t] = map_coordinates(alone, coordinates, order=1, mode="grid-constant")
    return layers


def check_against_a_loop(moving: MovingDigits) -> None:
    batch = moving.batch(4, seed=11)
    layers = naive_layers(moving, batch, seed=11)
    # In float32 a pixel that lies between two levels may round the other way.
    error = np.abs(batch.video[:, :, 0].numpy() - layers.max(1))
    assert error.max() <= (0 if moving.variant == "normal" else 0.51)
    # A box holds all that surely is ink, and ends where surely none is.
    sure, possible = (ink_boxes(torch.from_numpy((layers >= level).astype(np.uint8))) for level in (0.51, 0.49))
    boxes = batch.boxes.transpose(1, 2)
    assert torch.equal(boxes.isnan(), sure.isnan())
    boxes, sure, possible = (each.nan_to_num(0) for each in (boxes, sure, possible))
    assert (boxes[..., :2] <= sure[..., :2]).all()
    assert (boxes[..., 2:] >= sure[..., 2:]).all()
    assert (boxes[..., :2] >= possible[..., :2]).all()
    assert (boxes[..., 2:] <= possible[..., 2:]).all()
    np.testing.assert_array_equal(batch.labels, moving.digits.labels[batch.indices])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("side", [64, 45, 28])
def test_videos_equal_a_loop_over_frames(digits: Digits, variant: str, side: int) -> None:
    check_against_a_loop(MovingDigits(digits, variant, num_digits=3, canvas=side, frames=6, frames_per_setting=3))


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "gesture", "alpha": 3000.0},  # displacements as large as a digit
        {"variant": "gesture", "scale": (1.5, 2.5)},
        {"variant": "rotation+scale", "scale": (1.5, 2.5)},  # much of a digit is pushed over the border
        {"variant": "scale", "scale": (0.05, 0.1)},  # a digit is a pixel or two
    ],
)
def test_strong_transforms_equal_a_loop_too(digits: Digits, settings: dict[str, Any]) -> None:
    check_against_a_loop(MovingDigits(digits, frames=4, frames_per_setting=2, **settings))


def test_digits_without_ink_are_not_seen() -> None:
    dark = Digits(np.zeros((10, 28, 28), np.uint8), np.arange(10))
    for variant in VARIANTS:
        batch = MovingDigits(dark, variant, frames=5).batch(2)
        assert not batch.video.any()
        assert batch.boxes.isnan().all()


def test_a_right_angle_turns_clockwise(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    moving = MovingDigits(digits, "rotation", frames=5)
    straight = MovingDigits(digits, "normal", frames=5).batch(3, seed=2)
    whole = MovingDigits.motion

    def quarter(self: MovingDigits, size: int, generator: torch.Generator) -> moving_mnist.Motion:
        motion = whole(self, size, generator)
        return moving_mnist.Motion(motion.positions, torch.full_like(motion.angles, math.pi / 2), motion.scales)

    monkeypatch.setattr(MovingDigits, "motion", quarter)
    # Settings are drawn after the paths of a batch of equal size, so the paths are those of `normal`.
    turned = moving.batch(3, seed=2)
    expected = torch.rot90(straight.video, -1, (3, 4))
    assert (turned.video.int() - expected.int()).abs().max() <= 1


def test_paths_bounce_as_step_by_step() -> None:
    random = np.random.default_rng(0)
    start, velocity = random.uniform(0, 9, (40, 2)), random.uniform(-30, 30, (40, 2))
    path = bounce(torch.from_numpy(start), torch.from_numpy(velocity), 100, largest=9)
    expected = [naive_path(a, v, 100, largest=9) for a, v in zip(start.tolist(), velocity.tolist(), strict=True)]
    np.testing.assert_allclose(path.numpy(), expected, atol=1e-9)


def test_no_room_no_movement(digits: Digits) -> None:
    batch = MovingDigits(digits, canvas=28, frames=3, num_digits=1).batch(2)
    np.testing.assert_array_equal(batch.video[:, 1, 0].numpy(), digits.images[batch.indices[:, 0]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_box_is_exactly_the_ink(digits: Digits, variant: str) -> None:
    batch = MovingDigits(digits, variant, num_digits=1, frames=10).batch(6)
    for (b, t), frame in ((i, batch.video[i[0], i[1], 0].numpy()) for i in np.ndindex(6, 10)):
        rows, columns = np.nonzero(frame)
        assert batch.boxes[b, t, 0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_what_has_left_the_canvas_has_no_box(digits: Digits) -> None:
    # Magnified three times, much of the canvas is pushed over its own border.
    batch = MovingDigits(digits, "scale", num_digits=1, frames=40, scale=(3.0, 3.0)).batch(10)
    seen = (batch.video > 0).flatten(2).any(-1)
    assert 0 < seen.float().mean() < 1
    assert torch.equal(batch.boxes[:, :, 0].isnan(), ~seen[..., None].expand(-1, -1, 4))


def test_speeds_directions_and_places(digits: Digits) -> None:
    moving = MovingDigits(digits, canvas=100_000, frames=101, speed=(4.0, 12.0))
    positions = moving.motion(2000, random_stream(0, "paths")).positions.double()
    start, end = positions[:, :, 0].flatten(0, 1), positions[:, :, -1].flatten(0, 1)
    inside = ((start > 1300) & (start < 98_000)).all(1)
    way = (end - start)[inside]
    speed = way.norm(dim=1) / 100
    assert 3.98 < speed.min() < 4.1
    assert 11.9 < speed.max() < 12.02
    assert abs(speed.mean() - 8) < 0.2  # the mean of 3,800 has a standard deviation of 0.04
    angle = torch.atan2(way[:, 1], way[:, 0])
    assert torch.histc(angle, 8, -math.pi, math.pi).div(len(angle)).sub(1 / 8).abs().max() < 0.03
    assert torch.histc(start, 8, 0, 100_000 - 28).div(start.numel()).sub(1 / 8).abs().max() < 0.03


def test_transforms_have_the_ranges_of_the_paper(digits: Digits) -> None:
    for variant in VARIANTS:
        motion = MovingDigits(digits, variant).motion(400, random_stream(0, "paths"))
        if variant == "normal":
            assert motion.angles.shape == (400, 1)
        else:
            assert motion.angles.shape == (400, 10)
        turns, scales = variant not in ("normal", "scale"), variant not in ("normal", "rotation")
        assert bool(motion.angles.max() > 6.25) == turns
        assert motion.angles.min() < 0.03
        assert (0.4 <= motion.scales.min() < 0.41) == scales
        assert (0.99 < motion.scales.max() < 1) == scales


def test_a_setting_holds_for_its_frames(digits: Digits) -> None:
    still = MovingDigits(digits, "gesture", frames=12, frames_per_setting=4, speed=(0.0, 0.0)).batch(2).video
    settings = still.view(2, 3, 4, 64, 64)
    assert (settings == settings[:, :, :1]).all()
    assert (settings[:, 0, 0] != settings[:, 1, 0]).any()


def assert_equal(one: Batch, other: Batch) -> None:
    for name in ("video", "labels", "boxes", "indices"):
        assert torch.equal(getattr(one, name).nan_to_num(-1), getattr(other, name).nan_to_num(-1)), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_seeds_equal_videos_whatever_the_chunk(
    digits: Digits, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = MovingDigits(digits, variant, frames=10)
    first = moving.batch(7, seed=3)
    assert not torch.equal(first.video, moving.batch(7, seed=4).video)
    monkeypatch.setattr(moving_mnist, "_CHUNK_BYTES", 1)
    assert_equal(first, moving.batch(7, seed=3))
    monkeypatch.setattr(canvas, "_PIXELS", 1)
    assert_equal(first, moving.batch(7, seed=3))


@pytest.mark.parametrize("variant", ["normal", "gesture"])
def test_threads_make_the_same_videos_and_are_left_as_they_were(digits: Digits, variant: str) -> None:
    moving = MovingDigits(digits, variant, frames=10)
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


def test_what_fails_in_a_thread_is_raised(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise MemoryError("no room for a canvas")

    monkeypatch.setattr(moving_mnist, "paste", fail)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    with pytest.raises(MemoryError, match="no room"):
        MovingDigits(digits, frames=2).batch(5)


def test_digits_and_paths_have_seeds_of_their_own(digits: Digits) -> None:
    moving = MovingDigits(digits, frames=4)
    a = moving.batch(8, digits_seed=1, paths_seed=1)
    paths, others = moving.batch(8, digits_seed=1, paths_seed=2), moving.batch(8, digits_seed=2, paths_seed=1)
    assert torch.equal(a.indices, paths.indices)
    assert not torch.equal(a.video, paths.video)
    assert not torch.equal(a.indices, others.indices)
    rim = ink_boxes(torch.from_numpy(digits.images))
    assert torch.equal(a.boxes - rim[a.indices][:, None], others.boxes - rim[others.indices][:, None])
    assert not torch.equal(a.boxes, paths.boxes)
    # One seed for both is `seed`.
    assert torch.equal(a.video, moving.batch(8, seed=1).video)


def test_asked_labels_are_shown(digits: Digits) -> None:
    every = [[m, n] for m in range(10) for n in range(10)]
    batch = MovingDigits(digits, frames=1).batch(labels=every)
    assert batch.labels.tolist() == every
    np.testing.assert_array_equal(digits.labels[batch.indices], every)
    # Two images of each class: both are used.
    assert len(batch.indices.unique()) == 20


def test_all_classes_are_drawn_alike(digits: Digits) -> None:
    labels = MovingDigits(digits, frames=1, num_digits=1, canvas=28).batch(4000).labels
    assert torch.bincount(labels.flatten(), minlength=10).div(4000).sub(0.1).abs().max() < 0.025


def test_pairs_have_names_and_orders_have_numbers() -> None:
    assert len(PAIRS) == 55
    every = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    for (m, n), pair, order in zip(every.tolist(), pair_label(every), ordered_label(every), strict=True):
        assert PAIRS[pair] == f"{min(m, n)}+{max(m, n)}"
        assert order == int(f"{m}{n}")
    assert pair_label(every).unique().tolist() == list(range(55))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), expected \(videos, 2\)"):
        pair_label(torch.zeros(4, 3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "shear"}, "variant is 'shear', expected one of normal, rotation"),
        ({"canvas": 27}, "canvas is 27, expected one side in pixels, at least the 28 of a digit"),
        ({"canvas": (48, 64)}, r"canvas is \(48, 64\), expected one side in pixels"),
        ({"frames": 0}, "frames is 0, expected at least 1"),
        ({"num_digits": 0}, "num_digits is 0, expected at least 1"),
        ({"frames_per_setting": 0}, "frames_per_setting is 0, expected at least 1"),
        ({"variant": "scale", "frames": 52}, "52 frames cannot be divided into settings of 5; make frames a multiple"),
        ({"speed": (5.0, 4.0)}, r"speed is \(5.0, 4.0\)"),
        ({"scale": (0.0, 1.0)}, r"scale is \(0.0, 1.0\)"),
        ({"window": 6}, "window is 6 pixels, expected an odd number"),
        ({"window": -1}, "window is -1 pixels, expected an odd number, at least 1"),
        ({"alpha": math.nan}, "alpha is nan and sigma 10.0, expected finite numbers"),
        ({"sigma": 0.0}, "alpha is 300.0 and sigma 0.0, expected finite numbers, sigma above 0"),
        ({"digits": Digits(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64))}, "digits is an empty data set"),
    ],
)
def test_impossible_videos_are_refused(digits: Digits, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovingDigits(**{"digits": digits, **settings})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "size is None, expected at least 1 video"),
        ({"size": 0}, "size is 0, expected at least 1 video"),
        ({"labels": [[1, 2, 3]]}, r"labels have shape \(1, 3\), expected \(videos, 2\)"),
        ({"size": 2, "labels": [[1, 2]]}, "size is 2 for 1 labels; leave size out"),
        ({"labels": [[1, 11]]}, r"no image of \[11\]; there are"),
    ],
)
def test_impossible_batches_are_refused(digits: Digits, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovingDigits(digits).batch(**arguments)


def test_a_video_of_normal_needs_no_whole_settings(digits: Digits) -> None:
    assert MovingDigits(digits, frames=7).batch(1).video.shape == (1, 7, 1, 64, 64)
