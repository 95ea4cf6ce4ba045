"""The fitted linear layer compared with scikit-learn, its choice by cross-validation, and that it
tells a clip from its reverse.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.covariance import ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils.data import TensorDataset

from onlooker.base.config import DataConfig, Settings
from onlooker.data.stick_figures import StickFigures
from onlooker.data.transforms import to_video
from onlooker.models.linear import ORDERED, UNORDERED, LinearClassifier
from onlooker.models.registry import configured
from onlooker.training import linear
from onlooker.training.eyes import LayerChoice, choose_eyes, cross_validated
from onlooker.training.fitters import complete
from onlooker.training.forward import encode_samples
from onlooker.training.linear import (
    FOLDS,
    INNER_FOLDS,
    SETS,
    ClipStatistics,
    EyeVectors,
    fit_layer,
    fitted_layer,
    statistics_of,
)
from onlooker.training.regression import METHODS, Method, one_batch, regress
from onlooker.training.search import summary
from onlooker.video.resize import resize

DATA = DataConfig(frames=4, size=16, normalization="half")


def made(num_classes: int = 3, **settings: Any) -> LinearClassifier:
    torch.manual_seed(0)
    return LinearClassifier(num_classes, size=16, **settings).eval()


def squares(targets: Sequence[int], seed: int) -> TensorDataset:
    """Noise with a square that is brighter from class to class: frames, targets, numbers."""
    chance = torch.Generator().manual_seed(seed)
    classes = torch.tensor(targets, dtype=torch.uint8)
    frames = torch.randint(
        0, 90, (len(targets), 4, 16, 16, 3), generator=chance, dtype=torch.uint8
    )
    frames[:, :, 4:12, 4:12] += 40 * classes.view(-1, 1, 1, 1, 1)
    return TensorDataset(frames, classes.long(), torch.arange(len(targets)))


def encoded(model: LinearClassifier, samples: TensorDataset) -> Tensor:
    with torch.no_grad():
        return model.encode_video(to_video(samples.tensors[0], DATA.normalization))


def stored(model: LinearClassifier, samples: TensorDataset) -> TensorDataset:
    """The features of samples in place of their frames."""
    maps = encoded(model, samples).permute(0, 1, 3, 4, 2).half()
    return TensorDataset(maps, *samples.tensors[1:])


def statistics(
    model: LinearClassifier, samples: TensorDataset, groups: str = ""
) -> ClipStatistics:
    """The statistics of samples, of which each is a recording, or all are of one."""
    recordings = [groups or str(number) for number in samples.tensors[2].tolist()]
    clips, _ = statistics_of(model, samples, recordings, data=DATA)
    return clips


def fitted(model: LinearClassifier, samples: TensorDataset) -> LayerChoice:
    clips = statistics(model, samples)
    choice = choose_eyes(clips)
    fit_layer(model, clips, choice.candidate)
    return choice


def twins(seed: int = 0) -> ClipStatistics:
    """20 recordings of random classes, each cut into 4 nearly equal clips: only the recording tells
    the class.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 32)).repeat(4, 0) + 0.01 * rng.standard_normal((80, 32))
    y = rng.permutation(20).repeat(4) % 2
    return ClipStatistics(x, y, np.arange(20).repeat(4).astype(str), 2)


