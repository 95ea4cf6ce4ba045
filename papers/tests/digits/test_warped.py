"""Warping by a field of displacements: its equation, its start, its gradients, and the two forms of the field."""

import pytest
import torch

from onlooker.models.encoders import build_encoder
from onlooker_papers.digits.encoders import register_encoders
from onlooker_papers.digits.encoders.lenet import LeNet
from onlooker_papers.digits.encoders.warped import WarpedLeNet, enlarge, warp
from onlooker_papers.digits.sampling.spatial_transformer import spatial_transform


def naive(image, field):
    """Bilinear sampling of `H W` at p + field(p), pixel by pixel; beyond the border the nearest pixel."""
    H, W = image.shape
    shown = torch.zeros_like(image)
    for y in range(H):
        for x in range(W):
            at_x = min(max(x + field[0, y, x].item(), 0), W - 1)
            at_y = min(max(y + field[1, y, x].item(), 0), H - 1)
            left, top = min(int(at_x), W - 2), min(int(at_y), H - 2)
            right, down = at_x - left, at_y - top
            upper = (1 - right) * image[top, left] + right * image[top, left + 1]
            lower = (1 - right) * image[top + 1, left] + right * image[top + 1, left + 1]
            shown[y, x] = (1 - down) * upper + down * lower
    return shown


def test_warp_is_its_equation_pixel_by_pixel():
    torch.manual_seed(0)
    images, fields = torch.rand(2, 1, 7, 9, dtype=torch.double), 4 * torch.randn(2, 2, 7, 9, dtype=torch.double)
    expected = torch.stack([naive(image[0], field) for image, field in zip(images, fields, strict=True)])
    assert torch.allclose(warp(images, fields)[:, 0], expected, atol=1e-12)
    assert torch.allclose(warp(images, 0 * fields), images, atol=1e-12)


def test_gradients_of_the_field_are_those_of_finite_differences():
    torch.manual_seed(1)
    image = torch.rand(1, 2, 4, 5, dtype=torch.double)
    # In the middle between pixels, where bilinear sampling has a derivative.
    field = (0.5 + 0.2 * (torch.rand(1, 2, 4, 5, dtype=torch.double) - 0.5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: warp(image, f), field)


def test_a_field_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"field \(2, 2, 4, 5\), expected N C H W and N 2 H W"):
        warp(torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 4, 5))


@pytest.mark.parametrize("name", ["lenet:affine", "lenet:field"])
def test_it_starts_as_lenet_and_learns_where_to_look(name):
    register_encoders()
    torch.manual_seed(2)
    net = build_encoder(name, 1, 40)
    plain = LeNet(1, 40)
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if key in plain.state_dict()})
    frames = torch.rand(3, 1, 40, 40)
    assert not net.field(frames).any()
    assert torch.allclose(net(frames), plain(frames), atol=1e-5)
    net(frames).square().sum().backward()
    assert net.displacements.weight.grad.abs().max() > 0
    assert net.displacements.bias.grad.abs().min() > 0


@torch.no_grad()
def test_six_numbers_are_an_affine_transform():
    torch.manual_seed(3)
    net = WarpedLeNet(1, 28, points=0)
    net.displacements.bias.copy_(torch.tensor([0.1, -0.2, 0.05, 0.2, -0.1, -0.05]))
    frames = torch.rand(2, 1, 28, 28)
    theta = torch.eye(2, 3) + net.displacements.bias.view(2, 3)
    # Where the window stays in the frame: beyond it, the one continues the border, and the other is 0.
    expected = spatial_transform(frames, theta.expand(2, 2, 3), (28, 28))
    assert torch.allclose(net.transform(frames)[..., 8:20, 8:20], expected[..., 8:20, 8:20], atol=1e-5)


@torch.no_grad()
def test_control_points_are_displacements_in_pixels():
    net = WarpedLeNet(1, 28, points=3)
    net.displacements.bias[:9] = 2.0
    net.displacements.bias[9:] = -3.0
    field = net.field(torch.rand(1, 1, 28, 28))
    assert torch.allclose(field[0, 0], torch.full((28, 28), 2.0), atol=1e-5)
    assert torch.allclose(field[0, 1], torch.full((28, 28), -3.0), atol=1e-5)
    corner = torch.zeros(1, 1, 3, 3)
    corner[0, 0, 0, 2] = 1.0
    enlarged = enlarge(corner, 27, 27)[0, 0]
    assert enlarged[0, 26] == 1
    assert enlarged.abs()[:, :13].max() < 0.2, "a control point reaches little farther than the next one"


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match="points is 1, expected 0"):
        WarpedLeNet(1, 28, points=1)
    with pytest.raises(ValueError, match="size is 24, expected at least 28"):
        WarpedLeNet(1, 24)
