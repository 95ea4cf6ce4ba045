"""How well the first frames of a clip are recognized: after 1 to 16 frames, as in a live stream.

    python -m onlooker_papers.real_clips.first_frames      # 4 minutes of one core

Five folds of all clips (for J-HMDB, of 300 clips by a fixed seed), with each recording in one fold. The model is chosen
and fitted without the tested fold. One row standardizes the statistics of n frames by those of n frames of the training
clips, as the default does; the other by those of whole clips.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Subset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.split import group_of
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import resolve
from onlooker.runs.evaluate import read_clips
from onlooker.training.forward import encode_samples
from onlooker.training.linear import choose, fit_layer, statistics_of
from onlooker_papers.real_clips.frozen import DATA, MODEL, model, splits_of
from onlooker_papers.results import About, Row, write_rows

FILE = "first-frames"
COMMAND = "python -m onlooker_papers.real_clips.first_frames"
OF = ("weizmann", "surveillance", "jhmdb")
COUNTS = (1, 2, 4, 8, 12, 16)
CLIPS, SEED = 300, 0
Item = tuple[Tensor, int, int]  # frames `T H W C` uint8, or features `T h w D` float16; target, index
ROWS = ("by as many frames", "by whole clips")


def figures_of(logits: Tensor, targets: Tensor) -> dict[str, dict[str, float]]:
    """Accuracy, mean confidence and log loss after each of `COUNTS` frames: logits `B T K`, targets `B`."""
    return {
        str(count): {
            "accuracy": float((logits[:, count - 1].argmax(1) == targets).double().mean()),
            "confidence": float(logits[:, count - 1].softmax(1).amax(1).mean()),
            "log_loss": float(F.cross_entropy(logits[:, count - 1], targets)),
        }
        for count in COUNTS
    }


@torch.inference_mode()
def _encoded(net: LinearClassifier, samples: Iterable[Item], data: DataConfig) -> Dataset[Item]:
    """The samples with stored features, `T h w D` float16, in place of frames."""
    encoded: list[Item] = []
    for frames, target, index in samples:
        features = encode_samples(net, frames, data).movedim(1, -1)
        encoded.append((features.half().contiguous(), target, index))
    return cast(Dataset[Item], encoded)


@torch.inference_mode()
def _logits(net: LinearClassifier, encoded: Iterable[Item], data: DataConfig) -> Tensor:
    every = (encode_samples(net, features[None], data) for features, *_ in encoded)
    return torch.cat([net.forward_features(features).logits for features in every])


def measure(name: str, results: Path) -> dict[str, Any]:
    """Compute the figures of both rows of one set, and write them to `first-frames.json`."""
    clips = next(iter(splits_of(name).values())).clips
    if len(clips) > CLIPS:
        chosen = np.sort(np.random.default_rng(SEED).choice(len(clips), CLIPS, replace=False))
        clips = tuple(clips[i] for i in chosen)
    classes = tuple(sorted({clip.label for clip in clips}))
    _, data, _ = resolve(replace(MODEL, pretrained=True), DATA, TrainConfig())
    samples, _ = read_clips(clips, classes, data, strict=True)
    groups = [group_of(clip) for clip in clips]
    net = model(len(classes))
    encoded = _encoded(net, cast(Iterable[Item], samples), data)
    every, _ = statistics_of(net, encoded, groups, data)
    logits: dict[str, list[Tensor]] = {row: [] for row in ROWS}
    targets = []
    for fit, test in every.folds(5):
        training, early = statistics_of(net, Subset(encoded, fit.tolist()), [groups[i] for i in fit], data)
        choice = choose(training, folds=3)
        for row, starts in zip(ROWS, (early, None), strict=True):
            fit_layer(net, training, choice, starts)
            logits[row].append(_logits(net, [encoded[i] for i in test], data) / choice.temperature)
        targets.append(torch.from_numpy(every.y[test]))
    figures = {row: figures_of(torch.cat(of), torch.cat(targets)) for row, of in logits.items()}
    settings = {"set": name, "clips": len(clips), "counts": list(COUNTS), "data": data.to_dict()}
    what = "accuracy, confidence and log loss of the default model after the first frames of a clip"
    write_rows(results, FILE, About(what, COMMAND, [SEED]), {(name,): Row(figures | {"clips": len(clips)}, settings)})
    return figures


def main() -> None:
    """Measure all sets."""
    for name in OF:
        print(name, measure(name, Path("results")), flush=True)


if __name__ == "__main__":
    main()
