"""Loggers for the figures of a training, besides `curves.csv`."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onlooker.settings import suggestion

__all__ = ["LOGGERS", "CsvLogger", "check_loggers", "log", "open_loggers"]

LOGGERS = ("csv", "tensorboard")  # also the names of the modules that they need


class CsvLogger:
    """Appends lines of step, name and value; with the methods of PyTorch's writer for TensorBoard."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a", encoding="utf-8")
        if not self.file.tell():
            self.file.write("step,name,value\n")

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.file.write(f"{step},{tag},{value}\n")

    def flush(self) -> None:
        self.file.flush()


def check_loggers(names: Sequence[str]) -> None:
    """Raise a ValueError for an unknown logger, a RuntimeError for one whose package is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise ValueError(f"logger is {name!r}; {suggestion(name, LOGGERS)}")
        if find_spec(name) is None:
            raise RuntimeError(f'{name} is not installed; pip install "onlooker[{name}]"')


def open_loggers(names: Sequence[str], run: Path, settings: Mapping[str, Any]) -> list[Any]:
    """The loggers with these names, which write to `logs/` in the run; TensorBoard also shows the settings."""
    loggers: list[Any] = []
    folder = run / "logs"
    if names:
        folder.mkdir(exist_ok=True)
    if "csv" in names:
        loggers.append(CsvLogger(folder / "metrics.csv"))
    if "tensorboard" in names:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(folder / "tensorboard")
        writer.add_text("settings", json.dumps(settings))
        loggers.append(writer)
    return loggers


def log(loggers: Sequence[Any], split: str, figures: Mapping[str, Any], step: int) -> None:
    """Log the numbers among the figures of a part of the clips, after some epochs (`step`)."""
    for logger in loggers:
        for name, value in figures.items():
            if type(value) in (int, float):
                logger.add_scalar(f"{split}_{name}", value, step)
        logger.flush()
