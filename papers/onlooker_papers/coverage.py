"""How often 95 % intervals of an accuracy have the true accuracy, by simulation.

    python -m onlooker_papers.coverage        # ten minutes; writes results/coverage.json

Recordings have 1 to about 30 clips, 9 in the mean. Each recording has its own probability of a
correct clip, from a beta distribution around the accuracy, by which two clips of a recording are
correlated. `interval`: of `onlooker.measure.metrics.accuracy_interval`. `bootstrap`: between
percentiles of the shares of recordings that are drawn with replacement, or, where all of them are
alike, Wilson's of as many trials, as in version 0.2.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.cli.command import command
from onlooker.measure.metrics import accuracy_interval, wilson_interval
from onlooker_papers.results import About, Key, Row, write_rows

FILE = "coverage"
COMMAND = "python -m onlooker_papers.coverage"
WHAT = "how often 95 % intervals of an accuracy over recordings have the true accuracy, simulated"
RECORDINGS = (2, 3, 5, 9, 20, 40)
ACCURACIES = (0.5, 0.75, 0.9, 0.97)
CORRELATIONS = (0.0, 0.1, 0.25, 0.5)
_RESAMPLES = 1000

Floats = NDArray[np.float64]


def drawn(
    count: int, accuracy: float, correlation: float, *, random: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Which clips are correct, and their recordings, `B` each."""
    sizes = 1 + random.poisson(random.gamma(1.5, 8 / 1.5, count))
    shares = np.full(count, accuracy)
    if correlation:
        strength = 1 / correlation - 1
        shares = random.beta(accuracy * strength, (1 - accuracy) * strength, count)
    recordings = np.repeat(np.arange(count), sizes)
    return (random.random(len(recordings)) < shares[recordings]).astype(float), recordings


def bootstrap(
    correct: Floats, recordings: NDArray[np.int64], random: np.random.Generator
) -> tuple[float, float]:
    """The interval between percentiles of resampled recordings."""
    clips = np.bincount(recordings)
    right = np.bincount(recordings, correct)
    rows = random.integers(0, len(clips), (_RESAMPLES, len(clips)))
    low, high = np.quantile(right[rows].sum(1) / clips[rows].sum(1), (0.025, 0.975))
    if low == high:
        low, high = wilson_interval(float(low), len(clips))
    return float(low), float(high)


def covered(count: int, accuracy: float, correlation: float, *, draws: int) -> tuple[float, float]:
    """The shares of simulations in which the interval, and the bootstrap, have the accuracy."""
    seed = [count, round(100 * accuracy), round(100 * correlation)]
    random = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(draws):
        correct, recordings = drawn(count, accuracy, correlation, random=random)
        ends = accuracy_interval(correct, recordings)
        assert ends is not None
        intervals = (ends, bootstrap(correct, recordings, random))
        hits += [low <= accuracy <= high for low, high in intervals]
    model, resampled = (hits / draws).tolist()
    return model, resampled


def measure(count: int, draws: int) -> dict[str, dict[str, float]]:
    """The mean, lowest and highest coverage over accuracies and correlations."""
    cells = np.array(
        [
            covered(count, accuracy, correlation, draws=draws)
            for accuracy in ACCURACIES
            for correlation in CORRELATIONS
        ]
    )
    return {
        name: {"mean": column.mean(), "lowest": column.min(), "highest": column.max()}
        for name, column in zip(("interval", "bootstrap"), cells.T, strict=True)
    }


def coverage(
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    draws: Annotated[int, typer.Option(help="Simulations of each cell.")] = 1000,
) -> None:
    """How often 95 % intervals have the true accuracy."""
    rows: dict[Key, Row] = {
        (str(count),): Row(measure(count, draws), {"draws": draws}) for count in RECORDINGS
    }
    write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows=rows)


app = typer.Typer(add_completion=False)
command(coverage, app)

if __name__ == "__main__":
    app()
