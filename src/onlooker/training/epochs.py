"""What is written and shown after each epoch: `curves.csv` and a progress bar, instead of Lightning's messages."""

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
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
    """Reports epochs to programs (`stages.report`) and to people: a progress bar in a terminal, else a line per epoch.

    Args:
        title: of the bar; None: nothing for people.
    """

    def __init__(self, title: str | None) -> None:
        self.title, self.started = title, time.monotonic()
        left = TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left")
        words = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[note]"))
        self.bar = Progress(next(words), BarColumn(), next(words), TimeElapsedColumn(), *left, console=Console())
        self.shown = title is not None and self.bar.console.is_terminal

    def on_train_start(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Show the bar, at the progress of a resumed run."""
        total = trainer.num_training_batches * (trainer.max_epochs or 1)
        if self.shown:
            self.task = self.bar.add_task(self.title or "", total=total, completed=trainer.global_step, note="")
            self.bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Advance the bar."""
        if self.shown:
            self.bar.update(self.task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: Any) -> None:
        """Show the accuracies of this epoch."""
        accuracies = {split: curves["accuracy"] for split, curves in fitting.curves.items() if curves["accuracy"]}
        note = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        note += "".join(f" · {split} {100 * values[-1]:.1f} %" for split, values in accuracies.items())
        if self.shown:
            self.bar.update(self.task, note=note)
        elif self.title is not None:
            print(f"{self.title}: {note} · {time.monotonic() - self.started:.0f} s elapsed", flush=True)
        report("training", trainer.current_epoch + 1, trainer.max_epochs or 1)

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar."""
        if self.shown:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        """Remove the bar."""
        self.on_train_end()


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
