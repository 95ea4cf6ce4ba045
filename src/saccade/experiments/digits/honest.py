"""Pairs of moving digits that no training saw, on paths that no training saw: what the models really know."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saccade.config import DataConfig, TrainConfig
from saccade.data.digits import Digits, Sides
from saccade.data.generated import DigitPairs
from saccade.data.moving_mnist import PAIRS, Batch, MovingDigits, pair_label
from saccade.data.transform import to_video
from saccade.encoders.glimpses import Glimpses
from saccade.encoders.stn import STN
from saccade.evaluation.accuracy import boxes_with_a_window, measure, wilson_interval
from saccade.experiments.cells import cell
from saccade.experiments.demo import answers
from saccade.experiments.digits.contestants import Contestant, train
from saccade.experiments.digits.pretraining import SIZE
from saccade.recognizer import Recognizer
from saccade.structures import Evaluation

FRAMES = 10
DATA = DataConfig(frames=FRAMES, size=SIZE, channels=1, normalization="mnist", shift=0.0, zoom=0.0)
TRAINING = TrainConfig(batch=16, smoothing=0.0, patience=0)
EPOCH = 100 * TRAINING.batch  # videos between two savings of the weights
_VALIDATION = 320  # videos


def compete(
    run: Path, encoders: Path, variant: str, who: Contestant, videos: int, tests: int, sides: Sides
) -> dict[str, Any]:
    """Train one model on one variant, and test it.

    Args:
        run: gets the training's folder with the model, and the cell's file beside it.
        encoders: where `pretrain` left its models.
        variant: of the moving digits.
        who: the model.
        videos: new ones to train on, each seen once; in steps of `EPOCH`.
        tests: videos of unseen digits on unseen paths.
        sides: the digits.

    Returns:
        `accuracy` with its `accuracy_interval`, `frame_accuracy`, `log_loss`, `videos`, and what `train` returns.
    """
    folder = run / variant / who.name
    how = replace(TRAINING, epochs=max(1, videos // EPOCH))
    settings = {"variant": variant, "digits": len(sides.training), "tests": tests, "frames": FRAMES, **how.to_dict()}

    def compute() -> dict[str, Any]:
        learn = DigitPairs(MovingDigits(sides.training, variant, frames=FRAMES), EPOCH, seed=0)
        choose = DigitPairs(MovingDigits(sides.validation, variant, frames=FRAMES), _VALIDATION, seed=1)
        title = f"{variant}, {who.name}"
        recognizer, figures = train(who, PAIRS, learn, choose, DATA, how, folder, encoders, title)
        test = MovingDigits(sides.test, variant, frames=FRAMES).batch(tests, seed=2)
        return {**score(recognizer, test), **_looks(recognizer, test), "videos": how.epochs * EPOCH, **figures}

    return cell(folder.with_suffix(".json"), {**settings, **asdict(who)}, compute)


def score(recognizer: Recognizer, videos: Batch) -> dict[str, Any]:
    """How well a model names the pairs in generated videos."""
    scores, _ = answers(recognizer, videos.video)
    targets = pair_label(videos.labels).numpy()
    names = tuple(f"video {i}" for i in range(len(targets)))
    measured = measure(Evaluation(names, PAIRS, targets, scores.mean(1), tuple(scores)))
    return {name: measured[name] for name in ("accuracy", "accuracy_interval", "frame_accuracy", "log_loss")}


@torch.inference_mode()
def _looks(recognizer: Recognizer, videos: Batch) -> dict[str, float]:
    """`on_digits`: the share of frames where every window of the encoder is on a digit of its own; if it has any."""
    encoder = recognizer.model.encoder
    if not isinstance(encoder, STN | Glimpses):
        return {}
    frames = videos.video.flatten(0, 1).movedim(1, -1)
    thetas = torch.cat([encoder.windows(to_video(part, DATA.normalization)) for part in frames.split(500)])
    thetas = thetas.view(*videos.video.shape[:2], -1, 2, 3)
    shares = boxes_with_a_window(thetas, videos.boxes, (SIZE, SIZE))
    # Of two digits one window can be on one alone: its share is a half.
    wanted = min(1.0, thetas.shape[2] / videos.boxes.shape[2])
    seen = shares[np.isfinite(shares)]
    return {"on_digits": float((seen >= wanted).mean())}


def ceiling(run: Path, variant: str, videos: int, tests: int, sides: Sides) -> dict[str, Any]:
    """What could be known of a pair if each digit were seen alone, clean, under the same transforms.

    A classifier of single digits (`convnet` on `conv4`) learns from videos of one clean digit. Two such videos of test
    digits make a pair, and the pair that its two answers make the most probable is the answer. Where a 6 may be a 9,
    this stays below 100 %. It is a measurement, not a bound: two digits that turn together tell more of their angle
    than each alone.

    Returns:
        `accuracy` of pairs, `digit_accuracy` of single digits, and what `train` returns.
    """
    folder = run / variant / "ceiling"
    who = Contestant("conv4", model="convnet", lr=3e-3)
    how = replace(TRAINING, epochs=max(1, videos // EPOCH))
    settings = {"variant": variant, "digits": len(sides.training), "tests": tests, "frames": FRAMES, **how.to_dict()}

    def compute() -> dict[str, Any]:
        def alone(digits: Digits) -> MovingDigits:
            return MovingDigits(digits, variant, num_digits=1, frames=FRAMES)

        learn = DigitPairs(alone(sides.training), EPOCH, seed=0)
        choose = DigitPairs(alone(sides.validation), _VALIDATION, seed=1)
        classes = tuple("0123456789")
        recognizer, figures = train(who, classes, learn, choose, DATA, how, folder, run, f"{variant}, single digits")
        seen = [alone(sides.test).batch(tests, seed=seed) for seed in (2, 3)]
        scores = [torch.from_numpy(answers(recognizer, batch.video)[0]).mean(1) for batch in seen]
        targets = torch.cat([batch.labels for batch in seen], 1)
        right = pair_posterior(*scores).argmax(1) == pair_label(targets)
        hits = [p.argmax(1) == batch.labels[:, 0] for p, batch in zip(scores, seen, strict=True)]
        return {
            "accuracy": right.float().mean().item(),
            "accuracy_interval": list(wilson_interval(int(right.sum()), len(right))),
            "digit_accuracy": torch.cat(hits).float().mean().item(),
            **figures,
        }

    return cell(folder.with_suffix(".json"), {**settings, **asdict(who)}, compute)


def pair_posterior(first: Tensor, second: Tensor) -> Tensor:
    """Probabilities of the unordered pairs, `B 55`, from those of two digits, each `B 10`, taken as independent."""
    joint = first[:, :, None] * second[:, None, :]
    joint = joint + joint.mT - torch.diag_embed(joint.diagonal(dim1=1, dim2=2))
    low, high = torch.triu_indices(10, 10)
    return joint[:, low, high]


def best(of_variant: Mapping[str, Mapping[str, Any]]) -> str:
    """The model with the best accuracy on validation digits, which test digits have no say in."""
    models = {name: found for name, found in of_variant.items() if name != "ceiling"}
    return max(models, key=lambda name: models[name]["validation"])
