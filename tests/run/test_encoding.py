"""A clip is encoded once, even after kills, in memory independent of its length; disk errors name
the clip.
"""

import errno
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from pooling import DATA, Encoded, cached, encode_clips, make_folders, pooled, pooling
from torch import Tensor

from onlooker.base.config import DataConfig
from onlooker.base.files import DiskFullError, NotWritableError
from onlooker.base.records import ClipError
from onlooker.data import array_cache
from onlooker.data.array_cache import load_rows
from onlooker.data.samples import read_sample, stored_frames
from onlooker.run import features
from onlooker.video.reader import read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced

Make = Callable[..., Path]
NEVER = Mock(side_effect=AssertionError("encoded again"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Use another, empty cache; one is in use from the beginning."""

    def use(name: str) -> Path:
        (tmp_path / name).mkdir()
        monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / name))
        return tmp_path / name

    use("cache")
    return use


def encode(clips: list[Path], data: DataConfig = DATA, **options: Any) -> Encoded:
    return encode_clips(clips, pooling(data, **options), data)


def file_of(clip: Path, data: DataConfig = DATA) -> Path:
    (files,) = encode([clip], data).results
    assert isinstance(files, tuple)
    return files[0]


@pytest.mark.parametrize(
    ("frames", "data", "stored", "counts"),
    [
        (9, DATA, 4, (4,)),
        # a short clip repeats its last frame, which is stored once
        (3, replace(DATA, frames=10), 3, (10,)),
    ],
)
def test_stored_features_equal_the_output_of_the_encoder(
    make_clip: Make,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    data: DataConfig,
    stored: int,
    counts: Any,
) -> None:
    monkeypatch.setattr(features, "_BATCH", 3)
    paths = [make_clip("a.mp4", frames=frames), make_clip("b.avi")]
    made = encode(paths, data)
    assert (made.new, made.failed) == (2, ())
    maps = np.load(file_of(paths[0], data))
    assert (maps.dtype, maps.shape) == (np.float16, (stored, 4, 4, 3))
    for count in counts:
        expected = pooled(resize(read(paths[0], count).pixels, 16, 3)).astype(np.float32)
        rows = load_rows((file_of(paths[0], data),), partial(equally_spaced, count=count)).astype(
            np.float32
        )
        np.testing.assert_allclose(rows, expected, atol=1e-3)
    assert encode(paths, data, meanwhile=NEVER) == Encoded(made.results, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channels": 1},
        {"modality": "flow"},
        {"modality": "both"},
        {"frames": 40},
        {"frames": 1},
    ],
    ids=str,
)
def test_a_clip_is_sampled_as_for_training(make_clip: Make, changes: dict[str, Any]) -> None:
    path = make_clip(frames=37)
    data = replace(DATA, **changes)
    np.testing.assert_array_equal(
        stored_frames(path, data, distinct=True), read_sample(path, data).pixels[:37]
    )


def test_a_renamed_or_copied_clip_is_found_and_a_changed_one_is_not(
    make_clip: Make, tmp_path: Path
) -> None:
    encode([path := make_clip()])
    copy = Path(shutil.copy(path, tmp_path / "copy.mp4"))
    moved = path.rename(tmp_path / "moved.mp4")
    assert encode([copy, moved], meanwhile=NEVER).new == 0
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert encode([copy]).new == 1


def test_a_key_has_all_that_features_depend_on(make_clip: Make) -> None:
    path = make_clip(frames=20)
    names = [
        {},
        {"frames": 5},
        {"size": 32},
        {"channels": 1},
        {"normalization": "imagenet"},
        {"modality": "both"},
        {"modality": "flow"},
    ]
    sampled = [replace(DATA, **changes) for changes in names]
    results: list[Any] = [encode([path], data).results[0] for data in sampled]
    others: list[Any] = [(pooling(scale=2.0), "32"), (pooling(), "bf16")]
    results += [encode_clips([path], net, DATA, precision).results[0] for net, precision in others]
    assert len(set(results)) == len(names) + len(others)
    unused = replace(DATA, translate=0.5, hflip=True)
    assert (file_of(path, unused),) == results[0]


def test_clips_that_cannot_be_read_are_named_and_the_others_are_encoded(
    make_clip: Make, tmp_path: Path
) -> None:
    good = make_clip("a.mp4")
    empty = tmp_path / "b.mp4"
    text = tmp_path / "c.mp4"
    empty.touch()
    text.write_text("no video", encoding="utf-8")
    still = make_clip("still.mp4", frames=1)
    made = encode([empty, good, text, tmp_path / "d.mp4", still], replace(DATA, modality="both"))
    assert [error.path.name for error in made.failed] == ["b.mp4", "c.mp4", "d.mp4", "still.mp4"]
    assert [error.found[:10] for error in made.failed] == [
        "zero bytes",
        "not a vide",
        "cannot be ",
        "1 frame de",
    ]
    assert [isinstance(result, ClipError) for result in made.results] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert made.new == len(cached()) == 1
    with pytest.raises(ClipError, match=r"b\.mp4: zero bytes"):
        encode([empty])
    with pytest.raises(ClipError, match=r"none of 2 clips can be read; .*b.mp4: zero bytes"):
        encode([empty, text])


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (
            errno.ENOSPC,
            DiskFullError,
            "no space left for its features in .*cache: .*: what is cached already stays",
        ),
        (
            errno.EIO,
            NotWritableError,
            r"its features cannot be written in .* \(Input/output error\)",
        ),
    ],
)
def test_disk_errors_name_the_clip_and_lose_nothing(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch, number: int, kind: Any, message: str
) -> None:
    paths = [make_clip(f"{n}.mp4", frames=3 + n) for n in range(3)]
    encode(paths[:1])
    before = cached()

    def broken(file: Any, header: dict[str, Any]) -> None:
        raise OSError(number, "Input/output error")

    monkeypatch.setattr(array_cache.np.lib.format, "write_array_header_1_0", broken)
    with pytest.raises(kind, match=rf"1\.mp4: {message}"):
        encode(paths)
    assert cached() == before
    monkeypatch.undo()


def test_features_that_overflow_half_precision_are_an_error(make_clip: Make) -> None:
    with pytest.raises(
        ValueError, match=r"clip.mp4: features up to [\d.e+]+ are beyond half precision"
    ):
        encode([make_clip()], scale=1e6)
    assert cached() == {}


def test_features_beyond_the_limit_of_the_cache_are_an_error(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [make_clip(f"{n:02}.mp4", frames=3 + n) for n in range(20)]
    batches = list[Tensor]()
    monkeypatch.setenv("ONLOOKER_CACHE_LIMIT", "2KB")  # a clip has at least 400 bytes
    with pytest.raises(
        ValueError, match=r"the features do not fit into .* 2.0 kB; raise ONLOOKER_CACHE_LIMIT"
    ):
        encode(paths, meanwhile=batches.append)
    assert len(batches) < 12


# A slow encoder, that says when it is at a batch.
WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pooling import DATA, encode_clips, pooling
from onlooker.run import features

def meanwhile(frames):
    print("batch", flush=True)
    time.sleep(0.05)

features._BATCH, features._DECODERS = 1, 1
made = encode_clips(sorted(Path(sys.argv[2]).iterdir()), pooling(meanwhile=meanwhile), DATA)
print(made.new, len(made.failed), flush=True)
"""


def begin(clips: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WORKER, str(Path(__file__).parents[1]), str(clips)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_encoding_that_was_killed_can_be_completed(
    tmp_path: Path, cache: Callable[[str], Path], kills: int
) -> None:
    clips = tmp_path / "clips"
    chance = random.Random(0)
    paths = make_folders(clips, 2 * kills)
    encode(paths)
    expected = cached()
    cache("killed")
    for _ in range(kills):
        process = begin(clips)
        assert process.stdout is not None
        # Counted in batches, so that a slow machine is killed at work as well; a clip has two.
        for _ in range(chance.randint(1, 4)):
            process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        left = cached()
        # Whatever has its name is whole.
        assert all(left[name] == expected[name] for name in left if not name.startswith("."))
    assert encode(paths).failed == ()
    assert {
        name: content for name, content in cached().items() if not name.startswith(".")
    } == expected


def test_two_processes_may_encode_the_same_clips(
    tmp_path: Path, cache: Callable[[str], Path]
) -> None:
    encode(make_folders(tmp_path / "clips", 6))
    expected = cached()
    cache("shared")
    processes = [begin(tmp_path / "clips") for _ in range(2)]
    assert [process.wait(timeout=900) for process in processes] == [0, 0]
    assert cached() == expected
