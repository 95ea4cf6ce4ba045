"""What is farther from the training clips than a new recording is unusual."""

import numpy as np
import pytest
import torch
from scipy.stats import t

from onlooker.models.linear import UNORDERED, LinearClassifier
from onlooker.training.linear import Candidate, ClipStatistics, EyeVectors, fit_layer
from onlooker.training.regression import Method
from onlooker.training.unusual import Spread, upper_bound, usual_distance, usual_seen

CHOICE = Candidate(("spread", "change"), Method("discriminant", 0.6))


class Made:
    """Clips of recordings that differ, in the statistics of a small model."""

    def __init__(self, recordings: int) -> None:
        torch.manual_seed(0)
        self.net = LinearClassifier(2, window=4, size=16).eval()
        self.random = np.random.default_rng(0)
        x = self.statistics(recordings)
        y = np.arange(len(x)) % 2
        x[y == 1] += 0.5
        groups = np.repeat(np.arange(recordings), 6).astype(str)
        self.clips = ClipStatistics(x, y, groups, num_classes=2)

    def statistics(self, recordings: int) -> np.ndarray:
        """Of six clips of each recording; what is not chosen has another scale."""
        M = self.net.num_features
        place = np.repeat(self.random.normal(0, 0.5, (recordings, M)), 6, 0)
        return (place + self.random.normal(0, 1, place.shape)) * np.geomspace(1, 100, M)

    def distances(self, x: np.ndarray) -> np.ndarray:
        """As the model computes them, of clips with these statistics."""
        columns = self.clips.columns(UNORDERED)
        center = self.net.head.center[-1].numpy()[columns]
        scale = self.net.head.scale[-1].numpy()[columns]
        return (((x[:, columns] - center) / scale) ** 2).sum(1)


def test_few_new_recordings_are_unusual_and_foreign_clips_are() -> None:
    made = Made(12)
    fit_layer(made.net, made.clips, CHOICE)
    limit = usual_distance(made.clips, CHOICE)
    assert limit is not None
    new = made.distances(made.statistics(300)).reshape(300, 6).max(1)
    assert (new > limit).mean() < 0.03
    assert limit < 2 * np.quantile(new, 0.99), "not far beyond what recordings have"
    assert (made.distances(made.statistics(10) * 3) > limit).all()


def test_another_place_is_unusual_where_only_changes_tell_the_classes() -> None:
    """The mean of the features is another one there; the layer does not use it."""
    made = Made(12)
    fit_layer(made.net, made.clips, CHOICE)
    limit = usual_distance(made.clips, CHOICE)
    elsewhere = made.statistics(10)
    mean = made.clips.columns(("mean",))
    assert not made.net.head.weight[:, mean].any()
    assert limit is not None
    assert (made.distances(elsewhere) <= limit).all()
    elsewhere[:, mean] += 4 * made.clips.x[:, mean].std(0)
    assert (made.distances(elsewhere) > limit).all()
    features = torch.rand(1, 4, *made.net.encode(torch.zeros(1, 3, 16, 16)).shape[1:])
    output = made.net.forward_features(features)
    assert output.distance is not None
    expected = made.distances(made.net.statistics(features)[:, -1].double().numpy())
    np.testing.assert_allclose(output.distance[:, -1].detach().numpy(), expected, rtol=1e-3)


