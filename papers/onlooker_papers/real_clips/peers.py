"""Published video networks, trained from scratch on the clips, splits and frames of the default
command.

R3D-18 (Tran et al. 2018), TSM on MobileNetV2 (Lin et al. 2019) and MoViNet-A0 (Kondratyuk et al.
2021) are trained for the same minutes of one CPU core, by one recipe that was decided beforehand:
SGD with Nesterov momentum, a cosine schedule, random translation, scale and mirroring. The
validation loss chooses the epoch, which is tested once.

    python -m onlooker_papers.real_clips.peers              # 45 minutes of one core
"""

import functools
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from onlooker.data.clips import read_clips
from onlooker.data.split import Split, group_of
from onlooker.data.transforms import augment, to_video
from onlooker.report.metrics import accuracy_interval
from onlooker_papers.intervals import as_text, correct_of, over_recordings
from onlooker_papers.memo import memo
from onlooker_papers.movinet import MoViNet
from onlooker_papers.real_clips import frozen
from onlooker_papers.real_clips.own_clips import FILE as OWN
from onlooker_papers.real_clips.own_clips import Bools
from onlooker_papers.results import About, Key, Row, read_rows, write_rows
from onlooker_papers.tsm import TSM

FILE = "peers"
COMMAND = "python -m onlooker_papers.real_clips.peers"
WHAT = (
    "video networks trained from scratch for the same minutes, on the clips of the default command"
)
OF = ("surveillance", "basketball")  # the smallest sets
SEED = 0
DEFAULT = "default"


@dataclass(frozen=True)
class Recipe:
    """How each network is trained.

    Attributes:
        minutes: minutes of one core for the training; the learning rate falls along a cosine until
        their end.
        batch: clips in a step.
        lr: highest learning rate (SGD with Nesterov momentum), reached after `warmup`, a fraction
        of the minutes.
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


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "movinet-a0": MoViNet,
    "tsm-mobilenet-v2": TSM,
    "r3d-18": R3D,
}


def train(name: str, split: Split, recipe: Recipe) -> dict[str, Any]:
    """Train a network of `NETWORKS` on a split of clips until the minutes are spent, and test its
    best epoch once.

    Returns:
        `right`, one character per test clip; `minutes`, `epochs` (passes through the training
        clips), `epoch` (the one that is kept), `validation` (its accuracy), `training` (the number
        of clips).
    """
    torch.set_num_threads(1)
    samples, _ = read_clips(
        split.clips, sorted({clip.label for clip in split.clips}), frozen.DATA, strict=True
    )
    ends = np.cumsum([0, len(split.training), len(split.validation), len(split.test)])
    fit, choose, test = (Subset(samples, range(*of)) for of in itertools.pairwise(ends))
    torch.manual_seed(SEED)
    net = NETWORKS[name](len(samples.classes))
    log, best = fit_for_minutes(net, fit, choose, recipe)
    net.load_state_dict(best)
    kept = min(log, key=lambda line: line["loss"])
    return {
        "right": as_text(answers(net, test, recipe)[1]),
        "minutes": log[-1]["seconds"] / 60,
        "epochs": sum(line["steps"] for line in log) * recipe.batch / len(fit),
        "epoch": log.index(kept) + 1,
        "validation": kept["accuracy"],
        "training": len(fit),
    }


def fit_for_minutes(
    net: nn.Module, training: Subset[Any], validation: Subset[Any], recipe: Recipe
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Train in place: steps, CPU seconds so far, and validation of each epoch; weights of the best
    one.
    """
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
    )
    log: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    spent = 0.0
    total = 60 * recipe.minutes
    while spent < total:
        torch.manual_seed(1000 * SEED + len(log))
        net.train()
        steps = 0
        began = time.process_time()
        before = spent
        for clips, targets, _ in DataLoader(training, recipe.batch, shuffle=True, drop_last=True):
            if spent >= total:
                break
            done = spent / total
            optimizer.param_groups[0]["lr"] = (
                recipe.lr * min(1, done / recipe.warmup) * (1 + math.cos(math.pi * done)) / 2
            )
            video = to_video(clips, recipe.normalization)
            video = augment(video, frozen.DATA.translate, frozen.DATA.scale, recipe.hflip)
            loss = F.cross_entropy(net(video), targets, label_smoothing=recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps = steps + 1
            spent = before + time.process_time() - began
        validated, right = answers(net, validation, recipe)
        log.append(
            {"steps": steps, "seconds": spent, "loss": validated, "accuracy": float(right.mean())}
        )
        if validated == min(line["loss"] for line in log):
            best = {name: value.clone() for name, value in net.state_dict().items()}
    return log, best


@torch.inference_mode()
def answers(net: nn.Module, clips: Subset[Any], recipe: Recipe) -> tuple[float, Bools]:
    """Mean cross entropy, and which clips are classified correctly."""
    net.eval()
    batches = [
        (net(to_video(samples, recipe.normalization)), y)
        for samples, y, _ in DataLoader(clips, recipe.batch)
    ]
    scores, truth = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return float(F.cross_entropy(scores, truth)), (scores.argmax(1) == truth).numpy()


def measure(
    name: str, run: Path, results: Path, networks: Sequence[str] = (*NETWORKS,)
) -> dict[str, float]:
    """Accuracy by network on a set with a single split; writes its rows of `peers.json`, with the
    default command's.

    Raises:
        ValueError: the default command was not measured on these test clips (`own_clips`).
    """
    split = frozen.splits_of(name)["split"]
    recipe = Recipe()
    own = read_rows(results, OWN).get((name,))
    if own is None or len(own["memos"]["split"][DEFAULT]) != len(split.test):
        path = results / f"{OWN}.json"
        count = len(split.test)
        raise ValueError(
            f"{path} has no answers for the {count} test clips of {name}; run real_clips.own_clips"
        )
    default = own["memos"]["split"][DEFAULT]
    groups = [*map(group_of, split.test)]
    settings = {"recipe": asdict(recipe), "data": frozen.DATA.to_dict(), "seed": SEED, "set": name}
    minutes = {"minutes": own["figures"]["minutes"]}
    rows: dict[Key, Row] = {(name, DEFAULT): Row(_accuracy(default, groups) | minutes, settings)}
    for network in networks:
        compute = functools.partial(train, network, split, recipe)
        stored = memo(run / name / f"{network}.json", settings | {"network": network}, compute)
        right = stored["right"]
        kept = {key: stored[key] for key in ("minutes", "epochs", "epoch", "validation")}
        figures = {
            **_accuracy(right, groups),
            "default_above": over_recordings([default], [right], groups),
            **kept,
        }
        rows[name, network] = Row(figures, settings, {network: stored})
    write_rows(results, FILE, About(WHAT, COMMAND, [SEED]), rows)
    return {network: row.figures["accuracy"] for (_, network), row in rows.items()}


def _accuracy(right: str, recordings: Sequence[str]) -> dict[str, Any]:
    correct = correct_of(right)
    counts = {"recordings": len({*recordings}), "test_clips": len(right)}
    return {
        "accuracy": float(correct.mean()),
        "interval": accuracy_interval(correct, recordings),
        **counts,
    }


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(OF)}. Default: all.")
    ] = None,
) -> None:
    """Measure the live models of other projects on sets of clips."""
    for name in sets or OF:
        print(name, measure(name, Path("runs/real-clips/peers"), Path("results")))


if __name__ == "__main__":
    typer.run(main)
