"""Conv4: its grid for every size, its number of parameters, and its receptive field."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.models.encoders import Conv4


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
@torch.no_grad()
def test_the_grid_is_an_eighth_rounded_up(height, width):
    net = Conv4(1).eval()
    assert net.grid(height, width) == (-(-height // 8), -(-width // 8))
    assert net(torch.zeros(1, 1, height, width)).shape == (1, 64, *net.grid(height, width))


def test_parameters_counted_by_hand():
    convolutions = 3 * 16 * 25 + 16 * 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9
    norms = 2 * (16 + 32 + 64 + 64)
    assert sum(p.numel() for p in Conv4(3).parameters()) == convolutions + norms


def test_the_receptive_field_is_as_computed_by_hand():
    # many, because a max pool passes one pixel of each four
    frames = torch.rand(32, 1, 72, 72, requires_grad=True)
    Conv4(1).eval()(frames)[:, :, 4, 4].sum().backward()
    rows = frames.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    # 5 pixels; 3×3 at a step of 2: +4, pool: +2; 3×3 at 4: +8, pool: +4; 3×3 at 8: +16.
    assert rows.max() - rows.min() + 1 == 5 + 4 + 2 + 8 + 4 + 16
    assert rows.min() <= 4 * 8 + 4 <= rows.max()
