"""Fit a model to a set of clips, on Lightning: curves, early stop, and resuming with equal results."""

import csv
import functools
import io
import math
import time
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import Parameter
from torch.utils.data import DataLoader, Dataset, Sampler

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.transforms import augment, to_features, to_video
from onlooker.files import explain_write_errors, write_bytes
from onlooker.models.classifier import clip_scores
from onlooker.models.video_model import Output, VideoModel, choose_device
from onlooker.training.checkpoint import AtomicCheckpointIO
from onlooker.training.losses import doubly_stochastic, frame_cross_entropy
from onlooker.training.quiet import quiet

__all__ = ["PUBLISHED", "choose_precision", "fit"]

Curves = dict[str, dict[str, list[float]]]

# The optimizers of papers from Keras' time, with its constants.
PUBLISHED: dict[str, Callable[[list[Parameter], float], torch.optim.Optimizer]] = {
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr, alpha=0.9, eps=1e-7),
    "adadelta": lambda weights, lr: torch.optim.Adadelta(weights, lr, rho=0.95, eps=1e-7),
}


class Fitting(L.LightningModule):
    """A classifier while it learns.

    Args:
        model: what learns.
        data: normalization and augmentation.
        train: optimizer, loss and seed.
    """

    def __init__(self, model: VideoModel, data: DataConfig, train: TrainConfig) -> None:
        super().__init__()
        self.model, self.data, self.train_config = model, data, train
        self.curves: Curves = {"training": {"loss": [], "accuracy": []}, "validation": {"loss": [], "accuracy": []}}
        self.seconds: list[float] = []  # that training had taken by the end of each epoch
        self._sums: dict[str, list[Tensor]] = {"training": [], "validation": []}

    def on_train_epoch_start(self) -> None:
        """Look at the clock."""
        self._started = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Make chance a function of seed, epoch and batch, so that a resumed run goes on as if never stopped."""
        chance = np.random.SeedSequence([self.train_config.seed, self.current_epoch, batch_index])
        torch.manual_seed(int(chance.generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        """One batch: frames `B T H W C` uint8, or stored features `B T h w D` half; targets `B`, indices `B`."""
        samples, targets, _ = batch
        answer, attended = self._answer(samples, augmented=True)
        smoothing = self.train_config.label_smoothing
        loss = self._measure("training", answer.logits, targets, smoothing)
        if self.train_config.attention_regularization and answer.attention is not None:
            loss = loss + self.train_config.attention_regularization * doubly_stochastic(answer.attention)
        return loss if attended is None else loss + frame_cross_entropy(self._trained(attended), targets, smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        """One batch, neither augmented nor smoothed."""
        samples, targets, _ = batch
        self._measure("validation", self._answer(samples, augmented=False)[0].logits, targets, 0.0)

    def _answer(self, samples: Tensor, augmented: bool) -> tuple[Output, Tensor | None]:
        """The model's output, and with `attention_loss` the logits `B T K` of what it attends to."""
        model = self.model
        if samples.dtype == torch.float16:  # stored features, which cannot be augmented as frames are
            features = to_features(samples)
        else:
            video = to_video(samples, self.data.normalization, self.data.flow_channels)
            if augmented:
                how = self.data
                video = augment(video, how.translate, how.scale, how.hflip, how.flow_channels, how.degrees, how.speed)
            if not model.has_attention_loss:
                return model(video), None
            features = model.encode_video(video)
        output = model.forward_features(features)
        if not model.has_attention_loss or output.attention is None:
            return output, None
        return output, model.attended_logits(features, output.attention)

    def _measure(self, side: str, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        logits = self._trained(logits)
        loss = frame_cross_entropy(logits, targets, smoothing)
        scores = clip_scores(logits.detach().float().softmax(-1), self.train_config.judged_by)
        hits = (scores.argmax(1) == targets).sum()
        self._sums[side].append(torch.stack([loss.detach() * len(targets), hits, hits.new_tensor(len(targets))]))
        return loss

    def _trained(self, logits: Tensor) -> Tensor:
        """The frames of `B T K` whose cross entropy is the loss: all, or the last; `auto` is all of them here.

        `runs.train` replaces `auto` by the loss of the model's recipe.
        """
        return logits[:, -1:] if self.train_config.loss == "last" else logits

    def on_validation_epoch_end(self) -> None:
        """Close both sides of the curves: validation is the last thing an epoch does, before checkpoints."""
        for side in ("training", "validation"):
            loss, accuracy = self._close(side)
            self.log(f"{side}_loss", loss)
            self.log(f"{side}_accuracy", accuracy)
        before = self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(before + time.perf_counter() - self._started)

    def _close(self, side: str) -> tuple[float, float]:
        loss, hits, count = torch.stack(self._sums[side]).sum(0).tolist()
        self._sums[side].clear()
        # Here and not at every step, where asking would make the CPU wait for a GPU.
        if not math.isfinite(loss):
            raise ValueError(f"the {side} loss became {loss} in epoch {self.current_epoch + 1}; lower --lr")
        self.curves[side]["loss"].append(loss / count)
        self.curves[side]["accuracy"].append(hits / count)
        return loss / count, hits / count

    def configure_optimizers(self) -> Any:
        """AdamW without decay on biases and norms, or an optimizer of `PUBLISHED`; and the course of its rate."""
        optimizer = self._optimizer()
        if (schedule := self._schedule(optimizer)) is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _optimizer(self) -> torch.optim.Optimizer:
        name, lr = self.train_config.optimizer, self.train_config.lr
        learning = [p for p in self.model.parameters() if p.requires_grad]
        if name in PUBLISHED:
            return PUBLISHED[name](learning, lr)
        groups = [
            {"params": [p for p in learning if p.ndim > 1], "weight_decay": self.train_config.weight_decay},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ]
        # Fused: one pass through memory, which is what an update of a hundred million weights costs on a processor.
        return torch.optim.AdamW(groups, lr, fused=True)

    def _schedule(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        course = self.train_config.schedule
        if course == "constant" or (course == "auto" and self.train_config.optimizer in PUBLISHED):
            return None
        steps = int(self.trainer.estimated_stepping_batches)
        if course == "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.train_config.lr,
            total_steps=steps,
            pct_start=0.15,
            cycle_momentum=isinstance(optimizer, torch.optim.AdamW),
        )

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """By PyTorch itself: Lightning's own way refuses fused optimizers."""
        if self.train_config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train_config.grad_clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curves travel with the weights, so that a resumed run keeps its past; what is frozen stays behind."""
        checkpoint["curves"], checkpoint["seconds"] = self.curves, self.seconds
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                del checkpoint["state_dict"][name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the curves where they were, and the frozen weights as they are."""
        self.curves, self.seconds = checkpoint["curves"], checkpoint.get("seconds", [])
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}


