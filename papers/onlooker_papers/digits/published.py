"""The published protocol: 100 training and 100 test videos, 300 rounds, and four readings of what
"test" may mean.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onlooker import Classifier
from onlooker.data.transforms import to_video
from onlooker.training.forward import uses_bf16
from onlooker_papers.claims import read_claims
from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.data.moving_mnist import Batch
from onlooker_papers.digits.pretraining import DATA, pretrained, pretraining_of
from onlooker_papers.digits.rounds import Rounds, train_rounds
from onlooker_papers.memo import fingerprint, memo
from onlooker_papers.mnist import Digits, DigitSplit, digest

READINGS = {
    "same-videos": "the training videos themselves",
    "same-digits": "the same digits, new paths",
    "same-paths": "new digits, the same paths",
    "new": "new digits, new paths",
}
# variant -> encoder -> loss, accuracy in the paper, and on the authors' slides
PUBLISHED, SLIDES = (read_claims("digits")[place] for place in ("published", "slides"))
# The paper's parameters for the elastic deformation tear digits; its figure looks as if made with
# this window (pixels).
SMOOTH = "gesture-61"
_SMOOTH_WINDOW = 61
TABLE = (*VARIANTS, SMOOTH)
# the LSTM that the authors' code runs, and that of the paper's text
CODE = "lstm-keras"
TEXT = "lstm"
PUBLISHED_READING = "same-videos"  # what the authors' code tests on
FRAMES = 50
_AT_ONCE = 50  # frames that are encoded at once


def videos(
    training: Digits, test: Digits, variant: str, *, frames: int = FRAMES
) -> dict[str, Batch]:
    """One video for each ordered pair of digits, for training (`training`) and for each of
    `READINGS`.

    New digits come from MNIST's test set, digits of the training videos from its training set.
    """
    labels = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    settings: dict[str, Any] = {"variant": variant}
    if variant == SMOOTH:
        settings = {"variant": "gesture", "window": _SMOOTH_WINDOW}

    def make(digits: Digits, digits_seed: int, paths_seed: int) -> Batch:
        moving = AugmentedDigits(digits, frames=frames, **settings)
        return moving.batch(labels=labels, digits_seed=digits_seed, paths_seed=paths_seed)

    learn = make(training, 0, 0)
    return {
        "training": learn,
        "same-videos": learn,
        "same-digits": make(training, 0, 1),
        "same-paths": make(test, 1, 0),
        "new": make(test, 1, 1),
    }


def published_form(encoder: str) -> str:
    """The encoder of the paper of which another one is a form: `dcn` of `dcn:literal`, whose layers
    sample as the authors' code does, and of `dcn:tap`.
    """
    return encoder.partition(":")[0]


def ordered_label(labels: Tensor) -> Tensor:
    """Ordered pairs: `B 2` classes of digits m, n to `B` numbers 10·m + n, 0 to 99."""
    return 10 * labels[:, 0] + labels[:, 1]


@torch.inference_mode()
def encode(model: Classifier, video: Tensor) -> Tensor:
    """The features of videos `B T 1 H W` uint8 by a frozen encoder: `B T D`, float32, on the
    encoder's device.

    They are computed in bfloat16 if the hardware supports it.
    """
    device = next(model.parameters()).device
    flat = video.flatten(0, 1).movedim(1, -1).to(device)
    half = uses_bf16()
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        parts = [
            model.encode(to_video(frames, DATA.normalization)).flatten(1)
            for frames in flat.split(_AT_ONCE)
        ]
    return torch.cat(parts).float().unflatten(0, video.shape[:2])


def table_cell(
    run: Path,
    encoders: Path,
    *,
    variant: str,
    encoder: str,
    recipe: str,
    rounds: Mapping[str, int],
    splits: DigitSplit,
    frames: int = FRAMES,
    readings: Sequence[str] = tuple(READINGS),
) -> dict[str, Any]:
    """One cell of Table I: an LSTM(8) over a frozen encoder, trained many times, under all four
    readings.

    Args:
        run, encoders: folders of the cells, and of the models of `pretrain`.
        rounds: number of trainings by model of `train_rounds`.
        splits: the digits; validation digits are not used.

    Returns:
        By model and by reading (`READINGS`): `loss`, `accuracy`, and their spreads between rounds.
    """
    settings = {
        "variant": variant,
        "encoder": encoder,
        "recipe": recipe,
        "weights": fingerprint(pretraining_of(encoders, encoder, recipe)),
        "rounds": dict(rounds),
        "digits": digest(splits),
        "frames": frames,
        "readings": list(readings),
    }

    def compute() -> dict[str, Any]:
        model = pretrained(encoders, encoder, recipe).to(
            "cuda" if torch.cuda.is_available() else "cpu"
        )
        sets = videos(splits.training, splits.test, variant, frames=frames)
        features = {
            name: encode(model, sets[name].video)
            for name in {*readings, "training"} - {PUBLISHED_READING}
        }
        features[PUBLISHED_READING] = features["training"]
        tests = {name: (features[name], ordered_label(sets[name].labels)) for name in readings}
        targets = ordered_label(sets["training"].labels)
        figures = {}
        for kind, count in rounds.items():
            found = train_rounds(features["training"], targets, tests, model=kind, rounds=count)
            figures[kind] = {name: _summary(of) for name, of in found.items()}
        return figures

    return memo(run / f"{variant}-{encoder}.json", settings, compute)


def _summary(rounds: Rounds) -> dict[str, float]:
    """Means over rounds, and standard deviations between them; 0 for a single one."""
    figures = {}
    for name, values in (("loss", rounds.loss.double()), ("accuracy", rounds.accuracy.double())):
        figures[name] = values.mean().item()
        figures[f"{name}_spread"] = values.std().item() if len(values) > 1 else 0.0
    return figures


def with_distances(
    cells: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, dict[str, Any]]:
    """Cells of Table I, by variant and encoder, next to what was published.

    Each cell with the LSTM of the authors' code gets `distance` (ours minus the paper's, for `loss`
    and `accuracy` on the training videos), `distance_of_slides`, and `order_holds`: for loss and
    accuracy, whether it compares with each other encoder as published (if the paper prints the same
    figures for both, either order counts).
    """
    return {variant: _row_with_distances(variant, row) for variant, row in cells.items()}


def _row_with_distances(variant: str, row: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    base = variant.removesuffix(SMOOTH.removeprefix("gesture"))
    if base not in PUBLISHED:
        return {encoder: dict(of) for encoder, of in row.items()}
    found = {encoder: of[CODE][PUBLISHED_READING] for encoder, of in row.items() if CODE in of}
    tables = {"distance": PUBLISHED[base], "distance_of_slides": SLIDES.get(base)}
    whole: dict[str, Any] = {encoder: dict(of) for encoder, of in row.items()}
    for encoder, here in found.items():
        for name, table in tables.items():
            if table:
                (loss, accuracy) = table[published_form(encoder)]
                whole[encoder][name] = {
                    "loss": here["loss"] - loss,
                    "accuracy": here["accuracy"] - accuracy,
                }
        holds = {}
        for place, measure in enumerate(("loss", "accuracy")):
            printed = {e: PUBLISHED[base][published_form(e)][place] for e in found}
            gaps = {e: printed[encoder] - printed[e] for e in found}
            holds[measure] = all(
                (here[measure] - found[e][measure]) * gap > 0 for e, gap in gaps.items() if gap
            )
        if len(found) > 1:
            whole[encoder]["order_holds"] = holds
    return whole
