"""Train a model on clips, so that a run that is killed and resumed gives the same numbers."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.decision import clip_scores
from onlooker.base.files import write_csv
from onlooker.base.progress import note, report
from onlooker.base.records import Curves
from onlooker.measure.metrics import balancing_weights
from onlooker.models.video_model import VideoModel, choose_device
from onlooker.training.checkpoint import load_checkpoint, restore, save_checkpoint
from onlooker.training.forward import forward_samples, uses_bf16
from onlooker.training.processes import Processes, launched
from onlooker.training.tensorboard import log

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["fit"]

# clips in a batch; batches in an epoch of few clips
_BATCH = 16
_BATCHES = 8


class SharedBatches(Sampler[list[int]]):
    """The part of each batch that belongs to one of several processes: every n-th clip of it.

    PyTorch's DistributedSampler repeats clips where their number is not a multiple; here, steps are
    the same as in one process. A process without a clip of the last batch gets the first clip of
    that batch, with a weight of 0.

    Args:
        order: of an epoch, the same in all processes.
        batch: clips of a batch in all processes together.
        processes: the place of this process among all that share the batches.
    """

    def __init__(
        self, order: RandomSampler | Sequence[int], batch: int, processes: Processes
    ) -> None:
        self.sampler = order
        self.batch = batch
        self.processes = processes

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for start in range(0, len(order), self.batch):
            batch = order[start : start + self.batch]
            yield batch[self.processes.rank :: self.processes.size] or batch[:1]

    def weight(self, number: int) -> float:
        """The weight of the mean loss of this process in a batch; 0: none of its clips belongs to
        it.

        DDP averages gradients over the processes; with these weights, the average is the gradient
        of the batch's loss.
        """
        whole = min(self.batch, len(self.sampler) - number * self.batch)
        own = len(range(self.processes.rank, whole, self.processes.size))
        return own * self.processes.size / whole


class Fitting(nn.Module):
    """A model with its loss.

    Args:
        class_weights: `K`; None: classes weigh by their numbers of clips.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        model: VideoModel,
        data: DataConfig,
        train: TrainConfig,
        *,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.data = data
        self.train_config = train
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, samples: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch, in training with augmentation and label smoothing; and three sums
        over its clips: the loss without the attention loss, the clips classified correctly, and all
        clips.

        Args:
            samples: frames `B T H W C` uint8, or stored features `B T h w D` float16.
            targets: `B`.
        """
        output = forward_samples(self.model, samples, self.data, augmented=self.training)
        loss = self._loss(output.logits, targets)
        frame_scores = self._trained(output.logits).detach().float().softmax(-1)
        scores = clip_scores(frame_scores, self.train_config.resolved_aggregation)
        correct = (scores.argmax(1) == targets).sum()
        sums = torch.stack(
            [loss.detach() * len(targets), correct, correct.new_tensor(len(targets))]
        )
        if output.attended is not None:
            loss = loss + self._loss(output.attended, targets)
        return loss, sums

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.train_config.label_smoothing if self.training else 0.0
        return frame_cross_entropy(
            self._trained(logits), targets, smoothing=smoothing, weights=self.class_weights
        )

    def _trained(self, logits: Tensor) -> Tensor:
        """The frames of `B T K` that the loss uses: the last, or all (also for `auto`, which
        `training.fitters.complete` replaces).
        """
        return logits[:, -1:] if self.train_config.loss == "last" else logits

    @property
    def frozen(self) -> dict[str, Tensor]:
        """The weights that checkpoints leave out, by name."""
        weights = self.named_parameters(remove_duplicate=False)
        return {name: weight for name, weight in weights if not weight.requires_grad}


def frame_cross_entropy(
    logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy of every frame with the video's class, averaged (Li et al. 2016, Sharma et al.
    2015).

    Args:
        logits: `B T K`.
        targets: `B`.
        smoothing: share of the target that is spread evenly over all classes.
        weights: `K`, of the classes; the mean is over clips, not over their weights, so that parts
            of a batch add up.
    """
    T = logits.shape[1]
    frames = logits.float().flatten(0, 1)
    truth = targets.repeat_interleave(T)
    if weights is None:
        return F.cross_entropy(frames, truth, label_smoothing=smoothing)
    return F.cross_entropy(
        frames, truth, weights, label_smoothing=smoothing, reduction="none"
    ).mean()


