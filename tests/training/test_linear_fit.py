"""The fitted linear layer compared with scikit-learn, and its choice by cross-validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.covariance import ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.base.config import DataConfig
from onlooker.data.transforms import to_video
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import (
    FOLDS,
    INNER_FOLDS,
    Choice,
    Clips,
    choose,
    cross_validated,
    fit_layer,
    statistics_of,
)
from onlooker.training.regression import METHODS, Method, regress

DATA = DataConfig(frames=4, size=16, normalization="half")


class Squares(Dataset[tuple[Tensor, int, int]]):
    """Noise with a square that is brighter from class to class; as features of a model if one is
    given.
    """

    def __init__(
        self, targets: Sequence[int], seed: int, model: LinearClassifier | None = None
    ) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.targets = list(targets)
        frames = torch.randint(
            0, 90, (len(targets), 4, 16, 16, 3), generator=chance, dtype=torch.uint8
        )
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


def fitted(model: LinearClassifier, samples: Dataset[Any]) -> Choice:
    clips, early, _ = statistics_of(model, samples, [str(i) for i in range(len(samples))], DATA)  # type: ignore[arg-type]
    choice = choose(clips)
    fit_layer(model, clips, choice, early)
    return choice


def twins(seed: int = 0) -> Clips:
    """20 recordings of random classes, each cut into 4 nearly equal clips: only the recording tells
    the class.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 30)).repeat(4, 0) + 0.01 * rng.standard_normal((80, 30))
    return Clips(
        x, rng.permutation(20).repeat(4) % 2, np.arange(20).repeat(4).astype(str), 2, ("change",)
    )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@torch.no_grad()
def answers(model: LinearClassifier, clips: Squares) -> Tensor:
    return model(to_video(clips.samples, DATA.normalization)).logits[:, -1].softmax(-1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("clips", [30, 400])
def test_weights_equal_those_of_scikit_learn_on_all_columns(classes: int, clips: int) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(clips) % classes
    x = (rng.standard_normal((classes, 90))[y] + 3 * rng.standard_normal((clips, 90))) / 90**0.5
    standard = (x - x.mean(0)) / (x.std(0) * 90**0.5)
    methods = [method for method in METHODS if method.name == "logistic"]
    for method, layer in zip(methods, regress(x, y, classes, methods), strict=True):
        direct = LogisticRegression(C=method.setting, tol=1e-8, max_iter=5000).fit(standard, y)
        logits = layer.logits(x)
        np.testing.assert_allclose(_softmax(logits), direct.predict_proba(standard), atol=2e-3)
        full = direct.coef_ if classes > 2 else np.concatenate([-direct.coef_, direct.coef_]) / 2
        np.testing.assert_allclose(layer.weight, full, atol=0.01 * np.abs(full).max())


def test_balanced_layers_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 12])
    x = rng.standard_normal((2, 20))[y] + rng.standard_normal((72, 20))
    standard = (x - x.mean(0)) / (x.std(0) * 20**0.5)
    methods = [Method("logistic", 10.0), Method("discriminant", 0.1)]
    logistic, discriminant = regress(x, y, 2, methods, balanced=True)
    direct = LogisticRegression(C=10.0, tol=1e-8, max_iter=5000, class_weight="balanced").fit(
        standard, y
    )
    np.testing.assert_allclose(
        _softmax(logistic.logits(x)), direct.predict_proba(standard), atol=2e-3
    )
    estimator = ShrunkCovariance(shrinkage=0.1)
    equal = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=estimator, priors=[0.5, 0.5]
    )
    difference = np.diff(discriminant.logits(x) - regress(x, y, 2, methods)[1].logits(x), axis=1)
    np.testing.assert_allclose(difference, np.log(60 / 12), atol=1e-9)
    assert (
        equal.fit(standard, y).predict(standard) == discriminant.logits(x).argmax(1)
    ).mean() > 0.9


