"""Clips are decoded once and cached; clips that cannot be read are reported and left out."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from onlooker.base.config import DataConfig
from onlooker.base.records import Clip, ClipError
from onlooker.data.array_cache import ArrayCache
from onlooker.data.clips import cached_sample, read_clips
from onlooker.data.samples import read_sample, sample_rate
from onlooker.video.flow import read_flow
from onlooker.video.reader import VideoReader, read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced

CONFIG = DataConfig(frames=4, size=16)
Make = Callable[..., Path]


def cached_frames(path: Path, config: DataConfig, cache: Path) -> Path:
    (file,) = cached_sample(path, config, ArrayCache(cache))
    return file


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The clips that were decoded, one entry per decoding."""
    seen: list[Path] = []

    get = VideoReader.get

    def counted(reader: VideoReader, *choice: Any, **scaling: Any) -> Any:
        seen.append(reader.path)
        return get(reader, *choice, **scaling)

    monkeypatch.setattr(VideoReader, "get", counted)
    return seen


@pytest.mark.parametrize("changed", [{"frames": 5}, {"size": 17}, {"channels": 1}])
def test_other_settings_are_decoded_again(
    make_clip: Make, tmp_path: Path, reads: list[Path], changed: dict[str, int]
) -> None:
    path = make_clip()
    first = cached_frames(path, CONFIG, tmp_path)
    assert cached_frames(path, replace(CONFIG, **changed), tmp_path) != first
    assert reads == [path, path]


def test_a_changed_file_is_decoded_again(
    make_clip: Make, tmp_path: Path, reads: list[Path]
) -> None:
    path = make_clip()
    first = cached_frames(path, CONFIG, tmp_path)
    make_clip(frames=9)
    second = cached_frames(path, CONFIG, tmp_path)
    os.utime(path, ns=(1, 1))
    third = cached_frames(path, CONFIG, tmp_path)
    assert len({first, second, third}) == 3
    assert len(reads) == 3


def test_a_changed_image_of_a_sequence_is_decoded_again(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")
    first = cached_frames(folder, CONFIG, tmp_path / "cache")
    assert np.load(first)[:, 0, 0, 0].tolist() == [0, 1, 2, 2]
    Image.new("RGB", (16, 16), (200, 0, 0)).save(folder / "1.png")
    second = cached_frames(folder, CONFIG, tmp_path / "cache")
    assert np.load(second)[:, 0, 0, 0].tolist() == [0, 200, 2, 2]


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
    assert [tuple(batch[0].shape) for batch in DataLoader(samples, 3)] == [
        (3, 4, 16, 16, 3),
        (1, 4, 16, 16, 3),
    ]


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
    read_now = read_sample(path, config)
    frames = read(path, config.frames)
    sample = read_now.pixels
    assert read_now.size == frames.pixels.shape[1:3]
    assert np.array_equal(read_now.times, frames.times)
    assert sample.shape == (config.frames, config.size, config.size, channels)
    samples, _ = read_clips([Clip(path, "a")], ["a"], config, cache=tmp_path)
    assert np.array_equal(samples[0][0].numpy(), sample)
    if streams != "flow":
        assert np.array_equal(sample[..., :3], resize(frames.pixels, config.size, 3))
    if streams != "rgb":
        sampling = partial(equally_spaced, count=config.frames)
        fields = read_flow(path, sampling, config.flow_limit, config.size).pixels
        assert np.array_equal(sample[..., -2:], fields)


def test_the_frame_rate_of_samples_is_the_median_over_clips(
    make_clip: Make, tmp_path: Path
) -> None:
    # 10 frames per second
    clips = [make_clip(f"{frames}.mp4", frames=frames) for frames in (12, 31, 31)]
    config = replace(CONFIG, frames=4)
    times = read_sample(clips[1], config).times
    assert sample_rate(clips, config) == pytest.approx(3 / (times[-1] - times[0]))
    assert sample_rate([*clips, tmp_path / "gone.mp4"], config, count=4) == sample_rate(
        clips, config
    )
    assert sample_rate([tmp_path / "gone.mp4"], config) is None
    assert sample_rate([make_clip("one.mp4", frames=1)], config) is None
