"""The published system itself on unseen digits and paths: LSTM(8) and one softmax, RMSprop, a frozen encoder."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onlooker.data.digits import Digits, DigitSplit
from onlooker.data.moving_mnist import pair_label
from onlooker.evaluation.metrics import wilson_interval
from onlooker.experiments.memo import fingerprint
from onlooker.models.classifier import Classifier
from onlooker_papers.digits.augmented_mnist import AugmentedDigits
from onlooker_papers.digits.pretraining import pretrained, pretraining_of
from onlooker_papers.digits.published import CODE, FRAMES, encode
from onlooker_papers.digits.rounds import train_rounds
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import digest

LITERAL = "literal"  # in the name of a row, after its encoder
_ROUNDS, _PAIRS = 3, 55
_AT_ONCE = 100  # videos


def literal_cell(
    run: Path, encoders: Path, variant: str, encoder: str, recipe: str, videos: int, tests: int, splits: DigitSplit
) -> dict[str, Any]:
    """The LSTM of Table I, as in the authors' code, trained on many videos and tested on unseen ones.

    Args:
        run, encoders: folders of the rows, and of the models of `pretrain`.
        variant: of the moving digits.
        encoder, recipe: the pre-trained model that is frozen.
        videos: number of training videos, for ten epochs.
        tests: number of test videos; as many, but at most 320, show validation digits.
        splits: the digits.

    Returns:
        The mean over three rounds of `accuracy` with `accuracy_interval`, `validation`, `videos` and `minutes`.
    """
    folder = run / variant / f"{encoder}-{LITERAL}"
    settings = {
        "variant": variant, "weights": fingerprint(pretraining_of(encoders, encoder, recipe)), "videos": videos,
        "tests": tests, "digits": digest(splits), "rounds": _ROUNDS,
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        started = time.perf_counter()
        model = pretrained(encoders, encoder, recipe)
        learn = _drawn(model, splits.training, variant, videos, seed=0)
        sets = {"validation": (splits.validation, min(tests, 320), 3), "test": (splits.test, tests, 2)}
        seen = {name: _drawn(model, digits, variant, count, seed) for name, (digits, count, seed) in sets.items()}
        found = train_rounds(*learn, seen, model=CODE, num_classes=_PAIRS, rounds=_ROUNDS)
        accuracy, validation = (found[name].mean[1] for name in ("test", "validation"))
        return {
            "accuracy": accuracy,
            "accuracy_interval": list(wilson_interval(round(accuracy * tests), tests)),
            "validation": validation,
            "videos": videos,
            "minutes": round((time.perf_counter() - started) / 60, 1),
        }

    return memo_of_training(folder, settings, compute)


def _drawn(model: Classifier, digits: Digits, variant: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features `V T D` of videos, and their unordered pairs `V`."""
    moving = AugmentedDigits(digits, variant=variant, frames=FRAMES)
    batches = [moving.batch(min(_AT_ONCE, count - n), seed=seed * 10_007 + n) for n in range(0, count, _AT_ONCE)]
    return torch.cat([encode(model, b.video) for b in batches]), torch.cat([pair_label(b.labels) for b in batches])
