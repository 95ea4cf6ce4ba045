"""The frame encoders, pre-trained on Scaled MNIST: as published, and by recipes that reach more in
less time.
"""

import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.utils.data import Dataset

from onlooker import Classifier, Decision, Recognizer, load
from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.files import write_bytes
from onlooker.data.transforms import to_video
from onlooker.models.video_model import count_parameters
from onlooker.training.fit import fit
from onlooker.training.forward import uses_bf16
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import Digits, DigitSplit, digest

SIZE = 64
# Parts of a pass through the digits. Weights are saved after each; in `fit`, a part is an epoch.
PARTS = 10
# digits on which the epoch is chosen; for `dcn`, all 6,000 would take a third of the training time
_VALIDATION = 1000
DATA = DataConfig(frames=1, size=SIZE, channels=1, normalization="mnist", translate=0.0, scale=0.0)
# recipe -> how; `epochs` counts passes through the digits and is set by the budget.
RECIPES = {
    "one-cycle": TrainConfig(optimizer="adamw", lr=1e-3, batch=64, label_smoothing=0.0, patience=0),
    # For several passes. Twice the batch saves a fifth of the time for `dcn`, whose weight update
    # is a third of a step.
    "long": TrainConfig(optimizer="adamw", lr=1.4e-3, batch=128, label_smoothing=0.0, patience=0),
}
# factor on AdamW's learning rate, because each of its 500 features sums 204,800 inputs
_GENTLER = {"dcn": 0.5}
# As published: Adadelta with the constants of Keras 2.0.
BATCH = 32
DECAY = 0.95
EPSILON = 1e-8
# Weights that are updated at once. With all that belongs to them they fit a core's cache: for `dcn`
# this halves the time of an update, which is a third of a step.
_AT_ONCE = 2**18


def pretrain(
    run: Path, encoder: str, recipe: str, *, passes: float, splits: DigitSplit
) -> dict[str, Any]:
    """Train an encoder under `Linear(500, 10)` on single digits, and test it on single digits.

    Args:
        run: gets the training's folder with the model, and the cell's file next to it.
        encoder: one of the digit encoders.
        recipe: `published` (`train_as_published`), `literal` (the same, with the transforms of the
            authors' code; see `ScaledDigits`), or one of `RECIPES`.
        passes: passes through the training digits, in steps of a tenth; for the first two at most
        5, as in the paper.
        splits: the digits. Validation chooses the epoch; the first two recipes also train on the
            validation digits, and use the last weights.

    Returns:
        `accuracy` and `loss` on the test digits, `parameters`, `passes`, `digits`, `minutes`.
    """
    folder = pretraining_of(run, encoder, recipe)
    title = f"{encoder}, single digits"
    published = recipe not in RECIPES
    literal = recipe == "literal"
    parts = (splits.training, splits.validation) if published else (splits.training,)
    digits = Digits(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels"))
    )
    how = TrainConfig() if published else replace(RECIPES[recipe], epochs=round(passes * PARTS))
    how = replace(how, lr=how.lr * _GENTLER.get(encoder, 1.0))
    of_recipe: dict[str, Any] = (
        {"passes": passes, "training": "as published"} if published else how.to_dict()
    )
    of_recipe |= {"literal": True} if literal else {}

    def compute() -> dict[str, Any]:
        torch.manual_seed(how.seed)
        model = build(encoder)
        parameters = count_parameters(model)
        scaled = ScaledDigits(digits, literal=literal)
        if published:
            taken = train_as_published(model, scaled, passes, folder=folder, title=title)
        else:
            kept = Digits(
                splits.validation.images[:_VALIDATION], splits.validation.labels[:_VALIDATION]
            )
            choose = SingleDigits(ScaledDigits(kept, mean=scaled.level), seed=1)
            parts_of_passes = PassPart(SingleDigits(scaled, seed=0), how.seed)
            fit(model, parts_of_passes, choose, data=DATA, train=how, folder=folder, title=title)
            taken = seconds(folder)
        loss, accuracy = _test(model, ScaledDigits(splits.test, mean=scaled.level, literal=literal))
        Recognizer(model, DATA, Decision(tuple("0123456789"))).save(folder / "model")
        return {
            "accuracy": accuracy,
            "loss": loss,
            "parameters": parameters,
            "passes": passes if published else how.epochs / PARTS,
            "digits": len(digits),
            "minutes": round(taken / 60, 1),
        }

    return memo_of_training(
        folder, {"encoder": encoder, "digits": digest(splits), **of_recipe}, compute
    )


def build(encoder: str) -> Classifier:
    """An encoder under `Linear(500, 10)`, with random weights."""
    return Classifier(
        10, "memoryless", attention=None, encoder=encoder, dropout=0.0, in_channels=1, size=SIZE
    )


