"""The plan of large sets and many cameras, computed by hand for round rates."""

import plan
import pytest


def test_needs_of_round_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"frame": 0.36, "clip": 3.6, "decoded": 0.001, "classified": 0.002}
    monkeypatch.setattr(plan, "core_seconds", lambda: seconds)
    asked = plan.Plan(
        clips=1_000_000, frames=10, clip_megabytes=2, epochs=2, cameras=100, camera_rate=20, rate=10, cores=10, days=1,
        core_hour=0.1, terabyte_month=30,
    )  # fmt: skip
    features, training, cameras = plan.needs(asked).values()
    stored = 2 + 1e7 * 49 * 512 * 2 / 1e12  # TB of clips and of maps
    assert features["terabytes"] == training["terabytes"] == pytest.approx(stored, abs=0.01)
    assert (features["core_hours"], features["machines"], features["hours"]) == (1000, 5, 20)
    assert features["cost"] == round(1000 * 0.1 + stored)
    assert (training["core_hours"], training["machines"], training["hours"]) == (2000, 9, 23)
    assert (cameras["core_hours"], cameras["machines"], cameras["hours"]) == (4 * 730, 1, 730)
    assert cameras["cost"] == 292


def test_measured_rates_are_there() -> None:
    assert {name: rate > 0 for name, rate in plan.core_seconds().items()} == dict.fromkeys(
        ("frame", "clip", "decoded", "classified"), True
    )
