"""A clip is encoded once, even after kills, in memory independent of its length; disk errors name the clip."""

import errno
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pooling_store import DATA, files_of, made_store, make_folders, pool, pooled
from torch import Tensor

from onlooker.data import array_cache
from onlooker.data.array_cache import load_rows
from onlooker.data.extract import encode_clip, extract, extract_elsewhere, samples
from onlooker.data.feature_store import FeatureStore
from onlooker.data.samples import read_sample
from onlooker.files import DiskFullError
from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader, read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced

Make = Callable[..., Path]


def test_stored_features_equal_the_output_of_the_encoder(make_clip: Make, tmp_path: Path) -> None:
    store, paths = made_store(tmp_path / "store"), [make_clip("a.mp4", frames=9), make_clip("b.avi", frames=30)]
    made = extract(store, paths, pool, batch=3)
    assert (made.new, made.existing, made.failed) == (2, 0, ())
    for path, file in zip(paths, made.results, strict=True):
        expected = pooled(resize(read(path, 4).pixels, 16, 3))
        assert isinstance(file, Path)
        found = load_rows((file,), partial(equally_spaced, count=4))
        assert (found.dtype, found.shape) == (np.float16, (4, 4, 4, 3))
        np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), atol=1e-3)
        np.testing.assert_array_equal(np.load(store.file(path)), found)


def test_a_second_call_computes_nothing(make_clip: Make, tmp_path: Path) -> None:
    store, path = made_store(tmp_path / "store"), make_clip()
    first = extract(store, [path], pool)

    def never(frames: Tensor) -> Tensor:
        raise AssertionError("encoded again")

    second = extract(FeatureStore.open(tmp_path / "store"), [path], never)
    assert (second.new, second.existing, second.results) == (0, 1, first.results)


def test_a_short_clip_repeats_its_last_frame_and_stores_it_once(make_clip: Make, tmp_path: Path) -> None:
    store, path = made_store(tmp_path / "store", data=replace(DATA, frames=10)), make_clip(frames=3)
    (file,) = extract(store, [path], pool).results
    assert isinstance(file, Path)
    assert len(np.load(file)) == 3
    expected = pooled(resize(read(path, 10).pixels, 16, 3))
    np.testing.assert_allclose(
        load_rows((file,), partial(equally_spaced, count=10)).astype(np.float32),
        expected.astype(np.float32),
        atol=1e-3,
    )


