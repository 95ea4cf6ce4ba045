"""Copies of videos by a process with limits; what a browser sends is tested in
tests/serve/test_media.py.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image

from onlooker.base.files import NotWritableError
from onlooker.video import safe
from onlooker.video.safe import TooLongError
from onlooker.video.transcode import safe_transcode, transcode
from onlooker.video.write import write

Make = Callable[..., Path]


def test_the_process_with_limits_gives_the_same(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(frames=120, options={"g": "12"})
    plain, limited = (tmp_path / name for name in ("plain.mp4", "limited.mp4"))
    facts = list(transcode(path, plain, tmp_path / "plain.jpg"))
    assert facts == list(safe_transcode(path, copy=limited, still=tmp_path / "limited.jpg"))
    assert [each.frames for each in facts] == [50, 100, 120]
    assert plain.with_suffix(".jpg").read_bytes() == limited.with_suffix(".jpg").read_bytes()
    (a, times), (b, same) = clips.all_frames(plain), clips.all_frames(limited)
    assert times == same
    assert np.abs(np.array(a, int) - b).mean() < 2  # the encoder's bytes depend on its threads


def test_the_still_is_of_the_most_change(tmp_path: Path) -> None:
    frames = np.full((20, 48, 64, 3), 90, np.uint8)
    frames[12:, 8:40, 8:56] = 250  # a square appears
    (*_, facts) = transcode(write(tmp_path / "clip.mp4", frames, 10), still=tmp_path / "still.jpg")
    with Image.open(tmp_path / "still.jpg") as image:
        assert np.asarray(image.convert("L"))[24, 32] > 200
    assert facts.frames == 20


def test_a_copy_is_made_only_of_what_browsers_do_not_play(make_clip: Make, tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.webm"):
        list(transcode(make_clip(name), tmp_path / f"copy of {name}.mp4", unless_playable=True))
    assert {path.name for path in tmp_path.glob("copy*")} == {"copy of clip.webm.mp4"}


def test_a_video_that_is_too_long_is_not_read_to_its_end(make_clip: Make) -> None:
    with pytest.raises(TooLongError, match=r"longer than 0\.5 s"):
        list(safe_transcode(make_clip(), max_seconds=0.5))


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits of another process are of Linux"
)
def test_a_copy_that_cannot_be_written_is_no_error_of_the_video(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    path = make_clip()
    safe.close_workers()
    monkeypatch.setattr(safe.subprocess, "Popen", partial(subprocess.Popen, preexec_fn=limit))
    with pytest.raises(NotWritableError, match=r"copy\.mp4: this video cannot be written"):
        list(safe_transcode(path, copy=tmp_path / "copy.mp4"))
    safe.close_workers()
