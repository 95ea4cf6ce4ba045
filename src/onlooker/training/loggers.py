"""Loggers of other programs, for the figures of a training: those of Lightning, besides `curves.csv`."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlooker.settings import suggestion

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger  # Lightning takes seconds, and few trainings log

__all__ = ["LOGGERS", "check_loggers", "log_figures", "open_loggers"]

LOGGERS = ("csv", "tensorboard")  # also the names of the modules that they need


def check_loggers(names: Sequence[str]) -> None:
    """Raise a ValueError for an unknown logger, a RuntimeError for one whose package is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise ValueError(f"logger is {name!r}; {suggestion(name, LOGGERS)}")
        if find_spec(name) is None:
            raise RuntimeError(f'{name} is not installed; pip install "onlooker[{name}]"')


def open_loggers(names: Sequence[str], run: Path, settings: dict[str, Any]) -> tuple["Logger", ...]:
    """The loggers with these names, which begin with the settings of the run.

    They write to `logs/` in the run.
    """
    if not names:
        return ()
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    folder = run / "logs"
    folder.mkdir(exist_ok=True)
    makers: dict[str, Callable[[], Logger]] = {
        "csv": lambda: CSVLogger(folder, "csv"),
        "tensorboard": lambda: TensorBoardLogger(folder, "tensorboard", version=""),  # a resumed run continues its file
    }
    loggers = tuple(makers[name]() for name in dict.fromkeys(names))
    for logger in loggers:
        logger.log_hyperparams(settings)
    return loggers


def log_figures(loggers: Sequence["Logger"], figures: Mapping[str, Any]) -> None:
    """Log the numbers among the figures of the test clips, and end the loggers."""
    numbers = {f"test_{name}": float(value) for name, value in figures.items() if type(value) in (int, float)}
    for logger in loggers:
        logger.log_metrics(numbers)
        logger.save()
        logger.finalize("success")
