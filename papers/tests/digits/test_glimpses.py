"""Several glimpses against their equations written out, on things that nobody taught, and at their
limits.
"""

import math

import pytest
import torch

from onlooker.models.video_model import count_parameters
from onlooker_papers.digits.data.moving_mnist import MovingDigits
from onlooker_papers.digits.encoders.glimpses import Glimpses, contrast
from onlooker_papers.mnist import load_mnist
from onlooker_papers.pointing import boxes_with_a_window


def made(*arguments, stir=0.0, **settings):
    """Seeded, in evaluation mode; `stir` moves all weights, so that nothing is at its start."""
    torch.manual_seed(0)
    net = Glimpses(*arguments, **settings).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += stir * torch.randn_like(parameter)
    return net


def squares(*corners, side=64, width=14):
    """A frame, black, with a white square at each `(x, y)`: `1 1 H W`, -1 to 1, and their centers
    in pixels.
    """
    frame = torch.full((1, 1, side, side), -1.0)
    for x, y in corners:
        frame[0, 0, y : y + width, x : x + width] = 1
    return frame, torch.tensor(corners, dtype=torch.float32) + width / 2


def trained_statistics(net, frames):
    """Batch norms that know such frames."""
    net.train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        net(frames)
    return net.eval()


def centers(windows, side=64):
    return (windows[..., 2] + 1) * side / 2


def test_it_has_the_parameters_that_its_docstring_counts():
    localization = 25 * 16 + 9 * 16 * 32 + 2 * (16 + 32)
    recurrent = (32 * 32 + 32) + 3 * 32 * (34 + 32 + 2) + (32 * 2 + 2) + 1
    recognition = 25 * 16 + 9 * (16 * 32 + 32 * 64) + 2 * (16 + 32 + 64) + 64 * 16 * 64 + 64
    for glimpses in (1, 2, 5):
        net = Glimpses(1, glimpses)
        assert net.num_features == 64 * glimpses
        assert count_parameters(net) == localization + recurrent + recognition == 102_019
    assert "102,019" in Glimpses.__doc__


@torch.no_grad()
def test_windows_are_the_equations_written_out():
    net = made(2, 3, stir=0.2).double()
    frames = torch.randn(2, 2, 40, 56, dtype=torch.double)
    features = net.localization(frames)
    found = net.windows(frames)
    N, D, h, w = features.shape
    assert (h, w) == (10, 14)
    z = dict(net.named_parameters())
    gain = net.log_gain.exp()
    for n in range(N):
        x = {(i, j): features[n, :, i, j] for i in range(h) for j in range(w)}
        place = {
            (i, j): torch.tensor([(2 * j + 1) / w - 1, (2 * i + 1) / h - 1]).double() for i, j in x
        }
        mean = sum(x.values()) / len(x)
        away = {p: ((v - mean) ** 2).mean() for p, v in x.items()}
        d = {
            (i, j): sum(away.get((i + a, j + b), 0) for a in (-1, 0, 1) for b in (-1, 0, 1)) / 9
            for i, j in x
        }
        level = sum(d.values()) / len(d)
        state = torch.zeros(32).double()
        earlier = []
        for g in range(3):
            query = z["query.weight"] @ state + z["query.bias"]
            score = {}
            for p in x:
                left = math.prod(
                    1 - math.exp(-0.5 * (((place[p] - c) / (0.7 * s)) ** 2).sum())
                    for c, s in earlier
                )
                score[p] = (
                    gain * d[p] / level * 2 * torch.sigmoid(query @ x[p] / math.sqrt(D)) * left
                )
            total = sum(s.exp() for s in score.values())
            a = {p: s.exp() / total for p, s in score.items()}
            center = sum(a[p] * place[p] for p in x)
            seen = torch.cat((sum(a[p] * x[p] for p in x), center))
            # The GRU as PyTorch documents it.
            r1, u1, n1 = (z["cell.weight_ih"] @ seen + z["cell.bias_ih"]).chunk(3)
            r2, u2, n2 = (z["cell.weight_hh"] @ state + z["cell.bias_hh"]).chunk(3)
            update = torch.sigmoid(u1 + u2)
            state = (1 - update) * torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2) + update * state
            half = 0.3 + 0.2 * torch.sigmoid(z["extent.weight"] @ state + z["extent.bias"])
            earlier.append((center, half))
            expected = torch.tensor([[half[0], 0, center[0]], [0, half[1], center[1]]])
            assert torch.allclose(found[n, g], expected, atol=1e-4)  # 1e-6 is added to a divisor


