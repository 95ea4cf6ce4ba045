"""Transformed canvases, against a loop over frames with one pixel rule; elastic fields, against a
plain convolution.
"""

import cmath
import math
from typing import Any

import numpy as np
import pytest
import torch
from blobs import assert_boxes_hold_the_ink, assert_equal, blobs
from scipy.ndimage import map_coordinates
from scipy.signal import convolve2d

from onlooker_papers.digits.data import moving_mnist, scenes
from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.data.canvas import ink_boxes
from onlooker_papers.digits.data.moving_mnist import Batch, MovingDigits, random_stream
from onlooker_papers.digits.data.scenes import elastic_fields, elastic_noise, smooth
from onlooker_papers.mnist import Digits


@pytest.fixture(scope="module")
def digits() -> Digits:
    return blobs()


def plain_fields(noise: np.ndarray, alpha: float, sigma: float, window: int) -> np.ndarray:
    """Noise `n 2 H W`, convolved with a Gaussian density that is cut off at a window, times alpha."""
    half = window // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    density = np.exp(-(x**2 + y**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    return alpha * np.array(
        [[convolve2d(plane, density, mode="same") for plane in pair] for pair in noise]
    )


def naive_layers(
    moving: AugmentedDigits, batch: Batch, *, seed: int, alpha: float = 300.0
) -> np.ndarray:
    """`B k T H W` floats before rounding, one pixel rule at a time; fields have the published sigma
    and window, and by default the published alpha.
    """
    stream = random_stream(seed, "paths")
    positions = moving.positions(len(batch.video), stream)
    angles, scales = moving.transforms(len(batch.video), stream)
    side = moving.canvas
    (B, S) = angles.shape
    fields = np.zeros((B, S, 2, side, side))
    if moving.variant == "gesture":
        noise = elastic_noise(B * S, side, stream).double().numpy()
        fields = plain_fields(noise, alpha, sigma=10.0, window=7).reshape(B, S, 2, side, side)
    layers = np.zeros((B, moving.num_digits, moving.frames, side, side))
    rows, columns = np.mgrid[:side, :side]
    center = (side - 1) / 2
    for b, k, t in np.ndindex(layers.shape[:3]):
        x, y = positions[b, k, t].tolist()
        alone = np.zeros((side, side))
        alone[y : y + 28, x : x + 28] = moving.digits.images[batch.indices[b, k]]
        s = t * S // moving.frames
        turn = cmath.rect(1 / scales[b, s].item(), -angles[b, s].item())
        source = (
            (columns + fields[b, s, 0] - center) + 1j * (rows + fields[b, s, 1] - center)
        ) * turn
        coordinates = [source.imag + center, source.real + center]
        layers[b, k, t] = map_coordinates(alone, coordinates, order=1, mode="grid-constant")
    return layers


def check_against_a_loop(moving: AugmentedDigits, alpha: float = 300.0) -> None:
    batch = moving.batch(4, seed=11)
    layers = naive_layers(moving, batch, seed=11, alpha=alpha)
    # In float32 a pixel that lies between two levels may round the other way.
    error = np.abs(batch.video[:, :, 0].numpy() - layers.max(1))
    assert error.max() <= 0.51
    # A box holds all that surely is ink, and ends where surely none is.
    sure, possible = (
        ink_boxes(torch.from_numpy((layers >= level).astype(np.uint8))) for level in (0.51, 0.49)
    )
    boxes = batch.boxes.transpose(1, 2)
    assert torch.equal(boxes.isnan(), sure.isnan())
    boxes, sure, possible = (each.nan_to_num(0) for each in (boxes, sure, possible))
    assert (boxes[..., :2] <= sure[..., :2]).all()
    assert (boxes[..., 2:] >= sure[..., 2:]).all()
    assert (boxes[..., :2] >= possible[..., :2]).all()
    assert (boxes[..., 2:] <= possible[..., 2:]).all()
    np.testing.assert_array_equal(batch.labels, moving.digits.labels[batch.indices])


@pytest.mark.parametrize("variant", VARIANTS[1:])
@pytest.mark.parametrize("side", [64, 45, 28])
def test_videos_equal_a_loop_over_frames(digits: Digits, variant: str, side: int) -> None:
    moving = AugmentedDigits(digits, 3, side, 6, variant=variant, frames_per_setting=3)
    check_against_a_loop(moving)


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "gesture", "alpha": 3000.0},  # displacements as large as a digit
        {"variant": "gesture", "scale": (1.5, 2.5)},
        # much of a digit is pushed over the border
        {"variant": "rotation+scale", "scale": (1.5, 2.5)},
        {"variant": "scale", "scale": (0.05, 0.1)},  # a digit is a pixel or two
    ],
)
def test_strong_transforms_equal_a_loop_too(digits: Digits, settings: dict[str, Any]) -> None:
    moving = AugmentedDigits(digits, frames=4, frames_per_setting=2, **settings)
    check_against_a_loop(moving, moving.alpha)


