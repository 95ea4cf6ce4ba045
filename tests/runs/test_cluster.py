"""Clips on a Ray cluster: the same results as without one, each computed once, whatever dies meanwhile."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import call, fails

from onlooker.config import DataConfig
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.runs import features, predict
from onlooker.runs.cluster import ATTEMPTS, map_clips
from onlooker.runs.features import StoreSettings, make_features
from onlooker.runs.predict import find_videos, predict_clips

DATA = DataConfig(frames=4, size=16, channels=1, normalization="half")
SETTINGS = StoreSettings("conv4", DATA, pretrained=False, precision="32")
WITHOUT = "Ray is not installed (onlooker[cluster])"
_clip_encoder, _predictor = features._clip_encoder, predict._predictor


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (["SET", "--ray"], "local"),
        (["--ray", "SET"], "local"),
        (["--ray", "--seed", "3", "SET"], "local"),
        (["SET", "--ray", "auto"], "auto"),
        (["--ray", "10.0.0.1:6379", "SET"], "10.0.0.1:6379"),
        (["--ray=ray://head:10001", "SET"], "ray://head:10001"),
        (["SET"], None),
    ],
)
def test_the_address_is_optional(
    words: list[str], address: str | None, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def make(clips: Any, store: Path, settings: StoreSettings, shard: str, ray: str | None) -> features.Extracted:
        given.append(ray)
        return features.Extracted((), 0)

    monkeypatch.setattr(features, "make_features", make)
    call("features", *(squares if word == "SET" else word for word in words), "--store", tmp_path / "store")
    assert given == [address]


def test_the_extra_is_named_where_ray_is_missing(
    squares: Path, trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = "error: --ray needs ray, which is not installed; install onlooker[cluster]"
    words = ("--encoder", "conv4", "--size", 16, "--frames", 4, "--store", tmp_path / "store")
    assert message in call("features", squares, *words, "--ray", ok=False).stderr
    assert fails("predict", trained[0], squares, "--ray", "auto") == message


def test_nothing_to_do_needs_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert list(map_clips(partial(str, "never"), [], [])) == []  # type: ignore[arg-type]


def test_a_folder_stands_for_the_clips_in_it(squares: Path, tmp_path: Path) -> None:
    videos = sorted(squares.glob("*/*.mp4"))
    (tmp_path / "empty").mkdir()
    assert find_videos([squares]) == videos
    assert find_videos([videos[3], squares / "up", tmp_path / "empty", tmp_path / "none.mp4"]) == [
        videos[3], *sorted((squares / "up").iterdir()), tmp_path / "empty", tmp_path / "none.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nothing"])
def test_an_address_without_a_cluster_is_an_error_at_once(address: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=WITHOUT)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=f"^{address}: no Ray cluster there .*; start one by `ray start --head`"):
        next(map_clips(partial(str, "never"), [tmp_path], [tmp_path], address))  # type: ignore[arg-type]
    assert time.monotonic() - start < 30


# What the workers below do. Each notes which clips it begins and ends.


def watched(folder: Path, make: Callable[..., Any], *given: Any) -> Callable[[Path], Any]:
    """Work that ends its own process at clips named killed (the first time) and deadly (every time)."""
    work = make(*given)

    def one(clip: Path) -> Any:
        begun = folder / f"begun-{time.time_ns()}-{os.getpid()}"
        first = not any(clip.name in each.read_text() for each in folder.glob("begun-*"))
        begun.write_text(clip.name)
        if "deadly" in clip.name or ("killed" in clip.name and first):
            os.kill(os.getpid(), signal.SIGKILL)
        result = work(clip)
        (folder / begun.name.replace("begun", "done")).write_text(clip.name)
        return result

    return one


def noted(folder: Path, what: str) -> Counter[str]:
    return Counter(each.read_text() for each in folder.glob(f"{what}-*"))


def slow() -> Callable[[Path], str]:
    def one(clip: Path) -> str:
        time.sleep(0.3)
        return clip.name

    return one


def blind() -> Callable[[Path], Any]:
    """Work on a node without the clips."""
    os.path.exists = lambda path: False
    return str


def incomplete() -> Callable[[Path], Any]:
    raise ModuleNotFoundError("No module named 'av'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one worker each, as processes of this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason=WITHOUT)
    utils = pytest.importorskip("ray.cluster_utils", reason=WITHOUT)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    started = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    started.add_node(num_cpus=1)
    ray.init(started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture
def clips(squares: Path, tmp_path: Path) -> list[Path]:
    """Fourteen clips: two equal ones, one that is no video, one that kills a worker, and one that kills all."""
    paths = sorted(squares.glob("*/*.mp4"))[:13]
    names = [f"{i:02}.mp4" for i in range(10)] + ["killed.mp4", "deadly.mp4", "other.mp4"]
    copies = [Path(shutil.copy(path, tmp_path / name)) for path, name in zip(paths, names, strict=True)]
    shutil.copy(copies[0], tmp_path / "equal.mp4")
    (tmp_path / "bad.mp4").write_text("no video")
    return sorted(tmp_path.glob("*.mp4"))


@pytest.mark.slow
def test_features_are_those_without_a_cluster_and_each_is_computed_once(
    cluster: Any, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setattr(features, "_clip_encoder", partial(watched, notes, _clip_encoder))
    made = make_features(clips, tmp_path / "cluster", SETTINGS, quiet=True, ray="auto")
    others = [clip for clip in clips if clip.name != "deadly.mp4"]
    alone = make_features(others, tmp_path / "alone", SETTINGS, quiet=True)
    maps = {file.name: file.read_bytes() for file in (tmp_path / "alone" / "maps").iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "cluster" / "maps").iterdir()} == maps
    assert len(maps) == 12
    assert (made.new, made.existing, len(made.failed)) == (12, 1, 2)
    assert [str(error) for error in made.failed if error.path.name == "bad.mp4"] == [str(alone.failed[0])]
    (deadly,) = [error for error in made.failed if error.path.name == "deadly.mp4"]
    assert f"{ATTEMPTS} workers that read it were killed" in str(deadly)
    done, begun = noted(notes, "done"), noted(notes, "begun")
    assert set(done.values()) == {1}
    assert len(done) == 12
    assert begun - done == Counter({"deadly.mp4": ATTEMPTS, "killed.mp4": 1, "bad.mp4": 1})
    again = make_features(others, tmp_path / "cluster", SETTINGS, quiet=True, ray="auto")
    assert (again.new, again.existing) == (0, 13)
    assert noted(notes, "done") == done


@pytest.mark.slow
def test_predictions_are_those_without_a_cluster(
    cluster: Any, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Recognizer(create_model("convalstm", 3, in_channels=1, size=16, hidden=4), ("a", "b", "c"), DATA).save(
        tmp_path / "run"
    )
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "_predictor", partial(watched, notes, _predictor))
    some = [Path(clip.name) for clip in clips if clip.name != "deadly.mp4"] + [Path("missing.mp4")]
    assert len(predict_clips(run, some, json=tmp_path / "cluster.json", threshold=0.5, ray="auto")) == 2
    assert len(predict_clips(run, some, json=tmp_path / "alone.json", threshold=0.5)) == 2
    found = json.loads((tmp_path / "cluster.json").read_text())
    assert found == json.loads((tmp_path / "alone.json").read_text())
    assert (len(found["clips"]), len(found["failed"])) == (13, 2)
    assert set(noted(notes, "done").values()) == {1}


@pytest.mark.slow
def test_predictions_continue_after_the_command_was_killed(
    cluster: Any, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("convalstm", 3, in_channels=1, size=16, hidden=4)
    run, out = Recognizer(model, ("a", "b", "c"), DATA).save(tmp_path / "run"), tmp_path / "cluster.jsonl"
    (folder := tmp_path / "clips").mkdir()
    for number, path in enumerate([*squares.glob("*/*.mp4")] * 10):
        (folder / f"{number:03}.mp4").symlink_to(path)
    words = ["predict", run, folder, "--json", out, "--ray", cluster.address]
    command = subprocess.Popen([sys.executable, "-m", "onlooker", *map(str, words)], stdout=subprocess.DEVNULL)
    while not out.exists() or out.read_bytes().count(b"\n") < 5:
        assert command.poll() is None
        time.sleep(0.002)
    command.kill()
    command.wait()
    before = {json.loads(line)["path"] for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")}
    clips = find_videos([folder])
    assert 5 <= len(before) < len(clips)
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setattr(predict, "_predictor", partial(watched, notes, _predictor))
    assert predict_clips(run, clips, json=out, ray="auto") == []
    assert noted(notes, "begun") == Counter(clip.name for clip in clips if str(clip) not in before)
    assert predict_clips(run, clips, json=tmp_path / "alone.jsonl") == []
    assert sorted(out.read_text().splitlines()) == sorted((tmp_path / "alone.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_a_node_without_the_clips_or_the_packages_is_named(cluster: Any, clips: list[Path]) -> None:
    with pytest.raises(FileNotFoundError, match=rf"\): this node has no 00\.mp4 in {clips[0].parent}; each node needs"):
        next(map_clips(blind, clips, clips))
    with pytest.raises(
        RuntimeError, match=r"\): no worker can start there \(.*No module named 'av'\); install the same"
    ):
        next(map_clips(incomplete, clips, clips))


@pytest.mark.slow
def test_the_clips_of_a_node_that_is_lost_are_computed_by_others(cluster: Any, clips: list[Path]) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    results, given = [], iter([*clips] * 3)
    for clip, result in map_clips(slow, (Path(f"{i}-{clip}") for i, clip in enumerate(given)), clips):
        results.append(clip)
        assert result == clip.name
        if len(results) == 8:
            cluster.remove_node(node, allow_graceful=False)
    assert Counter(results) == Counter(Path(f"{i}-{clip}") for i, clip in enumerate([*clips] * 3))


@pytest.mark.slow
def test_the_command_starts_a_cluster_of_its_own(squares: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=WITHOUT)
    words = [squares, "--encoder", "conv4", "--size", 16, "--frames", 4, "--store", tmp_path / "store", "--ray"]
    command = [sys.executable, "-c", "from onlooker.cli import main; main()", "features", *map(str, words)]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    settings["HOME"] = str(tmp_path)  # Ray writes the token of a new cluster there
    done = subprocess.run(command, capture_output=True, text=True, env=settings, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"features: 24 new, 0 existed, 0 failed; store: {tmp_path / 'store'}\n")
    assert "raylet" not in done.stdout
