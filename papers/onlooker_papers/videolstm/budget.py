"""Budgets of VideoLSTM's ablation on the moving target."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onlooker.config import TrainConfig
from onlooker_papers.videolstm.ablation import TRAINING
from onlooker_papers.videolstm.timing import Timing


@dataclass(frozen=True)
class Budget:
    """The size of the experiments.

    Args:
        name: a description for the page.
        clips: number of training clips of every model.
        seeds: seeds of each model.
        counts: number of `validation` and `test` clips.
        training: training settings.
        timing: size of the experiment with clips in which the digit moves only for a part of the time.
    """

    name: str
    clips: int
    seeds: tuple[int, ...]
    counts: Mapping[str, int]
    training: TrainConfig
    timing: Timing


BUDGETS = {
    "quick": Budget(
        "quick: minutes, to see that everything runs", 160, (0,), {"validation": 50, "test": 100},
        replace(TRAINING, epochs=3),
        Timing(160, {"validation": 50, "test": 100}, replace(TRAINING, epochs=3)),
    ),
    "standard": Budget(
        "standard: some two hours on two cores", 2000, (0, 1, 2), {"validation": 300, "test": 1000},
        replace(TRAINING, epochs=12),
        Timing(1000, {"validation": 200, "test": 500}, replace(TRAINING, epochs=10)),
    ),
}  # fmt: skip
