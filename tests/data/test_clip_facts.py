"""Facts of clips: length, rate, size, darkness, stillness."""

from pathlib import Path

import numpy as np
import pytest
from clips import make_clip, scene
from numpy.typing import NDArray

from onlooker.data.findings import ClipFacts, read_facts
from onlooker.video.write import write


def facts(video: NDArray[np.uint8], path: Path) -> ClipFacts:
    write(path, video, fps=12)
    return read_facts(path)


def test_length_rate_and_size(tmp_path: Path) -> None:
    clip = read_facts(make_clip(tmp_path / "a.mp4", frames=20, size=(64, 48), fps=10))
    assert (clip.frames, clip.size) == (20, (48, 64))
    assert (clip.rate, clip.seconds) == pytest.approx((10, 2))
    assert clip.thumbnails.shape == (8, 16, 16)


def test_the_last_frame_counts_as_long_as_the_file_says(tmp_path: Path) -> None:
    times = [number / 12 for number in range(24)]
    write(tmp_path / "held.mp4", scene(0), fps=0.5, times=times)
    assert read_facts(tmp_path / "held.mp4").seconds == pytest.approx(23 / 12 + 2, abs=0.01)


def test_darkness_and_stillness(tmp_path: Path) -> None:
    video = scene(0)
    plain = facts(video, tmp_path / "a.mp4")
    dark = facts(video // 8, tmp_path / "b.mp4")
    still = facts(np.repeat(video[:1], 24, 0), tmp_path / "d.mp4")
    assert dark.brightness < 50 < 150 < plain.brightness
    assert still.change < 3 < 50 < plain.change