@runtime_checkable
class Changing(Protocol):
    """Samples that are others in each epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Which epoch it is."""


class EpochOrder(Sampler[int]):
    """A new order for every pass through the data, which is a function of the seed and the pass alone.

    Args:
        data: what is ordered.
        seed: of all orders.
        parts: epochs in a pass, so that the weights are saved more often than that.
    """

    def __init__(self, data: Sized, seed: int, parts: int = 1) -> None:
        if not 1 <= parts <= len(data):
            raise ValueError(f"parts is {parts}, expected from 1 to the {len(data)} samples")
        self.length, self.seed, self.parts, self.epoch = len(data), seed, parts, 0
        self.data = data

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch it is; samples that change with it are told."""
        self.epoch = epoch
        if isinstance(self.data, Changing):
            self.data.set_epoch(epoch)

    def __len__(self) -> int:
        # The parts of a pass are equally long: what is left over waits for the next order.
        return self.length // self.parts

    def __iter__(self) -> Iterator[int]:
        turn, part = divmod(self.epoch, self.parts)
        generator = torch.Generator().manual_seed(self.seed * 100_003 + turn)
        order = torch.randperm(self.length, generator=generator).tolist()
        return iter(order[part * len(self) : (part + 1) * len(self)])


class CurvesFile(Callback):
    """`curves.csv`, written anew after every epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Write all epochs up to now, then rename."""
        assert isinstance(fitting, Fitting)
        text = io.StringIO()
        writer = csv.writer(text)
        columns = {f"{side}_{name}": values for side, part in fitting.curves.items() for name, values in part.items()}
        writer.writerow(["epoch", *columns, "seconds"])
        rows = zip(*columns.values(), (round(s, 1) for s in fitting.seconds), strict=False)
        writer.writerows([epoch, *row] for epoch, row in enumerate(rows))
        write_bytes(self.path, text.getvalue().encode())


class Checkpoints(ModelCheckpoint):
    """The best or the last epoch; a run that was moved keeps its best, which Lightning would forget."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was known, with the paths of where the run lies now."""
        here = Path(str(self.dirpath))
        moved = {
            name: str(here / Path(value).name) if isinstance(value, str) and name.endswith("_path") and value else value
            for name, value in state_dict.items()
        }
        best = {str(here / Path(path).name): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**moved, "best_k_models": best, "dirpath": self.dirpath})


