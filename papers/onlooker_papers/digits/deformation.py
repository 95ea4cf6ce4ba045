"""Does an explicit field of displacements undo an elastic deformation? (Shan & Atanasov 2017, IV-D: future work.)"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.digits import SIDE, Digits, DigitSplit
from onlooker.data.transforms import to_video
from onlooker.evaluation.metrics import wilson_interval
from onlooker.models.classifier import Classifier
from onlooker.recognizer import Recognizer, load
from onlooker.training.precision import choose_precision
from onlooker_papers.digits.encoders.warped import POINTS, enlarge, identity, warp
from onlooker_papers.digits.pretraining import DATA as SINGLE
from onlooker_papers.digits.scenes import elastic_fields
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import digest

WINDOWS = {"smooth": 61, "torn": 7, "none": 0}  # pixels of the Gaussian; 0: no deformation
_CANVAS, _SIZE = 64, 40  # canvas of Moving MNIST, for which the fields are made; the middle part that a digit can reach
_BATCH, _RATE = 64, 1e-3
_AT_ONCE = 200  # digits that are tested at a time
_VALIDATION = 1000  # digits
_VALIDATION_SEED, _TEST_SEED = 10**9, 2 * 10**9  # of deformations; larger than any seed in training
DATA: DataConfig = replace(SINGLE, size=_SIZE)


@dataclass(frozen=True)
class Warping:
    """A model of this comparison.

    Args:
        encoder: `lenet`, `lenet:affine` or `lenet:field`.
        supervision: weight of the squared distance to the true field, in pixels²; 0: only the classes are used.
    """

    encoder: str
    supervision: float = 0.0


MODELS = {
    "lenet": Warping("lenet"),
    "affine": Warping("lenet:affine"),
    "field": Warping("lenet:field"),
    "field-supervised": Warping("lenet:field", supervision=0.1),
}


# deformation -> models
ROWS = {"smooth": tuple(MODELS), "torn": ("lenet", "affine", "field"), "none": ("lenet",)}


def trainings(deformation: str, name: str, seeds: int) -> int:
    """The number of seeds of a row; the references (no deformation, and the model with known fields) have one."""
    return seeds if WINDOWS[deformation] and not MODELS[name].supervision else 1


class Deformed(NamedTuple):
    """Deformed digits: pixel p of an image shows the digit at p + field(p).

    Args:
        images, digits: `N 1 H W`, 0 to 1, with and without the deformation.
        fields: `N 2 H W`, pixels.
        labels: `N`.
    """

    images: Tensor
    digits: Tensor
    fields: Tensor
    labels: Tensor


def deform(digits: Digits, indices: Tensor, window: int, seed: int) -> Deformed:
    """Digits in the middle of a frame under the elastic deformation of `gesture`, without its rotation and scale.

    Args:
        digits: the data set.
        indices: `N`, indices of digits.
        window: window of `elastic_fields`; 0: no deformation.
        seed: seed of the fields.
    """
    border, edge = (_SIZE - SIDE) // 2, (_CANVAS - _SIZE) // 2
    chosen = indices.numpy()
    plain = F.pad(torch.from_numpy(digits.images[chosen])[:, None].float() / 255, (border,) * 4)
    chance = torch.Generator().manual_seed(seed)
    whole = elastic_fields(len(plain), _CANVAS, chance, window=window or 1) * (window > 0)
    fields = whole[:, :, edge:-edge, edge:-edge]
    return Deformed(warp(plain, fields), plain, fields, torch.from_numpy(digits.labels[chosen]))


def to_frames(images: Tensor) -> Tensor:
    """Images `N 1 H W`, 0 to 1, normalized as models expect them."""
    return to_video((images * 255).round().movedim(1, -1), DATA.normalization)


def residual(fields: Tensor, true: Tensor) -> Tensor:
    """The deformation that remains after warping: pixel p shows the digit at p + residual(p), `N 2 H W`."""
    return fields + warp(true, fields)


def squared_error(left: Tensor, ink: Tensor, basis: Tensor) -> Tensor:
    """The mean squared length of a residual on ink pixels, after subtracting the best fit of a linear model.

    Args:
        left: `N 2 H W`, pixels.
        ink: `N 1 H W`, weights.
        basis: `H W P`; linear combinations of it (for x and y separately) are subtracted. P may be 0.

    Returns:
        `N`, pixels².
    """
    weights = (ink / ink.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)).flatten(2).mT.sqrt().double()  # N HW 1
    wanted, columns = weights * left.flatten(2).mT, weights * basis.flatten(0, 1)
    if basis.shape[-1]:
        normal = columns.mT @ columns + 1e-9 * torch.eye(basis.shape[-1])  # regularized where there is no ink
        wanted = wanted - columns @ torch.linalg.solve(normal, columns.mT @ wanted)
    return wanted.square().sum((1, 2))


def _bases() -> dict[str, Tensor]:
    """Bases `H W P` of displacements: empty, a shift, an affine transform, and a grid of control points."""
    one = torch.ones(_SIZE, _SIZE, 1, dtype=torch.double)
    affine = torch.cat((one, identity(_SIZE, _SIZE).double()), 2)
    control = torch.eye(POINTS**2, dtype=torch.double).view(1, -1, POINTS, POINTS)
    return {
        "raw": one[..., :0],
        "shift": one,
        "affine": affine,
        "grid": enlarge(control, _SIZE, _SIZE)[0].movedim(0, 2),
    }


def train(model: Classifier, how: Warping, digits: Digits, window: int, steps: int, seed: int) -> None:
    """Train on new deformations at every step: AdamW, one cycle of the learning rate, batches of 64."""
    optimizer = torch.optim.AdamW(model.parameters(), _RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.15)
    chance, fast = torch.Generator().manual_seed(seed), choose_precision("auto") == "bf16-mixed"
    model.train()
    for step in range(steps):
        indices = torch.randint(len(digits), (_BATCH,), generator=chance)
        batch = deform(digits, indices, window, seed=1 + step + steps * seed)
        frames = to_frames(batch.images)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = model(frames[:, None]).logits[:, 0]
        loss = F.cross_entropy(logits.float(), batch.labels)
        if how.supervision:
            field = field_of(model, frames)
            error = squared_error(residual(field, batch.fields), batch.digits, torch.empty(_SIZE, _SIZE, 0)).mean()
            loss = loss + how.supervision * error
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def field_of(model: Classifier, frames: Tensor) -> Tensor:
    """The field that a model predicts, `N 1 H W -> N 2 H W`; zeros for a model without a localization network."""
    if hasattr(model.encoder, "field"):
        field: Tensor = model.encoder.field(frames)
        return field
    return frames.new_zeros(len(frames), 2, *frames.shape[-2:])


@torch.inference_mode()
def measure(model: Classifier, digits: Digits, window: int, count: int, seed: int) -> dict[str, Any]:
    """The `accuracy` on some digits, each under one deformation, and the root mean squared `error` of their fields.

    Args:
        model: the model.
        digits: the data set, of which `count` equally spaced digits are used.
        window: window of the deformation.
        count: maximum number of digits.
        seed: seed of the deformations.

    Returns:
        `accuracy`, its `accuracy_interval`, and the `error` in pixels (see `squared_error`): `raw`, and after
        subtracting the best `shift`, the best `affine` transform, and the best `grid` of displacements.
    """
    count = min(count, len(digits))
    bases, correct = _bases(), 0
    squares = dict.fromkeys(bases, 0.0)
    for number, indices in enumerate((torch.arange(count) * len(digits) // count).split(_AT_ONCE)):
        batch = deform(digits, indices, window, seed=seed + number)
        frames = to_frames(batch.images)
        correct += int((model(frames[:, None]).logits[:, 0].argmax(1) == batch.labels).sum())
        field = field_of(model, frames)
        left, ink = residual(field, batch.fields), warp(batch.images, field)
        for name, basis in bases.items():
            squares[name] += squared_error(left, ink, basis).sum().item()
    return {
        "accuracy": correct / count,
        "accuracy_interval": list(wilson_interval(correct, count)),
        "error": {name: (value / count) ** 0.5 for name, value in squares.items()},
    }


def deformation_cell(
    run: Path, deformation: str, name: str, steps: int, tests: int, seed: int, splits: DigitSplit
) -> dict[str, Any]:
    """Train a model on deformed training digits, and measure it on validation and test digits.

    Args:
        run: gets the training's folder with the model, and the cell's file next to it.
        deformation: one of `WINDOWS`.
        name: one of `MODELS`.
        steps: training steps; the last weights are used.
        tests: number of test digits.
        seed: seed of weights, order and deformations; the deformations of test digits are the same for all seeds.
        splits: the digits. Validation digits chose `MODELS`.

    Returns:
        What `measure` returns of test digits, `validation` (accuracy), `images` seen in training, `minutes`.
    """
    how, window, folder = MODELS[name], WINDOWS[deformation], folder_of(run, deformation, name, seed)
    settings = {"digits": digest(splits), "window": window, "steps": steps, "tests": tests, "seed": seed}
    settings |= {**vars(how), "points": POINTS, "batch": _BATCH, "lr": _RATE}

    def compute() -> dict[str, Any]:
        started = time.perf_counter()
        torch.manual_seed(seed)
        model = Classifier(10, "memoryless", None, encoder=how.encoder, dropout=0.0, in_channels=1, size=_SIZE)
        train(model, how, splits.training, window, steps, seed)
        minutes = (time.perf_counter() - started) / 60
        Recognizer(model, tuple("0123456789"), DATA).save(folder / "model")
        return {
            **measure(model, splits.test, window, tests, _TEST_SEED),
            "validation": measure(model, splits.validation, window, _VALIDATION, _VALIDATION_SEED)["accuracy"],
            "images": steps * _BATCH,
            "minutes": round(minutes, 1),
        }

    return memo_of_training(folder, settings, compute)


def folder_of(run: Path, deformation: str, name: str, seed: int) -> Path:
    """The folder of a training of `deformation_cell`."""
    return run / deformation / f"{name}-{seed}"


def undone(run: Path, digits: Digits, count: int) -> tuple[Deformed, dict[str, Tensor]]:
    """Test digits under the smooth deformation, and for each model the fields that it predicts to undo it."""
    window = WINDOWS["smooth"]
    batch = deform(digits, torch.arange(count) * len(digits) // count, window, _TEST_SEED)
    fields = {}
    for name in MODELS:
        model = load(folder_of(run, "smooth", name, 0), device="cpu").model
        assert isinstance(model, Classifier)
        with torch.inference_mode():
            fields[name] = field_of(model, to_frames(batch.images))
    return batch, fields
