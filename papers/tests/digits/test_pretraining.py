"""Pre-training on single digits: as published; by another recipe, resumed after it was killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from onlooker.base.files import read_json
from onlooker_papers.digits import pretraining
from onlooker_papers.mnist import DigitSplit, split_mnist


def test_the_published_recipe_sees_every_training_digit_and_keeps_its_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = split_mnist()
    few = [
        pretraining.Digits(part.images[:70], part.labels[:70])
        for part in (whole.training, whole.validation)
    ]
    splits = DigitSplit(*few, few[1])
    seen: list[int] = []
    batch = pretraining.ScaledDigits.batch

    def spy(
        self: pretraining.ScaledDigits, indices: torch.Tensor, *, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen.extend(indices.tolist())
        return batch(self, indices, seed=seed)

    monkeypatch.setattr(pretraining.ScaledDigits, "batch", spy)
    figures = pretraining.pretrain(tmp_path, "lenet", "published", 2.0, splits)
    assert (figures["digits"], figures["passes"]) == (140, 2.0)
    assert sorted(seen[:140]) == list(range(140)) == sorted(seen[140:280])
    assert seen[:140] != seen[140:280]
    kept = pretraining.pretrained(tmp_path, "lenet", "published")
    again = pretraining.pretrain(tmp_path / "again", "lenet", "published", 2.0, splits)
    assert again["loss"] == figures["loss"]
    assert not kept.training


_KILLED = """
import sys
from pathlib import Path
from onlooker_papers.mnist import split_mnist
from onlooker_papers.digits.pretraining import pretrain
pretrain(Path(sys.argv[1]), "lenet", "one-cycle", 0.3, split_mnist())
"""


@pytest.mark.slow
def test_a_training_killed_midway_continues_to_the_same_figures(tmp_path: Path) -> None:
    def begin(folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path / folder)])

    assert begin("whole").wait() == 0
    process = begin("killed")
    folder = tmp_path / "killed" / "lenet-one-cycle"
    curves = folder / "curves.csv"
    while process.poll() is None and not curves.exists():
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was killed before it was done"
    assert not (tmp_path / "killed" / "lenet-one-cycle.json").exists()
    epochs = len(curves.read_text().splitlines())
    assert begin("killed").wait() == 0
    whole, again = (
        read_json(tmp_path / name / "lenet-one-cycle.json") for name in ("whole", "killed")
    )
    for figure in ("accuracy", "loss"):
        assert again["figures"][figure] == whole["figures"][figure]
    assert len(curves.read_text().splitlines()) == 1 + 3 > epochs
    assert not (folder / "checkpoints").exists(), "nobody needs them any more"
