"""The offset layer against scipy's interpolation, pixel arithmetic, and PyTorch's own gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates

from onlooker_papers.digits.sampling.channel_offset import ChannelOffset, channel_offset


def by_grid_sample(features, offsets):
    """Each channel as a separate image, by PyTorch."""
    N, C, H, W = features.shape
    y, x = offsets.view(N * C, 2, H, W).unbind(1)
    y = y + torch.arange(H)[:, None]
    x = x + torch.arange(W)
    grid = torch.stack((2 * x / (W - 1) - 1, 2 * y / (H - 1) - 1), -1)
    pictures = features.reshape(N * C, 1, H, W)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=True).view(N, C, H, W)


SPREADS = pytest.mark.parametrize("spread", [0.05, 0.9, 3, 30])


def drawn(shape, spread):
    """Offsets within ± spread."""
    return (torch.rand(shape, dtype=torch.float64) * 2 - 1) * spread


@SPREADS
def test_it_equals_interpolation_by_scipy(spread):
    features = torch.randn(2, 3, 6, 9, dtype=torch.float64)
    offsets = drawn((2, 6, 6, 9), spread)
    out = channel_offset(features, offsets)
    rows, columns = np.mgrid[:6, :9]
    for n, c in np.ndindex(2, 3):
        where = [rows + offsets[n, 2 * c].numpy(), columns + offsets[n, 2 * c + 1].numpy()]
        expected = map_coordinates(features[n, c].numpy(), where, order=1, mode="nearest")
        assert np.allclose(out[n, c].numpy(), expected, atol=1e-12)


def test_the_literal_form_equals_a_transcription_of_the_reshape():
    """Lau's `tf_batch_map_offsets` on NHWC arrays: transpose to NCHW, reshape, add a grid, clip,
    interpolate.
    """
    N = 2
    H = 6
    W = 8
    C = 3
    features = np.random.default_rng(0).normal(size=(N, H, W, C))
    offsets = drawn((N, H, W, 2 * C), 2).numpy()
    planes = features.transpose(0, 3, 1, 2).reshape(-1, H, W)
    pairs = offsets.transpose(0, 3, 1, 2).reshape(-1, H, W, 2)
    grid = np.stack(np.meshgrid(range(H), range(W), indexing="ij"), -1)
    where = (grid + pairs).clip(0, [H - 1, W - 1])
    moved = [
        map_coordinates(of, at.transpose(2, 0, 1), order=1)
        for of, at in zip(planes, where, strict=True)
    ]
    expected = np.stack(moved).reshape(N, C, H, W)
    given = [torch.from_numpy(each.transpose(0, 3, 1, 2).copy()) for each in (features, offsets)]
    assert np.allclose(channel_offset(*given, literal=True), expected, atol=1e-12)
    # Nearly all outputs differ from those of the layer that was meant; equal offsets give the same.
    assert (channel_offset(*given, literal=True) != channel_offset(*given)).double().mean() > 0.95
    given[1][:] = 0.7
    assert torch.equal(channel_offset(*given, literal=True), channel_offset(*given))


@SPREADS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_gradients_equal_those_of_grid_sample(spread, dtype, tolerance):
    features = torch.randn(2, 3, 6, 9, dtype=torch.float64)
    offsets = drawn((2, 6, 6, 9), spread)
    pull = torch.randn(2, 3, 6, 9, dtype=torch.float64)

    def found(layer, dtype):
        given = [t.to(dtype).requires_grad_() for t in (features, offsets)]
        out = layer(*given)
        return [out, *torch.autograd.grad(out, given, pull.to(dtype))]

    expected = found(by_grid_sample, torch.float64)
    for ours, theirs in zip(found(channel_offset, dtype), expected, strict=True):
        assert ours.dtype == dtype
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_zero_offsets_change_nothing():
    features = torch.randn(2, 3, 5, 4)
    assert torch.equal(channel_offset(features, torch.zeros(2, 6, 5, 4)), features)


def test_whole_offsets_are_a_shift_with_the_border_repeated():
    features = torch.randn(1, 2, 5, 6)
    offsets = torch.tensor([1.0, -2.0, -1.0, 7.0])[None, :, None, None].expand(1, 4, 5, 6)
    out = channel_offset(features, offsets)
    assert torch.equal(out[0, 0], features[0, 0][[1, 2, 3, 4, 4]][:, [0, 0, 0, 1, 2, 3]])
    assert torch.equal(out[0, 1], features[0, 1][[0, 0, 1, 2, 3]][:, [5] * 6])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_gradient_at_zero_offsets_is_that_to_the_right_and_below(zero):
    features = torch.randn(1, 1, 4, 4)
    offsets = torch.full((1, 2, 4, 4), zero, requires_grad=True)
    channel_offset(features, offsets).sum().backward()
    picture = features[0, 0]
    assert torch.allclose(offsets.grad[0, 0, 1:3], picture[2:4] - picture[1:3])
    assert torch.allclose(offsets.grad[0, 1, :, 1:3], picture[:, 2:4] - picture[:, 1:3])
    assert not offsets.grad[0, 0, [0, 3]].any(), "on the border, rows"
    assert not offsets.grad[0, 1, :, [0, 3]].any(), "on the border, columns"


@pytest.mark.parametrize("spread", [0.9, 3])
def test_a_batch_of_two_equals_two_of_one(spread):
    features = torch.randn(2, 3, 6, 9, dtype=torch.float64)
    offsets = drawn((2, 6, 6, 9), spread)
    together = channel_offset(features, offsets)
    apart = torch.cat([channel_offset(features[n : n + 1], offsets[n : n + 1]) for n in range(2)])
    assert torch.equal(together, apart)


def test_what_is_not_a_number_stays_so():
    features = torch.randn(1, 1, 5, 5, requires_grad=True)
    offsets = torch.zeros(1, 2, 5, 5)
    offsets[0, 1, 2, 3] = torch.nan
    out = channel_offset(features, offsets.requires_grad_())
    assert out[0, 0, 2, 3].isnan()
    assert out.isnan().sum() == 1
    out.sum().backward()


def test_under_autocast_coordinates_keep_their_precision():
    features = torch.randn(1, 2, 200, 200).bfloat16()
    offsets = (torch.randn(1, 4, 200, 200) * 0.3).bfloat16()
    expected = channel_offset(features.float(), offsets.float())
    with torch.autocast("cpu", torch.bfloat16):
        out = channel_offset(features, offsets)
    assert out.dtype == torch.bfloat16
    assert (out.float() - expected).abs().max() < 0.01 * expected.abs().max()


def test_the_layer_is_that_of_the_authors():
    layer = ChannelOffset(20)
    assert [tuple(p.shape) for p in layer.parameters()] == [(40, 20, 3, 3)]
    assert layer.offsets.weight.std().item() == pytest.approx(0.01, rel=0.05)
    features = torch.randn(2, 20, 8, 8)
    offsets = F.conv2d(features, layer.offsets.weight, padding=1)
    assert torch.equal(layer(features), channel_offset(features, offsets))
