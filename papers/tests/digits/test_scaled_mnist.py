"""Scaled digits against scipy's affine transform with Keras' matrices."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import affine_transform, map_coordinates

from onlooker_papers.digits.data.scaled_mnist import ScaledDigits
from onlooker_papers.mnist import Digits, load_mnist


@pytest.fixture(scope="module")
def digits():
    random = np.random.default_rng(5)
    return Digits(random.integers(0, 256, (20, 28, 28)).astype(np.uint8), np.arange(20) % 10)


def enlarged(image, side):
    """Bilinear, from pixel center to pixel center, the border repeated."""
    line = (np.arange(side) + 0.5) * 28 / side - 0.5
    return map_coordinates(
        image.astype(float), np.meshgrid(line, line, indexing="ij"), order=1, mode="nearest"
    )


def by_lanczos(image, side):
    """As `resize_images` of the authors' code."""
    return np.asarray(
        Image.fromarray(image.astype("float32")).resize((side, side), Image.Resampling.LANCZOS)
    )


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("side", [64, 45])
def test_it_equals_scipy_with_the_matrices_of_keras(digits, side, literal):
    scaled = ScaledDigits(digits, size=side, literal=literal)
    resized, order, center = (
        (by_lanczos, 0, side / 2 + 0.5) if literal else (enlarged, 1, side / 2 - 0.5)
    )
    images, labels = scaled.batch(torch.arange(20), seed=3)
    zooms, shifts = scaled.transforms(20, seed=3)
    level = np.mean([resized(image, side) for image in digits.images])
    assert scaled.level == pytest.approx(level, abs=1e-4)
    assert labels.tolist() == digits.labels.tolist()
    assert images.shape == (20, 1, side, side)
    for n in range(20):
        (zx, zy), (tx, ty) = zooms[n].tolist(), shifts[n].tolist()
        # random_transform: shift · zoom, then transform_matrix_offset_center; rows are Keras' first
        # axis.
        matrix = np.array([[1, 0, ty], [0, 1, tx], [0, 0, 1.0]]) @ np.diag([zy, zx, 1])
        there = np.eye(3)
        back = np.eye(3)
        there[:2, 2] = center
        back[:2, 2] = -center
        matrix = there @ matrix @ back
        image = affine_transform(
            resized(digits.images[n], side),
            matrix[:2, :2],
            matrix[:2, 2],
            order=order,
            mode="nearest",
        )
        assert np.allclose(images[n, 0].numpy(), (image - level) / 255, atol=2e-4)


def test_factors_and_shifts_fill_their_ranges(digits):
    zooms, shifts = ScaledDigits(digits).transforms(20_000, seed=0)
    assert zooms.min() >= 1
    assert zooms.max() <= 2.5
    assert shifts.abs().max() <= 12.8
    # A uniform variable has a twelfth of its squared range as variance.
    assert torch.allclose(zooms.std(0), torch.tensor(1.5 / 12**0.5), rtol=0.02)
    assert torch.allclose(shifts.std(0), torch.tensor(25.6 / 12**0.5), rtol=0.02)
    everything = torch.cat((zooms, shifts), 1).T
    assert (torch.corrcoef(everything) - torch.eye(4)).abs().max() < 0.03


def test_without_zoom_and_shift_it_is_the_digit_in_full_size(digits):
    scaled = ScaledDigits(digits, zoom=(1, 1), shift=0, mean=0)
    images, _ = scaled.batch(torch.tensor([4, 2]), seed=0)
    for image, index in zip(images, (4, 2), strict=True):
        assert np.allclose(image[0].numpy() * 255, enlarged(digits.images[index], 64), atol=1e-3)


def test_digits_for_testing_take_the_mean_of_those_for_training():
    train, test = (ScaledDigits(part) for part in load_mnist())
    against = ScaledDigits(test.digits, mean=train.level)
    assert against.level == train.level != test.level
    # Zoomed out by 1.75 on average, digits leave about a third of their ink's share: darker than
    # the mean.
    images, _ = train.batch(torch.arange(1000), seed=0)
    assert -0.12 < images.mean() < -0.05
    assert images.amin().item() == pytest.approx(-train.level / 255, abs=1e-6)
