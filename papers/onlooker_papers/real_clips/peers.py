"""Published video networks, trained from scratch on the clips, splits and frames of the default command.

R3D-18 (Tran et al. 2018), TSM on MobileNetV2 (Lin et al. 2019) and MoViNet-A0 (Kondratyuk et al. 2021) are trained for
the same minutes of one CPU core, by one recipe that was decided beforehand: SGD with Nesterov momentum, a cosine
schedule, random translation, scale and mirroring. The validation loss chooses the epoch, which is tested once.

    python -m onlooker_papers.real_clips.peers              # 45 minutes of one core, resumable
    python -m onlooker_papers.real_clips.peers basketball   # one set
"""

import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from onlooker.config import DataConfig
from onlooker.data.split import Split
from onlooker.data.transforms import augment, to_video
from onlooker.evaluation.metrics import wilson_interval
from onlooker.runs.evaluate import read_clips
from onlooker_papers.memo import memo_of_training
from onlooker_papers.movinet import MoViNet
from onlooker_papers.real_clips import frozen
from onlooker_papers.real_clips.own_clips import FILE as OWN
from onlooker_papers.real_clips.own_clips import Bools, paired
from onlooker_papers.results import About, Key, Row, read_rows, write_rows
from onlooker_papers.tsm import TSM

FILE = "peers"
COMMAND = "python -m onlooker_papers.real_clips.peers"
OF = ("surveillance", "basketball")  # the smallest sets
SEED = 0
DEFAULT = "default"
_TIMED = 9  # repetitions


@dataclass(frozen=True)
class Recipe:
    """How each network is trained.

    Attributes:
        minutes: minutes of one core for the training; the learning rate falls along a cosine until their end.
        batch: clips in a step.
        lr: highest learning rate (SGD with Nesterov momentum), reached after `warmup`, a fraction of the minutes.
        weight_decay: for all weights.
        smoothing: label smoothing.
        hflip: mirror half of the clips, as in the recipes of these sets.
        normalization: normalization of pixels, as in `DataConfig`.
    """

    minutes: float = 6.0
    batch: int = 8
    lr: float = 0.02
    warmup: float = 0.05
    weight_decay: float = 1e-4
    smoothing: float = 0.1
    hflip: bool = True
    normalization: str = "half"


class R3D(nn.Module):
    """torchvision's 3-D ResNet with 18 layers."""

    def __init__(self, num_classes: int) -> None:
        from torchvision.models.video import r3d_18

        super().__init__()
        self.network = r3d_18(num_classes=num_classes).to(memory_format=torch.channels_last_3d)

    def forward(self, video: Tensor) -> Tensor:
        """`B T C H W -> B K`."""
        return self.network(video.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"movinet-a0": MoViNet, "tsm-mobilenet-v2": TSM, "r3d-18": R3D}


