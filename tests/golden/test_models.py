"""Golden values of every model: size, outputs, training, and predictions of a clip.

The values were stored before the redesign: the interface of models may change, their outputs may not.
Weights are random, from a seed that is set immediately before each model is created.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import check
from model_cases import (
    CASES,
    LATER,
    NAMES,
    PICTURE,
    RECIPES,
    B,
    Case,
    K,
    made,
    probabilities,
    samples_of,
    seen_by,
    stored,
)
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_features
from onlooker.models.classifier import AGGREGATIONS, clip_scores
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.training.fit import Fitting, fit
from onlooker.training.losses import doubly_stochastic, frame_cross_entropy
from onlooker_papers.digits.rounds import train_rounds

pytestmark = pytest.mark.usefixtures("one_thread")


def streamed(model: VideoModel, video: Tensor) -> list[Tensor] | None:
    """Logits and maps of all frames, one at a time; None for a model that needs the whole clip."""
    state, told = None, []
    try:
        for frame in video.unbind(1):
            output, state = model.step(frame, state)
            told.append(output)
    except ValueError:
        return None
    parts = zip(*((output.logits, output.attention) for output in told), strict=True)
    return [torch.stack(part, 1) for part in parts if part[0] is not None]


def further(model: VideoModel, video: Tensor) -> dict[str, Tensor]:
    """Additional outputs of some models: windows, evidence, attended logits."""
    found: dict[str, Tensor] = {}
    if windows := getattr(model, "windows", getattr(model.encoder, "windows", None)):
        found["windows"] = windows(video[0])
    if model.encodes_frames:
        features = found["features"] = model.encode_video(video)
        if model.has_evidence:
            evidence, attended = model.frame_evidence(features)
            found |= {"evidence": evidence, "attended": attended, "told": model.pool_evidence(evidence, attended)}
        if model.has_attention_loss:
            attention = model(video).attention
            assert attention is not None
            found["seen"] = model.attended_logits(features, attention)
    return found


def losses(model: VideoModel, data: DataConfig, train: TrainConfig, samples: Tensor, targets: Tensor) -> list[float]:
    """Training loss before, between and after two plain steps on one batch."""
    fitting = Fitting(model, data, train)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    found = []
    for step in range(3):
        torch.manual_seed(step)  # of dropout
        loss = fitting.training_step((samples, targets, torch.arange(len(targets))), step)
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        if step < 2:
            optimizer.step()
    return found


def trained(
    case: Case, train: TrainConfig, sides: tuple[Dataset[Any], Dataset[Any]], data: DataConfig, folder: Path
) -> tuple[VideoModel, dict[str, dict[str, list[float]]]]:
    """A model after `fit`, and its curves."""
    model = made(case)
    return model, fit(model, *sides, data, train, folder, title=None)


class Clips(Dataset[tuple[Tensor, int, int]]):
    """Squares that are brighter from class to class; or random features of that look."""

    def __init__(self, data: DataConfig, length: int, seed: int, features: tuple[int, int] | None = None) -> None:
        self.targets = [number % K for number in range(length)]
        if features is None:
            shades = torch.tensor(self.targets).view(-1, 1, 1, 1, 1) * 25
            self.samples = (samples_of(data, length, data.frames, seed).int() + shades).clamp(0, 255).to(torch.uint8)
        else:
            places, width = features
            chance = np.random.default_rng(seed)
            drawn = chance.standard_normal((length, data.frames, places, places, width)).clip(0)
            drawn += np.reshape(self.targets, (-1, 1, 1, 1, 1)) * 0.3
            self.samples = torch.from_numpy(drawn).half()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.samples[index], self.targets[index], index


# One model.


@pytest.mark.parametrize("name", [*CASES, *LATER])
def test_a_model(name: str) -> None:
    case = {**CASES, **LATER}[name]
    data, model = case[1], made(case).eval()
    samples = samples_of(data)
    video = seen_by(samples, data)

    def answers() -> dict[str, Any]:
        with torch.no_grad():
            logits, attention, _ = model.eval()(video)
            return {"logits": logits, "attention": attention}

    values: dict[str, Any] = {
        "parameters": count_parameters(model),
        "weights": sum(part.numel() for part in model.state_dict().values()),
        "features": model.num_features,
        "untrained": answers(),
    }
    with torch.no_grad():
        values["streamed"] = streamed(model, video)
        values["further"] = further(model, video)
    targets = torch.tensor([2, 0])
    base = TrainConfig(batch=B, precision="32")
    values["every"] = losses(model, data, base, samples, targets)
    values["trained"] = answers()
    values["last"] = losses(made(case), data, replace(base, loss="last", label_smoothing=0.0), samples, targets)
    if model.attends and name in CASES:
        values["penalty"] = losses(made(case), data, replace(base, attention_regularization=1.0), samples, targets)
    check(f"model-{name}", values, trained=("every", "trained", "last", "penalty"))


def test_which_models_there_are() -> None:
    about = {stored(name): {"paired": RECIPES[name].paired} for name in NAMES}
    check("models", {"names": list(about), "about": about, "cases": list(CASES)})


# Losses and aggregations.


def test_losses() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 5, K)).astype(np.float32))
    attention = torch.from_numpy(probabilities(4, 5, 9).reshape(4, 5, 3, 3))
    targets = torch.tensor([0, 2, 1, 1])
    check(
        "losses",
        {
            "plain": frame_cross_entropy(logits, targets),
            "smoothed": frame_cross_entropy(logits, targets, 0.1),
            "stochastic": doubly_stochastic(attention),
        },
    )


def test_aggregations() -> None:
    scores = torch.from_numpy(probabilities(4, 50, K))
    check("verdicts", {aggregation: clip_scores(scores, aggregation).tolist() for aggregation in AGGREGATIONS})


# A short training.

AUGMENTED = {"translate": 0.1, "scale": 0.1}
TRAIN = TrainConfig(epochs=2, batch=4, patience=0, precision="32")
TRAININGS: dict[str, tuple[str, TrainConfig, dict[str, Any]]] = {
    "adamw": ("convalstm", TRAIN, AUGMENTED),
    "rmsprop": ("lstm", replace(TRAIN, optimizer="rmsprop", loss="last", grad_clip=0.0), AUGMENTED),
    "adadelta": ("convnet", replace(TRAIN, optimizer="adadelta", lr=1.0, aggregation="product"), {}),
    "grounded": (
        "motion-grounded",
        replace(TRAIN, schedule="cosine", attention_regularization=0.1),
        {**AUGMENTED, "hflip": True},
    ),
    "turned": ("moments", replace(TRAIN, schedule="constant", seed=4), {**AUGMENTED, "degrees": 20.0, "speed": 0.3}),
    "tracks": ("tracks", replace(TRAIN, loss="last"), {}),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_short_training(name: str, tmp_path: Path) -> None:
    of, train, augmentation = TRAININGS[name]
    case = CASES[of]
    data = replace(case[1], **augmentation)
    sides = Clips(data, 14, seed=1), Clips(data, 9, seed=2)
    model, curves = trained(case, train, sides, data, tmp_path)
    with torch.no_grad():
        logits = model(seen_by(samples_of(data, seed=5), data)).logits
    # Eight steps multiply rounding errors, which differ between processors. The first steps of RMSprop and Adadelta
    # divide by the gradient itself, and so have the sign of gradients that are almost zero.
    far = 5e-3 if name in ("rmsprop", "adadelta") else 1e-4
    check(f"fit-{name}", {"curves": curves, "logits": logits}, rtol=far, atol=far)


def test_a_short_training_on_stored_features(tmp_path: Path) -> None:
    case = CASES["convalstm"]
    model = made(case)
    with torch.no_grad():
        maps = further(model, seen_by(samples_of(PICTURE), PICTURE))["features"]
    side, width = maps.shape[-1], maps.shape[2]
    sides = (Clips(PICTURE, 14, 1, features=(side, width)), Clips(PICTURE, 9, 2, features=(side, width)))
    model, curves = trained(case, TRAIN, sides, PICTURE, tmp_path)
    with torch.no_grad():
        logits = model.forward_features(to_features(sides[1].samples)).logits
    check("fit-features", {"curves": curves, "logits": logits}, rtol=1e-4, atol=1e-4)


# Rounds.


@pytest.mark.parametrize("model", ["lstm", "lstm-keras"])
def test_rounds(model: str) -> None:
    chance = np.random.default_rng(0)
    targets = np.arange(18) % K

    def features(count: int) -> Tensor:
        drawn = (chance.standard_normal((count, 5, 20)) + np.resize(targets, count)[:, None, None] * 0.4).clip(0)
        drawn[:, :, 3] = 0
        return torch.from_numpy(drawn.astype(np.float32))

    training = features(18), torch.from_numpy(targets)
    other = features(9)
    other[:, :, 3] = 1.0  # what no training frame shows
    tests = {"same": training, "new": (other, torch.from_numpy(targets[:9]))}
    found = train_rounds(
        *training, tests, model=model, num_classes=K, rounds=12, epochs=4, batch=5, lr=1e-2, seed=7, stacked=5
    )
    values = {
        name: {"loss": each.loss.tolist(), "accuracy": each.accuracy.tolist(), "mean": each.mean, "spread": each.spread}
        for name, each in found.items()
    }
    check(f"rounds-{model}", values, rtol=1e-4, atol=1e-4)
