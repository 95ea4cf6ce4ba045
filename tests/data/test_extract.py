"""A clip is encoded once, even after kills, in memory independent of its length; disk errors name the clip."""

import errno
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pooling_store import DATA, SETTINGS, files_of, fill, made_store, make_folders, pool, pooled
from torch import Tensor

from onlooker.data import array_cache
from onlooker.data.array_cache import load_rows
from onlooker.data.feature_store import FeatureStore, Write, maps_of, samples
from onlooker.data.samples import read_sample
from onlooker.files import DiskFullError, NotWritableError
from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader, read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced

Make = Callable[..., Path]


def rows(file: Path | ClipError, count: int) -> np.ndarray:
    assert isinstance(file, Path)
    return load_rows((file,), partial(equally_spaced, count=count)).astype(np.float32)


@pytest.mark.parametrize(
    ("frames", "settings", "stored", "counts"),
    [
        (9, {}, 4, (4,)),
        (3, {"data": replace(DATA, frames=10)}, 3, (10,)),  # a short clip repeats its last frame, which is stored once
        (23, {"every": True}, 23, (1, 7, 23, 30)),
    ],
)
def test_stored_features_equal_the_output_of_the_encoder(
    make_clip: Make, tmp_path: Path, frames: int, settings: dict[str, Any], stored: int, counts: tuple[int, ...]
) -> None:
    store, paths = made_store(tmp_path / "store", **settings), [make_clip("a.mp4", frames=frames), make_clip("b.avi")]
    made = fill(store, paths, batch=3)
    assert (made.new, made.existing, made.failed) == (2, 0, ())
    file = made.results[0]
    assert file == store.file(paths[0])
    assert (np.load(file).dtype, np.load(file).shape) == (np.float16, (stored, 4, 4, 3))
    for count in counts:
        expected = pooled(resize(read(paths[0], count).pixels, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(rows(file, count), expected, atol=1e-3)

    def never(frames: Tensor) -> Tensor:
        raise AssertionError("encoded again")

    second = fill(FeatureStore.open(tmp_path / "store"), paths, never)
    assert (second.new, second.existing, second.results) == (0, 2, made.results)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    "changes",
    [{}, {"channels": 1}, {"modality": "flow"}, {"modality": "both", "flow_length": 2}, {"frames": 40}, {"frames": 1}],
    ids=str,
)
def test_a_clip_is_sampled_as_for_training(make_clip: Make, changes: dict[str, Any], every: bool) -> None:
    path = make_clip(frames=37)
    data = replace(DATA, **{**changes, **({"frames": 37} if every else {})})
    batches = list(samples(path, replace(SETTINGS, data=data, every=every), 5))
    np.testing.assert_array_equal(np.concatenate(batches), read_sample(path, data).pixels[:37])


def test_clips_that_cannot_be_read_are_named_and_the_others_are_encoded(make_clip: Make, tmp_path: Path) -> None:
    good, empty, text = make_clip("a.mp4"), tmp_path / "b.mp4", tmp_path / "c.mp4"
    empty.touch()
    text.write_text("no video", encoding="utf-8")
    still = make_clip("still.mp4", frames=1)
    store = made_store(tmp_path / "store", data=replace(DATA, modality="both"), every=True)
    made = fill(store, [empty, good, text, tmp_path / "d.mp4", still], threads=2)
    assert [error.path.name for error in made.failed] == ["b.mp4", "c.mp4", "d.mp4", "still.mp4"]
    assert [error.found[:10] for error in made.failed] == ["zero bytes", "not a vide", "no such fi", "1 frame de"]
    assert (made.new, made.existing) == (1, 0)
    assert [isinstance(result, Path) for result in made.results] == [False, True, False, False, False]
    assert len(files_of(store)) == 1


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (
            errno.ENOSPC,
            DiskFullError,
            "no space left for its features in .*maps: .*: what is stored stays",
        ),
        (errno.EIO, NotWritableError, r"its features cannot be written in .* \(Input/output error\)"),
    ],
)
@pytest.mark.parametrize("moment", ["first rows", "all rows"])
def test_disk_errors_name_the_clip_and_lose_nothing(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, number: int, kind: Any, message: str
) -> None:
    store, paths = made_store(tmp_path / "store"), [make_clip(f"{n}.mp4", frames=3 + n) for n in range(3)]
    fill(store, paths[:1])
    before, write = files_of(store), np.lib.format.write_array_header_1_0

    def broken(file: Any, header: dict[str, Any]) -> None:
        if header["shape"][0] or moment == "first rows":
            raise OSError(number, "Input/output error")
        write(file, header)

    monkeypatch.setattr(array_cache.np.lib.format, "write_array_header_1_0", broken)
    with pytest.raises(kind, match=rf"1\.mp4: {message}"):
        fill(store, paths, threads=2)
    assert files_of(store) == before
    monkeypatch.undo()
    assert fill(store, paths).new == 2


