"""What is written and shown after each epoch: `curves.csv` and a line, instead of Lightning's messages."""

import csv
import io
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from onlooker.files import write_bytes
from onlooker.training.stages import report

__all__ = ["CurvesFile", "EpochProgress", "quiet"]


class CurvesFile(Callback):
    """`curves.csv`, rewritten after every epoch from `curves` and `seconds` of the Lightning module."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: Any) -> None:
        """Write all epochs so far to a temporary file, then rename it."""
        text = io.StringIO()
        writer = csv.writer(text)
        columns = {f"{split}_{name}": values for split, part in fitting.curves.items() for name, values in part.items()}
        writer.writerow(["epoch", *columns, "seconds"])
        rows = zip(*columns.values(), (round(s, 1) for s in fitting.seconds), strict=False)
        writer.writerows([epoch, *row] for epoch, row in enumerate(rows))
        write_bytes(self.path, text.getvalue().encode())


class EpochProgress(Callback):
    """Reports each epoch to programs (`stages.report`), and to people by a line.

    Args:
        title: the beginning of each line; None: no lines.
    """

    def __init__(self, title: str | None) -> None:
        self.title = title

    def on_train_start(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Start the clock."""
        self.began, self.first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: Any) -> None:
        """Report the accuracies and the time left."""
        done, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        report("training", done, epochs)
        if self.title is None:
            return
        accuracies = {split: curves["accuracy"] for split, curves in fitting.curves.items() if curves["accuracy"]}
        note = "".join(f" · {split} {100 * values[-1]:.1f} %" for split, values in accuracies.items())
        elapsed = time.monotonic() - self.began
        left = elapsed / (done - self.first) * (epochs - done)
        print(f"{self.title}: epoch {done}/{epochs}{note} · {elapsed:.0f} s elapsed, {left:.0f} s left", flush=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Lightning's banners and advice."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