def test_few_new_recordings_and_all_foreign_clips_are_unusual_by_their_motion() -> None:
    made = Made(12)
    random = np.random.default_rng(1)

    def vectors(recordings: int, foreign: float = 0.0) -> np.ndarray:
        place = np.repeat(random.normal(0, 0.3, (recordings, 30)), 6, 0)
        made = place + random.normal(foreign, 1, place.shape) + 2 * (np.arange(30) < 15)
        return (
            2 * made / np.linalg.norm(made, axis=1, keepdims=True)
        )  # of four parts of length 1

    x = vectors(12)
    x[7] = 0  # nothing moves
    clips = made.clips._replace(eyes={"motion": EyeVectors(x, np.eye(30))})
    limit = usual_seen(clips, "motion")
    assert limit is not None
    spread = Spread.of(x)
    assert spread.distances(x).sum() == pytest.approx(len(x) - 1)
    new = spread.distances(vectors(300)).reshape(300, 6).max(1)
    assert (new > limit).mean() < 0.03
    assert (spread.distances(vectors(10, foreign=-3.0)) > limit).all()
    squares = np.square(x - x[x.any(1)].mean(0)).sum(1)[x.any(1)]
    np.testing.assert_allclose(spread.distances(x)[x.any(1)], squares / squares.mean())
    assert spread.distances(np.zeros((1, 30))) == 0
    still = Spread.of(np.zeros((4, 30)))
    assert still.distances(x[:1]) > 0
    assert (
        usual_seen(clips._replace(eyes={"motion": EyeVectors(0 * x, np.eye(30))}), "motion")
        is None
    )
    # what is as far as the limit of motion is as far as that of pictures
    factor = spread.factor(5.0, limit)
    assert factor * spread.square * limit == pytest.approx(5)
    assert spread.factor(None, limit) == spread.factor(5.0, None) == 0


def test_of_few_recordings_little_is_known() -> None:
    limits = [usual_distance(Made(count).clips, CHOICE) for count in (2, 4, 40)]
    assert None not in limits
    assert limits[0] > limits[1] > limits[2]
    assert usual_distance(Made(1).clips, CHOICE) is None


def test_a_few_recordings_have_a_usual_spread() -> None:
    """That of two alone would allow everything."""
    assert 4 < upper_bound([2.0, 5.0]) < 40
    assert upper_bound([2.0, 2.1, 2.2]) < 4, "a narrow interval stays"
    logs = np.array([0.1, 0.4, 0.8, 1.0, 1.3, 1.9])
    of_few = t.ppf(0.99, 5) * logs.std(ddof=1) * np.sqrt(7 / 6)
    pooled = np.sqrt((5 * logs.var(ddof=1) + 10 * 0.6**2) / 15)
    with_prior = t.ppf(0.99, 15) * pooled * np.sqrt(7 / 6)
    assert with_prior < of_few
    assert upper_bound(np.exp(logs)) == pytest.approx(np.exp(logs.mean() + with_prior))


def test_an_odd_recording_of_many_is_no_limit_of_its_own() -> None:
    """One in a hundred recordings may be unusual; of fewer, the farthest one is usual."""
    made = Made(150)
    x = made.clips.x.copy()
    x[:6] *= 20
    limit = usual_distance(made.clips._replace(x=x), CHOICE)
    few = made.clips.subset(np.arange(120))
    assert limit < usual_distance(few._replace(x=x[:120]), CHOICE)


def test_the_distance_of_training_clips_is_one_on_average_for_what_the_layer_uses() -> None:
    torch.manual_seed(0)
    net = LinearClassifier(2, window=4, size=16).eval()
    features = torch.randn(20, 4, net.encoder.num_features, *net.grid) * torch.linspace(
        0.5, 2, 20
    ).view(-1, 1, 1, 1, 1)
    with torch.inference_mode():
        x = net.statistics(features)[:, -1].double().numpy()
    clips = ClipStatistics(x, np.arange(20) // 10, np.arange(20).astype(str), num_classes=2)
    fit_layer(net, clips, CHOICE)
    with torch.inference_mode():
        distance = net.forward_features(features).distance
        foreign = net.forward_features(12 * features[:1]).distance
    assert distance.shape == (20, 4)
    of_one = len(UNORDERED) / len(CHOICE.statistics)  # others count alike
    assert distance[:, -1].mean() == pytest.approx(of_one, rel=1e-4)
    assert foreign[0, -1] > 20 * distance[:, -1].max()
    assert distance[:, -1].numpy() == pytest.approx(
        (
            ((x - net.head.center[-1].numpy()) / net.head.scale[-1].numpy())[
                :, clips.columns(UNORDERED)
            ]
            ** 2
        ).sum(1),
        rel=1e-3,
    )
