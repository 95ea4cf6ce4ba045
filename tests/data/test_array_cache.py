"""Arrays are computed once per key by one process, are read only if complete, and are removed
beyond the limit.
"""

import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from onlooker.base.files import NotWritableError
from onlooker.data.array_cache import ArrayCache, default_cache, is_whole, parse_size

ROWS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def names(cache: ArrayCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


def test_an_array_is_computed_once(cache: ArrayCache) -> None:
    file = cache.get({"a": 1, "b": "x"}, lambda: ROWS)
    stored = np.load(file)
    np.testing.assert_array_equal(stored, ROWS)
    assert stored.dtype == np.float32
    assert cache.get({"b": "x", "a": 1}, Mock(side_effect=AssertionError("computed again"))) == file
    assert names(cache) == [file.name]


def test_every_name_and_value_of_a_key_counts(cache: ArrayCache) -> None:
    keys: list[dict[str, Any]] = [
        {},
        {"a": 1},
        {"b": 1},
        {"a": "1"},
        {"a": 1.0},
        {"a": None},
        {"a": [1, 2]},
        {"a": [12]},
        {"a": 1, "b": 2},
        {"a": {"b": 1}},
        {"a": 12},
        {"a": [[1], 2]},
        {"a": True},
    ]
    assert len({cache.file(key) for key in keys}) == len(keys)
    with pytest.raises(TypeError, match="not JSON serializable"):
        cache.file({"a": Path("b")})


def test_a_damaged_file_is_computed_again(cache: ArrayCache) -> None:
    file = cache.get({"a": 1}, lambda: ROWS)
    content = file.read_bytes()
    for damage in (
        content[:-1],
        content[:20],
        b"",
        content.replace(b"}", b"{"),
        bytes(len(content)),
        content[:128] + bytes(len(content) - 128),
        content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
        content.replace(b"<f4", b"<i4"),
    ):
        file.write_bytes(damage)
        assert not is_whole(file)
        assert cache.get({"a": 1}, lambda: ROWS).read_bytes() == content


def test_an_interrupted_computation_leaves_no_files(
    cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.get({"a": 1}, Mock(side_effect=ZeroDivisionError))
    monkeypatch.setattr("os.fsync", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        cache.get({"a": 1}, lambda: ROWS)
    assert names(cache) == []


def fill(cache: ArrayCache, *numbers: int) -> None:
    for number in numbers:
        # 1,000 bytes with header and checksum
        cache.get({"number": number}, lambda: np.zeros((1, 858), np.uint8))
        time.sleep(0.01)  # file systems keep times of a few milliseconds


def stored(cache: ArrayCache) -> list[int]:
    return [number for number in range(9) if cache.file({"number": number}).exists()]


def test_beyond_the_limit_the_least_recently_used_entries_are_removed(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=3_000)
    fill(cache, 0, 1, 2)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.npy")) == 3_000
    fill(cache, 0, 3)  # 0 is used again
    assert stored(cache) == [0, 2, 3]
    fill(cache, 4, 5, 6)
    assert stored(cache) == [4, 5, 6]
    cache.limit = 1_500
    cache.prune()
    assert stored(cache) == [6]
    cache.limit = 10
    cache.prune()
    assert stored(cache) == [6], "the newest one is in use"
    cache.limit = None
    fill(cache, 0, 1, 2)
    cache.prune()
    assert stored(cache) == [0, 1, 2, 6]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9),
        ("1.5 tb", 1_500 * 10**9),
        ("500MB", 5 * 10**8),
        ("7", 7),
        ("0", 0),
        ("none", None),
    ],
)
def test_sizes_with_units_are_parsed(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20 GiB", "many", "1e9"])
def test_an_invalid_size_is_an_error(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"cache limit is '{text}', expected a size such as 500MB or 20GB, or none"
    ):
        parse_size(text)


def test_the_limit_of_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONLOOKER_CACHE_LIMIT", raising=False)
    assert ArrayCache.for_user(tmp_path).limit == 20 * 10**9
    monkeypatch.setenv("ONLOOKER_CACHE_LIMIT", "3MB")
    assert ArrayCache.for_user(tmp_path).limit == 3 * 10**6


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONLOOKER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        Path, "home", Mock(side_effect=RuntimeError("Could not determine home directory."))
    )
    with pytest.raises(
        NotWritableError,
        match=r"no home folder .* name a folder that can be written in ONLOOKER_CACHE",
    ):
        default_cache()


def test_a_read_only_folder_names_the_clip_and_the_variable(
    cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(
        NotWritableError,
        match=r"clip.mp4: its frames cannot be written in .*cache \(Permission denied\); name .* in ONLOOKER_CACHE",
    ):
        cache.get({"a": 1}, lambda: ROWS, "its frames", Path("clip.mp4"))
