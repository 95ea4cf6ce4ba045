"""Chosen frames equal those of decoding everything, bit for bit, whatever codec and container."""

from collections.abc import Callable
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from onlooker.video import decode
from onlooker.video import index as listing
from onlooker.video.reader import pick, read, stream
from onlooker.video.sampling import equally_spaced, windows

CASES = {
    "h264 B-frames": ("a.mp4", {"options": {"g": "30", "bf": "3"}}),
    "h264 B-pyramid, one group": ("a.mkv", {"options": {"bf": "5", "b-pyramid": "normal"}}),
    "h264 open groups": ("a.mp4", {"options": {"bf": "3", "x264-params": "open-gop=1:keyint=24:scenecut=0"}}),
    "h264 intra refresh": ("a.mp4", {"options": {"x264-params": "intra-refresh=1:keyint=24"}}),
    "h264 baseline": ("a.mov", {"options": {"g": "12", "bf": "0"}}),
    "h264 10 bit": ("a.mp4", {"options": {"g": "30"}, "pix_fmt": "yuv420p10le"}),
    "h264 in avi": ("a.avi", {"codec": "libx264", "options": {"bf": "2"}}),
    "h264 in a transport stream": ("a.ts", {"codec": "libx264"}),
    "h264 with sound": ("a.mp4", {"audio": True}),
    "h264 variable rate": ("a.mp4", {"pts": [i * i * 3 + 40 * i for i in range(120)], "options": {"g": "20"}}),
    "h264 decoded with threads": ("a.mp4", {"size": (640, 360), "options": {"bf": "3", "preset": "ultrafast"}}),
    "hevc open groups": ("a.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=24:log-level=none"}}),
    "mpeg4": ("a.avi", {}),
    "mpeg4 B-frames in avi": ("a.avi", {"options": {"bf": "2"}}),
    "mpeg4 B-frames in mp4": ("a.mp4", {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}}),
    "mpeg2 B-frames": ("a.mkv", {"codec": "mpeg2video", "fps": 25, "options": {"bf": "2", "g": "15"}}),
    "mpeg program stream": ("a.mpg", {"codec": "mpeg2video", "fps": 25}),
    "mjpeg": ("a.avi", {"codec": "mjpeg"}),
    "vp8 hidden frames": ("a.webm", {"codec": "libvpx", "options": {"g": "30", "auto-alt-ref": "1"}}),
    "vp9": ("a.webm", {"options": {"g": "30", "deadline": "realtime", "cpu-used": "8"}}),
    "vp9 hidden frames": ("a.webm", {"options": {"g": "40", "auto-alt-ref": "1", "cpu-used": "5"}}),
    "gif": ("a.gif", {}),
}


@pytest.fixture(params=CASES)
def clip(request: pytest.FixtureRequest, make_clip: Callable[..., Path]) -> Path:
    name, settings = CASES[request.param]
    return make_clip(name, **{"frames": 120, **settings})


def test_equal_to_decoding_everything(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, times = clips.all_frames(clip)
    assert [clips.painted_number(frame) for frame in reference] == list(range(120))
    streamed = list(stream(clip))
    assert [index for index, _, _ in streamed] == list(range(120))
    assert all((mine == theirs).all() for (_, _, mine), theirs in zip(streamed, reference, strict=True))
    for cores in (1, 2):
        monkeypatch.setattr(listing, "_cores", lambda cores=cores: cores)
        for count in (1, 7, 30, 120, 130):
            frames = read(clip, count)
            assert frames.indices.tolist() == equally_spaced(120, count).tolist()
            assert all((mine == reference[i]).all() for i, mine in zip(frames.indices, frames.pixels, strict=True))
            assert frames.times == pytest.approx([streamed[i][1] for i in frames.indices])
    if clip.suffix == ".avi":  # which stores a rate, no times
        times = [i / 10 for i in range(120)]
    assert [time for _, time, _ in streamed] == pytest.approx(times)


def test_listed_files_do_not_take_the_slow_way(make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded everything")

    monkeypatch.setattr(listing, "pick_sequentially", refuse)
    for name, settings in CASES.values():
        if settings.get("codec") not in ("libvpx", "libx264") and name != "a.mpg" and "intra" not in str(settings):
            if name == "a.avi" and settings.get("options"):
                continue  # B-frames in avi have no times
            read(make_clip(name, frames=60, **{k: v for k, v in settings.items() if k != "pts"}), 7)


def test_frames_cut_off_by_an_edit_list_are_not_counted(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    whole, cut = make_clip("whole.mp4", frames=60, options={"g": "20", "bf": "2"}), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as out:
        video = source.streams.video[0]
        copy = out.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.size:
                shift = round(2.5 / packet.time_base)  # the container then says: begin at zero
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                out.mux(packet)
    reference, _ = clips.all_frames(cut)
    assert clips.painted_number(reference[0]) == 25
    frames = read(cut, 7)
    assert frames.indices.tolist() == equally_spaced(35, 7).tolist()
    assert all((mine == reference[i]).all() for i, mine in zip(frames.indices, frames.pixels, strict=True))


def test_only_what_is_needed_is_decoded(make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip("a.avi", frames=600)
    decoded = []
    original = listing._decode
    monkeypatch.setattr(listing, "_cores", lambda: 1)

    def counting(*arguments: object) -> object:
        for frame in original(*arguments):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(listing, "_decode", counting)
    read(clip, 5)
    assert len(decoded) <= 5 * 12  # at most a group of 12 for each frame


def test_files_larger_than_memory_are_demuxed_twice(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip("a.mp4", frames=120, options={"g": "20"})
    expected = read(clip, 9)
    monkeypatch.setattr(listing, "KEPT_BYTES", 100)
    monkeypatch.setattr(listing, "pick_sequentially", None)
    again = read(clip, 9)
    assert (again.pixels == expected.pixels).all()
    assert (again.times == expected.times).all()


def test_any_order_and_repetition(make_clip: Callable[..., Path]) -> None:
    clip = make_clip("a.mp4", frames=40, options={"g": "10"})
    frames = pick(clip, lambda total: np.array([total - 1, 3, 3, 17]))
    assert [clips.painted_number(frame) for frame in frames.pixels] == [39, 3, 3, 17]
    assert frames.times == pytest.approx([3.9, 0.3, 0.3, 1.7])
    frames = pick(clip, lambda total: np.concatenate(windows(total, 8, 3)))
    assert [clips.painted_number(f) for f in frames.pixels] == [*range(8), *range(16, 24), *range(32, 40)]


def test_shares_hold_every_run_once() -> None:
    runs = [range(10), range(20, 21), range(30, 60), range(70, 72)]
    for count in (1, 2, 3, 4):
        shares = listing._shares(runs, count)
        assert len(shares) == count
        assert [run for share in shares for run in share] == runs


def test_a_wrong_guess_costs_a_second_decoding_not_a_wrong_frame(make_clip: Callable[..., Path]) -> None:
    clip = make_clip("a.mp4", frames=25)
    for guess in (0, 10, 24, 25, 400):
        frames = decode.pick_sequentially(clip, lambda total: equally_spaced(total, 5), guess)
        assert [clips.painted_number(frame) for frame in frames.pixels] == equally_spaced(25, 5).tolist()


def test_workers_leave_the_other_cores_to_their_siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listing._cores() >= 1
    monkeypatch.setattr("multiprocessing.parent_process", lambda: object())
    assert listing._cores() == 1
