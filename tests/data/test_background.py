"""Background footage is cut into clips of median length, as many as the largest class has, from the whole footage."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import moving_squares
import numpy as np
import pytest
import torch

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.background import cut_background
from onlooker.recognizer import load
from onlooker.run_record import RunRecord
from onlooker.runs.train import train_run
from onlooker.structures import Clip, ClipError
from onlooker.video.reader import VideoReader
from onlooker.video.write import write

Make = Callable[..., Path]


def film(path: Path, frames: int, fps: float = 10) -> Path:
    """Gray frames of increasing brightness, which encodes the position of a frame."""
    levels = np.arange(0, 2 * frames, 2, np.uint8)[:, None, None, None]
    return write(path, levels + np.zeros((1, 32, 32, 3), np.uint8), fps)


def test_pieces_are_as_long_as_the_median_clip_and_as_many_as_the_largest_class(tmp_path: Path) -> None:
    lengths = [(9, "a"), (12, "b"), (12, "b"), (30, "b")]
    clips = [Clip(film(tmp_path / f"{i}.mp4", frames), label) for i, (frames, label) in enumerate(lengths)]
    long = film(tmp_path / "footage" / "long.mp4", 120)
    (tmp_path / "footage" / "._long.mp4").write_bytes(b"of another system")
    pieces, errors = cut_background(tmp_path / "footage", clips, tmp_path / "out")
    assert errors == ()
    assert Counter(clip.label for clip in pieces) == {"nothing": 3}, "ten pieces of 1.2 s would fit"
    gray = [VideoReader(clip.path).get(lambda total: np.arange(total)).pixels[:, 16, 16, 0] for clip in pieces]
    for values, start in zip(gray, (12, 60, 96), strict=True):  # pieces 1, 5 and 8 of 10
        np.testing.assert_allclose(values, 2 * np.arange(start, start + 12), atol=9)
    assert [clip.recording for clip in pieces] == [f"{long} {part}/5" for part in (1, 3, 5)]
    assert VideoReader(pieces[0].path).times[-1] == pytest.approx(1.1)


def test_pieces_join_an_existing_class_for_nothing_and_short_footage_is_one_piece(tmp_path: Path) -> None:
    clips = [Clip(film(tmp_path / f"{i}.mp4", 20), label) for i, label in enumerate(("None", "run", "run", "run"))]
    for i in range(6):
        film(tmp_path / "footage" / "deep" / f"{i}.mp4", 4)
    (tmp_path / "footage" / "broken.mp4").write_bytes(b"no video")
    pieces, (error,) = cut_background(tmp_path / "footage", clips, tmp_path / "out")
    assert [clip.label for clip in pieces] == ["None", "None"], "three of run, one is there"
    assert [len(VideoReader(clip.path)) for clip in pieces] == [4, 4]
    assert [Path(str(clip.recording)).name for clip in pieces] == ["1.mp4", "4.mp4"], "a video is a recording"
    assert error.path.name == "broken.mp4"


def test_footage_without_videos_is_an_error(tmp_path: Path) -> None:
    clips = [Clip(film(tmp_path / "a.mp4", 9), "a")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipError, match=r"empty: no videos; give footage in which nothing of interest happens"):
        cut_background(tmp_path / "empty", clips, tmp_path / "out")
    (tmp_path / "empty" / "b.mp4").write_bytes(b"no video")
    with pytest.raises(ClipError, match=r"none of 1 videos can be read \("):
        cut_background(tmp_path / "empty", clips, tmp_path / "out")


def test_a_model_of_one_class_and_footage_predicts_nothing(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    squares = moving_squares.make_set(tmp_path / "squares", clips=6)
    footage = film(tmp_path / "dark.mp4", 120)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "left").symlink_to(squares / "left")
    data, run = DataConfig(frames=6, size=32), tmp_path / "run"
    settings = ModelConfig("linear", encoder="conv4"), data, TrainConfig()
    figures = train_run(tmp_path / "clips", run, *settings, quiet=True, background=footage)
    assert figures["videos"] == 12
    recognizer = load(run)
    assert recognizer.classes == ("left", "nothing")
    assert recognizer.threshold is not None
    assert recognizer.predict(squares / "left" / "00.mp4").label == "left"
    assert {step.label for step in recognizer.watch(footage)} == {"nothing"}
    assert {clip.path.parent for clip in RunRecord.read(run).split.clips if clip.label == "nothing"} == {
        (run / "background").absolute()
    }
