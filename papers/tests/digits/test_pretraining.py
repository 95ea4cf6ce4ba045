"""Pre-training on single digits: as published; by another recipe, resumed after it was killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onlooker.base.files import read_json
from onlooker.models.video_model import Output
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
    figures = pretraining.pretrain(tmp_path, "conv4", "published", passes=2.0, splits=splits)
    assert (figures["digits"], figures["passes"]) == (140, 2.0)
    assert sorted(seen[:140]) == list(range(140)) == sorted(seen[140:280])
    assert seen[:140] != seen[140:280]
    kept = pretraining.pretrained(tmp_path, "conv4", "published")
    again = pretraining.pretrain(
        tmp_path / "again", "conv4", "published", passes=2.0, splits=splits
    )
    assert again["loss"] == figures["loss"]
    assert not kept.training


def few_digits(count: int) -> pretraining.ScaledDigits:
    """The first digits of the packaged ones."""
    training = split_mnist().training
    return pretraining.ScaledDigits(
        pretraining.Digits(training.images[:count], training.labels[:count])
    )


def test_an_epoch_of_the_library_is_a_tenth_of_a_pass() -> None:
    part = pretraining.PassPart(pretraining.SingleDigits(few_digits(25), seed=0), seed=3)
    shown: list[list[int]] = []
    for epoch in range(20):
        part.set_epoch(epoch)
        samples = part.__getitems__(list(range(len(part))))
        shown.append([index for _, _, index in samples])
        assert [part[place][2] for place in range(len(part))] == shown[-1]
    for first in (0, 10):
        of_pass = [index for indices in shown[first : first + 10] for index in indices]
        assert len(of_pass) == len(set(of_pass)) == 20, "five digits wait for the next pass"
    assert shown[:10] != shown[10:]


def test_a_recipe_of_ours_counts_passes_not_epochs(tmp_path: Path) -> None:
    whole = split_mnist()
    few = pretraining.Digits(whole.training.images[:640], whole.training.labels[:640])
    figures = pretraining.pretrain(
        tmp_path, "conv4", "one-cycle", passes=0.2, splits=DigitSplit(few, few, few)
    )
    assert figures["passes"] == 0.2
    curves = (tmp_path / "conv4-one-cycle" / "curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 2, "two tenths, each an epoch"


class InterruptedTrainingError(Exception):
    """In place of a kill."""


def test_the_published_recipe_continues_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = few_digits(4 * pretraining.BATCH)

    def train(folder: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = pretraining.Classifier(
            10, "memoryless", attention=None, encoder="conv4", dropout=0.0, in_channels=1, size=64
        )
        pretraining.train_as_published(model, digits, 2.0, folder=tmp_path / folder)
        return model.state_dict()

    whole = train("whole")
    batch = pretraining._batch

    def interrupted(
        digits: pretraining.ScaledDigits, step: int, per_pass: int, *, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if step == 5:
            raise InterruptedTrainingError
        return batch(digits, step, per_pass, seed=seed)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "_batch", interrupted)
        with pytest.raises(InterruptedTrainingError):
            train("resumed")
    steps: list[int] = []
    monkeypatch.setattr(
        pretraining,
        "_batch",
        lambda digits, step, *of, seed: steps.append(step) or batch(digits, step, *of, seed=seed),
    )
    resumed = train("resumed")
    assert steps == [5, 6, 7], "not the first five again"
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())


class Plain(nn.Module):
    """A linear layer on all pixels, which begins with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64 * 64, 10, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, video: torch.Tensor) -> Output:
        return Output(self.layer(video.flatten(2)))


def test_the_published_steps_are_those_of_adadelta_on_batches_of_32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against Adadelta (Zeiler 2012) with a learning rate of 1 and decay of .95, as in Keras 2.0."""
    digits = few_digits(128)
    monkeypatch.setattr(pretraining, "uses_bf16", lambda: False)
    batches = []
    batch = pretraining.ScaledDigits.batch

    def spy(
        self: pretraining.ScaledDigits, indices: torch.Tensor, *, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batches.append(batch(self, indices, seed=seed))
        return batches[-1]

    monkeypatch.setattr(pretraining.ScaledDigits, "batch", spy)
    model = Plain()
    weight = model.layer.weight.detach().clone().requires_grad_()
    pretraining.train_as_published(model, digits, 1.0, folder=tmp_path)
    assert [len(images) for images, _ in batches] == [32] * 4
    squares = torch.zeros_like(weight)
    steps = torch.zeros_like(weight)
    for images, labels in batches:
        logits = F.linear(images.flatten(1), weight)
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels), weight)
        squares = 0.95 * squares + 0.05 * slope**2
        step = slope * ((steps + 1e-8) / (squares + 1e-8)).sqrt()
        steps = 0.95 * steps + 0.05 * step**2
        weight = (weight - step).detach().requires_grad_()
    torch.testing.assert_close(model.layer.weight, weight, rtol=0, atol=1e-7)


_KILLED = """
import sys
from pathlib import Path
from onlooker_papers.mnist import split_mnist
from onlooker_papers.digits.pretraining import pretrain
pretrain(Path(sys.argv[1]), "lenet", "one-cycle", passes=0.3, splits=split_mnist())
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