@pytest.mark.parametrize(("shift", "gains"), [(1.3, True), (9.0, False)])
def test_equal_weights_are_chosen_where_they_find_more_of_a_rare_class(
    shift: float, gains: bool
) -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [100, 8])
    x = rng.standard_normal((108, 3)) + shift * y[:, None] * np.eye(3)[0]
    clips = Clips(x, y, np.arange(108).astype(str), 2, ("mean",), class_weights="auto")
    choice = choose(clips)
    assert choice.class_accuracies is not None
    plain, balanced = choice.class_accuracies
    assert choice.balanced == gains == (balanced - plain > 1 / 16)
    assert f"(mean accuracy of the classes: {100 * balanced:.0f} % with equal weights" in str(
        choice
    )
    answers = choice.scores.argmax(1)
    assert np.mean([(answers[y == k] == k).mean() for k in (0, 1)]) == pytest.approx(
        max(plain, balanced)
    )
    fixed = choose(clips._replace(class_weights="balanced" if gains else "none"))
    np.testing.assert_array_equal(fixed.scores, choice.scores)
    alike = choose(clips.only(np.arange(95, 108)))
    assert (alike.balanced, alike.class_accuracies) == (False, None), (
        "not tried: five clips and eight"
    )
    assert str(fixed).endswith("classes weigh equally") == gains


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_the_discriminant_equals_that_of_scikit_learn(share: float) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 3], [40, 20, 30])
    x = (rng.standard_normal((4, 12))[y] + rng.standard_normal((90, 12))) * rng.uniform(0.5, 3, 12)
    standard = (x - x.mean(0)) / (x.std(0) * 12**0.5)
    estimator = ShrunkCovariance(shrinkage=share)
    direct = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=estimator).fit(
        standard, y
    )
    logits = regress(x, y, 4, [Method("discriminant", share)])[0].logits(x)
    np.testing.assert_allclose(
        _softmax(logits[:, [0, 1, 3]]), direct.predict_proba(standard), atol=1e-6
    )
    assert (logits[:, 2] <= logits[:, [0, 1, 3]].min(1)).all(), "a class without clips"


@pytest.mark.parametrize("clips", [12, 90])
def test_the_discriminant_equals_its_equation_also_with_fewer_clips_than_statistics(
    clips: int,
) -> None:
    rng = np.random.default_rng(0)
    M = 40
    share = 0.3
    y = np.arange(clips) % 3
    x = rng.standard_normal((3, M))[y] + rng.standard_normal((clips, M))
    z = (x - x.mean(0)) / (x.std(0) * M**0.5)
    means = np.stack([z[y == k].mean(0) for k in range(3)])
    covariance = (z - means[y]).T @ (z - means[y]) / clips
    shrunk = (1 - share) * covariance + share * np.trace(covariance) / M * np.eye(M)
    weight = means @ np.linalg.inv(shrunk)
    bias = np.log(np.bincount(y) / clips) - (weight * means).sum(1) / 2
    logits = regress(x, y, 3, [Method("discriminant", share)])[0].logits(x)
    np.testing.assert_allclose(logits, z @ weight.T + bias, rtol=1e-6)


@pytest.mark.parametrize("copies", [1, 4])
def test_equal_clips_of_each_class_have_a_discriminant(copies: int) -> None:
    x = np.random.default_rng(0).standard_normal((3, 20)).repeat(copies, 0)
    y = np.arange(3).repeat(copies)
    logits = regress(x, y, 3, [Method("discriminant", 0.3)])[0].logits(x)
    assert (logits.argmax(1) == y).all()
    assert np.abs(logits).max() < 100


def test_it_learns_and_is_deterministic() -> None:
    training = Squares([0, 1, 2] * 11, 1)
    first = made()
    second = made()
    assert str(fitted(first, training)) == str(fitted(second, training))
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    new = Squares([0, 1, 2] * 10, 3)
    scores = answers(first, new)
    assert (scores.argmax(1) == torch.tensor(new.targets)).float().mean() > 0.95
    features = first.encode_video(to_video(training.samples, "half"))
    for count in (2, features.shape[1]):
        standard = (
            first.statistics(features[:, :count])[:, -1] - first.center[count - 1]
        ) / first.scale[count - 1]
        standard = standard[:, first.head.weight.any(0)]  # of the statistics that were chosen
        assert standard.mean(0).abs().max() < 1e-4
        assert abs(standard.square().sum(1).mean() - 1) < 0.3, (
            "clips are vectors of unit length, after two frames too"
        )