class PassPart(Dataset[tuple[Tensor, int, int]]):
    """A part of a pass through single digits: `PARTS` epochs of `fit` see each digit once.

    Digits that are left over wait for the next pass, which has another order.

    Args:
        digits: all digits.
        seed: of the orders.
    """

    def __init__(self, digits: SingleDigits, seed: int) -> None:
        self.digits = digits
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to the part number `epoch`, counted through all passes."""
        number, part = divmod(epoch, PARTS)
        order = _order(len(self.digits), self.seed, number)
        self.chosen = order[part * len(self) : (part + 1) * len(self)]

    def __len__(self) -> int:
        return len(self.digits) // PARTS

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.digits[int(self.chosen[index])]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int, int]]:
        """A whole batch at once."""
        return self.digits.__getitems__(self.chosen[indices].tolist())


def train_as_published(
    model: nn.Module,
    digits: ScaledDigits,
    passes: float,
    *,
    folder: Path,
    title: str = "training",
    seed: int = 0,
) -> float:
    """Train on Scaled MNIST with cross entropy, Adadelta, batches of 32, no schedule and no selection
    of an epoch.

    Training is saved `PARTS` times per pass. It continues from `folder/checkpoints/last.pt`, and
    ends with the same weights as without the interruption.

    Args:
        model: `B 1 C H W` to an output with logits `B 1 K`; trained in place.
        digits: all training digits.
        passes: through the digits; the paper has 5.
        folder: of the run.
        title: of the line for each part.
        seed: of the orders and the transforms.

    Returns:
        Seconds of training, over all resumptions.
    """
    path = folder / "checkpoints" / "last.pt"
    parameters = list(model.parameters())
    pieces = [piece for weights in parameters for piece in _pieces(weights.detach())]
    optimizer = torch.optim.Adadelta(pieces, lr=1.0, rho=DECAY, eps=EPSILON)
    done = 0
    seconds = 0.0
    if path.exists():
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        done = stored["done"]
        seconds = stored["seconds"]
    model.train()
    per_pass = -(-len(digits) // BATCH)
    steps = round(passes * per_pass)
    per_part = -(-per_pass // PARTS)
    began = time.perf_counter() - seconds
    while done < steps:
        images, labels = _batch(digits, done, per_pass, seed=seed)
        model.zero_grad()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=uses_bf16()):
            logits = model(images[:, None]).logits[:, 0]
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        gradients = [piece for weights in parameters for piece in _pieces(weights.grad)]
        for piece, gradient in zip(pieces, gradients, strict=True):
            piece.grad = gradient
        optimizer.step()
        done += 1
        if done % per_part == 0 or done == steps:
            seconds = time.perf_counter() - began
            _save(path, model, optimizer, progress={"done": done, "seconds": seconds})
            left = seconds / done * (steps - done)
            progress = f"{done / per_pass:.1f} of {passes:g} passes · loss {loss.item():.3f}"
            line = f"{title}: {progress} · {seconds:.0f} s elapsed, {left:.0f} s left"
            typer.echo(line, err=True)
    model.eval()
    return seconds


def _pieces(values: Tensor | None) -> tuple[Tensor, ...]:
    """Views of all values, in the order in which they are stored."""
    assert values is not None
    return values.as_strided((values.numel(),), (1,)).split(_AT_ONCE)


def _save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, progress: dict[str, float]
) -> None:
    """Write a checkpoint that replaces the one before when it is complete."""
    file = BytesIO()
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(states | progress, file)
    write_bytes(path, file.getvalue())


def _order(count: int, seed: int, number: int) -> Tensor:
    """The order of all digits in pass `number`, which depends only on the seed."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 100_003 + number))


def _batch(digits: ScaledDigits, step: int, per_pass: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """The batch of a step, which depends only on the seed: images `N 1 H W` and classes `N`."""
    number, part = divmod(step, per_pass)
    chosen = _order(len(digits), seed, number)[part * BATCH : (part + 1) * BATCH]
    return digits.batch(chosen, seed=(seed * 100_003 + number) * per_pass + part)


def pretraining_of(run: Path, encoder: str, recipe: str) -> Path:
    """The folder of a training of `pretrain`."""
    return run / f"{encoder}-{recipe}"


def pretrained(run: Path, encoder: str, recipe: str) -> Classifier:
    """The model that `pretrain` has saved."""
    model = load(pretraining_of(run, encoder, recipe), device="cpu").model
    assert isinstance(model, Classifier)
    return model


@torch.inference_mode()
def _test(model: Classifier, digits: ScaledDigits) -> tuple[float, float]:
    """Cross entropy and accuracy."""
    frames = SingleDigits(digits, seed=2)
    loss = right = 0.0
    for indices in torch.arange(len(frames)).split(100):
        samples = frames.__getitems__(indices.tolist())
        video = to_video(torch.stack([image for image, _, _ in samples]), DATA.normalization)
        targets = torch.tensor([target for _, target, _ in samples])
        logits = model(video).logits[:, 0].float()
        loss += F.cross_entropy(logits, targets, reduction="sum").item()
        right += (logits.argmax(1) == targets).sum().item()
    return loss / len(frames), right / len(frames)


def seconds(folder: Path) -> float:
    """The seconds that the training in `folder` took, over all its resumptions."""
    last = (folder / "curves.csv").read_text(encoding="utf-8").splitlines()[-1]
    return float(last.rsplit(",", 1)[1])
