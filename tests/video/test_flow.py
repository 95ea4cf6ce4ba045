"""Optical flow compared with known shifts, its 8-bit rounding with the bound, and files with a
naive loop.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import Make, painted_numbers

from onlooker.base.records import ClipError, Frames
from onlooker.video.flow import LIMIT, flow, read_flow, to_bytes
from onlooker.video.reader import VideoReader, read
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import write

rng = np.random.default_rng


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth colored pattern that looks different everywhere, `H W 3`."""
    noise = rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moving(height: int, width: int, shifts: list[tuple[int, int]], seed: int = 0) -> np.ndarray:
    """`T H W 3`: a texture that moves by (dx, dy) from each frame to the next."""
    places = np.cumsum([(0, 0), *shifts], axis=0)
    edge = int(np.abs(places).max())
    large = texture(height + 2 * edge, width + 2 * edge, seed)
    return np.stack(
        [large[edge - y : edge - y + height, edge - x : edge - x + width] for x, y in places]
    )


def to_pixels(flow: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """The inverse of `to_bytes`."""
    return flow.astype(np.float32) * (2 * limit / 255) - limit


def flow_at(path: Path, count: int, **settings: float) -> Frames:
    """The fields at equally spaced frames."""
    return read_flow(VideoReader(path), partial(equally_spaced, count=count), **settings)


def test_each_pair_has_its_own_flow() -> None:
    shifts = [(2, 0), (0, -3), (0, 0), (-4, -3), (3, -2)]
    frames = moving(96, 128, shifts)
    found = flow(frames)
    assert found.shape == (5, 96, 128, 2)
    assert found.dtype == np.float32
    for t, shift in enumerate(shifts):
        assert np.abs(found[t, 16:-16, 16:-16] - shift).max() < 0.1
        # Nothing is carried from pair to pair.
        np.testing.assert_array_equal(found[t], flow(frames[t : t + 2])[0])


def test_a_still_video_has_no_flow() -> None:
    assert np.abs(flow(np.stack([texture(40, 50)] * 3))).max() < 1e-3
    assert np.abs(flow(np.full((2, 40, 50, 3), 90, np.uint8))).max() < 1e-3


@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 64), (4, 300), (8, 64), (9, 200), (11, 11), (12, 48), (15, 640), (16, 16)],
)
def test_tiny_frames(size: tuple[int, int]) -> None:
    # OpenCV's DIS fails for these sizes or breaks the process.
    for height, width in (size, size[::-1]):
        frames = np.stack([texture(height, width, seed) for seed in range(3)])
        found = flow(frames)
        assert found.shape == (2, height, width, 2)
        assert np.isfinite(found).all()


def test_bytes_equal_the_published_quantization() -> None:
    values = np.array([-1e9, -20, -10, -0.05, 0, 0.05, 10, 20, 21], np.float32)
    assert to_bytes(values).tolist() == [0, 0, 64, 127, 128, 128, 191, 255, 255]
    assert to_bytes(values, 10).tolist() == [0, 0, 0, 127, 128, 128, 255, 255, 255]
    assert to_pixels(to_bytes(np.zeros(1, np.float32)))[0] == pytest.approx(20 / 255, abs=1e-5)


@pytest.mark.parametrize(
    ("frames", "count"), [(20, 4), (20, 1), (40, 3), (5, 8), (2, 3), (20, 20)]
)
def test_flow_of_a_file_equals_that_of_all_its_pairs(
    tmp_path: Path, frames: int, count: int
) -> None:
    steps = rng(0).integers(-2, 3, (frames - 1, 2)).tolist()
    clip = write(tmp_path / "moving.mp4", moving(48, 64, steps), fps=10)
    chosen = equally_spaced(frames, count)
    fields = flow_at(clip, count)
    pairs = to_bytes(flow(VideoReader(clip).get(np.arange).pixels))
    np.testing.assert_array_equal(fields.pixels, [pairs[min(t, frames - 2)] for t in chosen])
    np.testing.assert_array_equal(fields.indices, chosen)
    np.testing.assert_array_equal(fields.times, read(clip, count).times)


@pytest.mark.parametrize("count", [4, 80, 100])
def test_each_pair_is_computed_once_and_no_other(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    seen: list[int] = []

    def noted(frames: np.ndarray) -> np.ndarray:
        first, second = painted_numbers(frames)
        assert second == first + 1, "frames that do not follow one another"
        seen.append(first)
        return np.zeros((1, *frames.shape[1:3], 2), np.float32)

    monkeypatch.setattr("onlooker.video.flow.flow", noted)
    flow_at(make_clip(frames=80), count)
    assert sorted(seen) == sorted({min(int(t), 78) for t in equally_spaced(80, count)})


def test_resized_flow_is_in_pixels_of_the_resized_frame(tmp_path: Path) -> None:
    clip = write(tmp_path / "moving.mp4", moving(60, 120, [(4, -3)] * 5), fps=10)
    found = flow_at(clip, 3, size=30, limit=5)
    assert found.pixels.shape == (3, 30, 30, 2)
    inner = to_pixels(found.pixels, 5)[:, 8:-8, 8:-8]
    # A quarter of the width, half of the height.
    assert np.abs(inner - np.array([1, -1.5])).max() < 0.1


def test_clips_without_motion(make_clip: Make) -> None:
    with pytest.raises(
        ClipError, match=r"clip.mp4: 1 frame decoded, and one frame has no motion"
    ):
        flow_at(make_clip(frames=1), 1)