class Patience(EarlyStopping):
    """Early stopping that a resumed run remembers: one that had stopped does not go on."""

    def on_train_start(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Stop at once where the run had stopped already."""
        super().on_train_start(trainer, fitting)
        if self.stopped_epoch:
            trainer.should_stop = True


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
        assert isinstance(trainer.num_training_batches, int)
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

    def on_train_epoch_end(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Show the accuracies of this epoch."""
        assert isinstance(fitting, Fitting)
        note = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        note += "".join(
            f" · {split} {100 * curves['accuracy'][-1]:.1f} %"
            for split, curves in fitting.curves.items()
            if curves["accuracy"]
        )
        if self.progress:
            self.progress.update(self.task, note=note)
        else:
            print(f"{self.title}: {note} · {time.monotonic() - self.started:.0f} s elapsed", flush=True)

    def on_train_end(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Remove the bar."""
        if self.progress:
            self.progress.stop()

    def on_exception(self, trainer: L.Trainer, fitting: L.LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        if self.progress:
            self.progress.stop()


def choose_precision(wanted: str) -> Any:
    """`32`, `bf16` or `auto` in Lightning's words; auto is bf16 where the processor multiplies in it."""
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        wanted = "bf16" if fast else "32"
    return {"32": "32-true", "bf16": "bf16-mixed"}[wanted]


def check_penalty(model: VideoModel, train: TrainConfig) -> None:
    """Raise a ValueError where places are to be looked at by a model that does not attend."""
    if train.attention_regularization and not model.attends:
        raise ValueError(
            f"attention_regularization is {train.attention_regularization}, and this model does not attend; leave it "
            "out, or use one that does, such as alstm"
        )


def fit(
    model: VideoModel,
    training: Dataset[Any],
    validation: Dataset[Any],
    data: DataConfig,
    train: TrainConfig,
    folder: Path,
    title: str | None = "training",
    parts: int = 1,
) -> Curves:
    """Train `model` and leave it with the weights of its best epoch (lowest validation loss).

    `folder` gets `curves.csv`, TensorBoard files, and `checkpoints/`; where these hold a `last.ckpt`, training goes on
    from there, and ends with the same numbers as a training that was never stopped. `seconds` in `curves.csv` count
    from the first epoch, without the time between a kill and the resumption.

    Args:
        model: trained in place.
        training, validation: samples `(frames T H W C uint8, target, index)`, or features `T h w D` float16 in place
            of frames, which are not augmented.
        data: normalization and augmentation.
        train: how long and how.
        folder: the run.
        title: beside the progress bar; None: no bar.
        parts: epochs that make one pass through the training samples. What takes hours is so saved more often.

    Returns:
        Loss and accuracy of each epoch, by side.

    Raises:
        ValueError: the loss is no longer a finite number, or a penalty on a model that does not attend.
        DiskFullError: no room for a checkpoint or the curves; it goes on from the checkpoint before.
    """
    check_penalty(model, train)
    folder.mkdir(parents=True, exist_ok=True)
    fitting = Fitting(model, data, train)
    order = EpochOrder(training, train.seed, parts)  # type: ignore[arg-type] # a Dataset here has a length
    learn = DataLoader(training, train.batch, sampler=order, num_workers=train.workers)
    choose = DataLoader(validation, train.batch, num_workers=train.workers)
    last = folder / "checkpoints" / "last.ckpt"
    with quiet(), explain_write_errors("TensorBoard's curves", folder):
        trainer = _trainer(train, folder, title)
        trainer.fit(fitting, learn, choose, ckpt_path=last if last.exists() else None, weights_only=True)
    best = torch.load(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    fitting.load_state_dict({**fitting.state_dict(), **best["state_dict"]})
    # Lightning has moved it to the CPU, where evaluation and the choice of localization parameters would be slow.
    model.eval().to(choose_device())
    return fitting.curves


def _trainer(train: TrainConfig, folder: Path, title: str | None) -> L.Trainer:
    # Two of them, for with `save_last` Lightning saves the last epoch only where it is the best one too.
    kept = functools.partial(
        Checkpoints, folder / "checkpoints", save_on_train_epoch_end=True, enable_version_counter=False
    )
    best, last = kept("best", monitor="validation_loss"), kept("last")
    callbacks: list[Callback] = [best, last, CurvesFile(folder / "curves.csv")]
    if title is not None:
        callbacks.append(EpochProgress(title))
    if train.patience:
        callbacks.append(Patience("validation_loss", patience=train.patience))
    return L.Trainer(
        max_epochs=train.epochs,
        accelerator=choose_device().type,
        devices=1,  # with more, Lightning would start this whole program once for each
        precision=choose_precision(train.precision),
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, "tensorboard", version=""),
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
