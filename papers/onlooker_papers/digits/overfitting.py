"""Do frozen encoders resist overfitting, as Shan & Atanasov 2017 claim (III)? Many epochs on few videos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from onlooker.config import DataConfig
from onlooker.data.digits import Digits, DigitSplit
from onlooker.data.moving_mnist import PAIRS, DigitPairs
from onlooker.training.fit import fit
from onlooker_papers.digits.augmented_mnist import AugmentedDigits
from onlooker_papers.digits.held_out import DATA, SHORT, TRAINING
from onlooker_papers.digits.models import DigitModel, prepare, settings_of
from onlooker_papers.digits.pretraining import seconds
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import digest

_EPOCHS = 40
UNSEEN = 320  # videos with validation digits


def overfitting_cell(run: Path, encoders: Path, spec: DigitModel, videos: int, splits: DigitSplit) -> dict[str, Any]:
    """Train a model on a fixed set of videos of ten frames, all epochs, and compare it with unseen videos.

    Args:
        run, encoders: folders of the rows, and of the models of `pretrain`.
        spec: the model, with a frozen encoder or not.
        videos: number of training videos; variant `normal`, unordered pairs.
        splits: the digits. Unseen videos show validation digits; nothing is chosen on them.

    Returns:
        `training` and `unseen`: `loss` and `accuracy` of the last epoch; `gap`, the difference of the two accuracies;
        `lowest`, the lowest loss on unseen videos; `videos`, `epochs`, `minutes`.
    """
    folder = run / spec.name
    how = replace(TRAINING, epochs=_EPOCHS, lr=spec.lr, batch=spec.batch)
    settings = {"videos": videos, "digits": digest(splits), **how.to_dict(), **settings_of(spec, folder, encoders)}

    def compute() -> dict[str, Any]:
        model, _ = prepare(spec, len(PAIRS), DATA, folder, encoders, how.seed)
        learn, unseen = _fixed(splits.training, videos, 0), _fixed(splits.validation, UNSEEN, 1)
        data: DataConfig = replace(DATA, frames=SHORT)
        curves = fit(model, learn, unseen, data, how, folder, f"overfitting, {spec.name}")
        last = {
            name: {figure: curves[split][figure][-1] for figure in ("loss", "accuracy")}
            for name, split in (("training", "training"), ("unseen", "validation"))
        }
        return {
            **last,
            "gap": last["training"]["accuracy"] - last["unseen"]["accuracy"],
            "lowest": min(curves["validation"]["loss"]),
            "videos": videos,
            "epochs": _EPOCHS,
            "minutes": round(seconds(folder) / 60, 1),
        }

    return memo_of_training(folder, settings, compute)


def _fixed(digits: Digits, count: int, seed: int) -> Any:
    """The same videos in every epoch, as samples of `fit`."""
    moving = DigitPairs(AugmentedDigits(digits, variant="normal", frames=SHORT), count, seed=seed)
    return moving.__getitems__(list(range(count)))
