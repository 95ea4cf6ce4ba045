"""Windows that share a frame: against their equations, on things whose places are known, and at
their limits.
"""

import itertools
import math

import pytest
import torch

from onlooker_papers.digits.data.augmented_mnist import AugmentedDigits
from onlooker_papers.digits.data.moving_mnist import MovingDigits
from onlooker_papers.digits.tracks import Tracks, find_things
from onlooker_papers.mnist import load_mnist
from onlooker_papers.pointing import boxes_with_a_window


def made(*arguments, **settings):
    torch.manual_seed(0)
    return Tracks(*arguments, **settings).eval()


def squares(*corners, side=64, width=12):
    """A black frame with a white square at each `(x, y)`: `1 H W`, and their centers from -1 to 1,
    `k 2`.
    """
    frame = torch.zeros(1, side, side)
    for x, y in corners:
        frame[0, y : y + width, x : x + width] = 1
    return frame, (torch.tensor(corners) + width / 2) * 2 / side - 1


def test_parameters_are_those_of_the_layers_in_the_docstring():
    convolutions = 25 * 4 * 32 + 9 * (64 * 64 + 64 * 128) + 2 * (32 + 64 + 128)
    for things, stretch in ((1, 1), (2, 5), (3, 3)):
        net = Tracks(2, things=things, stretch=stretch, width=50)
        assert net.num_features == 50 * things
        assert sum(p.numel() for p in net.parameters()) == convolutions + 128 * 16 * 50 + 50


