"""95 % intervals have the true accuracy in 95 % of simulations, also with few recordings."""

import numpy as np
import pytest

from onlooker_papers.coverage import ACCURACIES, CORRELATIONS, RECORDINGS, covered, drawn


@pytest.mark.parametrize(("count", "accuracy"), [(3, 0.75), (9, 0.9)])
def test_intervals_of_few_recordings_cover(count: int, accuracy: float) -> None:
    model, bootstrap = covered(count, accuracy, 0.25, draws=200)
    assert model > 0.92
    assert bootstrap < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("count", RECORDINGS)
def test_intervals_cover(count: int) -> None:
    cells = [
        covered(count, accuracy, correlation, draws=400)[0]
        for accuracy in ACCURACIES
        for correlation in CORRELATIONS
    ]
    assert min(cells) > 0.88
    assert np.mean(cells) > 0.94


def test_clips_of_drawn_recordings_are_as_alike_as_they_should_be() -> None:
    random = np.random.default_rng(0)
    pairs = list[tuple[float, float]]()
    for _ in range(300):
        correct, recordings = drawn(9, 0.75, 0.25, random=random)
        first = np.unique(recordings, return_index=True)[1]
        pairs += [
            (correct[place], correct[place + 1])
            for place in first.tolist()
            if place + 1 < len(correct) and recordings[place + 1] == recordings[place]
        ]
    one, other = np.array(pairs).T
    assert one.mean() == pytest.approx(0.75, abs=0.03)
    assert np.corrcoef(one, other)[0, 1] == pytest.approx(0.25, abs=0.06)
