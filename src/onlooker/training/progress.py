"""Progress of a training run: `curves.csv` and a progress bar instead of Lightning's messages."""

import csv
import io
import logging
import threading
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

from onlooker.files import is_disk_full, write_bytes
from onlooker.training.stages import report as report_stage


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


class EpochReport(Callback):
    """Reports epochs to `onlooker.train(progress=…)`."""

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Report how many are done."""
        report_stage("training", trainer.current_epoch + 1, trainer.max_epochs or 1)


class EpochProgress(Callback):
    """A progress bar over all epochs in a terminal; where the output is redirected, a line per epoch."""

    def __init__(self, title: str) -> None:
        self.title, self.started = title, time.monotonic()
        self.progress: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Show the bar, at the progress of a resumed run."""
        self.started = time.monotonic()
        console = Console()
        if not console.is_terminal:
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self.progress = Progress(*columns, console=console)
        total = trainer.num_training_batches * (trainer.max_epochs or 1)
        self.task = self.progress.add_task(self.title, total=total, completed=trainer.global_step, note="")
        self.progress.start()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Advance the bar."""
        if self.progress:
            self.progress.update(self.task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: Any) -> None:
        """Show the accuracies of this epoch."""
        accuracies = {split: curves["accuracy"] for split, curves in fitting.curves.items() if curves["accuracy"]}
        note = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        note += "".join(f" · {split} {100 * values[-1]:.1f} %" for split, values in accuracies.items())
        if self.progress:
            self.progress.update(self.task, note=note)
        else:
            print(f"{self.title}: {note} · {time.monotonic() - self.started:.0f} s elapsed", flush=True)

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar."""
        if self.progress:
            self.progress.stop()

    def on_exception(self, *_: Any) -> None:
        """Remove the bar."""
        self.on_train_end()


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Lightning's banners and advice, and report a full disk once."""
    logger = logging.getLogger("lightning.pytorch")
    level, report = logger.level, threading.excepthook

    def report_others(args: threading.ExceptHookArgs) -> None:
        # TensorBoard's thread passes its error on to the next writer, which raises it in the main thread.
        if args.exc_value is None or not is_disk_full(args.exc_value):
            report(args)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        logger.setLevel(logging.ERROR)
        threading.excepthook = report_others
        try:
            yield
        finally:
            logger.setLevel(level)
            threading.excepthook = report
