"""Train a model on clips with Lightning, so that a run that is killed and resumed gives the same numbers."""

import copy
import functools
import math
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from onlooker.config import DataConfig, TrainConfig
from onlooker.files import explain_write_errors
from onlooker.models.classifier import clip_scores
from onlooker.models.video_model import Output, VideoModel, choose_device
from onlooker.structures import Curves
from onlooker.training.checkpoint import AtomicCheckpointIO, MovableCheckpoint, ResumableEarlyStopping, restore
from onlooker.training.epoch_order import EpochOrder
from onlooker.training.forward import forward_samples
from onlooker.training.losses import check_regularization, doubly_stochastic, frame_cross_entropy
from onlooker.training.mixup import Mixup
from onlooker.training.nodes import ALONE, SINGLE, Nodes, Rendezvous
from onlooker.training.optimizers import optimizer_of, schedule_of
from onlooker.training.precision import choose_precision
from onlooker.training.processes import SharedBatches, check_devices, run_in_processes
from onlooker.training.progress import CurvesFile, EpochProgress, EpochReport, quiet
from onlooker.training.weight_average import WeightAverage

__all__ = ["fit"]

_BATCH, _BATCHES = 16, 8  # clips in a batch; batches in an epoch of few clips


class Fitting(L.LightningModule):
    """The Lightning module that trains a model."""

    def __init__(self, model: VideoModel, data: DataConfig, train: TrainConfig) -> None:
        super().__init__()
        self.model, self.data, self.train_config = model, data, train
        self.average = WeightAverage(model, train.ema) if train.ema else None
        self.curves: Curves = {"training": {"loss": [], "accuracy": []}, "validation": {"loss": [], "accuracy": []}}
        self.started = False
        self.shared: SharedBatches | None = None  # the batches of this process, if it is one of several
        self.scheduled: list[int] = []  # batches of the schedule of a checkpoint
        self.seconds: list[float] = []  # training time at the end of each epoch
        self._sums: dict[str, list[Tensor]] = {"training": [], "validation": []}

    def on_train_epoch_start(self) -> None:
        """Start the clock of this epoch."""
        self.started, self._started = True, time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Reseed from (seed, epoch, batch), so that a resumed run is identical; other processes draw other numbers."""
        place = [self.train_config.seed, self.current_epoch, batch_index]
        seed = np.random.SeedSequence([*place, self.shared.rank] if self.shared and self.shared.rank else place)
        torch.manual_seed(int(seed.generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        """One batch: frames `B T H W C` uint8, or stored features `B T h w D` float16; targets `B`, indices `B`."""
        if self.shared is None:
            return self._training_loss(batch, batch_index)
        own, weight = self.shared.share(batch_index)
        return self._training_loss(batch, batch_index, counted=own > 0) * weight

    def _training_loss(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int, counted: bool = True) -> Tensor:
        samples, targets, _ = batch
        smoothing, weight = self.train_config.label_smoothing, self.train_config.attention_regularization
        mixup = self._draw_mixup(len(targets), batch_index)
        output, attended = self._forward(samples, mixup)
        loss = self._loss(output.logits, targets, smoothing, mixup)
        if counted:
            self._measure("training", output.logits, targets, loss)
        if weight and output.attention is not None:
            loss = loss + weight * doubly_stochastic(output.attention)
        return loss if attended is None else loss + self._loss(attended, targets, smoothing, mixup)

    def on_train_batch_end(self, *_: Any) -> None:
        """Average the weights after each step."""
        if self.average is not None:
            self.average.update(self.model, self.trainer.global_step)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        """One batch, by the averaged weights if there are any, without augmentation, mixup and label smoothing."""
        samples, targets, _ = batch
        logits = forward_samples(self.kept, samples, self.data)[0].logits
        self._measure("validation", logits, targets, self._loss(logits, targets))

    @property
    def kept(self) -> VideoModel:
        """The model that is validated and kept: with averaged weights, or the one that is trained."""
        return self.model if self.average is None else self.average.model

    def _draw_mixup(self, clips: int, batch_index: int) -> Mixup | None:
        if not self.train_config.mixup:
            return None
        random = np.random.default_rng([self.train_config.seed, self.current_epoch, batch_index])
        return Mixup.draw(self.train_config.mixup, clips, random)

    def _forward(self, samples: Tensor, mixup: Mixup | None) -> tuple[Output, Tensor | None]:
        """The model's output, and for the attention loss the logits `B T K` of the attended features."""
        mix = None if mixup is None else mixup.mix
        output, features = forward_samples(self.model, samples, self.data, augmented=True, mix=mix)
        if not self.model.has_attention_loss or features is None or output.attention is None:
            return output, None
        return output, self.model.attended_logits(features, output.attention)

    def _loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0, mixup: Mixup | None = None) -> Tensor:
        """The cross entropy of logits `B T K`; of mixed clips with both classes, by their shares."""
        logits = self._trained(logits)
        loss = frame_cross_entropy(logits, targets, smoothing)
        if mixup is None:
            return loss
        return loss.lerp(frame_cross_entropy(logits, targets[mixup.partners], smoothing), 1 - mixup.share)

    def _measure(self, split: str, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add the loss and accuracy of a batch to the sums of this epoch.

        A mixed clip counts for the class with the larger share.
        """
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
        if self.scheduled not in ([], [steps]):
            raise ValueError(f"its schedule is over {self.scheduled[0]} batches, that of this run over {steps}")
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
        lengths = [each.get("total_steps", each.get("T_max")) for each in checkpoint["lr_schedulers"]]
        self.scheduled = [length for length in lengths if length is not None]
        if checkpoint["epoch"] >= self.train_config.epochs:
            raise ValueError(f"of epoch {checkpoint['epoch'] + 1}, this run has {self.train_config.epochs}")
        checkpoint["state_dict"] = {**self.frozen, **checkpoint["state_dict"]}

    @property
    def frozen(self) -> dict[str, Tensor]:
        """The weights that checkpoints leave out, by name; those shared with the averaged model appear twice."""
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
    devices: int = 1,
    rendezvous: Rendezvous = ALONE,
) -> Curves:
    """Train `model` and leave it with the weights of its best epoch (lowest validation loss), averaged with `ema`.

    Writes `curves.csv`, TensorBoard files and `checkpoints/` to `folder`. With a `checkpoints/last.ckpt` there,
    training continues from it and ends with the same numbers as without the interruption; `seconds` in `curves.csv`
    leave out the time between.

    Args:
        model: trained in place.
        training, validation: samples `(frames T H W C uint8, target, index)`, or stored features `T h w D` float16,
            which are not augmented, in place of frames.
        data: normalization and augmentation.
        title: of the progress bar; None: no bar.
        parts: epochs per pass through the training samples; more of them save long runs more often.
        devices: GPUs of this machine, or CPU processes if there is no GPU, that share each batch
            (`training.processes`); a run may continue with another number of them.
        rendezvous: of the machines that train together, after `agree`, each with this number of devices. All of them
            read `folder`, the first one writes to it; on the others, the model keeps its weights and no curves are
            returned.

    Returns:
        Loss and accuracy of each epoch, by split.

    Raises:
        ValueError: the loss is not finite any more, or attention is regularized in a model without it.
        ConnectionError: another machine has ended, or cannot be reached.
        DiskFullError: no space for a checkpoint or the curves; training continues from the checkpoint before.
    """
    check_regularization(model, train)
    nodes = rendezvous.nodes
    folder.mkdir(parents=True, exist_ok=True)
    fitting = Fitting(model, data, train)
    order = EpochOrder(training, train.seed, parts)  # type: ignore[arg-type] # a Dataset here has a length
    if devices == nodes.count == 1:
        _train(fitting, training, validation, folder, order, title)
    else:
        check_devices(devices)
        limits = {"clips of a batch": batch_size(train, len(order)), "validation clips": len(validation)}  # type: ignore[arg-type]
        for name, limit in limits.items():
            if devices * nodes.count > limit:
                on_nodes = f" on each of {nodes.count} nodes" if nodes.count > 1 else ""
                raise ValueError(f"devices is {devices}{on_nodes}, expected at most the {limit} {name}")
        run_in_processes(devices, rendezvous, _train_share, fitting, training, validation, folder, order, title, nodes)
        if nodes.rank:
            return {}
        fitting.curves = AtomicCheckpointIO().load_checkpoint(folder / "checkpoints" / "last.ckpt", "cpu")["curves"]
    _load_best(fitting, folder / "checkpoints" / "best.ckpt")
    # Lightning has moved it to the CPU, where evaluation and the choice of localization parameters would be slow.
    model.eval().to(choose_device())
    return fitting.curves


def _train_share(
    rank: int,
    processes: int,
    fitting: Fitting,
    training: Dataset[Any],
    validation: Dataset[Any],
    folder: Path,
    order: EpochOrder,
    title: str | None,
    nodes: Nodes,
) -> None:
    """`_train` on a copy, in one of several processes, which share the memory of the objects that they were sent."""
    _train(copy.deepcopy(fitting), training, validation, folder, order, title, rank, processes, nodes)


def _train(
    fitting: Fitting,
    training: Dataset[Any],
    validation: Dataset[Any],
    folder: Path,
    order: EpochOrder,
    title: str | None,
    rank: int = 0,
    processes: int = 1,
    nodes: Nodes = SINGLE,
) -> None:
    train = fitting.train_config
    batch, workers = batch_size(train, len(order)), train.workers
    if processes == 1:
        batches = DataLoader(training, batch, sampler=order, num_workers=workers)
        validation_batches = DataLoader(validation, batch, num_workers=workers)
    else:
        # Each clip is validated once; each process has one (`check_devices`), because all of them must validate.
        own = Subset(validation, range(rank, len(validation), processes))  # type: ignore[arg-type]
        fitting.shared = SharedBatches(order, batch, rank, processes)
        batches = DataLoader(training, batch_sampler=fitting.shared, num_workers=workers)
        validation_batches = DataLoader(own, -(-batch // processes), num_workers=workers)
    last = folder / "checkpoints" / "last.ckpt"
    with quiet(), explain_write_errors("TensorBoard's curves", folder):
        trainer = _trainer(train, folder, title, rank, processes, nodes)
        if trainer.world_size != processes:
            raise RuntimeError(f"Lightning sees {trainer.world_size} processes of {processes}; train on one device")
        resume = last if last.exists() else None
        try:
            trainer.fit(fitting, batches, validation_batches, ckpt_path=resume, weights_only=True)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            if not resume or fitting.started or str(error).startswith(str(resume)):
                raise
            raise _foreign(resume, error) from error


def _load_best(fitting: Fitting, path: Path) -> None:
    best = AtomicCheckpointIO().load_checkpoint(path, "cpu")
    try:
        fitting.load_state_dict({**fitting.frozen, **best["state_dict"]})
    except RuntimeError as error:
        raise _foreign(path, error) from error
    fitting.model.load_state_dict(fitting.kept.state_dict())


def _foreign(path: Path, error: Exception) -> ValueError:
    problem = " ".join(str(error).split())[:300]
    changed = "if its config.json was changed, restore that"
    return ValueError(f"{path}: not a checkpoint of this run ({problem}); {restore(path)}; {changed}")


def _trainer(train: TrainConfig, folder: Path, title: str | None, rank: int, processes: int, nodes: Nodes) -> L.Trainer:
    # Two of them, because `save_last` saves the last epoch only where it is also the best.
    checkpoint = functools.partial(
        MovableCheckpoint, folder / "checkpoints", save_on_train_epoch_end=True, enable_version_counter=False
    )
    best, last = checkpoint("best", monitor="validation_loss"), checkpoint("last")
    callbacks: list[Callback] = [best, last]
    if rank == 0:
        callbacks += [CurvesFile(folder / "curves.csv"), EpochReport()]
        callbacks += [] if title is None else [EpochProgress(title)]
    if train.patience:
        callbacks.append(ResumableEarlyStopping("validation_loss", patience=train.patience))
    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # imported from a scheduler's environment, it may be another one
    return L.Trainer(
        max_epochs=train.epochs,
        accelerator="cpu" if processes > 1 and not torch.cuda.is_available() else choose_device().type,
        devices=processes // nodes.count,  # Lightning starts none: they are started in `run_in_processes`
        num_nodes=nodes.count,
        strategy="auto" if processes == 1 else DDPStrategy(find_unused_parameters=True),
        use_distributed_sampler=False,
        precision=choose_precision(train.precision),
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, "tensorboard", version=""),
        # The environment of a cluster's scheduler is that of the main process.
        plugins=[AtomicCheckpointIO(), LightningEnvironment()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