@torch.no_grad()
def test_things_are_shared_by_the_equations():
    frames = torch.rand(3, 2, 32, 40, dtype=torch.double).pow(8)
    centers, radii = find_things(frames, 3)
    for n in range(3):
        mass = {(i, j): frames[n, :, i, j].mean().item() for i in range(32) for j in range(40)}
        place = {(i, j): ((2 * j + 1) / 40 - 1, (2 * i + 1) / 32 - 1) for i, j in mass}

        def blurred(i, j, mass=mass):
            total = 0.0
            rows = [math.exp(-0.5 * (d * 2 / 32 / 0.16) ** 2) for d in range(-8, 9)]
            columns = [math.exp(-0.5 * (d * 2 / 40 / 0.16) ** 2) for d in range(-10, 11)]
            for a, down in enumerate(rows):
                for b, across in enumerate(columns):
                    total += mass.get((i + a - 8, j + b - 10), 0.0) * down * across
            return total / sum(rows) / sum(columns)

        left = {p: blurred(*p) for p in mass}
        found = []
        for _ in range(3):
            best = max(left, key=left.get)
            found.append(place[best])
            left = {
                p: v * (1 - math.exp(-0.5 * math.dist(place[p], place[best]) ** 2 / 0.31**2))
                for p, v in left.items()
            }

        def owned(found, mass=mass, place=place):
            for p, m in mass.items():
                scores = [math.exp(-0.5 * (math.dist(place[p], c) / 0.125) ** 2) for c in found]
                yield p, [m * s / sum(scores) for s in scores]

        for _ in range(3):
            shares = list(owned(found))
            found = [
                tuple(
                    sum(r[g] * place[p][d] for p, r in shares) / sum(r[g] for _, r in shares)
                    for d in (0, 1)
                )
                for g in range(3)
            ]
        shares = list(owned(found))
        spread = [
            math.sqrt(
                sum(r[g] * math.dist(place[p], found[g]) ** 2 for p, r in shares)
                / sum(r[g] for _, r in shares)
            )
            for g in range(3)
        ]
        assert torch.allclose(centers[n], torch.tensor(found).double(), atol=1e-6)
        assert torch.allclose(radii[n], torch.tensor(spread).double(), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("side", [64, 95, 160, 319])
def test_windows_lie_on_things_whatever_the_background(side):
    corners = [(side // 10, side // 8), (side * 2 // 3, side // 2)]
    frame, centers = squares(*corners, side=side)
    for level in (0.0, 0.8):
        # brighter things, and darker ones
        shown = torch.cat((frame, 1 - frame)) * (level - 0.3) + level
        windows = made(2, 2, 1).windows(shown[None, None])[0, 0]
        found = windows[..., 2]
        order = found[:, 0].argsort()
        assert torch.allclose(found[order], centers, atol=0.03)
        assert torch.equal(windows[:, 0, 1], torch.zeros(2))  # they do not turn
        assert torch.equal(windows[:, 0, 0], windows[:, 1, 1])


@torch.no_grad()
def test_half_a_window_is_the_mean_size_of_its_thing_within_limits():
    # Two things that change their sizes and, left and right, their places in the search: the larger
    # one comes first.
    sizes = [(8, 14), (14, 8), (8, 16)]
    frames = torch.stack(
        [squares((10, 20), width=a)[0] + squares((40, 20), width=b)[0] for a, b in sizes]
    )
    windows = made(1, 2, 3).windows(frames[None])[0]
    for side in (0, 1):
        g = (
            int((windows[0, :, 0, 2] > 0).float().argmax())
            if side
            else int((windows[0, :, 0, 2] < 0).float().argmax())
        )
        # of pooled pixels
        radii = [math.sqrt(2 * ((pair[side] / 2) ** 2 - 0.25) / 3) * 2 / 64 for pair in sizes]
        assert windows[:, g, 0, 0].tolist() == pytest.approx([1.8 * sum(radii) / 3] * 3, rel=0.05)
        assert ((windows[:, g, 0, 2] > 0) == bool(side)).all()
    tiny = squares((30, 30), width=2)[0]
    huge = torch.zeros(1, 64, 64)
    huge[:, :, 8:30] = 1
    huge[:, :, 34:56] = 1
    for frame, half in ((tiny, 0.2), (huge, 0.6)):
        assert made(1, 1, 1).windows(frame[None, None])[0, 0, 0, 0, 0].item() == pytest.approx(half)


@torch.no_grad()
def test_frames_are_read_together_by_their_mean_and_their_maximum():
    torch.manual_seed(3)
    net = made(1, 2, 3)
    stretch = torch.rand(1, 3, 1, 64, 64).pow(6)
    seen = net.transform(stretch)[0]  # L G 2 32 32
    for g in range(2):
        maps = torch.stack([net.low(seen[t, g][None])[0] for t in range(3)])
        expected = net.high(torch.cat((maps.mean(0), maps.max(0).values))[None])[0]
        assert torch.allclose(net(stretch)[0].unflatten(0, (2, -1))[g], expected, atol=1e-5)


@torch.no_grad()
def test_paths_that_cross_are_distinguished_where_the_next_place_would_not_do():
    steps = torch.arange(5)
    first = [(int(8 + 9 * t), 20) for t in steps]
    second = [(int(44 - 9 * t), 28) for t in steps]
    frames, centers = zip(
        *(squares(a, b, width=8) for a, b in zip(first, second, strict=True)), strict=True
    )
    found = made(1, 2, 5).windows(torch.stack(frames)[None])[0, ..., 2]  # L G 2
    swapped = (found[0, 0] - centers[0][0]).norm() > (found[0, 0] - centers[0][1]).norm()
    paths = found.flip(1) if swapped else found
    assert torch.allclose(paths, torch.stack(centers), atol=0.1)
    # What is nearest to where it was before would take the other at the crossing.
    nearest = [int((c - centers[0][0]).norm(dim=1).argmin()) for c in centers]
    assert 1 in nearest


@torch.no_grad()
def test_the_order_is_the_best_of_all():
    net = made(1, 3, 4)
    torch.manual_seed(1)
    centers = torch.randn(6, 4, 3, 2)
    found = centers.gather(2, net.smoothest(centers)[..., None].expand_as(centers))
    cost = (found[:, 2:] - 2 * found[:, 1:-1] + found[:, :-2]).norm(dim=-1).sum((1, 2))
    for n in range(6):
        costs = [
            sum(
                (
                    centers[n, t, o[t][g]]
                    - 2 * centers[n, t - 1, o[t - 1][g]]
                    + centers[n, t - 2, o[t - 2][g]]
                ).norm()
                for t in (2, 3)
                for g in range(3)
            )
            for o in itertools.product(itertools.permutations(range(3)), repeat=4)
        ]
        assert cost[n].item() == pytest.approx(min(costs).item(), rel=1e-5)
    assert torch.equal(found[:, 0], centers[:, 0])


@torch.no_grad()
def test_torn_digits_are_found_by_nobody_teaching_it():
    batch = AugmentedDigits(load_mnist()[1], variant="gesture", frames=10).batch(100, seed=4)
    stretches = (batch.video.float() / 255).unflatten(1, (2, 5)).flatten(0, 1)
    windows = made().windows(stretches).flatten(0, 1).unflatten(0, (100, 10))
    on = boxes_with_a_window(windows, batch.boxes, (64, 64))
    assert (on == 1).mean() > 0.8
    middle = torch.tensor([[0.45, 0, 0], [0, 0.45, 0]]).expand(100, 10, 2, 2, 3)
    assert (boxes_with_a_window(middle, batch.boxes, (64, 64)) == 1).mean() < 0.3


@torch.no_grad()
def test_each_window_shows_what_is_its_own():
    frame, _ = squares((16, 24), (30, 26), width=12)
    net = made(1, 2, 1)
    windows = net.windows(frame[None, None])[0, 0]
    seen = net.transform(frame[None, None])[0, 0]  # G 2C 32 32
    steps = [(2 * i + 1) / 32 - 1 for i in range(32)]
    for g in range(2):
        half = windows[g, 0, 0].item()
        center = windows[g, :, 2].tolist()
        other = windows[1 - g, :, 2].tolist()
        for i, j in itertools.product(range(0, 32, 5), repeat=2):
            place = center[0] + half * steps[j], center[1] + half * steps[i]
            mine, theirs = (
                math.exp(-0.5 * (math.dist(place, c) / 0.125) ** 2) for c in (center, other)
            )
            expected = seen[g, 0, i, j].item() * mine / (mine + theirs)
            assert seen[g, 1, i, j].item() == pytest.approx(expected, abs=1e-4)
        assert 0.7 * seen[g, 0].sum() < seen[g, 1].sum() < 0.999 * seen[g, 0].sum()


@torch.no_grad()
def test_frames_without_anything_give_numbers():
    for shown in (torch.zeros(1, 5, 1, 64, 64), torch.full((1, 5, 1, 64, 64), 3.0)):
        assert made()(shown).isfinite().all()
        assert made().windows(shown).isfinite().all()


@torch.no_grad()
def test_half_precision_finds_the_same_places():
    batch = MovingDigits(load_mnist()[1], frames=5).batch(8, seed=4)
    stretches = batch.video.float() / 255
    net = made()
    exact = net.windows(stretches)
    assert torch.allclose(net.windows(stretches.bfloat16()).float(), exact, atol=0.02)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.windows(stretches), exact)
    for dtype in (torch.bfloat16, torch.float16):
        assert made().to(dtype)(stretches.to(dtype)).dtype == dtype
