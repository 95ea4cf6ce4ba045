"""Loggers of other programs, for the figures of a training: those of Lightning, besides `curves.csv`."""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlooker.settings import suggestion

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger  # Lightning takes seconds, and few trainings log

__all__ = ["LOGGERS", "check_loggers", "log_figures", "open_loggers"]

LOGGERS = ("csv", "mlflow", "tensorboard", "wandb")  # also the names of the modules that they need


def check_loggers(names: Sequence[str]) -> None:
    """Raise a ValueError for an unknown logger, a RuntimeError for one whose package is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise ValueError(f"logger is {name!r}; {suggestion(name, LOGGERS)}")
        if find_spec(name) is None:
            raise RuntimeError(f'{name} is not installed; pip install "onlooker[{name}]"')


def open_loggers(names: Sequence[str], run: Path, settings: dict[str, Any]) -> tuple["Logger", ...]:
    """The loggers with these names, which begin with the settings of the run.

    They write to `logs/` in the run, unless `MLFLOW_TRACKING_URI` names a server, or the user is logged in to wandb.

    Raises:
        RuntimeError: one of them cannot be opened, for example because its server does not answer.
    """
    if not names:
        return ()
    from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

    folder = run / "logs"
    folder.mkdir(exist_ok=True)
    uri = (given := os.environ.get("MLFLOW_TRACKING_URI")) or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
    makers: dict[str, Callable[[], Logger]] = {
        "csv": lambda: CSVLogger(folder, "csv"),
        "mlflow": lambda: MLFlowLogger("onlooker", run.name, tracking_uri=uri),
        "tensorboard": lambda: TensorBoardLogger(folder, "tensorboard", version=""),  # a resumed run continues its file
        "wandb": lambda: WandbLogger(run.name, folder, project="onlooker"),
    }
    loggers = tuple(makers[name]() for name in dict.fromkeys(names))
    try:
        for logger in loggers:
            logger.log_hyperparams(settings)
    except Exception as error:  # of another program, or of the network
        reason = " ".join(str(error).split())
        raise RuntimeError(f"--logger {' '.join(names)}: {reason}; check its server, and use --resume") from error
    if not given:  # mlflow has set it, also for the next run of this process
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    return loggers


def log_figures(loggers: Sequence["Logger"], figures: Mapping[str, Any]) -> None:
    """Log the numbers among the figures of the test clips, and end the loggers."""
    numbers = {f"test_{name}": float(value) for name, value in figures.items() if type(value) in (int, float)}
    for logger in loggers:
        logger.log_metrics(numbers)
        logger.save()
        logger.finalize("success")
