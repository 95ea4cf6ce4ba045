"""The share of swapped labels in the first tenth of the clips that `onlooker train` lists as doubtful.

    python -m onlooker_papers.real_clips.label_errors      # 2 minutes of one core

Labels of 5 % of the clips are replaced by random other classes, and all clips are cross-validated with these labels, as
in `onlooker train`. The set is one on which the default command has an accuracy of more than 90 %.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.evaluation.conclusion import label_errors
from onlooker.training.linear import Clips, cross_validated
from onlooker_papers.real_clips.frozen import encode
from onlooker_papers.results import About, Row, write_rows

FILE = "label-errors"
COMMAND = "python -m onlooker_papers.real_clips.label_errors"
OF = "weizmann"
SWAPPED, LISTED, DRAWS = 0.05, 0.1, 20


def swap(clips: Clips, count: int, seed: int) -> tuple[Clips, NDArray[np.int64]]:
    """Replace `count` random labels by other classes; returns the clips, and the positions of the wrong labels."""
    rng = np.random.default_rng(seed)
    swapped, y = rng.choice(len(clips.y), count, replace=False), clips.y.copy()
    y[swapped] = (y[swapped] + rng.integers(1, clips.num_classes, count)) % clips.num_classes
    return clips._replace(y=y), swapped


def share_listed(clips: Clips, seed: int) -> float:
    """The share of the swapped labels that are in the first tenth of the list."""
    doubtful, swapped = swap(clips, round(SWAPPED * len(clips.y)), seed)
    order = label_errors(cross_validated(doubtful)[0], doubtful.y)
    return float(np.isin(swapped, order[: round(LISTED * len(order))]).mean())


def measure(run: Path, results: Path) -> dict[str, Any]:
    """Compute the mean share over draws, and write it to `label-errors.json`."""
    clips = encode(OF, run).clips
    shares = [share_listed(clips, seed) for seed in range(DRAWS)]
    figures = {
        "found": float(np.mean(shares)),
        "spread": float(np.std(shares)),
        "clips": len(clips.y),
        "swapped": round(SWAPPED * len(clips.y)),
        "accuracy": float((cross_validated(clips)[0].argmax(1) == clips.y).mean()),
        "draws": DRAWS,
    }
    settings = {"swapped": SWAPPED, "listed": LISTED, "draws": DRAWS}
    what = "swapped labels among the first tenth of the clips, most doubtful first"
    write_rows(results, FILE, About(what, COMMAND, [*range(DRAWS)]), {(OF,): Row(figures, settings)})
    return figures


def main() -> None:
    """Measure."""
    print(measure(Path("runs/real-clips/features"), Path("results")))


if __name__ == "__main__":
    main()
