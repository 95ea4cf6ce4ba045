"""Written videos are read back, and an incomplete file never remains; copies by a process with
limits. What a browser sends is tested in tests/serve/test_media.py.
"""

import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Make, all_frames, make_images, paint, painted_numbers
from PIL import Image

from onlooker.base.files import DiskFullError, NotWritableError
from onlooker.video import safe
from onlooker.video.reader import VideoReader, read
from onlooker.video.safe import TooLongError
from onlooker.video.transcode import safe_transcode, transcode
from onlooker.video.write import VideoWriter, write


def painted(count: int, size: tuple[int, int] = (64, 48)) -> Iterator[np.ndarray]:
    return (paint(number, size) for number in range(count))


def test_odd_sizes_repeat_the_last_column_and_row(tmp_path: Path) -> None:
    frames = read(write(tmp_path / "a.mp4", painted(5, (65, 49)), fps=10), 5).pixels
    assert frames.shape == (5, 50, 66, 3)
    assert np.abs(frames[:, 48].astype(float) - frames[:, 49]).mean() < 12
    assert read(write(tmp_path / "one.mp4", painted(1, (1, 1)), fps=10), 1).pixels.shape == (
        1,
        2,
        2,
        3,
    )


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    alive = weakref.WeakValueDictionary[int, np.ndarray]()
    counts: list[int] = []

    def watched() -> Iterator[np.ndarray]:
        for number in range(100):
            frame = paint(number)
            alive[number] = frame
            counts.append(len(alive))
            yield frame

    write(tmp_path / "a.mp4", watched(), fps=30)
    assert max(counts) <= 4


@pytest.mark.parametrize("name", ["a.mp4", "A.MP4"])
def test_written_frames_can_be_read_and_play_in_every_browser(
    tmp_path: Path, name: str
) -> None:
    pixels = np.stack(list(painted(20)))
    path = write(tmp_path / "new folder" / name, pixels, fps=12.5)
    frames = read(path, 20)
    assert frames.pixels.shape == pixels.shape
    assert painted_numbers(frames.pixels) == list(range(20))
    assert np.abs(frames.pixels.astype(float) - pixels).mean() < 10
    assert frames.times == pytest.approx([i / 12.5 for i in range(20)], abs=1e-3)
    assert [file.name for file in path.parent.iterdir()] == [name]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction("12.5")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is all there


def test_options_of_the_encoder_are_those_that_were_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", painted(2), options={"crf": "45"})
    assert b" crf=45.0 " in path.read_bytes()  # x264 writes its options into the file


RGB = np.zeros((2, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("a.avi", RGB, r"a.avi: cannot write .avi, expected .mp4"),
        ("a", RGB, r"cannot write a name without suffix, expected .mp4"),
        ("a.mp4", RGB[:0], "there are no frames to write, expected at least one"),
        ("a.mp4", RGB[..., 0], r"a frame is uint8 \(8, 8\), expected uint8 H W 3"),
        ("a.mp4", RGB / 1, r"a frame is float64 \(8, 8, 3\), expected uint8 H W 3"),
    ],
)
def test_errors(tmp_path: Path, name: str, frames: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name, frames, fps=10)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_keeps_the_times_of_its_frames_and_is_indexed_at_its_beginning(
    tmp_path: Path,
) -> None:
    seconds = [0.0, 0.04, 0.5, 0.5, 2.0]
    with VideoWriter(tmp_path / "new" / "a.mp4") as recording:
        for frame, second in zip(painted(5), seconds, strict=True):
            recording.add(frame, second)
        # a frame of another size is brought to that of the first
        recording.add(next(painted(1, (33, 21))), 3.0)
    frames = VideoReader(recording.path).get(range(6))
    assert frames.pixels.shape == (6, 48, 64, 3)
    assert painted_numbers(frames.pixels) == [0, 1, 2, 3, 4, 0]
    assert frames.times == pytest.approx([*seconds, 3.0], abs=1e-4)
    content = recording.path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    assert b"moof" not in content


def test_ctrl_c_completes_a_recording(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4") as recording:
        for number, frame in enumerate(painted(9)):
            recording.add(frame, number / 10)
        raise KeyboardInterrupt
    assert len(VideoReader(tmp_path / "a.mp4")) == 9


def test_a_full_disk_leaves_the_previous_video(
    tmp_path: Path, on_full_disk: Callable[[Path], None]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"before")
    on_full_disk(tmp_path / ".a.mp4.part")
    with pytest.raises(
        DiskFullError,
        match=r"a.mp4: no space left for this video in .* free; free some space, and run",
    ):
        write(tmp_path / "a.mp4", painted(50), fps=25, replace=True)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [
        ("a.mp4", b"before")
    ]


def test_the_process_with_limits_gives_the_same(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(frames=120, options={"g": "12"})
    plain, limited = (tmp_path / name for name in ("plain.mp4", "limited.mp4"))
    facts = list(transcode(path, plain, still=tmp_path / "plain.jpg"))
    assert facts == list(safe_transcode(path, copy=limited, still=tmp_path / "limited.jpg"))
    assert [each.frames for each in facts] == [50, 100, 120]
    assert plain.with_suffix(".jpg").read_bytes() == limited.with_suffix(".jpg").read_bytes()
    (a, times), (b, same) = all_frames(plain), all_frames(limited)
    assert times == same
    assert np.abs(np.array(a, int) - b).mean() < 2  # the encoder's bytes depend on its threads


def test_the_still_is_of_the_most_change(tmp_path: Path) -> None:
    frames = np.full((20, 48, 64, 3), 90, np.uint8)
    frames[12:, 8:40, 8:56] = 250  # a square appears
    (*_, facts) = transcode(
        write(tmp_path / "clip.mp4", frames, fps=10), still=tmp_path / "still.jpg"
    )
    with Image.open(tmp_path / "still.jpg") as image:
        assert np.asarray(image.convert("L"))[24, 32] > 200
    assert facts.frames == 20


def test_the_length_of_an_image_sequence(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "images", (f"{number}.png" for number in range(5)))
    (folder / "frame_rate.txt").write_text("5")
    assert next(transcode(folder)).seconds == pytest.approx(1)
    assert next(transcode(Path(f"{folder}#t=0,0.5"))).seconds == pytest.approx(0.5)


def test_a_copy_is_made_only_of_what_browsers_do_not_play(
    make_clip: Make, tmp_path: Path
) -> None:
    for name in ("clip.mp4", "clip.webm"):
        list(transcode(make_clip(name), tmp_path / f"copy of {name}.mp4", unless_playable=True))
    assert {path.name for path in tmp_path.glob("copy*")} == {"copy of clip.webm.mp4"}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.flv", "a.ts"])
def test_only_a_file_that_ends_early_is_damaged(make_clip: Make, name: str) -> None:
    # what moves, and then what does not
    pts = [*range(0, 3000, 50), *range(3000, 60_000, 1000)]
    codec = "libvpx" if name == "a.webm" else "libx264"
    # Matroska states the length of the file, and in a tag that of each stream
    audio = 90 if name in ("a.mkv", "a.webm") else 0
    clip = make_clip(name, frames=len(pts), pts=pts, codec=codec, audio=audio)
    (*_, facts) = transcode(clip)
    assert not facts.damaged
    assert facts.claimed == pytest.approx(facts.frames, abs=2)
    if name in ("a.mkv", "a.webm"):  # a transport stream does not say how long it is
        clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
        (*_, facts) = transcode(clip)
        assert facts.damaged


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
