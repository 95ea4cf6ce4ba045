"""Golden values of samples from lossless images and from an mp4: pixels, flow, times."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from golden import check
from numpy.typing import NDArray
from PIL import Image

from onlooker.base.config import DataConfig
from onlooker.data.array_cache import ArrayCache
from onlooker.data.clips import cached_sample
from onlooker.data.samples import read_sample
from onlooker.video.reader import VideoReader, read

HEIGHT = 60
WIDTH = 80
FRAMES = 24


def frames(count: int = FRAMES, seed: int = 0) -> NDArray[np.uint8]:
    """A static textured background and two moving textured squares: `T H W 3`."""
    chance = np.random.default_rng(seed)

    def rough(height: int, width: int) -> NDArray[np.int64]:
        coarse = chance.integers(30, 226, (height // 4, width // 4, 3))
        return coarse.repeat(4, 0).repeat(4, 1) + chance.integers(-15, 16, (height, width, 3))

    wall = rough(HEIGHT, WIDTH)
    large = rough(20, 20)
    small = rough(12, 12)
    video = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    for t in range(count):
        video[t] = wall
        for square, x, y in ((large, 6 + 2 * t, 8 + t), (small, 60 - t, 40 - t // 2)):
            side = len(square)
            left = min(x, WIDTH - len(square))
            top = min(y, HEIGHT - len(square))
            video[t, top : top + side, left : left + side] = square
    return video


def write_pictures(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(pixels):
        Image.fromarray(frame).save(folder / f"{number:04}.png", compress_level=1)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("clips") / "a", frames())


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("clips") / "b", frames(4, 1))


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "c.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"threads": "1", "qscale": "2"})
        stream.width = WIDTH
        stream.height = HEIGHT
        stream.pix_fmt = "yuv420p"
        for pixels in frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


CONFIGS: dict[str, dict[str, Any]] = {
    "rgb": {},
    "grey": {"channels": 1},
    "large": {"size": 96, "frames": 3},
    "flow": {"modality": "flow"},
    "both": {"modality": "both"},
}


def config(name: str) -> DataConfig:
    return DataConfig(**{"frames": 6, "size": 32, **CONFIGS[name]})


def sample(path: Path, name: str) -> dict[str, Any]:
    seen = read_sample(path, config(name))
    return {
        "pixels": seen.pixels,
        "times": seen.times,
        "indices": seen.indices.tolist(),
        "size": list(seen.size),
    }


def cached(path: Path, name: str, cache: Path) -> list[NDArray[Any]]:
    return [np.load(file) for file in cached_sample(path, config(name), ArrayCache(cache))]


@pytest.mark.parametrize("name", CONFIGS)
def test_samples(name: str, pictures: Path, short: Path, mp4: Path, tmp_path: Path) -> None:
    check(
        f"samples_{name}",
        {
            of: {"read": sample(path, name), "cached": cached(path, name, tmp_path / of)}
            for of, path in (("pictures", pictures), ("short", short), ("mp4", mp4))
        },
    )


def test_reading(pictures: Path, short: Path, mp4: Path) -> None:
    found: dict[str, Any] = {}
    for name, path in (("pictures", pictures), ("short", short), ("mp4", mp4)):
        equal = read(path, 7)
        reader = VideoReader(path)
        chosen = reader.get([len(reader) - 1, 2, 2, 0], shorter_side=24)
        together = list(iter(reader))
        found[name] = {
            "read": [equal.pixels, equal.times, equal.indices],
            "picked": [chosen.pixels, chosen.times, chosen.indices],
            "streamed": [np.stack([pixels for _, _, pixels in together])],
            "streamed_times": [seconds for _, seconds, _ in together],
            "streamed_indices": [index for index, _, _ in together],
        }
    check("video_read", found)