class Training:
    """A training that continues until its minutes are spent.

    Args:
        folder: has `state.pt` after each epoch, to resume from.
        net: trained in place.
        recipe, data: settings of the training; normalization and augmentation of clips.
    """

    def __init__(self, folder: Path, net: nn.Module, recipe: Recipe, data: DataConfig) -> None:
        self.path, self.net, self.recipe, self.data = folder / "state.pt", net, recipe, data
        self.optimizer = torch.optim.SGD(
            net.parameters(), recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
        )
        self.log: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}  # weights of the epoch with the lowest validation loss
        self.spent = 0.0  # seconds of one core
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.log, self.best, self.spent = state["log"], state["best"], state["spent"]
            net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])

    def fit(self, training: Subset[Any], validation: Subset[Any]) -> None:
        """Train to the end, and leave the network with the weights of the best epoch."""
        while self.spent < 60 * self.recipe.minutes:
            steps = self._epoch(training)
            loss, right = self.answers(validation)
            self.log.append({"steps": steps, "loss": loss, "accuracy": float(right.mean())})
            if loss == min(line["loss"] for line in self.log):
                self.best = {name: value.clone() for name, value in self.net.state_dict().items()}
            self._save()
        self.net.load_state_dict(self.best)

    def _epoch(self, training: Subset[Any]) -> int:
        """Train for one epoch, or for the remaining minutes; returns the number of steps."""
        torch.manual_seed(1000 * SEED + len(self.log))
        self.net.train()
        steps, began, before = 0, time.process_time(), self.spent
        for clips, targets, _ in DataLoader(training, self.recipe.batch, shuffle=True, drop_last=True):
            if self.spent >= 60 * self.recipe.minutes:
                break
            self._step(clips, targets)
            steps, self.spent = steps + 1, before + time.process_time() - began
        return steps

    def _step(self, clips: Tensor, targets: Tensor) -> None:
        done = self.spent / 60 / self.recipe.minutes
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * min(1, done / self.recipe.warmup) * (1 + math.cos(math.pi * done)) / 2
        video = augment(self._video(clips), self.data.translate, self.data.scale, self.recipe.hflip)
        loss = F.cross_entropy(self.net(video), targets, label_smoothing=self.recipe.smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def _video(self, clips: Tensor) -> Tensor:
        return to_video(clips, self.recipe.normalization)

    @torch.inference_mode()
    def answers(self, clips: Subset[Any]) -> tuple[float, Bools]:
        """Mean cross entropy, and which clips are classified correctly."""
        self.net.eval()
        logits, targets = [], []
        for samples, classes, _ in DataLoader(clips, self.recipe.batch):
            logits.append(self.net(self._video(samples)))
            targets.append(classes)
        scores, truth = torch.cat(logits), torch.cat(targets)
        return float(F.cross_entropy(scores, truth)), (scores.argmax(1) == truth).numpy()

    def _save(self) -> None:
        state = {"log": self.log, "best": self.best, "spent": self.spent}
        state |= {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)


def train(name: str, folder: Path, split: Split, recipe: Recipe) -> dict[str, Any]:
    """Train a network of `NETWORKS` on a split of clips, and test it once.

    Returns:
        `right`, one character per test clip; `minutes`, `epochs` (passes through the training clips), `epoch` (the one
        that is kept), `validation` (its accuracy), `training` (the number of clips).
    """
    torch.set_num_threads(1)
    samples, _ = read_clips(split.clips, sorted({clip.label for clip in split.clips}), frozen.DATA, strict=True)
    ends = np.cumsum([0, len(split.training), len(split.validation), len(split.test)])
    fit, choose, test = (Subset(samples, range(*of)) for of in itertools.pairwise(ends))
    torch.manual_seed(SEED)
    training = Training(folder / "checkpoints", NETWORKS[name](len(samples.classes)), recipe, frozen.DATA)
    training.fit(fit, choose)
    kept = min(training.log, key=lambda line: line["loss"])
    return {
        "right": "".join("01"[int(each)] for each in training.answers(test)[1]),
        "minutes": training.spent / 60,
        "epochs": sum(line["steps"] for line in training.log) * recipe.batch / len(fit),
        "epoch": training.log.index(kept) + 1,
        "validation": kept["accuracy"],
        "training": len(fit),
    }


def milliseconds(nets: Mapping[str, Callable[[Tensor], object]]) -> dict[str, float]:
    """Milliseconds of one core per frame of a clip, medians; the networks take turns."""
    torch.set_num_threads(1)
    video = torch.randn(1, frozen.DATA.frames, 3, frozen.DATA.size, frozen.DATA.size)
    times: dict[str, list[float]] = {name: [] for name in nets}
    with torch.inference_mode():
        for _ in range(_TIMED + 1):
            for name, net in nets.items():
                began = time.process_time()
                net(video)
                times[name].append(time.process_time() - began)
    return {name: 1e3 * median(of[1:]) / frozen.DATA.frames for name, of in times.items()}


def measure(name: str, run: Path, results: Path, networks: Sequence[str] = (*NETWORKS,)) -> dict[str, Any]:
    """Compute the missing trainings on one set, and write its rows of `peers.json` next to that of the default command.

    Args:
        name: one of `frozen.SETS`, with a single split.
        run: folder of the trainings, resumable.
        results: folder of the results files, which has `own-clips.json`.
        networks: some of `NETWORKS`.

    Returns:
        Accuracy by network.

    Raises:
        ValueError: the default command was not measured on these test clips (`own_clips`).
    """
    split, recipe = frozen.splits_of(name)["split"], Recipe()
    own = read_rows(results, OWN).get((name,))
    default = _right(own["memos"]["split"][DEFAULT]) if own else np.empty(0, bool)
    if len(default) != len(split.test):
        path, count = results / f"{OWN}.json", len(split.test)
        raise ValueError(f"{path} has no answers for the {count} test clips of {name}; run real_clips.own_clips")
    settings = {"recipe": asdict(recipe), "data": frozen.DATA.to_dict(), "seed": SEED, "set": name}
    memos = {}
    for network in networks:
        folder = run / name / network
        compute = functools.partial(train, network, folder, split, recipe)
        memos[network] = memo_of_training(folder, settings | {"network": network}, compute)
    classes = len({clip.label for clip in split.clips})
    nets = {DEFAULT: frozen.model(classes), **{network: NETWORKS[network](classes).eval() for network in networks}}
    spent = milliseconds(nets)
    rows: dict[Key, Row] = {}
    for network, net in nets.items():
        size = {"parameters": sum(weight.numel() for weight in net.parameters()), "milliseconds": spent[network]}
        if network == DEFAULT and own:
            rows[name, network] = Row(_accuracy(default) | {"minutes": own["figures"]["minutes"]} | size, settings)
            continue
        memo, right = memos[network], _right(memos[network]["right"])
        figures = {**_accuracy(right), "default_above": paired(default, right), **size}
        figures |= {key: memo[key] for key in ("minutes", "epochs", "epoch", "validation")}
        rows[name, network] = Row(figures, settings, {network: memo})
    what = "video networks trained from scratch for the same minutes, on the clips of the default command"
    write_rows(results, FILE, About(what, COMMAND, [SEED]), rows)
    return {network: rows[name, network].figures["accuracy"] for network in nets}


def _right(text: str) -> Bools:
    return np.array([each == "1" for each in text])


def _accuracy(right: Bools) -> dict[str, Any]:
    interval = list(wilson_interval(int(right.sum()), len(right)))
    return {"accuracy": float(right.mean()), "interval": interval, "test_clips": len(right)}


def main(
    sets: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(OF)}. Default: all.")] = None,
) -> None:
    """Measure the live models of other projects on sets of clips."""
    for name in sets or OF:
        print(name, measure(name, Path("runs/real-clips/peers"), Path("results")))


if __name__ == "__main__":
    typer.run(main)
