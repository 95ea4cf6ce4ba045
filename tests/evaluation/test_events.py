"""The threshold of events: the highest one that finds nine of ten events."""

import numpy as np
import pytest

from onlooker.evaluation.events import choose_threshold

NOTHING = 1


def test_the_threshold_is_the_highest_that_finds_the_share_of_events() -> None:
    random = np.random.default_rng(0)
    scores, targets = random.dirichlet(np.ones(3), 57), random.integers(0, 3, 57)
    highest, events = scores[:, [0, 2]].max(1), targets != 1
    for share in (0.5, 0.9, 1.0):
        chosen = choose_threshold(scores, targets, NOTHING, share)
        assert chosen is not None
        found = [(highest[events] >= threshold).mean() for threshold in sorted({*highest})]
        best = max(t for t, f in zip(sorted({*highest}), found, strict=True) if f >= share)
        assert chosen.probability == best
        assert chosen.found == (highest[events] >= best).mean() >= share
        assert chosen.false_alarms == (highest[~events] >= best).mean()


def test_one_of_ten_events_may_be_missed_but_not_one_of_nine() -> None:
    scores = np.array([[p, 1 - p, 0] for p in (0.1, *[0.8] * 9)])
    targets = np.zeros(11, int)
    targets[-1] = 1
    with_nothing = np.concatenate([scores, [[0.2, 0.8, 0]]])
    ten = choose_threshold(with_nothing, targets, NOTHING)
    assert ten == (0.8, 0.9, 0.0)
    assert (
        str(ten)
        == "0.80 for an event, else nothing (90 % of events found, 0 % false alarms, on the clips of this choice)"
    )
    assert choose_threshold(np.delete(with_nothing, 1, 0), targets[1:], NOTHING) == (0.1, 1.0, 1.0)


@pytest.mark.parametrize(("targets", "nothing"), [([0, 2, 0], NOTHING), ([1, 1, 1], NOTHING), ([0, 1, 2], None)])
def test_no_threshold_without_both_events_and_clips_of_nothing(targets: list[int], nothing: int | None) -> None:
    assert choose_threshold(np.eye(3), np.array(targets), nothing) is None
