"""Deformable convolution compared with torchvision, with SciPy's interpolation, and with an
ordinary convolution.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from scipy.ndimage import map_coordinates

from onlooker_papers.digits.sampling.deform_conv import DeformableConv2d, deformable_conv2d

FEW_AND_MANY = pytest.mark.parametrize("channels", [1, 20])
# N C O H W, kernel, padding, masked
CASES = {
    "digits, first layer": (2, 1, 20, 16, 16, (5, 5), 2, False),
    "digits, second layer": (2, 20, 50, 12, 12, (5, 5), 2, False),
    "modulated": (2, 20, 6, 12, 12, (5, 5), 2, True),
    "color": (2, 3, 4, 10, 13, (3, 3), 1, True),
    "flat kernel": (3, 18, 4, 7, 5, (3, 1), 0, False),
    "one output": (1, 3, 2, 5, 5, (5, 5), 0, True),
    "margin wider than the map": (1, 20, 2, 1, 2, (3, 3), 1, False),
}


def tensors(case, spread, dtype=torch.float32):
    N, C, O, H, W, kernel, padding, masked = CASES[case]  # noqa: E741
    input = torch.randn(N, C, H, W)
    weight = torch.randn(O, C, *kernel)
    bias = torch.randn(O)
    out = F.conv2d(input, weight, bias, padding=padding)
    taps = kernel[0] * kernel[1]
    offset = torch.randn(N, 2 * taps, *out.shape[2:]) * spread
    mask = torch.rand(N, taps, *out.shape[2:]) if masked else None
    inputs = [
        None if t is None else t.to(dtype).requires_grad_()
        for t in (input, offset, weight, bias, mask)
    ]
    return inputs, padding


def everything(conv, inputs, padding, output_gradient):
    """The output, and the gradients with respect to all inputs."""
    input, offset, weight, bias, mask = inputs
    out = conv(input, offset, weight, bias=bias, padding=padding, mask=mask)
    return [out, *torch.autograd.grad(out, [t for t in inputs if t is not None], output_gradient)]


@pytest.mark.parametrize("spread", [0, 0.3, 4])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_equals_torchvision_with_all_gradients(case, spread, dtype):
    inputs, padding = tensors(case, spread, dtype)
    output_gradient = torch.randn_like(
        torchvision.ops.deform_conv2d(*inputs[:4], padding=padding, mask=inputs[4])
    )
    expected = everything(torchvision.ops.deform_conv2d, inputs, padding, output_gradient)
    found = everything(deformable_conv2d, inputs, padding, output_gradient)
    for ours, theirs in zip(found, expected, strict=True):
        near = 1e-5 if dtype == torch.float32 else 1e-12
        assert (ours - theirs).abs().max() <= near * theirs.abs().max()


def test_it_equals_interpolation_by_scipy():
    input = torch.randn(1, 2, 6, 7).double()
    offset = torch.randn(1, 18, 6, 7).double() * 2
    weight = torch.randn(3, 2, 3, 3)
    expected = np.zeros((3, 6, 7))
    rows, columns = np.mgrid[:6, :7]
    for tap, (i, j) in enumerate(np.ndindex(3, 3)):
        y = rows + i - 1 + offset[0, 2 * tap].numpy()
        x = columns + j - 1 + offset[0, 2 * tap + 1].numpy()
        for channel in range(2):
            # "grid-constant" fades to zero within one pixel of the border, as the taps do.
            seen = map_coordinates(input[0, channel].numpy(), [y, x], order=1, mode="grid-constant")
            expected += weight[:, channel, i, j, None, None].numpy() * seen
    assert np.allclose(
        deformable_conv2d(input, offset, weight.double(), padding=1)[0].numpy(),
        expected,
        atol=1e-12,
    )


@FEW_AND_MANY
def test_zero_offsets_equal_an_ordinary_convolution(channels):
    input = torch.randn(2, channels, 9, 9)
    weight = torch.randn(5, channels, 3, 3)
    bias = torch.randn(5)
    out = deformable_conv2d(input, torch.zeros(2, 18, 9, 9), weight, bias=bias, padding=1)
    assert torch.allclose(out, F.conv2d(input, weight, bias, padding=1), atol=1e-5)


@FEW_AND_MANY
def test_integer_offsets_are_a_shift(channels):
    input = torch.randn(1, channels, 8, 8)
    weight = torch.randn(3, channels, 3, 3)
    offset = torch.tensor([2.0, -1.0]).repeat(9)[None, :, None, None].expand(1, 18, 8, 8)
    shifted = F.pad(input, (1, 0, 0, 2))[:, :, 2:, :8]  # what lies two below and one to the left
    out = deformable_conv2d(input, offset, weight, padding=1)
    expected = F.conv2d(shifted, weight, padding=1)
    # where the margin of one does not meet that of the other
    inner = (..., slice(1, 5), slice(2, 7))
    assert torch.allclose(out[inner], expected[inner], atol=1e-5)


@FEW_AND_MANY
def test_far_offsets_read_zero_and_have_zero_gradients(channels):
    input = torch.randn(1, channels, 8, 8)
    weight = torch.randn(3, channels, 3, 3)
    for far in (-1e9, 1e9, float("inf")):
        offset = torch.full((1, 18, 8, 8), far, requires_grad=True)
        out = deformable_conv2d(input, offset, weight, padding=1)
        assert not out.any()
        if far < float("inf"):
            out.sum().backward()
            assert not offset.grad.any()


@FEW_AND_MANY
def test_nan_offsets_give_nan_outputs(channels):
    offset = torch.zeros(1, 18, 8, 8)
    offset[0, 0, 3, 3] = torch.nan
    input = torch.randn(1, channels, 8, 8, requires_grad=True)
    offset = offset.requires_grad_()
    out = deformable_conv2d(input, offset, torch.randn(3, channels, 3, 3), padding=1)
    assert out[..., 3, 3].isnan().all()
    assert out.isnan().sum() == 3
    out.sum().backward()


@FEW_AND_MANY
def test_gradients_are_those_of_finite_differences(channels):
    shapes = ((1, channels, 4, 4), (1, 18, 4, 4), (2, channels, 3, 3), (1, 9, 4, 4))
    inputs = [
        torch.rand(shape, dtype=torch.float64).mul_(0.8).add_(0.1).requires_grad_()
        for shape in shapes
    ]
    assert torch.autograd.gradcheck(
        lambda input, offset, weight, mask: deformable_conv2d(
            input, offset, weight, padding=1, mask=mask
        ),
        inputs,
        fast_mode=True,
    )


@FEW_AND_MANY
def test_under_autocast_coordinates_keep_their_precision(channels):
    input = torch.randn(1, channels, 40, 40)
    weight = torch.randn(3, channels, 3, 3, requires_grad=True)
    offset = (torch.randn(1, 18, 40, 40) * 0.3).bfloat16()
    expected = deformable_conv2d(input.bfloat16().float(), offset.float(), weight, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        out = deformable_conv2d(input.bfloat16(), offset, weight, padding=1)
        (slope,) = torch.autograd.grad(out.float().square().sum(), weight)
    assert out.dtype == torch.bfloat16
    assert (out.float() - expected).abs().max() < 0.01 * expected.abs().max()
    (exact,) = torch.autograd.grad(expected.square().sum(), weight)
    assert (slope - exact).abs().max() < 0.01 * exact.abs().max()


@pytest.mark.parametrize("modulated", [False, True])
def test_the_layer_starts_as_an_ordinary_convolution(modulated):
    layer = DeformableConv2d(4, 6, 5, padding=2, modulated=modulated)
    features = torch.randn(2, 4, 9, 9)
    conv = F.conv2d(features, layer.conv.weight, None, padding=2)
    # Every tap of the modulated form starts with the sigmoid of zero.
    expected = conv * (0.5 if modulated else 1) + layer.conv.bias[:, None, None]
    assert torch.allclose(layer(features), expected, atol=1e-5)


@pytest.mark.parametrize(("modulated", "a_tap"), [(False, 2), (True, 3)])
def test_the_layer_has_the_parameters_of_equation_1b(modulated, a_tap):
    layer = DeformableConv2d(20, 50, 5, padding=2, modulated=modulated)
    numbers = sum(p.numel() for p in layer.parameters())
    assert numbers == (20 * 25 * 50 + 50) + (20 * 25 * a_tap * 25 + a_tap * 25)


def test_the_trained_layer_equals_torchvision():
    layer = DeformableConv2d(4, 6, 3, padding=1, modulated=True)
    for parameter in layer.offsets.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    features = torch.randn(2, 4, 9, 9)
    says = F.conv2d(features, layer.offsets.weight, layer.offsets.bias, padding=1)
    offset = says[:, :18]
    mask = says[:, 18:].sigmoid()
    expected = torchvision.ops.deform_conv2d(
        features, offset, layer.conv.weight, layer.conv.bias, padding=1, mask=mask
    )
    assert torch.allclose(layer(features), expected, atol=1e-5)


def test_shapes_that_do_not_fit_are_an_error():
    input = torch.ones(1, 4, 8, 8)
    weight = torch.ones(3, 4, 3, 3)
    with pytest.raises(ValueError, match=r"offset is \(1, 9, 8, 8\), expected \(1, 18, 8, 8\)"):
        deformable_conv2d(input, torch.ones(1, 9, 8, 8), weight, padding=1)
    with pytest.raises(ValueError, match=r"mask is \(1, 18, 8, 8\), expected \(1, 9, 8, 8\)"):
        deformable_conv2d(
            input, torch.ones(1, 18, 8, 8), weight, padding=1, mask=torch.ones(1, 18, 8, 8)
        )
