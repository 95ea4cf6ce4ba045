"""The fitted layer is scikit-learn's on the raw statistics, chosen on validation clips, for any number of classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_video
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import STRENGTHS, fit_linear, regress

DATA, TRAIN = DataConfig(frames=4, size=16, normalization="half"), TrainConfig()


class Squares(Dataset[tuple[Tensor, int, int]]):
    """Noise with a square that is brighter from class to class; as features of a model if one is given."""

    def __init__(self, targets: Sequence[int], seed: int, model: LinearClassifier | None = None) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.targets = list(targets)
        frames = torch.randint(0, 90, (len(targets), 4, 16, 16, 3), generator=chance, dtype=torch.uint8)
        for clip, target in zip(frames, targets, strict=True):
            clip[:, 4:12, 4:12] += torch.tensor(40 * target, dtype=torch.uint8)
        self.samples = frames
        if model is not None:
            with torch.no_grad():
                maps = model.encode_video(to_video(frames, DATA.normalization))
            self.samples = maps.permute(0, 1, 3, 4, 2).half()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.samples[index], self.targets[index], index


def made(num_classes: int = 3, **settings: Any) -> LinearClassifier:
    torch.manual_seed(0)
    return LinearClassifier(num_classes, size=16, **settings).eval()


def fitted(model: LinearClassifier, training: Dataset[Any], validation: Dataset[Any]) -> float:
    return fit_linear(model, training, validation, DATA, TRAIN, Path("unused"), title=None)


@torch.no_grad()
def answers(model: LinearClassifier, clips: Squares) -> Tensor:
    return model(to_video(clips.samples, DATA.normalization)).logits[:, -1].softmax(-1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("clips", [30, 400])
def test_weights_equal_those_of_scikit_learn_on_all_columns(classes: int, clips: int) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(clips) % classes
    x = (rng.standard_normal((classes, 90))[y] + 3 * rng.standard_normal((clips, 90))) / 90**0.5
    for strength, (weight, bias) in zip(STRENGTHS, regress(x, y, classes), strict=True):
        direct = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(x, y)
        logits = x @ weight.T + bias
        odds = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), direct.predict_proba(x), atol=2e-3)
        full = direct.coef_ if classes > 2 else np.concatenate([-direct.coef_, direct.coef_]) / 2
        np.testing.assert_allclose(weight, full, atol=0.01 * np.abs(full).max())


def test_it_learns_and_is_the_same_in_every_call() -> None:
    training, validation = Squares([0, 1, 2] * 8, 1), Squares([0, 1, 2] * 3, 2)
    first, second = made(), made()
    assert fitted(first, training, validation) == fitted(second, training, validation)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    new = Squares([0, 1, 2] * 10, 3)
    scores = answers(first, new)
    assert (scores.argmax(1) == torch.tensor(new.targets)).float().mean() == 1
    statistics = (first.summarize(first.encode_video(to_video(training.samples, "half"))) - first.center) / first.scale
    assert statistics.mean(0).abs().max() < 1e-4
    assert abs(statistics.square().sum(1).mean() - 1) < 0.3, "clips are vectors of unit length"


def test_the_strength_is_the_best_on_validation_clips() -> None:
    rng = np.random.default_rng(0)
    training = Squares(rng.integers(0, 3, 24).tolist(), 1)
    same = fitted(made(), training, training)
    mislabeled = Squares(training.targets, 2)
    mislabeled.targets = [(target + 1) % 3 for target in training.targets]
    assert fitted(made(), training, mislabeled) == STRENGTHS[0], "where confidence is punished, the weakest"
    assert same == STRENGTHS[-1], "where the training clips are asked for, the strongest"


def test_stored_features_give_the_same_model() -> None:
    model, stored = made(), made()
    parts = [([0, 1, 2] * 8, 1), ([0, 1, 2] * 3, 2)]
    fitted(model, *(Squares(*part) for part in parts))
    fitted(stored, *(Squares(*part, model=stored) for part in parts))
    new = Squares([0, 1, 2] * 4, 3)
    assert (answers(model, new) - answers(stored, new)).abs().max() < 0.05


def test_one_clip_per_class_is_enough() -> None:
    model = made()
    fitted(model, Squares([0, 1, 2], 1), Squares([0, 1, 2], 2))
    assert answers(model, Squares([0, 1, 2], 3)).isfinite().all()


def test_a_class_without_training_clips_is_never_predicted() -> None:
    model = made(4)
    fitted(model, Squares([0, 1, 3] * 4, 1), Squares([0, 1, 2, 3], 2))
    scores = answers(model, Squares([0, 1, 2, 3] * 3, 3))
    assert scores[:, 2].max() < 1e-6
    assert sorted(set(scores.argmax(1).tolist())) == [0, 1, 3]


def test_clips_that_never_change() -> None:
    model, training = made(), Squares([0, 1, 2] * 4, 1)
    training.samples = training.samples[:, :1].expand(-1, 4, -1, -1, -1)
    fitted(model, training, training)
    assert (answers(model, training).argmax(1) == torch.tensor(training.targets)).all()


def test_a_single_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="all 4 training clips are of one class, expected two classes or more"):
        fitted(made(), Squares([1] * 4, 1), Squares([0, 1], 2))


def test_features_that_are_not_finite_are_an_error() -> None:
    model = made()
    training = Squares([0, 1, 2], 1, model=model)
    training.samples[0, 0, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match="features of the training clips are not finite; use another encoder"):
        fitted(model, training, training)