@torch.no_grad()
def test_before_it_has_learned_each_window_is_on_a_different_digit():
    batch = MovingDigits(load_mnist()[1], frames=4).batch(60, seed=3)
    frames = batch.video.flatten(0, 1) / 127.5 - 1
    windows = trained_statistics(made(), frames).windows(frames)
    shares = boxes_with_a_window(windows.unflatten(0, (60, 4)), batch.boxes, (64, 64))
    assert (shares == 1).mean() > 0.85
    # What looking at both from the middle would reach.
    both = torch.tensor([[0.45, 0, 0], [0, 0.45, 0]]).expand(60, 4, 2, 2, 3)
    assert (boxes_with_a_window(both, batch.boxes, (64, 64)) == 1).mean() < 0.2


@torch.no_grad()
def test_a_window_shows_its_part_of_the_frame():
    net = made(2, 3, stir=0.02)
    # A frame whose pixels say where they are, so that a view can be read.
    y, x = torch.meshgrid(*[(torch.arange(64) * 2.0 + 1) / 64 - 1] * 2, indexing="ij")
    frame = torch.stack((x, y))[None]
    theta = net.windows(frame)[0]
    seen = net.transform(frame)[0]
    assert seen.shape == (3, 2, 32, 32)
    line = (torch.arange(32) * 2.0 + 1) / 32 - 1
    for window, view in zip(theta, seen, strict=True):
        across = window[0, 2] + window[0, 0] * line
        down = window[1, 2] + window[1, 1] * line
        # beyond, black is mixed in
        inside = (across.abs() < 63 / 64) & (down.abs() < 63 / 64)[:, None]
        assert inside.sum() > 200
        assert torch.allclose(view[0][inside], across.expand(32, 32)[inside], atol=1e-5)
        assert torch.allclose(view[1][inside], down[:, None].expand(32, 32)[inside], atol=1e-5)


@torch.no_grad()
def test_features_are_those_of_each_window_in_their_order():
    net = made(3, 3, stir=0.1)
    frames = torch.randn(2, 3, 50, 64)
    features = net(frames)
    assert features.shape == (2, 192, 1, 1)
    seen = net.transform(frames)
    apart = torch.cat([net.recognition(seen[:, g]) for g in range(3)], 1)
    assert torch.allclose(features[:, :, 0, 0], apart, atol=1e-5)


@torch.no_grad()
def test_a_later_glimpse_changes_none_before_it():
    two = made(1, 2, stir=0.1)
    three = made(1, 3, stir=0.1)
    frames = torch.randn(2, 1, 64, 64)
    assert torch.allclose(three.windows(frames)[:, :2], two.windows(frames), atol=1e-6)
    assert torch.allclose(three(frames)[:, :128], two(frames), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("stir", [0.0, 1.0, 30.0])
def test_windows_stay_in_the_frame_and_near_half_of_it(stir):
    theta = made(1, 4, stir=stir).windows(torch.randn(8, 1, 64, 64) * 3)
    assert theta.isfinite().all()
    assert not theta[..., 0, 1].any()
    assert not theta[..., 1, 0].any()
    half = torch.stack((theta[..., 0, 0], theta[..., 1, 1]))
    assert half.min() >= 0.3 - 1e-6
    assert half.max() <= 0.5 + 1e-6
    assert theta[..., 2].abs().max() < 1
    if not stir:
        assert torch.allclose(half, torch.tensor(0.45), atol=1e-6)


@torch.no_grad()
def test_nothing_is_salient_in_a_flat_map():
    assert not contrast(torch.full((1, 4, 5, 5), 3.0)).any()
    assert contrast(torch.randn(2, 4, 5, 7)).mean((1, 2)) == pytest.approx([1, 1], abs=1e-4)
    assert made()(torch.zeros(2, 1, 64, 64)).isfinite().all()


@torch.no_grad()
def test_half_precision_moves_no_window_by_a_pixel():
    net = made(stir=0.05)
    frames = torch.randn(4, 1, 64, 64)
    exact = net.windows(frames)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net.windows(frames)
        assert net(frames).isfinite().all()
    assert rough.dtype == torch.float32
    assert (centers(rough) - centers(exact)).abs().max() < 1
    assert (rough * 256 != (rough * 256).round()).any(), "places were rounded to bfloat16"
