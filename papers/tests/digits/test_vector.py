"""The wide layer is a linear layer, in float32 where few rows are multiplied."""

import pytest
import torch
from torch import nn

from onlooker_papers.digits.encoders.vector import WideLinear


@pytest.fixture
def layers() -> tuple[WideLinear, nn.Linear]:
    wide = WideLinear(300, 7)
    plain = nn.Linear(300, 7)
    plain.load_state_dict(wide.state_dict())
    return wide, plain


@pytest.mark.parametrize("rows", [127, 128])
def test_it_is_a_linear_layer(layers: tuple[WideLinear, nn.Linear], rows: int) -> None:
    wide, plain = layers
    x = torch.randn(rows, 300)
    assert torch.equal(wide(x), plain(x))


def test_few_rows_keep_float32_under_autocast_and_many_do_not(
    layers: tuple[WideLinear, nn.Linear],
) -> None:
    wide, plain = layers
    few = torch.randn(127, 300)
    many = torch.randn(128, 300)
    with torch.autocast("cpu", torch.bfloat16):
        exact = wide(few.bfloat16())
        rounded = wide(many)
        assert (exact.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
        assert torch.equal(rounded, plain(many))
    assert torch.equal(exact, plain(few.bfloat16().float()))


def test_gradients_are_those_of_a_linear_layer(layers: tuple[WideLinear, nn.Linear]) -> None:
    wide, plain = layers
    x = torch.randn(5, 300)
    with torch.autocast("cpu", torch.bfloat16):
        out = wide(x)
    out.square().sum().backward()
    plain(x).square().sum().backward()
    assert wide.weight.grad is not None
    assert plain.weight.grad is not None
    torch.testing.assert_close(wide.weight.grad, plain.weight.grad)
