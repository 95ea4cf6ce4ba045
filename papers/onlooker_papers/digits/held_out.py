"""Pairs of moving digits that no training saw, on paths that no training saw: what the models really know."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.digits import Digits, DigitSplit
from onlooker.data.moving_mnist import PAIRS, Batch, DigitPairs, pair_label
from onlooker.data.transforms import to_video
from onlooker.evaluation.metrics import measure, wilson_interval
from onlooker.recognizer import Recognizer, load
from onlooker.runs.demo import answers
from onlooker.runs.memo import fingerprint, memo
from onlooker.structures import Evaluation
from onlooker_papers.digits.augmented_mnist import AugmentedDigits
from onlooker_papers.digits.models import (
    CEILING,
    JUDGED_TOGETHER,
    SINGLE,
    STAGES,
    TRACKS,
    DigitModel,
    settings_of,
    train,
)
from onlooker_papers.digits.pretraining import SIZE
from onlooker_papers.digits.registry import OPINIONS
from onlooker_papers.digits.window_metrics import boxes_with_a_window
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import digest

FRAMES = 50  # of a test video, as in the published protocol
SHORT = 10  # and how well its first frames are enough
DATA = DataConfig(frames=FRAMES, size=SIZE, channels=1, normalization="mnist", translate=0.0, scale=0.0)
TRAINING = TrainConfig(label_smoothing=0.0, patience=0)
_EPOCH = 100  # batches between two savings of the weights
# Sees single digits as the best of the models sees each of a pair.
ALONE = DigitModel(
    "stn:1", model="convnet", head_units=128, head="each-glimpse", lr=2e-3, aggregation="product", batch=32, frames=5,
    frames_per_setting=1,
)  # fmt: skip
# The same for a model that reads five frames together.
FOLLOWED = DigitModel("tracks:1", model=TRACKS, head="each-glimpse", lr=2e-3, aggregation="last", batch=64, frames=10)
# All kinds of answer that a model of pairs may give: frames multiplied as they are, and as far as they can be trusted;
# and stretches of frames.
CEILINGS = {
    CEILING: ALONE,
    f"{CEILING}-{OPINIONS}": replace(ALONE, after=SINGLE, **JUDGED_TOGETHER),
    f"{CEILING}-{TRACKS}": FOLLOWED,
}
_VALIDATION = 320  # videos of validation digits
_LATER = 2  # frames, out of five


def compete(
    run: Path, encoders: Path, variant: str, spec: DigitModel, videos: int, tests: int, sides: DigitSplit
) -> dict[str, Any]:
    """Train one model on one variant, and test it.

    Args:
        run: gets the training's folder with the model, and the cell's file next to it.
        encoders: where `pretrain` left its models.
        variant: of the moving digits.
        spec: the model.
        videos: new ones to train on, each seen once; whole batches, beyond 100 of them in steps of 100.
        tests: videos of unseen digits on unseen paths.
        sides: the digits.

    Returns:
        `accuracy` with its `accuracy_interval`, `short_accuracy` after the first `SHORT` frames, `frame_accuracy`,
        `log_loss`, `videos`, and what `train` returns.
    """
    folder = run / variant / spec.name
    how, size = _schedule(spec, videos)
    settings = _settings(variant, tests, sides, **(how.to_dict() | settings_of(spec, folder, encoders)), size=size)

    def compute() -> dict[str, Any]:
        for of_another in (_validated(folder), _later(folder)):  # that was here before
            of_another.unlink(missing_ok=True)
        learn, choose = _samples(variant, spec, size, sides, num_digits=2)
        title = f"{variant}, {spec.name}"
        recognizer, figures = train(spec, PAIRS, learn, choose, DATA, how, folder, encoders, title)
        test = AugmentedDigits(sides.test, variant=variant, frames=FRAMES).batch(tests, seed=2)
        return {**score(recognizer, test), **_looks(recognizer, test), "videos": how.epochs * len(learn), **figures}

    return memo_of_training(folder, settings, compute)


def validate(run: Path, variant: str, spec: DigitModel, tests: int, sides: DigitSplit) -> float:
    """The share of whole videos of validation digits that a model of `compete` names right; the arguments are its own.

    The videos that choose an epoch are short. They cannot tell which of two models gathers more from many frames.
    """
    folder = run / variant / spec.name

    def compute() -> dict[str, Any]:
        whole = AugmentedDigits(sides.validation, variant=variant, frames=FRAMES).batch(min(tests, _VALIDATION), seed=3)
        return {"accuracy": score(load(folder / "model"), whole)["accuracy"]}

    settings = _settings(variant, tests, sides, validation_frames=FRAMES, weights=fingerprint(folder))
    return float(memo(_validated(folder), settings, compute)["accuracy"])


def out_of_phase(run: Path, variant: str, spec: DigitModel, tests: int, sides: DigitSplit) -> float:
    """The accuracy of a model of `compete` whose stretches do not begin where settings do; the arguments are its own.

    Digits change their look every five frames, and a model that reads five together sees them all alike if it begins
    with the video. Here it begins two frames later, and sees the 45 frames of nine stretches; the digits are those
    that `compete` tests on.
    """
    folder = run / variant / spec.name

    def compute() -> dict[str, Any]:
        test = AugmentedDigits(sides.test, variant=variant, frames=FRAMES).batch(tests, seed=2)
        first, last = _LATER, FRAMES - spec.frames_per_setting + _LATER
        test = replace(test, video=test.video[:, first:last], boxes=test.boxes[:, first:last])
        return {"accuracy": score(load(folder / "model"), test)["accuracy"]}

    settings = _settings(variant, tests, sides, begins_later=_LATER, weights=fingerprint(folder))
    return float(memo(_later(folder), settings, compute)["accuracy"])


def _validated(folder: Path) -> Path:
    """The cell of `validate` on the model in a folder."""
    return folder.with_suffix(".validation.json")


def _later(folder: Path) -> Path:
    """The cell of `out_of_phase`."""
    return folder.with_suffix(".later.json")


def score(recognizer: Recognizer, videos: Batch) -> dict[str, Any]:
    """How well a model names the pairs in generated videos."""
    scores, _ = answers(recognizer, videos.video)
    targets = pair_label(videos.labels).numpy()
    names = tuple(f"video {i}" for i in range(len(targets)))
    measured = measure(Evaluation(names, PAIRS, targets, recognizer.aggregate(scores), tuple(scores)))
    found = {name: measured[name] for name in ("accuracy", "accuracy_interval", "frame_accuracy", "log_loss")}
    return {**found, "short_accuracy": float((recognizer.aggregate(scores[:, :SHORT]).argmax(1) == targets).mean())}


def _schedule(spec: DigitModel, videos: int) -> tuple[TrainConfig, int]:
    """How a contestant is trained, and the videos of an epoch: whole batches."""
    size = spec.batch * min(_EPOCH, max(1, videos // spec.batch))
    return replace(TRAINING, epochs=max(1, videos // size), loss=spec.loss), size


def _settings(variant: str, tests: int, sides: DigitSplit, **others: Any) -> dict[str, Any]:
    """What a cell depends on."""
    return {"variant": variant, "digits": digest(sides), "tests": tests, "test_frames": FRAMES, **others}


def _samples(
    variant: str, spec: DigitModel, size: int, sides: DigitSplit, num_digits: int
) -> tuple[DigitPairs, DigitPairs]:
    """The `size` new videos of each epoch, and the published kind of videos, of other digits, that chooses one."""
    learn = AugmentedDigits(
        sides.training, num_digits, frames=spec.frames, variant=variant, frames_per_setting=spec.frames_per_setting
    )
    choose = AugmentedDigits(sides.validation, num_digits, frames=SHORT, variant=variant)
    return DigitPairs(learn, size, seed=0), DigitPairs(choose, _VALIDATION, seed=1)


@torch.inference_mode()
def _looks(recognizer: Recognizer, videos: Batch) -> dict[str, float]:
    """`on_digits`: the share of frames where every window of the model is on a digit of its own; if it has any."""
    if not recognizer.model.has_windows:
        return {}
    frames = videos.video.movedim(2, -1)
    thetas = torch.cat([recognizer.model.windows(to_video(clip, DATA.normalization)) for clip in frames])
    thetas = thetas.view(*videos.video.shape[:2], -1, 2, 3)
    shares = boxes_with_a_window(thetas, videos.boxes, (SIZE, SIZE))
    # Of two digits one window can be on one alone: its share is a half.
    wanted = min(1.0, thetas.shape[2] / videos.boxes.shape[2])
    seen = shares[np.isfinite(shares)]
    return {"on_digits": float((seen >= wanted).mean())}


def ceiling(run: Path, variant: str, name: str, videos: int, tests: int, sides: DigitSplit) -> dict[str, Any]:
    """What could be known of a pair if each digit were seen alone, clean, under the same transforms.

    A classifier of single digits (one of `CEILINGS`) learns from videos of one clean digit. Two such videos of test
    digits make a pair, and the pair that its two answers make the most probable is the answer. Where a 6 may be a 9,
    this stays below 100 %. It is a measurement, not a bound: two digits that turn together tell more of their angle
    than each alone.

    Returns:
        `accuracy` of pairs, `digit_accuracy` of single digits, `videos`, and what `train` returns.
    """
    spec = CEILINGS[name]
    folder = run / variant / name
    how, size = _schedule(spec, videos)
    settings = _settings(variant, tests, sides, **(how.to_dict() | settings_of(spec, folder, run)), size=size)

    def compute() -> dict[str, Any]:
        def alone(digits: Digits) -> AugmentedDigits:
            return AugmentedDigits(digits, num_digits=1, frames=FRAMES, variant=variant)

        learn, choose = _samples(variant, spec, size, sides, num_digits=1)
        classes = tuple("0123456789")
        recognizer, figures = train(spec, classes, learn, choose, DATA, how, folder, run, f"{variant}, single digits")
        seen = [alone(sides.test).batch(tests, seed=seed) for seed in (2, 3)]
        scores = [torch.from_numpy(recognizer.aggregate(answers(recognizer, batch.video)[0])) for batch in seen]
        targets = torch.cat([batch.labels for batch in seen], 1)
        right = pair_posterior(*scores).argmax(1) == pair_label(targets)
        hits = [p.argmax(1) == batch.labels[:, 0] for p, batch in zip(scores, seen, strict=True)]
        return {
            "accuracy": right.float().mean().item(),
            "accuracy_interval": list(wilson_interval(int(right.sum()), len(right))),
            "digit_accuracy": torch.cat(hits).float().mean().item(),
            "videos": how.epochs * len(learn),
            **figures,
        }

    return memo_of_training(folder, settings, compute)


def pair_posterior(first: Tensor, second: Tensor) -> Tensor:
    """Probabilities of the unordered pairs, `B 55`, from those of two digits, each `B 10`, taken as independent."""
    joint = first[:, :, None] * second[:, None, :]
    joint = joint + joint.mT - torch.diag_embed(joint.diagonal(dim1=1, dim2=2))
    low, high = torch.triu_indices(10, 10)
    return joint[:, low, high]


def of_encoder(of_variant: Mapping[str, Mapping[str, Any]], encoder: str) -> Mapping[str, Any] | None:
    """The published system on an encoder: frozen or end to end, as validation has it; None where neither is there."""
    names = [f"{encoder}-lstm-{stage}" for stage in STAGES.values()]
    found = [of_variant[name] for name in names if name in of_variant]
    return max(found, key=lambda of: of["validation"], default=None)


def best(of_variant: Mapping[str, Mapping[str, Any]]) -> str:
    """The model with the best accuracy on validation digits, which test digits have no say in."""
    models = {name: found for name, found in of_variant.items() if name not in CEILINGS}
    return max(models, key=lambda name: models[name]["validation"])