def test_the_first_frames_of_a_stream_are_standardized_as_first_frames_were() -> None:
    training = Squares([0, 1, 2] * 11, 1)
    net = made()
    clips, early, _ = statistics_of(net, training, ["one"] * len(training), DATA)  # type: ignore[arg-type]
    features = net.encode_video(to_video(training.samples, "half"))
    for count in range(1, features.shape[1]):
        every = net.statistics(features[:, :count])[:, -1].double().numpy()
        np.testing.assert_allclose(early[0][count - 1], every.mean(0), atol=1e-6)
        np.testing.assert_allclose(early[1][count - 1], every.std(0), atol=1e-6)
    fit_layer(net, clips, choose(clips), early)
    ends = net.center[-1], net.scale[-1]
    fit_layer(net, clips, choose(clips))
    assert all(torch.equal(*pair) for pair in zip(ends, (net.center[0], net.scale[0]), strict=True))


def test_the_choice_equals_a_naive_cross_validation() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    x = rng.standard_normal((30, 8))
    x[:, 4:] += 2 * rng.standard_normal((3, 4))[y]  # the second of two statistics tells the class
    clips = Clips(x, y, np.arange(30).astype(str), 3, ("mean", "change"))
    choice = choose(clips)
    losses = {}
    for names, columns in {"mean,change": slice(None), "change": slice(4, None)}.items():
        for i, method in enumerate(METHODS):
            loss = np.zeros(10)
            for fit, test in clips.folds(5):
                logits = regress(x[fit][:, columns], y[fit], 3)[i].logits(x[test][:, columns])
                for t, temperature in enumerate(2.0 ** np.arange(-2, 8)):
                    loss[t] -= np.log(
                        _softmax(logits / temperature)[range(len(test)), y[test]]
                    ).sum()
            losses[names, method] = loss.min()
    assert (choice.statistics, choice.method) == min(losses, key=lambda key: losses[key])
    assert choice.statistics == "change"
    assert (choice.scores.argmax(1) == y).mean() > 0.5


def test_clips_of_a_recording_are_kept_together() -> None:
    clips = twins()
    apart = clips._replace(groups=np.arange(80).astype(str))
    assert (choose(apart).scores.argmax(1) == clips.y).all(), "copies on both sides tell the class"
    assert (choose(clips).scores.argmax(1) == clips.y).mean() < 0.75


def test_cross_validated_scores_do_not_leak_recordings() -> None:
    accuracies = []
    for seed in range(2):
        clips = twins(seed)
        scores, thresholds = cross_validated(clips)
        assert np.isnan(thresholds).all(), "no class in which nothing happens"
        np.testing.assert_allclose(scores.sum(1), 1)
        accuracies.append((scores.argmax(1) == clips.y).mean())
    assert abs(np.mean(accuracies) - 0.5) < 0.25, "chance, though the layer fits all training clips"


def test_a_given_choice_gives_the_scores_that_it_was_made_with() -> None:
    clips = twins()
    choice = choose(clips)
    np.testing.assert_allclose(cross_validated(clips, choice)[0], choice.scores, atol=1e-3)


def test_the_threshold_of_a_cross_validated_clip_is_chosen_without_it() -> None:
    clips = twins()._replace(nothing=1)
    scores, thresholds = cross_validated(clips)
    for fit, test in clips.folds(FOLDS):
        inside = choose(clips.only(fit), INNER_FOLDS)
        assert {*thresholds[test]} == {inside.threshold(clips.only(fit)).probability}  # type: ignore[union-attr]
    assert len({*thresholds}) > 1
    assert not np.isnan(scores).any()
    choice = choose(clips)
    assert {*cross_validated(clips, choice)[1]} == {choice.threshold(clips).probability}  # type: ignore[union-attr]


