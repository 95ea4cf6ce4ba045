"""Clips are decoded once and cached; clips that cannot be read are reported and left out."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import Make, make_images, scene
from torch.utils.data import DataLoader

from onlooker.base.config import DataConfig
from onlooker.base.records import Clip, ClipError
from onlooker.data.array_cache import ArrayCache
from onlooker.data.clips import cached_sample, read_clips
from onlooker.data.findings import read_facts
from onlooker.data.samples import read_sample, sample_rate
from onlooker.video.flow import read_flow
from onlooker.video.reader import read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import write

CONFIG = DataConfig(frames=4, size=16)


def cached_frames(path: Path, config: DataConfig, cache: Path) -> Path:
    (file,) = cached_sample(path, config, ArrayCache(cache))
    return file


@pytest.mark.parametrize("changed", [{"frames": 5}, {"size": 17}, {"channels": 1}])
def test_other_settings_are_decoded_again(
    make_clip: Make, tmp_path: Path, changed: dict[str, int]
) -> None:
    path = make_clip()
    first = cached_frames(path, CONFIG, tmp_path)
    assert cached_frames(path, CONFIG, tmp_path) == first
    assert cached_frames(path, replace(CONFIG, **changed), tmp_path) != first


def test_a_changed_file_is_decoded_again(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip()
    files = {cached_frames(path, CONFIG, tmp_path)}
    make_clip(frames=9)
    files.add(cached_frames(path, CONFIG, tmp_path))
    os.utime(path, ns=(1, 1))
    files.add(cached_frames(path, CONFIG, tmp_path))
    folder = make_images(tmp_path / "clip", ["0.png", "1.png", "2.png"])
    files.add(cached_frames(folder, CONFIG, tmp_path))
    make_images(folder, ["1.png"])
    files.add(cached_frames(folder, CONFIG, tmp_path))
    assert len(files) == 5


def test_a_damaged_or_removed_cache_file_is_recomputed(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip()
    samples, _ = read_clips([Clip(path, "a")], ["a"], CONFIG, cache=tmp_path)
    ((file,),) = samples.files
    content = file.read_bytes()
    before = samples[0][0]
    file.write_bytes(content[:-40])
    assert torch.equal(samples[0][0], before)
    assert file.read_bytes() == content
    file.unlink()
    assert torch.equal(samples[0][0], before)
    assert file.read_bytes() == content
    file.write_bytes(content[:-40])
    read_clips([Clip(path, "a")], ["a"], CONFIG, cache=tmp_path)
    assert file.read_bytes() == content
    file.unlink()
    path.unlink()
    with pytest.raises(ClipError, match="no such file"):
        samples[0]


@pytest.fixture
def clips(make_clip: Make) -> list[Clip]:
    paths = [make_clip(f"{'ab'[i % 2]}/{i}.mp4", frames=3 + i) for i in range(6)]
    paths[1].write_bytes(b"")
    paths[4].write_text("no video", encoding="utf-8")
    return [Clip(path, path.parent.name) for path in paths]


def test_damaged_clips_are_named_and_the_others_are_used(clips: list[Clip], tmp_path: Path) -> None:
    samples, errors = read_clips(clips, ("a", "b"), CONFIG, cache=tmp_path / "cache")
    assert [error.path for error in errors] == [clips[1].path, clips[4].path]
    assert "zero bytes" in str(errors[0])
    assert samples.clips == tuple(clips[i] for i in (0, 2, 3, 5))
    assert samples.targets == [0, 0, 1, 1]
    frames, target, index = samples[2]
    np.testing.assert_array_equal(frames.numpy(), resize(read(clips[3].path, 4).pixels, 16, 3))
    assert (frames.dtype, target, index) == (torch.uint8, 1, 2)
    shapes = [tuple(frames.shape) for frames, _, _ in DataLoader(samples, 3)]
    assert shapes == [(3, 4, 16, 16, 3), (1, 4, 16, 16, 3)]


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
        assert len(list((tmp_path / "small").glob("*.npy"))) == 2


def test_an_error_if_no_clip_can_be_read(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"none of 2 clips can be read; .*1.mp4: zero bytes"):
        read_clips([clips[1], clips[4]], ("a", "b"), CONFIG, cache=tmp_path)
    with pytest.raises(ClipError, match=r"4.mp4: not a video file"):
        read_clips([clips[4]], ("a", "b"), CONFIG, cache=tmp_path)


@pytest.mark.parametrize(("streams", "channels"), [("rgb", 3), ("flow", 2), ("both", 5)])
def test_cached_samples_equal_those_that_are_read(
    make_clip: Make, tmp_path: Path, streams: str, channels: int
) -> None:
    path = make_clip(frames=9)
    config = replace(CONFIG, modality=streams)
    assert config.in_channels == channels
    sample = read_sample(path, config)
    frames = read(path, 4)
    assert sample.size == frames.pixels.shape[1:3]
    np.testing.assert_array_equal(sample.times, frames.times)
    assert sample.pixels.shape == (4, 16, 16, channels)
    samples, _ = read_clips([Clip(path, "a")], ["a"], config, cache=tmp_path)
    np.testing.assert_array_equal(samples[0][0].numpy(), sample.pixels)
    if streams != "flow":
        np.testing.assert_array_equal(sample.pixels[..., :3], resize(frames.pixels, 16, 3))
    if streams != "rgb":
        fields = read_flow(path, partial(equally_spaced, count=4), config.flow_limit, 16).pixels
        np.testing.assert_array_equal(sample.pixels[..., -2:], fields)


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
