"""Training on several processes: the batches, the gradients and the curve of one, also when their number changes."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker.structures import Curves
from onlooker.training.epoch_order import EpochOrder
from onlooker.training.fit import fit
from onlooker.training.nodes import ALONE
from onlooker.training.processes import SharedBatches, run_in_processes

DATA = DataConfig(frames=3, size=16, channels=1, normalization="half", translate=0.0, scale=0.0)
TRAIN = TrainConfig(epochs=4, batch=8, lr=3e-3, precision="32")


class Features(Dataset[tuple[Tensor, int, int]]):
    """Stored features of noise, brighter in class 1; `pause` seconds per clip."""

    def __init__(self, length: int, seed: int, pause: float = 0.0) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.targets, self.pause = [i % 2 for i in range(length)], pause
        level = torch.tensor(self.targets).view(-1, 1, 1, 1, 1) * 0.5
        self.maps = (level + torch.rand(length, 3, 2, 2, 64, generator=chance)).half()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        time.sleep(self.pause)
        return self.maps[index], self.targets[index], index


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(folder: Path, devices: int, settings: TrainConfig = TRAIN, pause: float = 0.0) -> tuple[Classifier, Curves]:
    torch.manual_seed(0)
    model = create_model("lstm", 2, in_channels=1, size=16, hidden=8, dropout=0.0)
    # 42 clips: the last batch has two, which is one for each of two processes.
    sides = Features(42, seed=0, pause=pause), Features(9, seed=1)
    return model, fit(model, *sides, DATA, settings, folder, title=None, devices=devices)


def apart(a: Curves, b: Curves, epochs: slice = slice(None)) -> float:
    return max(
        float(np.abs(np.subtract(a[side]["loss"][epochs], b[side]["loss"][epochs])).max())
        for side in ("training", "validation")
    )


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_shares_are_the_batches_of_one_process(processes: int) -> None:
    order = EpochOrder(range(21), seed=0)  # batches of 8, 8 and 5
    parts = [SharedBatches(order, 8, rank, processes) for rank in range(processes)]
    whole, losses = list(order), np.random.default_rng(0).random(21)
    for number, (first, last) in enumerate(pairwise((0, 8, 16, 21))):
        shares = [list(part)[number] for part in parts]
        assert sorted(chain(*shares)) == sorted(whole[first:last])
        weighted = [losses[own].mean() * part.share(number)[1] for own, part in zip(shares, parts, strict=True)]
        assert np.mean(weighted) == pytest.approx(losses[whole[first:last]].mean())
    assert {len(part) for part in parts} == {3}


def test_a_process_without_a_clip_of_the_last_batch_weighs_nothing() -> None:
    part = SharedBatches(EpochOrder(range(9), seed=0), 8, rank=2, processes=4)
    assert part.share(0) == (2, 1.0)
    assert part.share(1) == (0, 0.0)
    assert len(list(part)[1]) == 1


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Curves]:
    torch.set_num_threads(1)
    return train(tmp_path_factory.mktemp("one"), 1)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_learn_as_one_does(
    processes: int, alone: tuple[Classifier, Curves], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.training.processes.cores", lambda: processes)
    several, shared = train(tmp_path, processes)
    one, curves = alone
    assert apart(curves, shared, slice(0, 2)) < 1e-6  # twelve steps
    assert apart(curves, shared) < 1e-4
    assert shared["training"]["accuracy"] == curves["training"]["accuracy"]
    for a, b in zip(one.state_dict().values(), several.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "curves.csv").read_text().count("\n") == 5


@pytest.mark.slow
def test_a_run_continues_with_another_number_of_processes(tmp_path: Path) -> None:
    _, alone = train(tmp_path / "one", 1, replace(TRAIN, schedule="constant"))
    for epochs, devices in enumerate((1, 2, 4, 1), 1):
        if (os.cpu_count() or 1) < devices:
            devices = 2
        _, curves = train(tmp_path / "other", devices, replace(TRAIN, schedule="constant", epochs=epochs))
    assert apart(alone, curves) < 1e-4


@pytest.mark.slow
def test_the_same_number_of_processes_gives_the_same_bits(tmp_path: Path) -> None:
    (one, _), (other, _) = (train(tmp_path / name, 2) for name in "ab")
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def _fail(rank: int, processes: int, kind: str) -> None:
    if rank == 1 and kind == "error":
        raise ValueError("the clips are gone")
    if rank == 1 and kind == "long error":
        raise ValueError("x" * 200_000)  # more than a pipe holds
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("error", ValueError, "the clips are gone"),
        ("long error", ValueError, "x{200000}"),
        ("killed", ChildProcessError, "process 1 of 2 ended by signal SIGKILL; continue with --resume"),
    ],
)
def test_a_process_that_fails_ends_the_others(kind: str, error: type[Exception], message: str) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=message):
        run_in_processes(2, ALONE, _fail, kind)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("devices", "message"),
    [(0, "devices is 0, expected at least 1"), (10_000, r"devices is 10000, expected at most the \d+ (cores|GPUs)")],
)
def test_numbers_of_devices_that_are_impossible(tmp_path: Path, devices: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(tmp_path, devices)


def test_more_devices_than_clips_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlooker.training.processes.cores", lambda: 64)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ValueError, match="devices is 10, expected at most the 8 clips of a batch"):
        train(tmp_path, 10)
    with pytest.raises(ValueError, match="devices is 10, expected at most the 9 validation clips"):
        train(tmp_path, 10, replace(TRAIN, batch=16))
