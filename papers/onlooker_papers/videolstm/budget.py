"""Budgets of VideoLSTM's ablation on the moving target."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onlooker.base.config import TrainConfig
from onlooker_papers.videolstm.ablation import TRAINING


@dataclass(frozen=True)
class Budget:
    """The size of the experiments.

    Args:
        name: a description for the page.
        clips: number of training clips of every model.
        seeds: seeds of each model.
        counts: number of `validation` and `test` clips.
        training: training settings.
    """

    name: str
    clips: int
    seeds: tuple[int, ...]
    counts: Mapping[str, int]
    training: TrainConfig


BUDGETS = {
    "quick": Budget(
        "quick: minutes, to see that everything runs",
        160,
        (0,),
        {"validation": 50, "test": 100},
        replace(TRAINING, epochs=3),
    ),
    "standard": Budget(
        "standard: hours on two cores",
        2000,
        (0, 1, 2),
        {"validation": 300, "test": 1000},
        replace(TRAINING, epochs=12),
    ),
}
