"""Fixtures for all tests: videos made on the spot, and the real data where they are at hand."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime

import clips
import moving_squares
import pytest
import torch
from commands import TINY, call
from hypothesis import settings

from onlooker.models.encoders import engine
from onlooker.run import compare, evaluate
from onlooker.training import eyes, linear_fitter
from onlooker.training.regression import METHODS

# The same examples on every machine: a failure can be seen again, and does not come by chance.
# No limit of time for an example, which a busy machine would exceed.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

# Tests that run in the background of a shell inherit an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """`clips.make_clip`; a relative path lies in the test's own folder."""

    def make(path: Path | str = "clip.mp4", **settings: object) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return clips.make_clip(target, **settings)

    return make


@pytest.fixture(autouse=True)
def _same_random_weights() -> None:
    """A test's models have the same random weights in every run: a failure can be seen again."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded clips of tests stay out of the user's cache."""
    os.environ["ONLOOKER_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models are slower with more, which also add numbers in another order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _trainings_in_this_process() -> Iterator[None]:
    """Comparisons train in this process unless a test asks for jobs: each new one imports libraries
    for seconds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "default_jobs", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_drawn_clips() -> Iterator[None]:
    """Reports show four clips, not twelve, and compare the classes of two, not of four: drawing them
    takes a quarter of a small training.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_CONTRASTS", 2)
        patch.setattr(evaluate, "_REPORT_CLIPS", 4)
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_methods() -> Iterator[None]:
    """Trainings choose among four of the nine methods: the solver takes half of the time of a small
    one. `all_methods` are those that users get.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eyes, "METHODS", (*METHODS[1:4], METHODS[5]))
        yield


@pytest.fixture(scope="module")
def all_methods() -> Iterator[None]:
    """Trainings choose among all methods."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eyes, "METHODS", METHODS)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_new_graphs() -> Iterator[None]:
    """Encoders without a packaged graph run on PyTorch: making a graph takes longer than most tests.
    `new_graphs` is for tests of it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            engine, "_ENGINES", tuple(e for e in engine._ENGINES if e != engine.new_graph)
        )
        yield


@pytest.fixture
def new_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are made for encoders that have none."""
    monkeypatch.setattr(
        engine, "_ENGINES", (*engine._ENGINES[:-1], engine.new_graph, engine.folded_pytorch)
    )


@pytest.fixture
def no_event_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear models are fitted without an event layer, which takes a fifth of a training: for tests
    that do not look at it.
    """
    monkeypatch.setattr(linear_fitter, "fit_events", lambda *_, **__: None)


@pytest.fixture(scope="session")
def operators_read_once() -> Iterator[None]:
    """PyTorch reads the sources of all operators of ONNX for each export, a third of its time."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        read_once = staticmethod(cache(ONNXRegistry.from_torchlib))
        patch.setattr(ONNXRegistry, "from_torchlib", read_once)
        yield


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of clips that no test changes."""
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> tuple[Path, str]:
    """A run on `squares` that no test changes, and what its training printed."""
    run = tmp_path_factory.mktemp("runs") / "squares"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_REPORT_CLIPS", 12)  # as users get it
        return run, call(
            "train", squares, "--run", run, "--model", "convalstm", "--hidden", 8, *TINY
        ).output


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets (ONLOOKER_DATA, else ../shared/data); skips where there is none."""
    folder = Path(os.environ.get("ONLOOKER_DATA", Path(__file__).parents[1] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data here: set ONLOOKER_DATA to a folder with mnist/ and clips/")
    return folder


@pytest.fixture
def count_items(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str], list[Any]]:
    """Notes what a function of a module yields, from now on, in the list that it returns."""

    def note(module: ModuleType, name: str) -> list[Any]:
        items: list[Any] = []
        original = getattr(module, name)

        def noted(*arguments: Any, **named: Any) -> Iterator[Any]:
            for item in original(*arguments, **named):
                items.append(item)
                yield item

        monkeypatch.setattr(module, name, noted)
        return items

    return note


@pytest.fixture
def on_full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file, before it is written, one of a disk that is full; skips where the system has no
    such device.

    A `*` in its name stands for what makes the names of parts of files unique.
    """
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("no /dev/full on this system")
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(int=0))
    return lambda path: path.with_name(path.name.replace("*", uuid.UUID(int=0).hex)).symlink_to(
        device
    )
