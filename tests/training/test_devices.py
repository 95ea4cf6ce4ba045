"""Training on several processes: the batches, the gradients and the curve of one, also when their number changes."""

import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.models.registry import create_model
from onlooker.structures import Curves
from onlooker.training.batches import EpochOrder, SharedBatches
from onlooker.training.fit import fit
from onlooker.training.processes import ALONE, Processes, check_devices, check_guard, connect, launch, launched

DATA = DataConfig(frames=3, size=16, channels=1, normalization="half", translate=0.0, scale=0.0)
TRAIN = TrainConfig(epochs=4, batch=8, lr=3e-3, precision="32")
Trained = tuple[dict[str, Tensor], Curves]


class Features(Dataset[tuple[Tensor, int, int]]):
    """Stored features of noise, brighter in class 1."""

    def __init__(self, length: int, seed: int) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.targets = [i % 2 for i in range(length)]
        level = torch.tensor(self.targets).view(-1, 1, 1, 1, 1) * 0.5
        self.maps = (level + torch.rand(length, 3, 2, 2, 64, generator=chance)).half()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.maps[index], self.targets[index], index


def train(folder: Path, settings: TrainConfig = TRAIN) -> Trained:
    """Train in this process, together with the others if there are any."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = create_model("lstm", 2, in_channels=1, size=16, hidden=8, dropout=0.0)
    # 42 clips: the last batch has two, which is one for each of two processes.
    with connect(launched()):
        sides = Features(42, seed=0), Features(9, seed=1)
        curves = fit(model, *sides, DATA, settings, folder, title=None, processes=launched())
    return model.state_dict(), curves


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


@pytest.mark.slow  # 30 s: each process imports Lightning
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_learn_as_one_does(processes: int, tmp_path: Path) -> None:
    one, curves = train(tmp_path / "one")
    several, shared = launch(processes, partial(train, tmp_path / "several"))
    assert apart(curves, shared, slice(0, 2)) < 1e-6  # twelve steps
    assert apart(curves, shared) < 1e-4
    assert shared["training"]["accuracy"] == curves["training"]["accuracy"]
    for name, weights in one.items():
        torch.testing.assert_close(weights, several[name], rtol=1e-3, atol=1e-4)
    assert (tmp_path / "several" / "curves.csv").read_text().count("\n") == 5


@pytest.mark.slow
def test_a_run_continues_with_another_number_of_processes(tmp_path: Path) -> None:
    settings = replace(TRAIN, schedule="constant")
    _, alone = train(tmp_path / "one", settings)
    for epochs, devices in enumerate((1, 2, 4, 1), 1):
        of = partial(train, tmp_path / "other", replace(settings, epochs=epochs))
        _, curves = launch(devices, of) if devices > 1 else of()
    assert apart(alone, curves) < 1e-4


@pytest.mark.slow
def test_the_same_number_of_processes_gives_the_same_bits(tmp_path: Path) -> None:
    (one, _), (other, _) = (launch(2, partial(train, tmp_path / name)) for name in "ab")
    assert all(torch.equal(weights, other[name]) for name, weights in one.items())


def fail(how: str) -> None:
    """Fail in the second process while the first one waits for it."""
    with connect(launched()):
        if launched().rank == 1 and how == "error":
            raise ValueError("clip.mp4: the clips are gone")
        if launched().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        torch.distributed.barrier()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("error", RuntimeError, "^clip.mp4: the clips are gone$"),
        ("killed", ChildProcessError, "^process 1 of 2 ended by signal SIGKILL; continue with --resume$"),
    ],
)
def test_a_process_that_fails_ends_the_others_with_one_line(
    how: str, error: type[Exception], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=message):
        launch(2, partial(fail, how))
    assert time.monotonic() - began < 30  # 15 s of them are imports on a busy machine
    assert capfd.readouterr().err == ""


def test_numbers_of_devices_that_are_impossible() -> None:
    for devices, message in {0: "at least 1", 10_000: r"at most the \d+ (cores|GPUs)"}.items():
        with pytest.raises(ValueError, match=f"devices is {devices}, expected {message}"):
            check_devices(devices)


def test_a_script_that_would_run_itself_again_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.py"
    main = ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "spawn")
    script.write_text("onlooker.train()\n")
    check_guard(1, 0)
    for devices, workers in ((2, 0), (1, 2)):
        with pytest.raises(
            RuntimeError, match=r"script.py: .* would run it again; write the call below `if __name__ =="
        ):
            check_guard(devices, workers)
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "fork")
    check_guard(1, 2)
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "spawn")
    script.write_text('if __name__ == "__main__":\n    onlooker.train()\n')
    check_guard(2, 2)


@pytest.mark.parametrize(("batch", "message"), [(8, "8 clips of a batch"), (16, "9 validation clips")])
def test_more_devices_than_clips(tmp_path: Path, batch: int, message: str) -> None:
    model, settings = create_model("lstm", 2, in_channels=1, size=16), replace(TRAIN, batch=batch)
    with pytest.raises(ValueError, match=f"10 processes, expected at most the {message}; use fewer devices"):
        fit(model, Features(42, 0), Features(9, 1), DATA, settings, tmp_path, processes=Processes(0, 10, 10))


def test_synchronized_batch_norm_needs_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model, settings = create_model("lstm", 2, in_channels=1, size=16), replace(TRAIN, sync_batchnorm=True)
    with pytest.raises(ValueError, match="sync_batchnorm is for several GPUs, and this machine has none; leave it out"):
        fit(model, Features(4, 0), Features(4, 1), DATA, settings, tmp_path)


def test_the_place_of_a_process_of_torchrun() -> None:
    assert launched({}) == ALONE == Processes(0, 1, 1)
    environment: dict[str, Any] = {"TORCHELASTIC_RUN_ID": "a", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
    assert launched(environment) == Processes(5, 8, 4)
