"""Clips are decoded once and cached, in entries that are read only if complete; clips that cannot be
read are reported and left out.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from clips import Make, make_images, scene

from onlooker.base.config import DataConfig
from onlooker.base.files import NotWritableError, default_cache
from onlooker.base.records import Clip, ClipError
from onlooker.data.array_cache import ArrayCache, is_whole, parse_size
from onlooker.data.clips import (
    cached_read,
    cached_sample,
    read_clips,
    read_header,
    sample_rate,
)
from onlooker.data.findings import read_facts
from onlooker.data.samples import read_sample
from onlooker.data.transforms import NORMALIZATIONS, augment, to_video
from onlooker.video.flow import read_flow
from onlooker.video.reader import VideoReader, read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import write

CONFIG = DataConfig(frames=4, size=16)
NEVER = Mock(side_effect=AssertionError)


def cached_frames(path: Path, config: DataConfig, cache: Path) -> Path:
    (file,) = cached_sample(path, config, ArrayCache(cache))
    return file


def test_changed_files_and_other_settings_are_decoded_again(
    make_clip: Make, tmp_path: Path
) -> None:
    path = make_clip()
    assert cached_frames(path, CONFIG, tmp_path) == cached_frames(path, CONFIG, tmp_path)
    changes = ({}, {"frames": 5}, {"size": 17}, {"channels": 1})
    files = {cached_frames(path, replace(CONFIG, **change), tmp_path) for change in changes}
    make_clip(frames=9)
    files.add(cached_frames(path, CONFIG, tmp_path))
    os.utime(path, ns=(1, 1))
    files.add(cached_frames(path, CONFIG, tmp_path))
    folder = make_images(tmp_path / "clip", ["0.png", "1.png", "2.png"])
    files.add(cached_frames(folder, CONFIG, tmp_path))
    make_images(folder, ["1.png"])
    files.add(cached_frames(folder, CONFIG, tmp_path))
    assert len(files) == 8


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-40])],
    ids=["removed", "cut off"],
)
def test_a_damaged_or_removed_cache_file_is_recomputed(
    make_clip: Make, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = make_clip()
    samples, _ = read_clips([Clip(path, "a")], ["a"], CONFIG, cache=tmp_path)
    ((file,),) = samples.files
    content = file.read_bytes()
    before = samples[0][0]
    damage(file)
    assert torch.equal(samples[0][0], before)
    assert file.read_bytes() == content
    damage(file)
    path.unlink()
    with pytest.raises(ClipError, match="no such file"):
        samples[0]


@pytest.fixture
def clips(make_clip: Make) -> list[Clip]:
    paths = [make_clip(f"{'ab'[i % 2]}/{i}.mp4", frames=3 + i) for i in range(6)]
    paths[1].write_bytes(b"")
    paths[4].write_text("no video", encoding="utf-8")
    return [Clip(path, path.parent.name) for path in paths]


def test_damaged_clips_are_named_and_the_others_are_used(
    clips: list[Clip], tmp_path: Path
) -> None:
    samples, errors = read_clips(clips, ("a", "b"), CONFIG, cache=tmp_path / "cache")
    assert [error.path for error in errors] == [clips[1].path, clips[4].path]
    assert "zero bytes" in str(errors[0])
    assert samples.clips == tuple(clips[i] for i in (0, 2, 3, 5))
    assert samples.targets == [0, 0, 1, 1]
    frames, target, index = samples[2]
    np.testing.assert_array_equal(frames.numpy(), resize(read(clips[3].path, 4).pixels, 16, 3))
    assert (frames.dtype, target, index) == (torch.uint8, 1, 2)


def test_clips_beyond_the_limit_are_decoded(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = read_clips(clips, ("a", "b"), CONFIG, cache=tmp_path / "large")
    monkeypatch.setenv("ONLOOKER_CACHE_LIMIT", "7kB")  # two clips of 3.2 kB
    with pytest.warns(
        UserWarning,
        match=r"2 of 6 clips do not fit into the cache's limit of 7\.0 kB, .* raise ONLOOK",
    ):
        samples, _ = read_clips(clips, ("a", "b"), CONFIG, cache=tmp_path / "small")
    for _ in range(2):
        assert all(torch.equal(samples[i][0], expected[i][0]) for i in range(len(samples)))
        sizes = [file.stat().st_size for file in (tmp_path / "small").glob("*.npy")]
        assert sum(size > 3000 for size in sizes) == 2, "the others are headers"


@pytest.mark.parametrize(
    ("numbers", "strict", "message"),
    [
        ((1, 4), False, r"none of 2 clips can be read; .*1\.mp4: zero bytes"),
        ((4,), False, r"^\S*4\.mp4: not a video file"),
        ((0, 1), True, r"^\S*1\.mp4: zero bytes"),
    ],
    ids=["several", "a single one", "strictly"],
)
def test_no_clip_that_can_be_read_is_an_error_and_strictly_one_that_cannot(
    clips: list[Clip], tmp_path: Path, numbers: tuple[int, ...], strict: bool, message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        read_clips(
            [clips[n] for n in numbers], ("a", "b"), CONFIG, cache=tmp_path, strict=strict
        )


@pytest.mark.parametrize(("streams", "channels"), [("rgb", 3), ("flow", 2), ("both", 5)])
def test_cached_samples_equal_those_that_are_read(
    make_clip: Make, tmp_path: Path, streams: str, channels: int
) -> None:
    path = make_clip(frames=9)
    config = replace(CONFIG, modality=streams)
    sample = read_sample(path, config)
    frames = read(path, 4)
    np.testing.assert_array_equal(sample.times, frames.times)
    assert sample.pixels.shape == (4, 16, 16, channels)
    samples, _ = read_clips([Clip(path, "a")], ["a"], config, cache=tmp_path)
    np.testing.assert_array_equal(samples[0][0].numpy(), sample.pixels)
    if streams != "flow":
        np.testing.assert_array_equal(sample.pixels[..., :3], resize(frames.pixels, 16, 3))
    if streams != "rgb":
        fields = read_flow(
            VideoReader(path),
            partial(equally_spaced, count=4),
            limit=20 * 16 / 256,  # as published: 20 pixels of a frame of 256
            size=16,
        ).pixels
        np.testing.assert_array_equal(sample.pixels[..., -2:], fields)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv#t=0.5,1.5", "images", "short.mp4"])
@pytest.mark.parametrize("streams", ["rgb", "flow", "both"])
def test_a_sample_from_the_cache_is_that_of_the_clip(
    name: str, streams: Any, make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "images":
        path = make_images(tmp_path / name, [f"{number}.png" for number in range(9)])
    else:
        file = make_clip(name.partition("#")[0], frames=3 if "short" in name else 20, audio=1)
        path = file.with_name(name)
    config = replace(CONFIG, modality=streams)
    expected = read_sample(path, config)
    before = cached_read(path, config)
    monkeypatch.setattr(VideoReader, "get", NEVER)  # not opened again
    monkeypatch.setattr(VideoReader, "timing", property(NEVER))
    for sample in (before, cached_read(path, config)):
        for one, other in zip(vars(sample).values(), vars(expected).values(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_header_is_that_of_the_frame_rate_of_images(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", ["1.png", "2.png"])
    for rate in (None, 10, 20):
        if rate:
            (tmp_path / "frame_rate.txt").write_text(str(rate))
        timing, size = read_header(images)
        assert timing.assumes_rate == (rate is None)
        assert timing.end == pytest.approx(2 / (rate or 25))
        assert size == (48, 64)


def test_the_frame_rate_of_samples_is_the_median_over_clips(
    make_clip: Make, tmp_path: Path
) -> None:
    # 10 frames per second
    clips = [make_clip(f"{frames}.mp4", frames=frames) for frames in (12, 31, 31)]
    gone = tmp_path / "gone.mp4"
    times = read_sample(clips[1], CONFIG).times
    rate = pytest.approx(3 / (times[-1] - times[0]))
    assert sample_rate(clips, CONFIG) == sample_rate([*clips, gone], CONFIG, count=4) == rate
    assert sample_rate([gone], CONFIG) is None
    assert sample_rate([make_clip("one.mp4", frames=1)], CONFIG) is None


def test_facts_of_a_clip(make_clip: Make, tmp_path: Path) -> None:
    clip = read_facts(make_clip(frames=20, size=(64, 48), fps=10))
    assert (clip.frames, clip.size) == (20, (48, 64))
    assert (clip.rate, clip.seconds) == pytest.approx((10, 2))
    assert clip.thumbnails.shape == (8, 16, 16)
    # the last frame counts as long as the file says
    times = [number / 12 for number in range(24)]
    held = write(tmp_path / "held.mp4", scene(0), fps=0.5, times=times)
    assert read_facts(held).seconds == pytest.approx(23 / 12 + 2, abs=0.01)


def test_darkness_and_stillness(tmp_path: Path) -> None:
    video = scene(0)
    plain, dark, still = (
        read_facts(write(tmp_path / f"{number}.mp4", pixels, fps=12))
        for number, pixels in enumerate((video, video // 8, np.repeat(video[:1], 24, 0)))
    )
    assert dark.brightness < 50 < 150 < plain.brightness
    assert still.change < 3 < 50 < plain.change


ROWS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def names(cache: ArrayCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


def test_an_array_is_computed_once(cache: ArrayCache) -> None:
    file = cache.get({"a": 1, "b": "x"}, lambda: ROWS)
    stored = np.load(file)
    np.testing.assert_array_equal(stored, ROWS)
    assert stored.dtype == np.float32
    assert (
        cache.get({"b": "x", "a": 1}, Mock(side_effect=AssertionError("computed again")))
        == file
    )
    assert names(cache) == [file.name]


def test_every_name_and_value_of_a_key_counts(cache: ArrayCache) -> None:
    keys: list[dict[str, Any]] = [
        {},
        {"a": 1},
        {"b": 1},
        {"a": "1"},
        {"a": 1.0},
        {"a": None},
        {"a": [1, 2]},
        {"a": [12]},
        {"a": 1, "b": 2},
        {"a": {"b": 1}},
        {"a": 12},
        {"a": [[1], 2]},
        {"a": True},
    ]
    assert len({cache.file(key) for key in keys}) == len(keys)
    with pytest.raises(TypeError, match="not JSON serializable"):
        cache.file({"a": Path("b")})


def test_a_damaged_file_is_computed_again(cache: ArrayCache) -> None:
    file = cache.get({"a": 1}, lambda: ROWS)
    content = file.read_bytes()
    for damage in (
        content[:-1],
        content[:20],
        b"",
        content.replace(b"}", b"{"),
        bytes(len(content)),
        content[:128] + bytes(len(content) - 128),
        content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
        content.replace(b"<f4", b"<i4"),
    ):
        file.write_bytes(damage)
        assert not is_whole(file)
        assert cache.get({"a": 1}, lambda: ROWS).read_bytes() == content


def test_an_interrupted_computation_leaves_no_files(
    cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        cache.get({"a": 1}, lambda: ROWS)
    assert names(cache) == []


def fill(cache: ArrayCache, *numbers: int) -> None:
    for number in numbers:
        # 1,000 bytes with header and checksum
        cache.get({"number": number}, lambda: np.zeros((1, 858), np.uint8))
        time.sleep(0.01)  # file systems keep times of a few milliseconds


def stored(cache: ArrayCache) -> list[int]:
    return [number for number in range(9) if cache.file({"number": number}).exists()]


def test_beyond_the_limit_the_least_recently_used_entries_are_removed(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=3_000)
    fill(cache, 0, 1, 2)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.npy")) == 3_000
    (tmp_path / "mine.npy").write_bytes(bytes(9_000))
    os.utime(tmp_path / "mine.npy", (1, 1))
    fill(cache, 0, 3)  # 0 is used again
    assert stored(cache) == [0, 2, 3]
    fill(cache, 4, 5, 6)
    assert stored(cache) == [4, 5, 6]
    cache.limit = 1_500
    cache.prune()
    assert stored(cache) == [6]
    cache.limit = 10
    cache.prune()
    assert stored(cache) == [6], "the newest one is in use"
    cache.limit = None
    fill(cache, 0, 1, 2)
    cache.prune()
    assert stored(cache) == [0, 1, 2, 6]
    assert (tmp_path / "mine.npy").exists(), "an array that is no entry"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (None, 20 * 10**9),
        ("20GB", 20 * 10**9),
        ("1.5 tb", 1_500 * 10**9),
        ("500MB", 5 * 10**8),
        ("7", 7),
        ("0", 0),
        ("none", None),
    ],
)
def test_the_limit_of_the_users_cache_is_a_size_with_a_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, size: int | None
) -> None:
    monkeypatch.delenv("ONLOOKER_CACHE_LIMIT", raising=False)
    if text is not None:
        monkeypatch.setenv("ONLOOKER_CACHE_LIMIT", text)
    assert ArrayCache.for_user(tmp_path).limit == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20 GiB", "many", "1e9"])
def test_an_invalid_size_is_an_error(text: str) -> None:
    with pytest.raises(
        ValueError,
        match=f"cache limit is '{text}', expected a size such as 500MB or 20GB, or none",
    ):
        parse_size(text)


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONLOOKER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        Path, "home", Mock(side_effect=RuntimeError("Could not determine home directory."))
    )
    with pytest.raises(
        NotWritableError,
        match=r"no home folder .* name a folder that can be written in ONLOOKER_CACHE",
    ):
        default_cache()


def test_a_read_only_folder_names_the_clip_and_the_variable(
    cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(
        NotWritableError,
        match=r"clip.mp4: its frames cannot be written in .*cache \(Permission denied\); name .* in ONLOOKER_CACHE",
    ):
        cache.get({"a": 1}, lambda: ROWS, content="its frames", path=Path("clip.mp4"))


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
    moved = augment(video, translate=0.4, scale=0.0, hflip=False)  # 10 pixels: at most 4
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
    torch.testing.assert_close(
        augment(video, translate=0.0, scale=0.0, hflip=True), expected, atol=1e-5, rtol=0
    )


def test_a_scale_of_half_shows_the_center(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_random(monkeypatch, [0.0, 0.5, 0.5, 0.9])
    seen = augment(
        torch.arange(16.0).expand(1, 1, 1, 16, 16), translate=0.0, scale=0.5, hflip=False
    )[0, 0, 0, 8]
    # Pixel x shows (x - 7.5) / 2 + 7.5.
    torch.testing.assert_close(seen, (torch.arange(16.0) - 7.5) / 2 + 7.5, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("chance", "quarters"), [(1.0, 1), (0.0, -1)])
def test_a_rotation_by_a_right_angle(
    monkeypatch: pytest.MonkeyPatch, chance: float, quarters: int
) -> None:
    video = noise(C=3)  # an image and a flow field
    monkeypatch.setattr(
        torch, "rand", lambda B, n: torch.full((B, n), chance if n == 1 else 0.5)
    )
    turned = augment(
        video, translate=0.0, scale=0.0, hflip=False, flow_channels=2, degrees=90.0
    )
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
        augment(video, translate=0.0, scale=0.0, hflip=True, flow_channels=4),
        mirrored,
        atol=1e-5,
        rtol=0,
    )
    fix_random(
        monkeypatch, [0.0, 0.5, 0.5, 0.9]
    )  # a scale of half shows the center twice as large
    grown = augment(
        torch.ones(1, 1, 3, 8, 8), translate=0.0, scale=0.5, hflip=False, flow_channels=2
    )
    assert grown[0, 0, :, 4, 4].tolist() == pytest.approx([1, 2, 2])
