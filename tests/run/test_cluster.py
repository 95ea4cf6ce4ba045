"""Clips on a Ray cluster: the same results as without one, each computed once, whatever dies
meanwhile.
"""

import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import fails
from eventful import untrained

from onlooker.base.records import ClipError
from onlooker.run.cluster import ATTEMPTS, map_clips
from onlooker.run.predict import find_videos, predict_clips


def test_the_extra_is_named_where_ray_is_missing(
    squares: Path, trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = 'error: --ray needs ray, which is not installed; pip install "onlooker[cluster]"'
    assert fails("predict", trained[0], squares, "--ray", "auto") == message
    assert list(map_clips(slow, [], "local")) == []  # nothing to do needs no cluster


def test_a_folder_stands_for_the_clips_in_it(squares: Path, tmp_path: Path) -> None:
    videos = sorted(squares.glob("*/*.mp4"))
    (tmp_path / "empty").mkdir()
    others = [tmp_path / "empty", tmp_path / "none.mp4"]
    assert find_videos([squares]) == (videos, [])
    assert find_videos([videos[3], squares / "up", *others])[0] == [
        videos[3],
        *sorted((squares / "up").iterdir()),
        *others,
    ]
    shutil.copytree(squares / "up", tmp_path / "some" / "day 1")
    (tmp_path / "some" / "gone.mp4").symlink_to("nothing")
    (tmp_path / "some" / "notes.txt").touch()
    found, ignored = find_videos([tmp_path / "some"])
    assert found == [
        *sorted((tmp_path / "some" / "day 1").iterdir()),
        tmp_path / "some" / "gone.mp4",
    ]
    assert ignored == [tmp_path / "some" / "notes.txt"]


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nothing"])
def test_an_address_without_a_cluster_is_an_error_at_once(address: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    start = time.monotonic()
    with pytest.raises(
        ConnectionError,
        match=f"^{address}: no Ray cluster there .*; start one by `ray start --head`",
    ):
        next(map_clips(slow, [tmp_path], address))
    assert time.monotonic() - start < 30


# What the workers below do.


def watched(folder: Path) -> Callable[[Path], str]:
    """Work that notes which clips it begins, and ends its own process at some of them.

    It does so at a clip named killed the first time, at one named deadly every time.
    """

    def one(clip: Path) -> str:
        first = not any(clip.name in each.read_text() for each in folder.iterdir())
        (folder / f"{time.time_ns()}-{os.getpid()}").write_text(clip.name)
        if "deadly" in clip.name or ("killed" in clip.name and first):
            os.kill(os.getpid(), signal.SIGKILL)
        return clip.name

    return one


def slow() -> Callable[[Path], str]:
    def one(clip: Path) -> str:
        time.sleep(0.3)
        return clip.name

    return one


def incomplete() -> Callable[[Path], Any]:
    raise ModuleNotFoundError("No module named 'av'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one worker each, as processes of this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="Ray is not installed (onlooker[cluster])")
    utils = pytest.importorskip("ray.cluster_utils")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    started = utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    started.add_node(num_cpus=1)
    yield started
    started.shutdown()


@pytest.fixture
def clips(squares: Path, tmp_path: Path) -> list[Path]:
    """Fourteen clips: two equal ones, and one that is no video."""
    for number, path in enumerate(sorted(squares.glob("*/*.mp4"))[:12]):
        shutil.copy(path, tmp_path / f"{number:02}.mp4")
    shutil.copy(tmp_path / "00.mp4", tmp_path / "equal.mp4")
    (tmp_path / "bad.mp4").write_text("no video")
    return sorted(tmp_path.glob("*.mp4"))


@pytest.mark.slow
def test_a_clip_whose_worker_dies_three_times_is_named(
    cluster: Any, clips: list[Path], tmp_path: Path
) -> None:
    (notes := tmp_path / "notes").mkdir()
    killed = clips[0].rename(tmp_path / "killed.mp4")
    deadly = clips[1].rename(tmp_path / "deadly.mp4")
    given = [killed, deadly, *clips[2:]]
    results = [*map_clips(partial(watched, notes), given, cluster.address)]
    assert Counter(clip for clip, _ in results) == Counter(given)
    failed = {clip: result for clip, result in results if result != clip.name}
    assert [*failed] == [deadly]
    assert isinstance(failed[deadly], ClipError)
    assert f"{ATTEMPTS} workers that read it were killed" in str(failed[deadly])
    begun = Counter(each.read_text() for each in notes.iterdir())
    assert begun == Counter(clip.name for clip in given) + Counter(
        {"deadly.mp4": ATTEMPTS - 1, "killed.mp4": 1}
    )


@pytest.mark.slow
def test_predictions_are_those_without_a_cluster(
    cluster: Any, clips: list[Path], tmp_path: Path
) -> None:
    run = untrained().save(tmp_path / "run")
    lines = []
    for address in (cluster.address, None):
        results = tmp_path / f"{len(lines)}.jsonl"
        (error,) = predict_clips(run, clips, json=results, ray=address)
        assert error.path.name == "bad.mp4"
        lines.append(sorted(results.read_text().splitlines()))
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_a_node_without_the_clips_or_the_packages_is_named(
    cluster: Any, tmp_path: Path
) -> None:
    _, error = next(map_clips(slow, [tmp_path / "none.mp4"], cluster.address))
    assert "none.mp4: not found on " in str(error)
    with pytest.raises(RuntimeError, match=r"no worker can start: [\s\S]*No module named 'av'"):
        next(map_clips(incomplete, [tmp_path], cluster.address))


@pytest.mark.slow
def test_the_clips_of_a_node_that_is_lost_are_computed_by_others(
    cluster: Any, clips: list[Path]
) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    results = []
    given = [Path(f"{clip.parent}/{i * '/'}{clip.name}") for i in range(3) for clip in clips]
    for clip, result in map_clips(slow, given, cluster.address):
        results.append(clip)
        assert result == clip.name
        if len(results) == 8:
            cluster.remove_node(node, allow_graceful=False)
    assert Counter(results) == Counter(given)
