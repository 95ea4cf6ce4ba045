"""Train a model on clips with Lightning, so that a run that is killed and resumed gives the same numbers."""

import functools
import math
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from onlooker.config import DataConfig, TrainConfig
from onlooker.evaluation.calibration import balancing_weights
from onlooker.models.classifier import clip_scores
from onlooker.models.video_model import VideoModel, choose_device
from onlooker.structures import Curves
from onlooker.training.batches import EpochOrder, SharedBatches
from onlooker.training.checkpoint import AtomicCheckpointIO, MovableCheckpoint, ResumableEarlyStopping, restore
from onlooker.training.epochs import EpochRecords, quiet
from onlooker.training.forward import forward_samples
from onlooker.training.losses import frame_cross_entropy
from onlooker.training.optimizers import optimizer_of, schedule_of
from onlooker.training.precision import choose_precision
from onlooker.training.processes import ALONE, Processes

__all__ = ["Fitting", "batch_size", "fit"]

_BATCH, _BATCHES = 16, 8  # clips in a batch; batches in an epoch of few clips


class Fitting(L.LightningModule):
    """The Lightning module that trains a model."""

    def __init__(self, model: VideoModel, data: DataConfig, train: TrainConfig) -> None:
        super().__init__()
        self.model, self.data, self.train_config = model, data, train
        self.curves: Curves = {"training": {"loss": [], "accuracy": []}, "validation": {"loss": [], "accuracy": []}}
        self.shared: SharedBatches | None = None  # the batches of this process, if it is one of several
        self.seconds: list[float] = []  # training time at the end of each epoch
        self.class_weights: Tensor | None = None  # `K`
        self._sums: dict[str, list[Tensor]] = {"training": [], "validation": []}

    def on_train_start(self) -> None:
        """Let torchrun end a process that waits for another one: Lightning's handler would wait, too."""
        if self.shared is not None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_train_epoch_start(self) -> None:
        """Start the clock of this epoch."""
        self._started = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Reseed from (seed, epoch, batch), so that a resumed run is identical; other processes draw other numbers."""
        place = [self.train_config.seed, self.current_epoch, batch_index]
        seed = np.random.SeedSequence([*place, self.shared.rank] if self.shared and self.shared.rank else place)
        torch.manual_seed(int(seed.generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        """One batch: frames `B T H W C` uint8, or stored features `B T h w D` float16; targets `B`, indices `B`."""
        samples, targets, _ = batch
        smoothing = self.train_config.label_smoothing
        own, weight = (len(targets), 1.0) if self.shared is None else self.shared.share(batch_index)
        output, features = forward_samples(self.model, samples, self.data, augmented=True)
        loss = self._loss(output.logits, targets, smoothing)
        if own:
            self._measure("training", output.logits, targets, loss)
        if self.model.has_attention_loss and features is not None and output.attention is not None:
            loss = loss + self._loss(self.model.attended_logits(features, output.attention), targets, smoothing)
        return loss * weight

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        """One batch, without augmentation and label smoothing."""
        samples, targets, _ = batch
        logits = forward_samples(self.model, samples, self.data)[0].logits
        self._measure("validation", logits, targets, self._loss(logits, targets))

    def _loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return frame_cross_entropy(self._trained(logits), targets, smoothing, weights)

    def _measure(self, split: str, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add the loss and accuracy of a batch to the sums of this epoch."""
        scores = clip_scores(self._trained(logits).detach().float().softmax(-1), self.train_config.resolved_aggregation)
        hits = (scores.argmax(1) == targets).sum()
        self._sums[split].append(torch.stack([loss.detach() * len(targets), hits, hits.new_tensor(len(targets))]))

    def _trained(self, logits: Tensor) -> Tensor:
        """The frames of `B T K` that the loss uses: the last, or all (also for `auto`, which `runs.train` replaces)."""
        return logits[:, -1:] if self.train_config.loss == "last" else logits

    def on_validation_epoch_end(self) -> None:
        """Append to the curves: Lightning validates at the end of an epoch, before it saves checkpoints."""
        for split, sums in self._sums.items():
            total = torch.stack(sums).sum(0) if sums else torch.zeros(3, device=self.device)
            if self.shared is not None:
                total = self.trainer.strategy.reduce(total, reduce_op="sum")
            loss, hits, count = total.tolist()
            sums.clear()
            # Not at every step, where the CPU would have to wait for a GPU.
            if not math.isfinite(loss):
                raise ValueError(f"the {split} loss became {loss} in epoch {self.current_epoch + 1}; lower --lr")
            for name, value in (("loss", loss / count), ("accuracy", hits / count)):
                self.curves[split][name].append(value)
                self.log(f"{split}_{name}", value)
        before = self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(before + time.perf_counter() - self._started)

    def configure_optimizers(self) -> Any:
        """The optimizer, and its schedule if the learning rate is not constant."""
        optimizer = optimizer_of(self.model, self.train_config)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = schedule_of(optimizer, self.train_config, steps)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Gradient-norm clipping by PyTorch: Lightning's refuses fused optimizers."""
        if self.train_config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train_config.grad_clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the curves, for a resumed run; leave out frozen weights."""
        checkpoint["curves"], checkpoint["seconds"] = self.curves, self.seconds
        for name in self.frozen:
            del checkpoint["state_dict"][name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the curves; keep the frozen weights."""
        self.curves, self.seconds = checkpoint["curves"], checkpoint.get("seconds", [])
        checkpoint["state_dict"] = {**self.frozen, **checkpoint["state_dict"]}

    @property
    def frozen(self) -> dict[str, Tensor]:
        """The weights that checkpoints leave out, by name."""
        return {name: each for name, each in self.named_parameters(remove_duplicate=False) if not each.requires_grad}


