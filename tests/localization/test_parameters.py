"""Parameters are validated, and chosen by the lowest cost."""

from typing import Any

import pytest

from onlooker.localization.parameters import LocalizationParameters, explanation_cost


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"onset": 1.1}, "onset is 1.1, expected at least 0 and at most 1"),
        ({"level": float("nan")}, "level is nan, expected a finite number"),
    ],
)
def test_values_out_of_range(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalizationParameters(**changed)


def test_the_cost_is_lowest_for_the_smallest_region_that_determines_the_class() -> None:
    names = ("exact", "too large", "a part", "elsewhere")
    areas, kept, deleted = (0.04, 0.5, 0.02, 0.04), (0.95, 0.95, 0.9, 0.1), (0.05, 0.05, 0.4, 0.95)
    costs = dict(zip(names, explanation_cost(areas, kept, deleted), strict=True))
    assert min(costs, key=lambda name: costs[name]) == "exact"
    assert costs["exact"] == pytest.approx(0.04 + 0.05 + 0.05)
    assert max(costs, key=lambda name: costs[name]) == "elsewhere"
    assert explanation_cost(1.0, 1.0, 0.0) == 1  # all of the frame
