"""Frames have the times of their packets in every container: across pauses, with frames that are
shown in another order, packets that are empty or damaged, and time stamps that are wrong.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from clips import paint, painted_numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.stream.sources import LiveClock
from onlooker.video import video_file
from onlooker.video.reader import VideoReader

RATE = 25
COUNT = 40
CODECS = {
    "libx264": {"bf": "0"},
    "libx264 B-frames": {"bf": "3", "b-pyramid": "normal"},
    "mpeg4": {"bf": "0"},
    "mpeg4 B-frames": {"bf": "2"},
    "mpeg2video B-frames": {"bf": "2"},
}
SUFFIXES = (".mp4", ".mkv", ".ts", ".avi")
# slots from each frame to the next one
PAUSES = st.lists(
    st.sampled_from([1, 1, 1, 1, 2, 3, 40, 700]), min_size=COUNT - 1, max_size=COUNT - 1
)
quick = settings(derandomize=True, deadline=None, max_examples=5)
every_codec = pytest.mark.parametrize("codec", CODECS)


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    level = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)
    yield
    av.logging.set_level(level)


def film(path: Path, codec: str, slots: Sequence[int], **options: str) -> Path:
    """Painted frames, shown in some slots of the frame rate."""
    with av.open(str(path), "w") as container:
        given_options = {"g": "15", **CODECS[codec], **options}
        stream = container.add_stream(codec.split()[0], rate=RATE, options=given_options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p"
        for number, slot in enumerate(slots):
            frame = av.VideoFrame.from_ndarray(paint(number))
            frame.pts = slot
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_wrong_stamps(clip: Path, shifts: dict[int, float]) -> Path:
    """A copy in which some frames, by their places in display order, have time stamps that are some
    seconds later.
    """
    copy = clip.with_stem("wrong")
    with av.open(str(clip)) as right, av.open(str(copy), "w") as out:
        stream = right.streams.video[0]
        target = out.add_stream_from_template(stream)
        packets = [packet for packet in right.demux(stream) if packet.size]
        shown = sorted(packets, key=lambda packet: packet.pts or 0)
        for place, seconds in shifts.items():
            shown[place].pts += round(seconds / (stream.time_base or 1))
        for packet in packets:
            packet.stream = target
            out.mux(packet)
    return copy


def require_times(path: Path, times: Sequence[float]) -> None:
    """Frames have these times wherever they are read."""
    np.testing.assert_allclose(VideoReader(path).times, times, atol=0.002)
    np.testing.assert_allclose([time for _, time, _ in VideoReader(path)], times, atol=0.002)
    assert VideoReader(path).seconds == pytest.approx(times[-1] + 1 / RATE, abs=0.05)
    frames = VideoReader(path).get(np.arange(len(times)))
    assert painted_numbers(frames.pixels) == list(range(len(times)))
    part = VideoReader(f"{path}#t={times[20] - 0.01:.3f},{times[30] - 0.01:.3f}")
    assert painted_numbers(pixels for _, _, pixels in part) == list(range(20, 30))


@every_codec
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_have_the_times_of_their_packets(suffix: str, codec: str) -> None:
    @quick
    @given(PAUSES)
    def check(pauses: list[int]) -> None:
        if suffix == ".avi":  # empty packets fill pauses, but not those of the last frames
            pauses = [min(pause, 60) for pause in pauses[:-4]] + [1] * 4
        slots = [*accumulate(pauses, initial=0)]
        with TemporaryDirectory() as folder:
            path = film(Path(folder, f"a{suffix}"), codec, slots)
            require_times(path, [slot / RATE for slot in slots])

    check()


@every_codec
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_wrong_time_stamp_moves_its_frame_alone(suffix: str, codec: str) -> None:
    places = st.lists(st.integers(1, COUNT - 5), min_size=1, max_size=3, unique=True)

    @quick
    @given(places, st.sampled_from([20.0, 3600.0]))
    def check(wrong: list[int], seconds: float) -> None:
        with TemporaryDirectory() as folder:
            right = film(Path(folder, f"a{suffix}"), codec, range(COUNT))
            path = with_wrong_stamps(right, dict.fromkeys(wrong, seconds))
            require_times(path, [slot / RATE for slot in range(COUNT)])

    check()


@pytest.mark.parametrize("place", [1, 2, 20, 36])
@pytest.mark.parametrize("codec", ["libx264", "libx264 B-frames"])
def test_a_pause_is_no_wrong_stamp(tmp_path: Path, codec: str, place: int) -> None:
    """An index is enough for it, unless it is next to one of the last frames."""
    slots = [*range(place), *range(place + 90_000, COUNT + 90_000)]
    path = film(tmp_path / "a.mp4", codec, slots)
    require_times(path, [slot / RATE for slot in slots])


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_stamps_that_begin_again_go_on(tmp_path: Path, codec: str) -> None:
    path = film(tmp_path / "a.ts", codec, range(COUNT))
    (tmp_path / "twice.ts").write_bytes(2 * path.read_bytes())
    times = [time for _, time, _ in VideoReader(tmp_path / "twice.ts")]
    np.testing.assert_allclose(times, np.arange(2 * COUNT) / RATE, atol=0.01)


@pytest.mark.parametrize("first", [0, 7])
@pytest.mark.parametrize("codec", ["libx264", "libx264 B-frames", "mpeg4 B-frames"])
def test_damaged_packets_of_avi_count(tmp_path: Path, codec: str, first: int) -> None:
    """A frame that is lost moves none of the others."""
    path = film(tmp_path / "a.avi", codec, range(COUNT), g="10", keyint_min="10")
    with av.open(str(path)) as container:
        packets = [
            packet for packet in container.demux(container.streams.video[0]) if packet.size
        ]
        damaged = [(packet.pos, packet.size) for packet in packets[first : first + 13]]
    content = bytearray(path.read_bytes())
    for place, size in damaged:
        content[place + 8 : place + size] = bytes(size - 8)
    path.write_bytes(content)
    times = [time for _, time, _ in VideoReader(path)]
    assert times[-1] == pytest.approx((COUNT - 1) / RATE, abs=3 / RATE)
    assert all(before < after for before, after in pairwise(times))
    np.testing.assert_allclose(VideoReader(path).times, times, atol=1e-6)


def test_a_file_without_wrong_stamps_is_not_decoded_for_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file, "decode_file", None)
    slots = [*range(30), *range(60, 90), *range(200, 230)]
    for codec in ("libx264 B-frames", "mpeg4 B-frames"):
        for suffix in (".mp4", ".mkv"):
            times = VideoReader(film(tmp_path / f"a{suffix}", codec, slots)).times
            np.testing.assert_allclose(times, np.array(slots) / RATE, atol=0.002)


@pytest.mark.parametrize("wrong", [90_000.0, -90_000.0])
def test_a_live_clock_goes_on_as_before_a_wrong_stamp(wrong: float) -> None:
    """Frames are not equally spaced, so that the time after it is known from the stamps alone."""
    clock = LiveClock(leap=2)
    clock.connected(10)
    stamps = [5.0, 5.1, 5.3, wrong, 5.9, 6.0, wrong, 6.31]
    expected = [0.0, 0.1, 0.3, 0.4, 0.9, 1.0, 1.1, 1.31]
    np.testing.assert_allclose([clock(stamp) for stamp in stamps], expected, atol=1e-6)


@pytest.mark.parametrize("bf", ["0", "2"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_stamps_are_believed_at_any_rate_also_a_variable_one(
    tmp_path: Path, suffix: str, bf: str
) -> None:
    """H.264 of a variable rate states the unit of its times, a thousandth of a second."""

    @quick
    @given(st.integers(0, 99), st.sampled_from([0.05, 1.0, 15.0, 700.0]), st.booleans())
    def check(seed: int, gap: float, even: bool) -> None:
        chance = np.random.default_rng(seed)
        gaps = [gap] * COUNT if even else chance.uniform(0.04, gap, COUNT)
        stamps = np.cumsum(np.round(1000 * np.array(gaps))).astype(int)
        path = tmp_path / f"slow{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"bf": bf})
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            for number, stamp in enumerate(stamps.tolist()):
                frame = av.VideoFrame.from_ndarray(paint(number))
                frame.pts = stamp
                frame.time_base = Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        reader = VideoReader(path)
        assert not reader.assumes_rate
        expected = (stamps - stamps[0]) / 1000
        np.testing.assert_allclose(reader.times, expected, atol=0.002)
        np.testing.assert_allclose([time for _, time, _ in reader], expected, atol=0.002)

    check()


@pytest.mark.parametrize("recorded", [True, False])
def test_a_gap_in_a_pipe_is_time_and_in_a_camera_its_clock_that_was_set(recorded: bool) -> None:
    clock = LiveClock(leap=2)
    clock.connected(10, recorded=recorded)
    stamps = [5.0, 5.1, 25.0, 25.1, 25.2, 90_000.0, 25.4, 3.0, 3.1, 3.2]
    gap = 19.8 if recorded else 0.0  # the first frame after it may be a wrong stamp
    later = [0.3 + gap, 0.4 + gap, 0.5 + gap, 0.6 + gap, 0.7 + gap, 0.8 + gap, 0.9 + gap]
    times = [clock(stamp) for stamp in stamps]
    np.testing.assert_allclose(times, [0.0, 0.1, 0.2, *later], atol=1e-6)
