"""The frame encoders, pre-trained on Scaled MNIST: as published, and by recipes that reach more in
less time.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_video
from onlooker.models.classifier import Classifier
from onlooker.models.video_model import count_parameters
from onlooker.recognizer import Recognizer, load
from onlooker.training.fit import fit
from onlooker.training.forward import uses_bf16
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import Digits, DigitSplit, digest

SIZE = 64
PARTS = 10  # epochs per pass through the digits, so that the weights are saved ten times per pass
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


def pretrain(
    run: Path, encoder: str, recipe: str, passes: float, splits: DigitSplit
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
        model = Classifier(
            10, "memoryless", None, encoder=encoder, dropout=0.0, in_channels=1, size=SIZE
        )
        parameters = count_parameters(model)
        scaled = ScaledDigits(digits, literal=literal)
        if published:
            began = time.perf_counter()
            train_as_published(model, scaled, passes)
            taken = time.perf_counter() - began
        else:
            kept = Digits(
                splits.validation.images[:_VALIDATION], splits.validation.labels[:_VALIDATION]
            )
            choose = SingleDigits(ScaledDigits(kept, mean=scaled.level), seed=1)
            fit(
                model,
                SingleDigits(scaled, seed=0),
                choose,
                DATA,
                how,
                folder,
                f"{encoder}, single digits",
                PARTS,
            )
            taken = seconds(folder)
        loss, accuracy = _test(model, ScaledDigits(splits.test, mean=scaled.level, literal=literal))
        Recognizer(model, tuple("0123456789"), DATA).save(folder / "model")
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


def train_as_published(
    model: nn.Module, digits: ScaledDigits, passes: float, seed: int = 0
) -> None:
    """Train on Scaled MNIST with cross entropy, Adadelta, batches of 32, no schedule and no selection
    of an epoch.

    Args:
        model: `B 1 C H W` to an output with logits `B 1 K`; trained in place.
        digits: all training digits.
        passes: through the digits; the paper has 5.
        seed: of the orders and the transforms.
    """
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=DECAY, eps=EPSILON)
    model.train()
    per_pass = -(-len(digits) // BATCH)
    for step in range(round(passes * per_pass)):
        images, labels = _batch(digits, step, per_pass, seed)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=uses_bf16()):
            logits = model(images[:, None]).logits[:, 0]
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
    model.eval()


def _batch(digits: ScaledDigits, step: int, per_pass: int, seed: int) -> tuple[Tensor, Tensor]:
    """The batch of a step, which depends only on the seed: images `N 1 H W` and classes `N`."""
    number, part = divmod(step, per_pass)
    order = torch.randperm(
        len(digits), generator=torch.Generator().manual_seed(seed * 100_003 + number)
    )
    return digits.batch(
        order[part * BATCH : (part + 1) * BATCH], seed=(seed * 100_003 + number) * per_pass + part
    )


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