def in_each_block(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same values for each of the 16 statistics."""
    return np.tile(x, 16)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@torch.no_grad()
def answers(model: LinearClassifier, clips: TensorDataset) -> Tensor:
    return model(to_video(clips.tensors[0], DATA.normalization)).logits[:, -1].softmax(-1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("clips", [30, 400])
def test_weights_equal_those_of_scikit_learn_on_all_columns(classes: int, clips: int) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(clips) % classes
    x = (rng.standard_normal((classes, 90))[y] + 3 * rng.standard_normal((clips, 90))) / 90**0.5
    standard = (x - x.mean(0)) / (x.std(0) * 90**0.5)
    methods = [method for method in METHODS if method.name == "logistic"]
    for method, layer in zip(
        methods, regress(one_batch(x, y), classes, methods=methods), strict=True
    ):
        direct = LogisticRegression(C=method.setting, tol=1e-8, max_iter=5000).fit(standard, y)
        logits = layer.logits(x)
        np.testing.assert_allclose(_softmax(logits), direct.predict_proba(standard), atol=2e-3)
        full = (
            direct.coef_ if classes > 2 else np.concatenate([-direct.coef_, direct.coef_]) / 2
        )
        np.testing.assert_allclose(layer.weight, full, atol=0.01 * np.abs(full).max())


def test_balanced_layers_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 12])
    x = rng.standard_normal((2, 20))[y] + rng.standard_normal((72, 20))
    standard = (x - x.mean(0)) / (x.std(0) * 20**0.5)
    methods = [Method("logistic", 10.0), Method("discriminant", 0.1)]
    logistic, discriminant = regress(one_batch(x, y), 2, methods=methods, balanced=True)
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
    assert (
        equal.fit(standard, y).predict(standard) == discriminant.logits(x).argmax(1)
    ).mean() > 0.9
    difference = np.diff(
        discriminant.logits(x) - regress(one_batch(x, y), 2, methods=methods)[1].logits(x),
        axis=1,
    )
    np.testing.assert_allclose(difference, np.log(60 / 12), atol=1e-9)


@pytest.mark.parametrize(("shift", "gains"), [(1.3, True), (9.0, False)])
def test_equal_weights_are_chosen_where_they_find_more_of_a_rare_class(
    shift: float, gains: bool
) -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [100, 16])
    x = in_each_block(rng.standard_normal((116, 3)) + shift * y[:, None] * np.eye(3)[0])
    clips = ClipStatistics(x, y, np.arange(116).astype(str), 2, class_weights="auto")
    choice = choose_eyes(clips)
    plain, balanced = [row for row in choice.table if row.choice == "class weights"]
    assert choice.candidate.balanced == gains == balanced.is_chosen
    assert (plain.measure, plain.loss - balanced.loss > 1 / 32) == (
        "mean error of the classes",
        gains,
    )
    unweighted = choose_eyes(clips._replace(class_weights="none")).held_out
    recalls, unweighted_recalls = (
        [(scores.argmax(1) == y)[y == k].mean() for k in (0, 1)]
        for scores in (choice.held_out.scores, unweighted.scores)
    )
    gain = np.mean(recalls) - np.mean(unweighted_recalls)
    assert gain > 1 / 16 if gains else gain == 0
    fixed = choose_eyes(clips._replace(class_weights="balanced" if gains else "none"))
    np.testing.assert_array_equal(fixed.held_out.scores, choice.held_out.scores)
    alike = choose_eyes(clips.subset(np.arange(95, 108)))
    assert (alike.candidate.balanced, alike.table[0].choice) == (False, "statistics"), (
        "not tried: five clips and eight"
    )
    assert fixed.candidate.balanced == gains


@pytest.mark.parametrize(("share", "columns"), [(0.0, 12), (0.1, 12), (0.6, 120)])
def test_the_discriminant_equals_that_of_scikit_learn(share: float, columns: int) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 3], [40, 20, 30])
    x = rng.standard_normal((4, columns))[y] + rng.standard_normal((90, columns))
    x *= rng.uniform(0.5, 3, columns)
    standard = (x - x.mean(0)) / (x.std(0) * columns**0.5)
    estimator = ShrunkCovariance(shrinkage=share)
    direct = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=estimator)
    logits = regress(one_batch(x, y), 4, methods=[Method("discriminant", share)])[0].logits(x)
    scores = direct.fit(standard, y).predict_proba(standard)
    np.testing.assert_allclose(_softmax(logits[:, [0, 1, 3]]), scores, atol=1e-6)
    assert _softmax(logits)[:, 2].max() < 1e-6, "a class without clips"


@pytest.mark.parametrize("copies", [1, 4])
def test_equal_clips_of_each_class_have_a_discriminant(copies: int) -> None:
    x = np.random.default_rng(0).standard_normal((3, 20)).repeat(copies, 0)
    y = np.arange(3).repeat(copies)
    logits = regress(one_batch(x, y), 3, methods=[Method("discriminant", 0.3)])[0].logits(x)
    assert (logits.argmax(1) == y).all()
    assert np.abs(logits).max() < 100


def test_it_learns_and_is_deterministic() -> None:
    training = squares([0, 1, 2] * 11, 1)
    first = made()
    second = made()
    assert str(fitted(first, training)) == str(fitted(second, training))
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)
    new = squares([0, 1, 2] * 10, 3)
    assert (answers(first, new).argmax(1) == new.tensors[1]).float().mean() > 0.95
    features = encoded(first, training)
    for count in (2, features.shape[1]):
        values = first.statistics(features[:, :count])[:, -1]
        standard = (values - first.head.center[count - 1]) / first.head.scale[count - 1]
        standard = standard[:, first.head.weight.any(0)]  # of the statistics that were chosen
        assert standard.mean(0).abs().max() < 1e-4
        assert abs(standard.square().sum(1).mean() - 1) < 0.3, (
            "clips are vectors of unit length, after two frames too"
        )


def test_the_first_frames_of_a_stream_are_standardized_as_first_frames_were() -> None:
    training = squares([0, 1, 2] * 11, 1)
    net = made()
    clips = statistics(net, training, "one")
    assert clips.x.dtype == np.float32
    assert clips.x.base is None, "the statistics after each frame are not kept"
    features = encoded(net, training)
    for count in range(1, features.shape[1]):
        values = net.statistics(features[:, :count])[:, -1].double().numpy()
        np.testing.assert_allclose(clips.early[0][count - 1], values.mean(0), atol=1e-6)
        np.testing.assert_allclose(clips.early[1][count - 1], values.std(0), atol=1e-6)
    fit_layer(net, clips, choose_eyes(clips).candidate)
    ends = torch.stack([net.head.center[-1], net.head.scale[-1]])
    fit_layer(net, clips._replace(early=None), choose_eyes(clips).candidate)
    assert torch.equal(ends, torch.stack([net.head.center[0], net.head.scale[0]]))


def test_the_choice_equals_a_naive_cross_validation() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    x = rng.standard_normal((30, 64))
    x[:, 16:] += 0.4 * rng.standard_normal((3, 48))[y]  # statistics of order tell the class
    clips = ClipStatistics(x, y, np.arange(30).astype(str), 3)
    choice = choose_eyes(clips)
    losses = {}
    for label, columns in {
        "all but order": slice(0, 16),
        "changes": slice(4, 16),
        "changes and order": slice(4, None),
    }.items():
        of_methods = np.zeros((len(METHODS), 10))
        for fit, test in clips.folds(5):
            layers = regress(one_batch(x[fit][:, columns], y[fit]), 3)
            for loss, layer in zip(of_methods, layers, strict=True):
                logits = layer.logits(x[test][:, columns])
                for t, temperature in enumerate(2.0 ** np.arange(-2, 8)):
                    loss[t] -= np.log(
                        _softmax(logits / temperature)[range(len(test)), y[test]]
                    ).sum()
        losses |= {
            (label, method): loss.min()
            for method, loss in zip(METHODS, of_methods, strict=True)
        }
    name, method = min(losses, key=lambda key: losses[key])
    assert f"statistics {name}, {method} (" in summary(choice.table)
    assert (choice.candidate.statistics, choice.candidate.method) == (SETS[name], method)
    assert name == "changes and order"
    assert (choice.held_out.scores.argmax(1) == y).mean() > 0.5


def test_a_model_that_was_moved_to_another_device_can_be_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = made(2)
    # as on a GPU: the weights are other tensors
    monkeypatch.setattr(LinearClassifier, "to", lambda self, _: self._apply(torch.clone))
    fitted(model, squares([0, 1] * 6, 0))
    new = squares([0, 1] * 6, 3)
    assert torch.equal(answers(model, new).argmax(1), new.tensors[1])


def test_clips_of_a_recording_are_kept_together() -> None:
    clips = twins()
    apart = clips._replace(groups=np.arange(80).astype(str))
    assert (choose_eyes(apart).held_out.scores.argmax(1) == clips.y).all(), (
        "copies on both sides tell the class"
    )
    choice = choose_eyes(clips)
    assert (choice.held_out.scores.argmax(1) == clips.y).mean() <= 0.75
    np.testing.assert_allclose(
        cross_validated(clips, choice)[0].scores, choice.held_out.scores, atol=1e-3
    )
    held_out, thresholds = cross_validated(clips)
    scores = held_out.scores
    assert (scores.argmax(1) == clips.y).mean() < 0.75, (
        "though the layer fits all training clips"
    )
    np.testing.assert_allclose(scores.sum(1), 1)
    assert np.isnan(thresholds).all(), "no class in which nothing happens"


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_two_clips_of_each_class_make_nobody_certain(seed: int) -> None:
    """In cross-validation, layers are fitted to one of them, which does not say how those of a class
    differ: discriminants had another scale there, and were certain of everything.
    """
    random = np.random.default_rng(seed)
    classes = random.normal(0, 1, (5, 512))

    def clips(count: int) -> ClipStatistics:
        y = np.repeat(np.arange(5), count)
        x = classes[y] + random.normal(0, 6, (len(y), 512))
        return ClipStatistics(x, y, np.tile(np.arange(count), 5).astype(str), num_classes=5)

    few = clips(2)
    new = clips(40)
    choice = choose_eyes(few)
    logits = linear.fitted_layer(few, choice.candidate, np.arange(10)).logits(new.x)
    confidence = softmax(logits / choice.temperature, 1).max(1)
    assert (logits.argmax(1) == new.y).mean() < 0.5
    assert confidence.mean() < 0.8


def seen_twice(pictures: float, motion: float) -> ClipStatistics:
    """Clips of ten recordings, of which both eyes have noise, and this much of the class."""
    random = np.random.default_rng(0)
    y = np.tile([0, 1], 20)
    x = random.normal(0, 1, (40, 32))
    x[:, :8] += pictures * (2 * y[:, None] - 1)
    vectors = random.normal(0, 1, (40, 8)) + motion * (2 * y[:, None] - 1)
    groups = np.repeat(np.arange(10), 4).astype(str)
    seen = {"motion": EyeVectors(vectors, np.eye(8))}
    return ClipStatistics(x, y, groups, num_classes=2, eyes=seen)


def test_motion_counts_only_if_it_is_clearly_better() -> None:
    choice = choose_eyes(seen_twice(1, 0))
    tried = {row.candidate: row for row in choice.table if row.choice == "eyes"}
    assert tried["both"].loss < tried["pictures"].loss < tried["motion"].loss
    assert choice.candidate.eyes == "pictures", "by chance"
    assert tried["pictures"].is_chosen
    assert tried["both"].outcome == "better than the default, but not clearly: it may be chance"
    choice = choose_eyes(seen_twice(0.4, 0.4))
    assert choice.candidate.eyes != "pictures"
    assert f"eyes {choice.candidate.eyes} (" in summary(choice.table)


@pytest.mark.parametrize(
    ("clips", "eyes", "named"),
    [
        (seen_twice(1, 0), "pictures", set()),
        (seen_twice(0, 1), "motion", {"motion"}),
        (
            seen_twice(0.5, 0.5)._replace(requested="both"),
            "both",
            {"motion", "weight of motion"},
        ),
    ],
)
def test_choices_without_effect_on_the_chosen_eyes_are_not_named(
    clips: ClipStatistics, eyes: str, named: set[str]
) -> None:
    choice = choose_eyes(clips)
    assert choice.candidate.eyes == eyes
    tried = {row.choice for row in choice.table}
    assert {"motion", "weight of motion"} <= tried, "the table has what was tested"
    chosen = {row.choice for row in choice.table if row.is_chosen}
    assert chosen == tried - ({"motion", "weight of motion"} - named)
    for name in ("motion", "weight of motion"):
        assert (f"; {name} " in summary(choice.table)) == (name in named)


def test_of_many_clips_a_sample_of_all_classes_and_recordings_chooses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips = twins()
    few = clips.sampled()
    assert few.tolist() == [*range(len(clips.y))], "all of few clips"
    monkeypatch.setattr(linear, "MANY", 30)
    positions = clips.sampled()
    assert len(positions) == len({*positions.tolist()}) == 30
    shares = np.bincount(clips.y[positions]) / 30
    np.testing.assert_allclose(shares, np.bincount(clips.y) / len(clips.y), atol=1 / 30)
    choice = choose_eyes(clips)
    expected = choose_eyes(clips.subset(positions), INNER_FOLDS)
    assert summary(choice.table) == summary(expected.table)
    assert np.flatnonzero(choice.held_out.tested).tolist() == positions.tolist()
    np.testing.assert_equal(choice.held_out.scores[positions], expected.held_out.scores)
    # the layer is fitted to all clips
    layer = fitted_layer(clips, choice.candidate)
    assert not np.allclose(layer.center, clips.x[positions].mean(0))
    np.testing.assert_allclose(
        layer.center[layer.weight.any(0)], clips.x.mean(0)[layer.weight.any(0)]
    )


def test_the_threshold_of_a_cross_validated_clip_is_chosen_without_it() -> None:
    clips = twins()._replace(nothing=1)
    held_out, thresholds = cross_validated(clips)
    for fit, test in clips.folds(FOLDS):
        inside = choose_eyes(clips.subset(fit), INNER_FOLDS)
        assert {*thresholds[test]} == {inside.held_out.event_threshold()}
    assert len({*thresholds}) > 1
    assert held_out.tested.all()
    choice = choose_eyes(clips)
    assert {*cross_validated(clips, choice)[1]} == {choice.held_out.event_threshold()}


def test_a_single_recording_cannot_be_divided() -> None:
    clips = twins()._replace(groups=np.array(["one"] * 80))
    choice = choose_eyes(clips)
    assert (choice.candidate.statistics, choice.temperature) == (UNORDERED, 1.0)
    assert np.isnan([choice.held_out.scores, cross_validated(clips)[0].scores]).all()


def test_a_class_without_training_clips_is_never_predicted() -> None:
    model = made(4)
    fitted(model, squares([0, 1, 3] * 4, 1))
    scores = answers(model, squares([0, 1, 2, 3] * 3, 3))
    assert scores[:, 2].max() < 1e-6
    assert sorted(set(scores.argmax(1).tolist())) == [0, 1, 3]


def test_a_single_class_and_features_that_are_not_finite_are_errors() -> None:
    model = made()
    with pytest.raises(
        ValueError, match="all 6 training clips are of one class, expected two classes or more"
    ):
        fitted(model, squares([1] * 6, 1))
    training = stored(model, squares([0, 1, 2], 1))
    training.tensors[0][0, 0, 0, 0, 0] = torch.inf
    with pytest.raises(
        ValueError, match="features of the training clips are not finite; use another encoder"
    ):
        fitted(model, training)


def test_copies_are_parts_of_the_frames_and_mirrored_frames() -> None:
    net = made()
    training = squares([0, 1, 2] * 3, 1)
    frames = training.tensors[0]
    clips = statistics(net, training)
    mirrored = net.statistics(net.encode_video(to_video(frames.flip(3), "half")))[:, -1]
    np.testing.assert_allclose(clips.copies[2], mirrored.double().detach().numpy(), atol=1e-6)
    # Of frames that are bright in one corner only, one crop has more of it than the other.
    frames[:] = 0
    frames[:, :, :3, 13:] = 255
    upper_right, lower_left, _ = statistics(net, training).copies
    frames[:] = 0
    black = statistics(net, training).x
    np.testing.assert_allclose(lower_left, black, atol=1e-6)
    assert np.abs(upper_right - black).max() > 1e-3


def test_many_clips_and_stored_features_have_no_copies() -> None:
    net = made()
    for samples in (squares([0, 1, 2] * 22, 1), stored(net, squares([0, 1, 2], 1))):
        assert statistics(net, samples, "one").copies == ()


def test_copies_are_used_if_they_help() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(24) % 2
    seen, crop, other = (
        in_each_block(rng.normal(0, 1.5, (24, 20)) + np.eye(20)[y] * 3) for _ in range(3)
    )
    # as mirrored gestures of the left and the right
    wrong = in_each_block(rng.normal(0, 1.5, (24, 20)) + np.eye(20)[1 - y] * 3)
    clips = ClipStatistics(seen, y, np.arange(24).astype(str), 2)
    given = clips._replace(copies=(crop, other, wrong))
    cropped = choose_eyes(given)
    assert "altered copies two crops of each clip (log loss" in summary(cropped.table)
    similar = clips._replace(copies=(crop, other, other + crop - seen))
    assert [choose_eyes(option).candidate.copies for option in (clips, given, similar)] == [
        0,
        2,
        2,
    ]
    # A layer is fitted to the clips and to their copies, and tested by clips alone.
    held_out, _ = cross_validated(clips._replace(copies=(crop, other)), cropped)
    for fit, test in clips.folds(5):
        columns = clips.columns(cropped.candidate.statistics)
        x = np.concatenate([seen[fit], crop[fit], other[fit]])[:, columns]
        (layer,) = regress(
            one_batch(x, np.tile(y[fit], 3)), 2, methods=(cropped.candidate.method,)
        )
        logits = layer.logits(seen[test][:, columns])
        scores = _softmax(logits / cropped.temperature)
        np.testing.assert_allclose(held_out.scores[test], scores, atol=1e-9)


DEFAULT = complete(Settings())
DEFAULT_DATA = DEFAULT.data


def reversed_clips(action: str, people: int, seed: int) -> TensorDataset:
    """Clips of different people, each as it is and then backwards; class 1: what rises, or moves to
    the right.
    """
    figures = StickFigures(frames=16, fps=8, size=(112, 112), people=people)
    frames: list[Tensor] = []
    targets: list[int] = []
    for number in range(people):
        video = figures.video(action, number, seed=seed)
        pixels = torch.from_numpy(resize(video.pixels, 112, 3))
        x = video.boxes[:, [0, 2]].mean(1)
        first = int(action == "raise_arm" or x[-1] > x[0])
        frames += [pixels, pixels.flip(0)]
        targets += [first, 1 - first]
    return TensorDataset(torch.stack(frames), torch.tensor(targets), torch.arange(len(targets)))


@pytest.mark.parametrize(
    ("action", "people"),
    [("raise_arm", 12), pytest.param("walk", 20, marks=pytest.mark.slow)],
)
def test_a_clip_and_its_reverse_are_told_apart(action: str, people: int) -> None:
    training = reversed_clips(action, people, seed=0)
    frames, targets, _ = reversed_clips(action, people // 2, seed=5).tensors
    net = configured(DEFAULT, 2).eval()
    groups = [str(index // 2) for index in range(len(training))]
    clips, _ = statistics_of(net, training, groups, data=DEFAULT_DATA, copies=False)
    choice = choose_eyes(clips)
    assert set(ORDERED) < set(choice.candidate.statistics)
    losses = {row.candidate: row.loss or 0 for row in choice.table}
    method = choice.candidate.method
    assert losses[f"changes and order, {method}"] < 0.5 < losses[f"changes, {method}"]
    fit_layer(net, clips, choice.candidate)
    with torch.inference_mode():
        features = (encode_samples(net, sample[None], DEFAULT_DATA) for sample in frames)
        logits = torch.cat([net.forward_features(each).logits[:, -1] for each in features])
    margins = (logits[:, 1] - logits[:, 0]).view(-1, 2).numpy()
    first = targets.numpy()[::2]
    assert ((margins[:, 0] > margins[:, 1]) == first).mean() >= 0.95
