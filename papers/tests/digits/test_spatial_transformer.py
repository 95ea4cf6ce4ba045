"""The spatial transformer compared with SciPy's affine transform, and with the identity."""

import math

import numpy as np
import torch
from scipy.ndimage import affine_transform

from onlooker_papers.digits.sampling.spatial_transformer import spatial_transform

IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def test_the_identity_changes_nothing():
    image = torch.rand(2, 3, 6, 9)
    assert torch.allclose(
        spatial_transform(image, IDENTITY.expand(2, 2, 3), (6, 9)), image, atol=1e-6
    )


def test_the_identity_at_half_the_size_is_the_mean_of_four():
    image = torch.rand(1, 1, 8, 8)
    small = spatial_transform(image, IDENTITY[None], (4, 4))
    assert torch.allclose(small, torch.nn.functional.avg_pool2d(image, 2), atol=1e-6)


def test_rotation_and_scale_equal_those_of_scipy():
    image = torch.rand(2, 1, 12, 12, dtype=torch.float64)
    # shift in x and y, as a share of half the side
    angle = 0.6
    zoom = 1.7
    shift = (0.25, -0.1)
    cos = zoom * math.cos(angle)
    sin = zoom * math.sin(angle)
    theta = torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]], dtype=torch.float64)
    seen = spatial_transform(image, theta.expand(2, 2, 3), (12, 12))
    # scipy's matrix takes (row, column): x and y change places.
    matrix = np.array([[cos, sin], [-sin, cos]])
    center = np.array([5.5, 5.5])
    offset = center - matrix @ center + 6 * np.array([shift[1], shift[0]])
    for n in range(2):
        expected = affine_transform(
            image[n, 0].numpy(), matrix, offset, order=1, mode="grid-constant"
        )
        assert np.allclose(seen[n, 0].numpy(), expected, atol=1e-10)


def test_the_literal_form_equals_the_interpolation_of_the_authors_code():
    image = torch.rand(3, 1, 9, 12, dtype=torch.float64)
    theta = IDENTITY.double() + 0.4 * torch.randn(3, 2, 3).double()
    seen = spatial_transform(image, theta, (6, 5), literal=True)
    for n, row, column in np.ndindex(3, 6, 5):
        x, y = theta[n].numpy() @ [np.linspace(-1, 1, 5)[column], np.linspace(-1, 1, 6)[row], 1]
        x = (x + 1) / 2 * 12
        y = (y + 1) / 2 * 9
        value = 0.0
        x0, x1 = np.clip([np.floor(x), np.floor(x) + 1], 0, 11)
        y0, y1 = np.clip([np.floor(y), np.floor(y) + 1], 0, 8)
        for at_x, at_y, area in [
            (x0, y0, (x1 - x) * (y1 - y)),
            (x0, y1, (x1 - x) * (y - y0)),
            (x1, y0, (x - x0) * (y1 - y)),
            (x1, y1, (x - x0) * (y - y0)),
        ]:
            value += area * image[n, 0, int(at_y), int(at_x)].item()
        assert abs(seen[n, 0, row, column].item() - value) < 1e-10
    assert (seen == 0).any()


def test_several_windows_equal_single_ones():
    image = torch.randn(3, 2, 9, 11)
    theta = torch.randn(3, 4, 2, 3)
    seen = spatial_transform(image, theta, (5, 7))
    assert seen.shape == (3, 4, 2, 5, 7)
    for g in range(4):
        assert torch.allclose(seen[:, g], spatial_transform(image, theta[:, g], (5, 7)), atol=1e-6)


def test_autocast_does_not_round_coordinates():
    # each pixel says where it is
    ramp = ((torch.arange(64) * 2 + 1) / 64 - 1).expand(1, 1, 64, 64).contiguous()
    theta = torch.tensor([[[0.29, 0, 0.3377], [0, 0.31, 0.11]]])
    exact = spatial_transform(ramp, theta, (32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(spatial_transform(ramp, theta, (32, 32)), exact)
    assert spatial_transform(ramp.bfloat16(), theta, (32, 32)).dtype == torch.bfloat16


def test_gradients_reach_image_and_window():
    image = torch.rand(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    theta = torch.tensor(
        [[[0.71, 0.13, 0.05], [-0.22, 0.83, 0.11]]], dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(
        lambda image, theta: spatial_transform(image, theta, (3, 4)), (image, theta)
    )
