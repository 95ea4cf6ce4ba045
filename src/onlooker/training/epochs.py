"""What is written and shown after each epoch: `curves.csv` and a line, instead of Lightning's messages."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from onlooker.files import write_csv
from onlooker.training.stages import report

__all__ = ["EpochRecords", "quiet"]


class EpochRecords(Callback):
    """After every epoch rewrites `curves.csv` from the Lightning module, and reports to programs and people.

    Args:
        path: of `curves.csv`.
        title: the beginning of the line of each epoch; None: no lines.
    """

    def __init__(self, path: Path, title: str | None) -> None:
        self.path, self.title = path, title

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: Any) -> None:
        """Write all epochs so far; report the accuracies and the time left."""
        columns = {f"{split}_{name}": values for split, part in fitting.curves.items() for name, values in part.items()}
        rows = zip(*columns.values(), (round(s, 1) for s in fitting.seconds), strict=False)
        numbered = ([epoch, *row] for epoch, row in enumerate(rows))
        write_csv(self.path, [["epoch", *columns, "seconds"], *numbered])
        done, epochs, seconds = trainer.current_epoch + 1, trainer.max_epochs or 1, fitting.seconds[-1]
        report("training", done, epochs)
        if self.title is not None:
            accuracies = {split: curves["accuracy"] for split, curves in fitting.curves.items()}
            note = "".join(f" · {split} {100 * values[-1]:.1f} %" for split, values in accuracies.items() if values)
            left = seconds / done * (epochs - done)
            print(f"{self.title}: epoch {done}/{epochs}{note} · {seconds:.0f} s elapsed, {left:.0f} s left", flush=True)


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
