"""A convolution of maps equals PyTorch's, whether it is computed as one or as a product with
patches.
"""

import pytest
import torch
from torch import nn

from onlooker.models.cells import lstm
from onlooker.models.cells.lstm import MapConv2d


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_product_with_patches_has_the_outputs_and_gradients_of_the_convolution(
    kernel: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    conv = MapConv2d(5, 6, kernel, bias).double()
    maps = torch.randn(2, 5, 3, 4, dtype=torch.double, requires_grad=True)
    found = []
    for large in (0, 1 << 30):
        monkeypatch.setattr(lstm, "_LARGE", large)
        output = conv(maps)
        weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view_as(output)
        found.append(
            [output, *torch.autograd.grad((output * weights).sum(), [maps, *conv.parameters()])]
        )
    for product, convolution in zip(*found, strict=True):
        torch.testing.assert_close(product, convolution, rtol=1e-12, atol=1e-12)
    plain = nn.functional.conv2d(maps, conv.weight, conv.bias, padding=kernel // 2)
    torch.testing.assert_close(found[0][0], plain, rtol=1e-12, atol=1e-12)


def test_under_autocast_outputs_are_in_half_and_gradients_in_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lstm, "_LARGE", 0)
    torch.manual_seed(0)
    conv = MapConv2d(32, 32, 3)
    maps = torch.randn(2, 32, 3, 4, requires_grad=True)
    exact = torch.autograd.grad(conv(maps).sum(), [maps, *conv.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        output = conv(maps)
    assert output.dtype == torch.bfloat16
    rough = torch.autograd.grad(output.float().sum(), [maps, *conv.parameters()])
    for ours, right in zip(rough, exact, strict=True):
        assert ours.dtype == torch.float
        assert (ours - right).norm() < 0.03 * right.norm()
