"""The curves of a training and the figures of its test for TensorBoard, besides `curves.csv` and
`evaluation.json`.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def require_tensorboard() -> None:
    """Raise a RuntimeError if TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise RuntimeError('tensorboard is not installed; pip install "onlooker[tensorboard]"')


def open_writer(run: Path) -> "SummaryWriter":
    """PyTorch's writer to `logs/tensorboard` of a run."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(run / "logs" / "tensorboard")


def show_settings(writer: "SummaryWriter | None", settings: Mapping[str, Any]) -> None:
    """Show the settings of a training; `writer` None: nowhere."""
    if writer is not None:
        writer.add_text("settings", json.dumps(settings))
        writer.flush()


def log(
    writer: "SummaryWriter | None", split: str, figures: Mapping[str, Any], *, step: int
) -> None:
    """Log the numbers among the figures of a part of the clips, after some epochs (`step`);
    `writer` None: nowhere.
    """
    if writer is None:
        return
    for name, value in figures.items():
        if type(value) in (int, float):
            writer.add_scalar(f"{split}_{name}", value, step)
    writer.flush()