@pytest.mark.parametrize("variant", VARIANTS)
def test_digits_without_ink_are_not_seen(variant: str) -> None:
    dark = Digits(np.zeros((10, 28, 28), np.uint8), np.arange(10))
    batch = AugmentedDigits(dark, frames=5, variant=variant).batch(2)
    assert not batch.video.any()
    assert batch.boxes.isnan().all()


def test_a_right_angle_turns_clockwise(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = MovingDigits(digits, frames=5).batch(3, seed=2)
    # Transforms are drawn after the paths, so the paths are those of the straight videos.
    monkeypatch.setattr(
        AugmentedDigits,
        "transforms",
        lambda *_: (torch.full((3, 1), math.pi / 2), torch.ones(3, 1)),
    )
    turned = AugmentedDigits(digits, frames=5, variant="rotation").batch(3, seed=2)
    expected = torch.rot90(straight.video, -1, (3, 4))
    assert (turned.video.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_box_is_exactly_the_ink(digits: Digits, variant: str) -> None:
    assert_boxes_hold_the_ink(
        AugmentedDigits(digits, num_digits=1, frames=10, variant=variant).batch(6)
    )


def test_what_has_left_the_canvas_has_no_box(digits: Digits) -> None:
    # Magnified three times, much of the canvas is pushed over its own border.
    batch = AugmentedDigits(
        digits, num_digits=1, frames=40, variant="scale", scale=(3.0, 3.0)
    ).batch(10)
    seen = (batch.video > 0).flatten(2).any(-1)
    assert 0 < seen.float().mean() < 1
    assert torch.equal(batch.boxes[:, :, 0].isnan(), ~seen[..., None].expand(-1, -1, 4))


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_transforms_have_the_ranges_of_the_paper(digits: Digits, variant: str) -> None:
    angles, scales = AugmentedDigits(digits, variant=variant).transforms(
        400, random_stream(0, "paths")
    )
    assert angles.shape == scales.shape == (400, 10)
    assert bool(angles.max() > 6.25) == (variant != "scale")
    assert angles.min() < 0.03
    assert (0.4 <= scales.min() < 0.41) == (variant != "rotation")
    assert (0.99 < scales.max() < 1) == (variant != "rotation")


def test_a_setting_holds_for_its_frames(digits: Digits) -> None:
    moving = AugmentedDigits(
        digits, frames=12, speed=(0.0, 0.0), variant="gesture", frames_per_setting=4
    )
    settings = moving.batch(2).video.view(2, 3, 4, 64, 64)
    assert (settings == settings[:, :, :1]).all()
    assert (settings[:, 0, 0] != settings[:, 1, 0]).any()


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_equal_seeds_equal_videos_in_any_chunk(
    digits: Digits, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = AugmentedDigits(digits, frames=10, variant=variant)
    first = moving.batch(7, seed=3)
    assert not torch.equal(first.video, moving.batch(7, seed=4).video)
    monkeypatch.setattr(moving_mnist, "CHUNK_BYTES", 1)
    assert_equal(first, moving.batch(7, seed=3))
    monkeypatch.setattr(scenes, "PIXELS", 1)
    assert_equal(first, moving.batch(7, seed=3))


def test_normal_videos_are_moving_digits_and_need_no_whole_settings(digits: Digits) -> None:
    assert_equal(
        AugmentedDigits(digits, frames=7).batch(2, seed=1),
        MovingDigits(digits, frames=7).batch(2, seed=1),
    )


@pytest.mark.parametrize("window", [5, 61])
def test_fields_equal_a_plain_convolution(window: int) -> None:
    fields = elastic_fields(
        3, 20, torch.Generator().manual_seed(1), alpha=50, sigma=4, window=window
    )
    noise = (
        torch.rand(3, 2, 20, 20, generator=torch.Generator().manual_seed(1)).double().numpy() * 2
        - 1
    )
    expected = plain_fields(noise, alpha=50, sigma=4, window=window)
    np.testing.assert_allclose(fields.numpy(), expected, atol=1e-5)


def test_a_window_of_one_pixel_leaves_noise_as_it_is() -> None:
    noise = elastic_noise(2, 9, torch.Generator().manual_seed(3))
    assert -1 <= noise.min() < -0.9 < 0.9 < noise.max() < 1
    fields = smooth(noise, alpha=2 * math.pi * 5**2, sigma=5, window=1)
    np.testing.assert_allclose(fields.numpy(), noise.numpy(), atol=1e-6)
