"""Training on several processes: the batches, the gradients and the curve of one, also when their
number changes.

    torchrun --nproc-per-node 2 tests/training/test_devices.py FOLDER EPOCHS

trains in two processes that stop after some epochs, and writes what they give to
`FOLDER/trained.pt`.
"""

import subprocess
import sys
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.records import Curves
from onlooker.models.registry import create_model
from onlooker.run.record import read_curves
from onlooker.training.fit import SharedBatches, fit
from onlooker.training.processes import Processes, connect, launched

DATA = DataConfig(frames=3, size=16, channels=1, normalization="half", translate=0.0, scale=0.0)
TRAIN = TrainConfig(epochs=4, batch=8, lr=3e-3, precision="32")
Trained = tuple[dict[str, Tensor], Curves]


def features(length: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Stored features of noise, brighter in class 1; targets; numbers."""
    chance = torch.Generator().manual_seed(seed)
    targets = torch.arange(length) % 2
    maps = targets.view(-1, 1, 1, 1, 1) * 0.5 + torch.rand(
        length, 3, 2, 2, 64, generator=chance
    )
    return maps.half(), targets, torch.arange(length)


def train(folder: Path, stop: int = TRAIN.epochs) -> Trained:
    """Train in this process, together with the others if there are any; until `stop` epochs are
    done.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = create_model("lstm", 2, in_channels=1, size=16, hidden=8, dropout=0.0)

    class Stops(TensorDataset):
        def set_epoch(self, epoch: int) -> None:
            if epoch == stop:
                raise KeyboardInterrupt

    # 42 clips: the last batch has two, which is one for each of two processes.
    training = Stops(*features(42, seed=0))
    validation = TensorDataset(*features(9, seed=1))
    with connect(), suppress(KeyboardInterrupt):
        fit(model, training, validation, data=DATA, train=TRAIN, folder=folder)
    return model.state_dict(), read_curves(folder) or {}


def train_in(processes: int, folder: Path, stop: int = TRAIN.epochs) -> Trained:
    """Train in several processes."""
    torchrun = ["torch.distributed.run", f"--nproc-per-node={processes}"]
    meeting = ["--rdzv-endpoint", "localhost:0", "--rdzv-backend", "c10d"]
    words = [sys.executable, "-m", *torchrun, *meeting, __file__, str(folder), str(stop)]
    subprocess.run(words, check=True, timeout=240)
    trained: Trained = torch.load(folder / "trained.pt", weights_only=True)
    return trained


def apart(a: Curves, b: Curves, epochs: slice = slice(None)) -> float:
    return max(
        float(np.abs(np.subtract(a[side]["loss"][epochs], b[side]["loss"][epochs])).max())
        for side in ("training", "validation")
    )


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_shares_are_the_batches_of_one_process(processes: int) -> None:
    order = np.random.default_rng(0).permutation(21).tolist()  # batches of 8, 8 and 5
    parts = [SharedBatches(order, 8, Processes(rank, processes)) for rank in range(processes)]
    losses = np.random.default_rng(0).random(21)
    for number, (first, last) in enumerate(pairwise((0, 8, 16, 21))):
        shares = [list(part)[number] for part in parts]
        assert sorted(chain(*shares)) == sorted(order[first:last])
        weighted = [
            losses[own].mean() * part.weight(number)
            for own, part in zip(shares, parts, strict=True)
        ]
        assert np.mean(weighted) == pytest.approx(losses[order[first:last]].mean())
    assert {len(part) for part in parts} == {3}


def test_a_process_without_a_clip_of_the_last_batch_weighs_nothing() -> None:
    part = SharedBatches(range(9), 8, Processes(2, 4))
    assert part.weight(0) == 1.0
    assert part.weight(1) == 0.0
    assert len(list(part)[1]) == 1


@pytest.mark.slow
def test_a_run_continues_with_another_number_of_processes(tmp_path: Path) -> None:
    _, alone = train(tmp_path / "one")
    train(tmp_path / "other", 1)
    train_in(2, tmp_path / "other", 2)
    train_in(4, tmp_path / "other", 3)
    _, curves = train(tmp_path / "other")
    assert len(curves["training"]["loss"]) == 4
    assert apart(alone, curves) < 1e-4


@pytest.mark.slow
def test_more_processes_than_clips_of_a_batch_or_of_validation(tmp_path: Path) -> None:
    _, alone = train(tmp_path / "one", 1)
    _, curves = train_in(10, tmp_path / "many", 1)
    assert apart(alone, curves) < 1e-6


def test_the_place_of_a_process_of_torchrun() -> None:
    assert launched({"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}) == Processes(0, 1)
    assert launched({"TORCHELASTIC_RUN_ID": "a", "RANK": "5", "WORLD_SIZE": "8"}) == Processes(
        5, 8
    )


if __name__ == "__main__":
    trained = train(Path(sys.argv[1]), int(sys.argv[2]))
    if launched().rank == 0:
        torch.save(trained, Path(sys.argv[1]) / "trained.pt")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_learn_as_one_does(processes: int, tmp_path: Path) -> None:
    one, curves = train(tmp_path / "one")
    several, shared = train_in(processes, tmp_path / "several")
    assert apart(curves, shared, slice(0, 2)) < 1e-6  # twelve steps
    assert apart(curves, shared) < 1e-4
    assert shared["training"]["accuracy"] == curves["training"]["accuracy"]
    torch.testing.assert_close(one, several, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "several" / "curves.csv").read_text().count("\n") == 5
