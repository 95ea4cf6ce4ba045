"""The memory that a training step takes, measured in a separate process."""

import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from onlooker.config import TrainConfig
from onlooker.data.moving_mnist import PAIRS
from onlooker.models.registry import create_model
from onlooker.training.losses import frame_cross_entropy
from onlooker.training.precision import choose_precision
from onlooker_papers.digits.encoders.dcn import DCN
from onlooker_papers.digits.pretraining import SIZE

_STEPS = 3  # the state of the optimizer exists from the second step on


def peak_memory(encoder: str, stages: int, videos: int = 16, frames: int = 10, checkpoint: bool = True) -> float:
    """Largest resident memory in GB (10⁹ bytes) of a process that trains an LSTM on an encoder, libraries included.

    Args:
        encoder: by its name.
        stages: 1: end to end; 2: the encoder is frozen.
        videos, frames: B and T of a step.
        checkpoint: as for `DCN`.
    """
    # Not a forked process, which would begin with the peak of this one.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        peak: float = pool.submit(_peak, encoder, stages, videos, frames, checkpoint).result()
        return peak * 2**30 / 1e9


def _peak(encoder: str, stages: int, videos: int, frames: int, checkpoint: bool) -> float:
    torch.set_num_threads(1)
    model = create_model("lstm", len(PAIRS), encoder=encoder, hidden=128, dropout=0.0, in_channels=1, size=SIZE)
    if isinstance(model.encoder, DCN):
        model.encoder.checkpoint = checkpoint
    if stages == 2:
        cast(nn.Module, model.encoder).requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    half = choose_precision(TrainConfig().precision) == "bf16-mixed"
    for _ in range(_STEPS):
        video, targets = torch.randn(videos, frames, 1, SIZE, SIZE), torch.randint(len(PAIRS), (videos,))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = frame_cross_entropy(model(video).logits, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return largest_so_far()


def largest_so_far() -> float:
    """The peak memory of this process in GiB. On Linux, a new program inherits `ru_maxrss`, but not `VmHWM`."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def memory_table(encoders: Sequence[str]) -> dict[str, Any]:
    """Peaks in GB by encoder: `two_stage` and `end_to_end`; `end_to_end_kept` for `dcn` without checkpointing."""
    table: dict[str, Any] = {}
    for encoder in encoders:
        table[encoder] = {"two_stage": peak_memory(encoder, 2), "end_to_end": peak_memory(encoder, 1)}
        if encoder == "dcn":
            table[encoder]["end_to_end_kept"] = peak_memory(encoder, 1, checkpoint=False)
    return table