def test_a_single_recording_cannot_be_divided() -> None:
    clips = twins()._replace(groups=np.array(["one"] * 80))
    choice = choose(clips)
    assert (choice.statistics, choice.temperature) == ("change", 1.0)
    assert np.isnan(choice.scores).all()
    assert np.isnan(cross_validated(clips)[0]).all()


def test_a_class_without_training_clips_is_never_predicted() -> None:
    model = made(4)
    fitted(model, Squares([0, 1, 3] * 4, 1))
    scores = answers(model, Squares([0, 1, 2, 3] * 3, 3))
    assert scores[:, 2].max() < 1e-6
    assert sorted(set(scores.argmax(1).tolist())) == [0, 1, 3]


def test_a_single_class_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="all 6 training clips are of one class, expected two classes or more"
    ):
        fitted(made(), Squares([1] * 6, 1))


def test_features_that_are_not_finite_are_an_error() -> None:
    model = made()
    training = Squares([0, 1, 2], 1, model=model)
    training.samples[0, 0, 0, 0, 0] = torch.inf
    with pytest.raises(
        ValueError, match="features of the training clips are not finite; use another encoder"
    ):
        fitted(model, training)


def test_copies_are_parts_of_the_frames_and_mirrored_frames() -> None:
    net = made()
    training = Squares([0, 1, 2] * 3, 1)
    clips, *_ = statistics_of(net, training, ["one"] * 9, DATA)  # type: ignore[arg-type]
    mirrored = net.encode_video(to_video(training.samples.flip(3), "half"))
    np.testing.assert_allclose(
        clips.copies[2], net.statistics(mirrored)[:, -1].double().numpy(), atol=1e-6
    )
    # Of frames that are bright in one corner only, one crop has more of it than the other.
    training.samples[:] = 0
    training.samples[:, :, :3, 13:] = 255
    upper_right, lower_left, _ = statistics_of(net, training, ["one"] * 9, DATA)[0].copies  # type: ignore[arg-type]
    training.samples[:] = 0
    black = statistics_of(net, training, ["one"] * 9, DATA)[0].x  # type: ignore[arg-type]
    np.testing.assert_allclose(lower_left, black, atol=1e-6)
    assert np.abs(upper_right - black).max() > 1e-3


def test_many_clips_and_stored_features_have_no_copies() -> None:
    net = made()
    for samples in (Squares([0, 1, 2] * 22, 1), Squares([0, 1, 2], 1, net)):
        clips, *_ = statistics_of(net, samples, ["one"] * len(samples), DATA)  # type: ignore[arg-type]
        assert clips.copies == ()


def test_copies_are_used_if_they_help() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(24) % 2
    seen, crop, other = (rng.normal(0, 1.5, (24, 20)) + np.eye(20)[y] * 3 for _ in range(3))
    # as mirrored gestures of the left and the right
    wrong = rng.normal(0, 1.5, (24, 20)) + np.eye(20)[1 - y] * 3
    clips = Clips(seen, y, np.arange(24).astype(str), 2, ("mean",))
    alone = choose(clips)
    cropped = choose(clips._replace(copies=(crop, other, wrong)))
    assert (alone.copies, cropped.copies) == (0, 2)
    assert "fitted also to two crops of each clip" in str(cropped)
    assert choose(clips._replace(copies=(crop, other, other + crop - seen))).copies == 3
    # A layer is fitted to the clips and to their copies, and tested by clips alone.
    held_out, _ = cross_validated(clips._replace(copies=(crop, other)), cropped)
    for fit, test in clips.folds(5):
        x = np.concatenate([of[fit] for of in (seen, crop, other)])
        logits = regress(x, np.tile(y[fit], 3), 2, (cropped.method,))[0].logits(seen[test])
        np.testing.assert_allclose(
            held_out[test], _softmax(logits / cropped.temperature), atol=1e-9
        )
