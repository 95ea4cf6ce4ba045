"""Normalization compared with NumPy, and augmentation with transforms by hand."""

import numpy as np
import pytest
import torch

from onlooker.data.transforms import NORMALIZATIONS, augment, to_video


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_to_video_equals_numpy(name: str, channels: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, channels), np.uint8)
    mean, std = (np.array(v)[:channels] for v in NORMALIZATIONS[name])
    expected = ((frames / 255 - mean) / std).transpose(0, 1, 4, 2, 3)
    video = to_video(torch.from_numpy(frames), name)
    assert (video.dtype, tuple(video.shape)) == (torch.float32, (2, 3, channels, 4, 5))
    np.testing.assert_allclose(video.numpy(), expected, atol=1e-6)


def noise(B: int = 3, T: int = 4, C: int = 2, side: int = 10) -> torch.Tensor:
    return torch.rand(B, T, C, side, side, generator=torch.Generator().manual_seed(0))


def fix_random(monkeypatch: pytest.MonkeyPatch, row: list[float]) -> None:
    """Draw `row` (scale, x, y, flip, each in [0, 1)) for every video."""
    monkeypatch.setattr(torch, "rand", lambda B, n: torch.tensor([row] * B))


@pytest.mark.parametrize(("x", "y"), [(1.0, 0.5), (0.0, 0.5), (0.5, 1.0), (0.75, 0.25)])
def test_a_translation_by_whole_pixels_is_a_roll_inside(
    monkeypatch: pytest.MonkeyPatch, x: float, y: float
) -> None:
    video = noise()
    fix_random(monkeypatch, [0.5, x, y, 0.9])
    moved = augment(video, 0.4, 0.0, False)  # 10 pixels: at most 4
    dx = round(4 * (2 * x - 1))
    dy = round(4 * (2 * y - 1))
    rolled = video.roll((-dy, -dx), (-2, -1))
    inside = [slice(max(0, -d), 10 - max(0, d)) for d in (dy, dx)]
    torch.testing.assert_close(
        moved[..., inside[0], inside[1]], rolled[..., inside[0], inside[1]], atol=1e-5, rtol=0
    )
    # Outside, the border repeats.
    if dx > 0:
        torch.testing.assert_close(
            moved[..., inside[0], -1], moved[..., inside[0], 10 - dx - 1], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("chance", [0.2, 0.8])
def test_a_flip_mirrors_the_frame(monkeypatch: pytest.MonkeyPatch, chance: float) -> None:
    video = noise()
    fix_random(monkeypatch, [0.5, 0.5, 0.5, chance])
    expected = video.flip(-1) if chance < 0.5 else video
    torch.testing.assert_close(augment(video, 0.0, 0.0, True), expected, atol=1e-5, rtol=0)


def test_a_scale_of_half_shows_the_center(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_random(monkeypatch, [0.0, 0.5, 0.5, 0.9])
    seen = augment(torch.arange(16.0).expand(1, 1, 1, 16, 16), 0.0, 0.5, False)[0, 0, 0, 8]
    # Pixel x shows (x - 7.5) / 2 + 7.5.
    torch.testing.assert_close(seen, (torch.arange(16.0) - 7.5) / 2 + 7.5, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("chance", "quarters"), [(1.0, 1), (0.0, -1)])
def test_a_rotation_by_a_right_angle(
    monkeypatch: pytest.MonkeyPatch, chance: float, quarters: int
) -> None:
    video = noise(C=3)  # an image and a flow field
    monkeypatch.setattr(torch, "rand", lambda B, n: torch.full((B, n), chance if n == 1 else 0.5))
    turned = augment(video, 0.0, 0.0, False, flow_channels=2, degrees=90.0)
    expected = video.rot90(quarters, (-2, -1))
    torch.testing.assert_close(turned[:, :, :1], expected[:, :, :1], atol=1e-5, rtol=0)
    # Counter-clockwise, what went to the right goes up: x, y becomes y, -x, with y downwards.
    x = expected[:, :, 1]
    y = expected[:, :, 2]
    torch.testing.assert_close(turned[:, :, 1], quarters * y, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[:, :, 2], -quarters * x, atol=1e-5, rtol=0)


def test_displacements_are_mirrored_and_scaled_with_the_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = noise(C=5)  # a gray image and two flow fields
    fix_random(monkeypatch, [0.5, 0.5, 0.5, 0.1])
    mirrored = video.flip(-1) * torch.tensor([1.0, -1, 1, -1, 1])[:, None, None]
    torch.testing.assert_close(
        augment(video, 0.0, 0.0, True, flow_channels=4), mirrored, atol=1e-5, rtol=0
    )
    fix_random(monkeypatch, [0.0, 0.5, 0.5, 0.9])  # a scale of half shows the center twice as large
    grown = augment(torch.ones(1, 1, 3, 8, 8), 0.0, 0.5, False, flow_channels=2)
    assert grown[0, 0, :, 4, 4].tolist() == pytest.approx([1, 2, 2])
