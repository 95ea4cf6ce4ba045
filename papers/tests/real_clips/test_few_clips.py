"""What few clips give: draws, and figures of made clips."""

import numpy as np
import pytest

from onlooker.training.linear import ClipStatistics
from onlooker_papers.real_clips import few_clips
from onlooker_papers.real_clips.few_clips import ENCODER, Draw, auroc, averaged, figures_of
from onlooker_papers.real_clips.frozen import model


def made(count: int, seed: int = 0, offset: float = 0.0) -> ClipStatistics:
    """Clips of six classes, four in each recording, whose classes differ."""
    random = np.random.default_rng(seed)
    M = model(2, True, ENCODER).num_features
    y = np.arange(count) % 6
    x = random.normal(0.5, 0.1, (count, M)) + offset
    x[:, :6000] += 0.3 * np.eye(6)[y].repeat(1000, axis=1)
    return ClipStatistics(x, y, np.repeat(np.arange(count // 4), 4).astype(str), num_classes=6)


@pytest.mark.parametrize("count", [24, 48])
def test_a_draw_has_other_recordings_than_its_test(count: int) -> None:
    clips = made(240)
    draw = Draw.of(clips, count, np.random.default_rng(3))
    assert len(draw.train) == count
    assert not {*clips.groups[draw.train]} & {*clips.groups[draw.test]}
    assert {*draw.y[draw.train]} == {*range(4)}, "each of four classes is drawn"
    of_test = np.unique(clips.y[draw.test])
    assert np.array_equal(np.unique(draw.y[draw.test]), np.arange(4))
    assert np.array_equal(of_test, np.unique(clips.y[draw.train]))


def test_auroc_is_the_share_of_pairs() -> None:
    random = np.random.default_rng(0)
    own, foreign = random.integers(0, 9, 30), random.integers(3, 12, 20)
    pairs = [(f > o) + (f == o) / 2 for f in foreign for o in own]
    assert auroc(own, foreign) == pytest.approx(np.mean(pairs))


def test_figures_of_made_clips() -> None:
    clips = made(96)
    draw = Draw.of(clips, 24, np.random.default_rng(0))
    foreign = {"elsewhere": made(12, 1, 3.0).x, few_clips.BROKEN: np.zeros_like(clips.x[:3])}
    figures = figures_of(clips, draw, foreign)
    assert figures["accuracy"] > 0.5
    mean = averaged([figures, {**figures, "error": figures["perfect"]}])
    assert mean["hardest"] == "elsewhere"
    assert mean["lowest"] == mean["foreign"] == figures["auroc"]["elsewhere"] > 0.99
    assert mean["close"] in (1, 2)
    assert mean["draws"] == 2