def test_a_store_of_every_frame_serves_any_number(make_clip: Make, tmp_path: Path) -> None:
    store, path = made_store(tmp_path / "store", every=True), make_clip(frames=23)
    (file,) = extract(store, [path], pool, batch=5).results
    assert isinstance(file, Path)
    assert len(np.load(store.file(path))) == 23
    for count in (1, 7, 23, 30):
        expected = pooled(resize(read(path, count).pixels, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(
            load_rows((file,), partial(equally_spaced, count=count)).astype(np.float32),
            expected,
            atol=1e-3,
        )


@pytest.mark.parametrize(
    "changes",
    [{}, {"channels": 1}, {"modality": "flow"}, {"modality": "both", "flow_length": 2}, {"frames": 30}, {"frames": 1}],
    ids=str,
)
def test_a_clip_is_sampled_as_for_training(make_clip: Make, changes: dict[str, Any]) -> None:
    path, data = make_clip(frames=11), replace(DATA, **changes)
    batches = list(samples(path, data, size=3))
    expected = read_sample(path, data).pixels[:11]
    assert {count for _, count in batches} == {len(expected)}
    np.testing.assert_array_equal(np.concatenate([frames for frames, _ in batches]), expected)


@pytest.mark.parametrize(
    "changes",
    [{}, {"channels": 1}, {"modality": "flow"}, {"modality": "both", "flow_length": 3, "channels": 1}],
    ids=str,
)
def test_every_frame_is_sampled_as_for_training(make_clip: Make, changes: dict[str, Any]) -> None:
    path, data = make_clip(frames=37), replace(DATA, frames=37, **changes)
    batches = list(samples(path, data, every=True, size=5))
    assert {count for _, count in batches} == {37}
    np.testing.assert_array_equal(np.concatenate([frames for frames, _ in batches]), read_sample(path, data).pixels)


def test_every_frame_of_a_clip_without_motion(make_clip: Make) -> None:
    with pytest.raises(ClipError, match="1 frame decoded, and one frame has no motion"):
        list(samples(make_clip(frames=1), replace(DATA, modality="both"), every=True))


def test_two_copies_in_one_call_are_encoded_once(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip()
    copies = [path, *(Path(shutil.copy(path, tmp_path / f"{n}.mp4")) for n in range(3))]
    made = extract(made_store(tmp_path / "store"), copies, pool, decoders=3)
    assert (made.new, made.existing, len(set(made.results))) == (1, 3, 1)


def test_clips_that_cannot_be_read_are_named_and_the_others_are_encoded(make_clip: Make, tmp_path: Path) -> None:
    good, empty, text = make_clip("a.mp4"), tmp_path / "b.mp4", tmp_path / "c.mp4"
    empty.touch()
    text.write_text("no video", encoding="utf-8")
    store = made_store(tmp_path / "store")
    made = extract(store, [empty, good, text, tmp_path / "d.mp4"], pool, decoders=2)
    assert [error.path.name for error in made.failed] == ["b.mp4", "c.mp4", "d.mp4"]
    assert [str(error).split(": ")[1].split(";")[0][:14] for error in made.failed] == [
        "zero bytes", "not a video fi", "no such file",
    ]  # fmt: skip
    assert (made.new, made.existing) == (1, 0)
    assert [isinstance(result, Path) for result in made.results] == [False, True, False, False]
    assert len(files_of(store)) == 1


@pytest.mark.parametrize("moment", ["first rows", "all rows"])
def test_a_full_disk_names_the_clip_and_loses_nothing(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store, paths = made_store(tmp_path / "store"), [make_clip(f"{n}.mp4", frames=3 + n) for n in range(3)]
    extract(store, paths[:1], pool)
    before, original = files_of(store), array_cache._header

    def full(row: Any, count: int) -> bytes:
        if count or moment == "first rows":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(row, count)

    monkeypatch.setattr(array_cache, "_header", full)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    said = (
        r"1.mp4: no space left for its features in .*maps: [\d.]+ kB needed, 0.1 kB free, [\d.]+ kB missing; free "
        r"space for the 2 clips that are left .[\d.]+ kB if all are like this one., or move .* to a larger "
        r"disk, and run the same command again: the 1 that are stored stay"
    )
    with pytest.raises(DiskFullError, match=said):
        extract(store, paths, pool, decoders=2)
    assert files_of(store) == before
    monkeypatch.undo()
    assert extract(store, paths, pool).new == 2


def test_other_disk_errors_name_the_clip(make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(array_cache, "_header", broken)
    with pytest.raises(OSError, match=r"clip.mp4: its features cannot be written in .* \(Input/output error\)"):
        extract(made_store(tmp_path / "store"), [make_clip()], pool)


def test_features_that_overflow_half_precision_are_an_error(make_clip: Make, tmp_path: Path) -> None:
    store = made_store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"clip.mp4: features up to [\d.e+]+ are beyond half precision"):
        extract(store, [make_clip()], lambda frames: 1e6 * pool(frames))
    assert files_of(store) == {}


def test_a_clip_that_another_process_encodes_is_waited_for(tmp_path: Path) -> None:
    store, paths = made_store(tmp_path / "store"), make_folders(tmp_path / "clips", 1)
    process = begin(store, tmp_path / "clips")
    assert process.stdout is not None
    process.stdout.readline()  # it encodes the first batch
    made = extract(store, paths, pool)
    assert process.communicate()[0].splitlines()[-1] == "1 0 0"
    assert (made.new, made.existing, made.results) == (0, 1, (store.file(paths[0]),))


def test_progress_counts_work_and_not_stored_clips(make_clip: Make, tmp_path: Path) -> None:
    store, paths = made_store(tmp_path / "store"), [make_clip(f"{n}.mp4", frames=3 + n) for n in range(4)]
    extract(store, paths[:2], pool)
    seen: list[tuple[float, int]] = []
    extract(store, paths, pool, batch=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {done % 1 for done, _ in seen} >= {0, 0.5}


@pytest.mark.parametrize("streams", ["rgb", "both"])
def test_memory_does_not_grow_with_the_length_of_a_clip(make_clip: Make, tmp_path: Path, streams: str) -> None:
    peaks, data = [], replace(DATA, modality=streams)
    for name, frames in (("warm", 20), ("short", 60), ("long", 600)):
        path, store = make_clip(f"{name}.mp4", frames=frames), made_store(tmp_path / name, every=True, data=data)
        tracemalloc.start()
        extract(store, [path], pool, batch=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(np.load(store.file(path))) == frames == VideoReader(path).estimated_length
    # The long clip's frames would be 5.5 MB, as the reader gives them.
    assert peaks[2] < peaks[1] + 200_000, peaks


# A slow encoder, that says when it is at a batch.
WORKER = """
import sys, time
from pathlib import Path
import torch
from onlooker.data.extract import extract
from onlooker.data.feature_store import FeatureStore

def encode(frames):
    print("batch", flush=True)
    time.sleep(0.05)
    return torch.nn.functional.avg_pool2d(frames.permute(0, 3, 1, 2).float() / 255, 4)

torch.set_num_threads(1)
store, clips = FeatureStore.open(Path(sys.argv[1])), sorted(Path(sys.argv[2]).iterdir())
made = extract(store, clips, encode, batch=1)
print(made.new, made.existing, len(made.failed), flush=True)
"""


def begin(store: FeatureStore, clips: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WORKER, str(store.folder), str(clips)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_extraction_killed_at_random_moments_can_be_completed(tmp_path: Path, kills: int) -> None:
    clips, chance = tmp_path / "clips", random.Random(0)
    paths = make_folders(clips, 2 * kills)
    extract(whole := made_store(tmp_path / "whole"), paths, pool, batch=1)
    expected, store = files_of(whole), made_store(tmp_path / "store")
    halves = 0
    for _ in range(kills):
        process = begin(store, clips)
        assert process.stdout is not None
        # Counted in batches, so that a slow machine is killed at work as well; a clip has two.
        for _ in range(chance.randint(1, 4)):
            process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        (store.folder / "maps").mkdir(exist_ok=True)
        left = files_of(store)
        halves += any(name.endswith(".part") for name in left)
        # Whatever has its name is whole.
        assert all(left[name] == expected[name] for name in left if not name.startswith("."))
    assert halves > 0
    made = extract(store, paths, pool, batch=1)
    assert made.new + made.existing == len(paths)
    assert files_of(store) == expected


def test_two_processes_share_the_work_of_one_store(tmp_path: Path) -> None:
    paths = make_folders(tmp_path / "clips", 12)
    extract(whole := made_store(tmp_path / "whole"), paths, pool, batch=1)
    store = made_store(tmp_path / "store")
    processes = [begin(store, tmp_path / "clips") for _ in range(2)]
    said = [process.communicate(timeout=900)[0].splitlines() for process in processes]
    counts = [[int(word) for word in lines[-1].split()] for lines in said]
    assert counts[0][0] + counts[1][0] == 12  # none twice
    assert all(new + there == 12 and failed == 0 for new, there, failed in counts)
    assert files_of(store) == files_of(whole)


def test_clips_encoded_elsewhere_are_stored_as_those_encoded_here(make_clip: Make, tmp_path: Path) -> None:
    clips = [make_clip(f"{i}.mp4", frames=3 + i) for i in range(4)]
    clips += [
        Path(shutil.copy(clips[1], tmp_path / "equal.mp4")),
        make_clip("bad.mp4"),
        tmp_path / "none.mp4",
        clips[2],
    ]
    clips[5].write_bytes(clips[5].read_bytes()[:700])
    here, elsewhere = made_store(tmp_path / "here"), made_store(tmp_path / "elsewhere")
    extract(elsewhere, clips[:1], pool)
    given, seen = list[Path](), list[tuple[float, int]]()

    def encode_clips(missing: Iterator[Path]) -> Any:
        given.extend(missing)
        for clip in reversed(given):
            try:
                yield clip, encode_clip(clip, DATA, False, pool, 3)
            except ClipError as error:
                yield clip, error

    made = extract_elsewhere(elsewhere, clips, encode_clips, lambda done, total: seen.append((done, total)))
    expected = extract(here, clips, pool, batch=3)
    assert given == [clips[1], clips[2], clips[3], clips[5]]  # once each, and none that is stored or cannot be opened
    assert (made.new, made.existing, len(made.failed)) == (3, 3, 2)
    assert [str(error) for error in made.failed] == [str(error) for error in expected.failed]
    assert seen[-1] == (5, 5)
    stored = {file.name: file.read_bytes() for file in here.cache.entries()}
    assert {file.name: file.read_bytes() for file in elsewhere.cache.entries()} == stored
    assert len(stored) == 4


def test_an_error_elsewhere_stops_the_extraction_and_ends_the_workers(make_clip: Make, tmp_path: Path) -> None:
    store, clips, ended = made_store(tmp_path / "store"), [make_clip(f"{i}.mp4", frames=3 + i) for i in range(3)], []

    def encode_clips(missing: Iterator[Path]) -> Any:
        try:
            yield next(missing), np.ones((2, 4, 4, 3), np.float16)
            yield next(missing), ValueError("features up to 1e+06 are beyond half precision")
        finally:
            ended.append(list(missing))

    with pytest.raises(ValueError, match=r"features up to 1e\+06 are beyond half precision"):
        extract_elsewhere(store, clips, encode_clips)
    assert ended == [clips[2:]]
    assert len(store.cache.entries()) == 1
