"""Pre-training exactly as published: Adadelta with the constants of Keras 2.0, all digits, the last
weights.
"""

import time
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.base.files import write_bytes
from onlooker.training.forward import uses_bf16
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits

BATCH = 32
DECAY = 0.95
EPSILON = 1e-8
PARTS = 10  # per pass through the digits; the training is saved after each part


def train_as_published(
    model: nn.Module, digits: ScaledDigits, passes: float, folder: Path, seed: int = 0
) -> float:
    """Train on Scaled MNIST with cross entropy, batches of 32, no schedule and no selection of an
    epoch.

    Continues from `folder/checkpoints/last.pt`, and ends with the same weights as without the
    interruption.

    Args:
        model: `B 1 C H W` to an output with logits `B 1 K`; trained in place.
        digits: all training digits.
        passes: through the digits; the paper has 5.
        folder: of the run.
        seed: of the orders and the transforms.

    Returns:
        Seconds of training, over all resumptions.
    """
    path = folder / "checkpoints" / "last.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=DECAY, eps=EPSILON)
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
    often = -(-per_pass // PARTS)
    started = time.perf_counter()
    while done < steps:
        images, labels = _batch(digits, done, per_pass, seed)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=uses_bf16()):
            logits = model(images[:, None]).logits[:, 0]
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        done += 1
        if done % often == 0 or done == steps:
            record = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "done": done,
            }
            file = BytesIO()
            torch.save(record | {"seconds": seconds + time.perf_counter() - started}, file)
            write_bytes(path, file.getvalue())
    model.eval()
    return seconds + time.perf_counter() - started


def _batch(digits: ScaledDigits, step: int, per_pass: int, seed: int) -> tuple[Tensor, Tensor]:
    """The batch of a step, which depends only on the seed: images `N 1 H W` and classes `N`."""
    number, part = divmod(step, per_pass)
    order = torch.randperm(
        len(digits), generator=torch.Generator().manual_seed(seed * 100_003 + number)
    )
    return digits.batch(
        order[part * BATCH : (part + 1) * BATCH], seed=(seed * 100_003 + number) * per_pass + part
    )