def test_features_that_overflow_half_precision_are_an_error(make_clip: Make, tmp_path: Path) -> None:
    store = made_store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"clip.mp4: features up to [\d.e+]+ are beyond half precision"):
        fill(store, [make_clip()], lambda frames: 1e6 * pool(frames))
    assert files_of(store) == {}


@pytest.mark.parametrize("streams", ["rgb", "both"])
def test_memory_does_not_grow_with_the_length_of_a_clip(make_clip: Make, tmp_path: Path, streams: str) -> None:
    peaks, data = [], replace(DATA, modality=streams)
    for name, frames in (("warm", 20), ("short", 60), ("long", 600)):
        path, store = make_clip(f"{name}.mp4", frames=frames), made_store(tmp_path / name, every=True, data=data)
        tracemalloc.start()
        fill(store, [path], batch=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(np.load(store.file(path))) == frames == len(VideoReader(path))
    # The long clip's frames would be 5.5 MB, as the reader gives them.
    assert peaks[2] < peaks[1] + 200_000, peaks


# A slow encoder, that says when it is at a batch.
WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pooling_store import fill, pool
from onlooker.data.feature_store import FeatureStore

def encode(frames):
    print("batch", flush=True)
    time.sleep(0.05)
    return pool(frames)

made = fill(FeatureStore.open(Path(sys.argv[2])), sorted(Path(sys.argv[3]).iterdir()), encode, batch=1)
print(made.new, made.existing, len(made.failed), flush=True)
"""


def begin(store: FeatureStore, clips: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WORKER, str(Path(__file__).parents[1]), str(store.folder), str(clips)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_extraction_killed_at_random_moments_can_be_completed(tmp_path: Path, kills: int) -> None:
    clips, chance = tmp_path / "clips", random.Random(0)
    paths = make_folders(clips, 2 * kills)
    fill(whole := made_store(tmp_path / "whole"), paths, batch=1)
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
    made = fill(store, paths, batch=1)
    assert made.new + made.existing == len(paths)
    assert {name: content for name, content in files_of(store).items() if not name.startswith(".")} == expected


def test_two_processes_may_fill_one_store(tmp_path: Path) -> None:
    paths = make_folders(tmp_path / "clips", 6)
    fill(whole := made_store(tmp_path / "whole"), paths, batch=1)
    store = made_store(tmp_path / "store")
    processes = [begin(store, tmp_path / "clips") for _ in range(2)]
    assert [process.wait(timeout=900) for process in processes] == [0, 0]
    assert files_of(store) == files_of(whole)


def test_clips_encoded_elsewhere_are_stored_as_those_encoded_here(make_clip: Make, tmp_path: Path) -> None:
    clips = [make_clip(f"{i}.mp4", frames=3 + i) for i in range(4)]
    clips += [Path(shutil.copy(clips[1], tmp_path / "equal.mp4")), make_clip("bad.mp4"), tmp_path / "no.mp4", clips[2]]
    clips[5].write_bytes(clips[5].read_bytes()[:700])
    here, elsewhere = made_store(tmp_path / "here"), made_store(tmp_path / "elsewhere")
    fill(elsewhere, clips[:1])
    given = list[Path]()

    def encode_clips(missing: Iterable[Path], write: Write) -> Generator[None]:
        given.extend(missing)
        for clip in reversed(given):
            write(clip, maps_of(clip, SETTINGS, pool, 3))
            yield

    made, expected = elsewhere.add(clips, encode_clips), fill(here, clips, batch=3)
    assert len(given) == 4, "once each, and none that is stored or cannot be opened"
    assert (made.new, made.existing, len(made.failed)) == (3, 3, 2)
    assert [str(error) for error in made.failed] == [str(error) for error in expected.failed]
    assert files_of(elsewhere) == files_of(here)


def test_an_error_elsewhere_stops_the_extraction_and_ends_the_workers(make_clip: Make, tmp_path: Path) -> None:
    store, clips, ended = made_store(tmp_path / "store"), [make_clip(f"{i}.mp4", frames=3 + i) for i in range(3)], []

    def encode_clips(missing: Iterable[Path], write: Write) -> Generator[None]:
        left = iter(missing)
        try:
            write(next(left), [np.ones((2, 4, 4, 3), np.float16)])
            yield
            write(next(left), [])
            yield
        finally:
            ended.append(list(left))

    with pytest.raises(ValueError, match="an array without rows, expected at least one"):
        store.add(clips, encode_clips)
    assert ended == [clips[2:]]
    assert len(store.cache.entries()) == 1
