"""Pre-training exactly as published: Adadelta with the constants of Keras 2.0, all digits, the last
weights.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.training.forward import uses_bf16
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits

BATCH = 32
DECAY = 0.95
EPSILON = 1e-8


def train_as_published(
    model: nn.Module, digits: ScaledDigits, passes: float, seed: int = 0
) -> None:
    """Train on Scaled MNIST with cross entropy, batches of 32, no schedule and no selection of an
    epoch.

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
