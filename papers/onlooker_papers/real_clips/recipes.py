"""The comparisons on folders of real clips: the experiments behind `results/real-clips.json`.

Models of VideoLSTM's ablation (Li et al. 2016) and of the HMDB-51 report (Teja & Akunuri 2020),
trained from random weights. The clips are in `clips/` of `$ONLOOKER_DATA`. All of it takes hours on
two cores and can be resumed:

    make real-clips                                   # everything
    python -m onlooker_papers.real_clips basketball   # one set

Expected accuracies: surveillance 70 %, basketball 53 %, each within the spread over seeds that the
results state. The rows of Weizmann and hand gestures were trained on squares that follow the
motion; that crop, and their recipes, were last in commit c088bd5d. The row `mil-flow` is of a model
that was last in commit ddc8dbc2, `single-frame` (the middle frame alone) of one in d7c10f74.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ABLATION = "convnet,lstm,alstm,convlstm,convalstm,report,convnet:flow,convlstm:flow,motion"

# Defaults of all recipes, stated here so that figures do not change with the defaults of the
# library.
SAMPLES: dict[str, Any] = {"size": 64}
MODEL: dict[str, Any] = {"encoder": "conv4"}
SEEDS = range(3)


@dataclass(frozen=True)
class ComparisonRecipe:
    """One comparison; all settings that are not given are those of `SAMPLES` and `MODEL`, or
    defaults of the library.

    Args:
        folder: folder of the clips in `clips/` of the data folder.
        models: as for `onlooker compare --models`; `motion` and `convlstm:flow`, which are also
        fused, are among them.
        data: sample settings.
        training: training settings.
    """

    folder: str
    models: str
    data: Mapping[str, Any]
    training: Mapping[str, Any]


RECIPES = {
    "surveillance": ComparisonRecipe(
        folder="surveillance",
        models=f"{ABLATION},tcn:flow,tcn:both",
        data={"frames": 16, "hflip": True},
        training={"lr": 2e-3, "epochs": 40},
    ),
    "basketball": ComparisonRecipe(
        folder="basketball",
        models=ABLATION,
        data={"frames": 7, "hflip": True},
        training={"lr": 2e-3, "epochs": 100},
    ),
}