class _Training:
    """The training of one process: its batches, its optimizer and its curves.

    Args: see `fit`.
    """

    def __init__(
        self,
        model: VideoModel,
        training: Dataset[Any],
        validation: Dataset[Any],
        *,
        data: DataConfig,
        train: TrainConfig,
    ) -> None:
        weights = None
        if train.class_weights == "balanced":  # inverse to the numbers of clips, 1 on average
            targets = np.asarray(training.targets)  # type: ignore[attr-defined]  # of clips
            weights = torch.ones(model.num_classes)
            weights[targets] = torch.from_numpy(balancing_weights(targets)).float()
        self.fitting = Fitting(model, data, train, class_weights=weights).to(choose_device())
        self.train_config = train
        self.processes = launched()
        self.samples = training
        self.chance = torch.Generator()
        order = RandomSampler(training, generator=self.chance)  # type: ignore[arg-type]  # it has a length
        batch = batch_size(train, len(order))
        self.batches = SharedBatches(order, batch, self.processes)
        self.training = DataLoader(training, batch_sampler=self.batches)
        positions = range(len(validation))  # type: ignore[arg-type]
        self.validation_batches = SharedBatches(positions, batch, self.processes)
        self.validation = DataLoader(validation, batch_sampler=self.validation_batches)
        self.optimizer, self.schedule = _optimizer_of(
            model, train, train.epochs * len(self.batches)
        )
        self.curves: Curves = {
            "training": {"loss": [], "accuracy": []},
            "validation": {"loss": [], "accuracy": []},
        }
        self.seconds: list[float] = []  # of training, at the end of each epoch

    @property
    def losses(self) -> list[float]:
        """The validation loss of each epoch."""
        return self.curves["validation"]["loss"]

    @property
    def is_done(self) -> bool:
        """Whether there is no further epoch."""
        patience = self.train_config.patience
        if (
            patience
            and self.losses
            and len(self.losses) - 1 - self.losses.index(min(self.losses)) >= patience
        ):
            return True
        return len(self.losses) == self.train_config.epochs

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        checkpoint = _load_weights(self.fitting, path)
        self.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
        self.schedule.load_state_dict(checkpoint["lr_schedulers"][0])
        self.curves = checkpoint["curves"]
        self.seconds = checkpoint["seconds"]

    def save(self, path: Path) -> None:
        """Write a checkpoint without the frozen weights."""
        frozen = self.fitting.frozen
        checkpoint = {
            "state_dict": {
                name: value
                for name, value in self.fitting.state_dict().items()
                if name not in frozen
            },
            "curves": self.curves,
            "seconds": self.seconds,
            "optimizer_states": [self.optimizer.state_dict()],
            "lr_schedulers": [self.schedule.state_dict()],
        }
        save_checkpoint(checkpoint, path)

    def run_epoch(self, parallel: nn.Module) -> None:
        """Train and validate once; `parallel` is `fitting`, whose gradients are averaged over the
        processes.
        """
        began = time.perf_counter()
        epoch = len(self.losses)
        # the order of an epoch depends only on the seed and the epoch
        self.chance.manual_seed(self.train_config.seed * 100_003 + epoch)
        if hasattr(self.samples, "set_epoch"):
            self.samples.set_epoch(epoch)
        trained = list[Tensor]()
        for number, (samples, targets, _) in enumerate(self.training):
            self._reseed(epoch, number)
            loss, sums = self._forward(
                parallel, samples, targets, weight=self.batches.weight(number)
            )
            self.optimizer.zero_grad()
            loss.backward()
            if self.train_config.grad_clip:
                nn.utils.clip_grad_norm_(self.fitting.parameters(), self.train_config.grad_clip)
            self.optimizer.step()
            self.schedule.step()
            trained.append(sums)
        self._extend_curves("training", trained)
        # frozen ones may be in either
        modes = [(module, module.training) for module in self.fitting.modules()]
        self.fitting.eval()
        validated = list[Tensor]()
        with torch.inference_mode():
            for number, (samples, targets, _) in enumerate(self.validation):
                weight = self.validation_batches.weight(number)
                validated.append(self._forward(self.fitting, samples, targets, weight=weight)[1])
            self._extend_curves("validation", validated)
        for module, mode in modes:
            module.training = mode
        before = self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(before + time.perf_counter() - began)

    def _reseed(self, epoch: int, batch: int) -> None:
        """Seed by (seed, epoch, batch), so that a resumed run is identical; other processes draw
        other numbers.
        """
        place = [self.train_config.seed, epoch, batch]
        if self.processes.rank:
            place.append(self.processes.rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def _forward(
        self, fitting: nn.Module, samples: Tensor, targets: Tensor, *, weight: float
    ) -> tuple[Tensor, Tensor]:
        """The weighted loss of the clips of this process in a batch, and their sums
        (`Fitting.forward`).
        """
        device = choose_device()
        bf16 = uses_bf16(self.train_config.precision)
        # Without a cache of weights: it would sum the gradients of all frames in bf16.
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            loss, sums = fitting(samples, targets.to(device))
        return loss * weight, sums * (weight > 0)

    def _extend_curves(self, split: str, sums: Sequence[Tensor]) -> None:
        """Append the mean loss and the accuracy of an epoch, from the sums of its batches."""
        total = torch.stack([*sums]).sum(0)
        if self.processes.size > 1:
            torch.distributed.all_reduce(total)
        loss, correct, count = total.tolist()
        # Not at every step, where the CPU would have to wait for a GPU.
        if not math.isfinite(loss):
            raise ValueError(
                f"the {split} loss became {loss} in epoch {len(self.losses) + 1}; lower --lr"
            )
        self.curves[split]["loss"].append(loss / count)
        self.curves[split]["accuracy"].append(correct / count)


def batch_size(train: TrainConfig, clips: int) -> int:
    """Clips in a batch: the given number, else 16, or fewer if an epoch would have too few steps to
    learn from.
    """
    return train.batch or min(_BATCH, max(2, clips // _BATCHES))


def fit(
    model: VideoModel,
    training: Dataset[Any],
    validation: Dataset[Any],
    *,
    data: DataConfig,
    train: TrainConfig,
    folder: Path,
    title: str = "training",
    writer: "SummaryWriter | None" = None,
) -> Curves:
    """Train `model` and leave it with the weights of its best epoch (lowest validation loss).

    Writes `curves.csv` and `checkpoints/` to `folder`. With a `checkpoints/last.ckpt` there,
    training continues from it and ends with the same numbers as without the interruption; `seconds`
    in `curves.csv` leave out the time between.

    Processes that torchrun started share each batch (`training.processes`). All of them read
    `folder`, the first one writes to it and gets the best weights. A run may continue with another
    number of processes.

    Args:
        model: trained in place.
        training, validation: samples `(frames T H W C uint8, target, index)`, or stored features `T
            h w D` float16, which are not augmented, in place of frames. `training.set_epoch`, if it
            has that, is called before every epoch.
        data: normalization and augmentation.
        title: of the line for each epoch.
        writer: for TensorBoard (`training.tensorboard`); None: none.

    Returns:
        Loss and accuracy of each epoch, by split.

    Raises:
        ValueError: the loss is not finite any more, or the settings do not fit the model, the clips
            or the machine.
        DiskFullError: no space for a checkpoint or the curves; training continues from the
            checkpoint before.
    """
    state = _Training(model, training, validation, data=data, train=train)
    last = folder / "checkpoints" / "last.ckpt"
    best = last.with_name("best.ckpt")
    if last.exists():
        state.load(last)
    parallel: nn.Module = state.fitting
    if state.processes.size > 1:
        parallel = DistributedDataParallel(parallel, find_unused_parameters=True)
    while not state.is_done:
        state.run_epoch(parallel)
        if state.processes.rank == 0:
            _show_epoch(folder, title, state.curves, seconds=state.seconds, epochs=train.epochs)
            for split, part in state.curves.items():
                log(
                    writer,
                    split,
                    {name: values[-1] for name, values in part.items()},
                    step=len(state.losses),
                )
            if state.losses[-1] < min(state.losses[:-1], default=math.inf):
                state.save(best)
            state.save(last)
    if state.processes.rank == 0:
        _load_weights(state.fitting, best)
        model.eval()
    return state.curves


def _optimizer_of(
    model: VideoModel, train: TrainConfig, steps: int
) -> tuple[Optimizer, LRScheduler]:
    """The optimizer, and its learning rate over all steps."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if train.optimizer == "rmsprop":
        rmsprop = RMSprop(weights, train.lr, alpha=0.9, eps=1e-7)  # the constants of Keras
        return rmsprop, ConstantLR(rmsprop, factor=1)
    groups = [
        {
            "params": [weight for weight in weights if weight.ndim > 1],
            "weight_decay": train.weight_decay,
        },
        # biases and norms
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    # Fused: one pass over the memory, which dominates the cost of updating a hundred million
    # weights on a CPU.
    adamw = AdamW(groups, train.lr, fused=True)
    return adamw, OneCycleLR(adamw, train.lr, total_steps=steps, pct_start=0.15)


def _load_weights(fitting: Fitting, path: Path) -> dict[str, Any]:
    """Load the weights of a checkpoint, which is returned."""
    checkpoint = load_checkpoint(path)
    try:
        fitting.load_state_dict({**fitting.frozen, **checkpoint["state_dict"]})
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        changed = "if its config.json was changed, restore that"
        raise ValueError(
            f"{path}: not a checkpoint of this run ({problem}); {restore(path)}; {changed}"
        ) from error
    return checkpoint


def _show_epoch(
    folder: Path, title: str, curves: Curves, *, seconds: Sequence[float], epochs: int
) -> None:
    """Write all epochs so far to `curves.csv`; report the accuracies and the time left.

    Args:
        title: the beginning of the line.
        seconds: of training, at the end of each epoch.
        epochs: the maximum number.
    """
    columns = {
        f"{split}_{name}": values for split, part in curves.items() for name, values in part.items()
    }
    rows = zip(*columns.values(), (round(second, 1) for second in seconds), strict=True)
    numbered = ([epoch, *row] for epoch, row in enumerate(rows))
    write_csv(folder / "curves.csv", [["epoch", *columns, "seconds"], *numbered])
    done = len(seconds)
    report("training", done, epochs)
    accuracies = "".join(
        f" · {split} {100 * part['accuracy'][-1]:.1f} %" for split, part in curves.items()
    )
    left = seconds[-1] / done * (epochs - done)
    times = f"{seconds[-1]:.0f} s elapsed, {left:.0f} s left"
    note(f"{title}: epoch {done}/{epochs}{accuracies} · {times}")