def batch_size(train: TrainConfig, clips: int) -> int:
    """Clips in a batch: the given number, else 16, or fewer if an epoch would have too few steps to learn from."""
    return train.batch or min(_BATCH, max(2, clips // _BATCHES))


def fit(
    model: VideoModel,
    training: Dataset[Any],
    validation: Dataset[Any],
    data: DataConfig,
    train: TrainConfig,
    folder: Path,
    title: str | None = "training",
    parts: int = 1,
    processes: Processes = ALONE,
    loggers: Sequence[Logger] = (),
) -> Curves:
    """Train `model` and leave it with the weights of its best epoch (lowest validation loss).

    Writes `curves.csv` and `checkpoints/` to `folder`. With a `checkpoints/last.ckpt` there, training continues from it
    and ends with the same numbers as without the interruption; `seconds` in `curves.csv` leave out the time between.

    Args:
        model: trained in place.
        training, validation: samples `(frames T H W C uint8, target, index)`, or stored features `T h w D` float16,
            which are not augmented, in place of frames.
        data: normalization and augmentation.
        title: of the line for each epoch; None: no lines.
        parts: epochs per pass through the training samples; more of them save long runs more often.
        processes: those that share each batch (`training.processes`); a run may continue with another number of them.
            All of them read `folder`, the first one writes to it and gets the best weights.
        loggers: get the curves, too.

    Returns:
        Loss and accuracy of each epoch, by split.

    Raises:
        ValueError: the loss is not finite any more, or the settings do not fit the model, the clips or the machine.
        DiskFullError: no space for a checkpoint or the curves; training continues from the checkpoint before.
    """
    if train.sync_batchnorm and not torch.cuda.is_available():
        raise ValueError("sync_batchnorm is for several GPUs, and this machine has none; leave it out")
    fitting, order = Fitting(model, data, train), EpochOrder(training, train.seed, parts)  # type: ignore[arg-type] # it has a length
    if train.class_weights == "balanced":
        fitting.class_weights = _balanced(training, model.num_classes)
    batches = _batches(fitting, order, training, validation, train, processes)
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "checkpoints" / "last.ckpt"
    resume = last if last.exists() else None
    if resume:
        _load(fitting, resume)  # an error of another model's checkpoint, before Lightning reads it
    with quiet():
        _trainer(train, folder, title, processes, loggers).fit(fitting, *batches, ckpt_path=resume, weights_only=True)
    if processes.rank == 0:
        _load(fitting, folder / "checkpoints" / "best.ckpt")
        # Lightning has moved it to the CPU, where evaluation would be slow.
        model.eval().to(choose_device())
    return fitting.curves


def _balanced(training: Dataset[Any], num_classes: int) -> Tensor:
    """The weight of each class in the loss, inverse to its number of clips; the mean over clips is 1."""
    targets = np.asarray(training.targets)  # type: ignore[attr-defined]  # those of clips
    weights = np.ones(num_classes, np.float32)
    weights[targets] = balancing_weights(targets)
    return torch.from_numpy(weights)


def _batches(
    fitting: Fitting,
    order: EpochOrder,
    training: Dataset[Any],
    validation: Dataset[Any],
    train: TrainConfig,
    processes: Processes,
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """The batches of this process for training and validation, in which each clip is validated once."""
    batch, clips = batch_size(train, len(order)), len(validation)  # type: ignore[arg-type]
    load = functools.partial(DataLoader, num_workers=train.workers)
    if processes.count == 1:
        return load(training, batch, sampler=order), load(validation, batch)
    for name, limit in {"clips of a batch": batch, "validation clips": clips}.items():
        if processes.count > limit:
            raise ValueError(f"{processes.count} processes, expected at most the {limit} {name}; use fewer devices")
    fitting.shared = SharedBatches(order, batch, processes.rank, processes.count)
    own = Subset(validation, range(processes.rank, clips, processes.count))
    return load(training, batch_sampler=fitting.shared), load(own, -(-batch // processes.count))


def _load(fitting: Fitting, path: Path) -> None:
    """Load the weights of a checkpoint."""
    weights = AtomicCheckpointIO().load_checkpoint(path, "cpu")["state_dict"]
    try:
        fitting.load_state_dict({**fitting.frozen, **weights})
    except RuntimeError as error:
        problem, changed = " ".join(str(error).split())[:300], "if its config.json was changed, restore that"
        raise ValueError(f"{path}: not a checkpoint of this run ({problem}); {restore(path)}; {changed}") from error


def _trainer(
    train: TrainConfig, folder: Path, title: str | None, processes: Processes, loggers: Sequence[Logger]
) -> L.Trainer:
    # Two of them, because `save_last` saves the last epoch only where it is also the best.
    checkpoint = functools.partial(
        MovableCheckpoint, folder / "checkpoints", save_on_train_epoch_end=True, enable_version_counter=False
    )
    callbacks: list[Callback] = [checkpoint("best", monitor="validation_loss"), checkpoint("last")]
    if processes.rank == 0:
        callbacks.append(EpochRecords(folder / "curves.csv", title))
    if train.patience:
        callbacks.append(ResumableEarlyStopping("validation_loss", patience=train.patience))
    rank_zero_only.rank = processes.rank  # type: ignore[attr-defined]  # a scheduler's environment may have set another
    several = processes.count > 1
    return L.Trainer(
        max_epochs=train.epochs,
        accelerator="cpu" if several and not torch.cuda.is_available() else choose_device().type,
        devices=processes.devices,
        num_nodes=processes.count // processes.devices,
        strategy=DDPStrategy(find_unused_parameters=True) if several else "auto",
        use_distributed_sampler=False,
        sync_batchnorm=train.sync_batchnorm,
        precision=choose_precision(train.precision),
        callbacks=callbacks,
        logger=[*loggers] or False,
        # Not that of a cluster's scheduler: a job with several tasks trains in each of them alone.
        plugins=[AtomicCheckpointIO(), TorchElasticEnvironment() if several else LightningEnvironment()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
