"""The comparisons on folders of real clips: the experiments behind `results/real-clips.json`.

Models of VideoLSTM's ablation (Li et al. 2016) and of the HMDB-51 report (Teja & Akunuri 2020), trained from random
weights. The clips are in `clips/` of `$ONLOOKER_DATA`. All of it takes about a day on two cores and can be resumed:

    make real-clips                                   # everything
    python -m onlooker_papers.real_clips weizmann     # one set

Expected accuracies: Weizmann 95 %, hand gestures 74 %, surveillance 70 %, basketball 53 %, each within the spread over
seeds that the results state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ABLATION = "single-frame,convnet,lstm,alstm,convlstm,convalstm,report,convnet:flow,convlstm:flow,motion"

# Defaults of all recipes, stated here so that figures do not change with the defaults of the library.
SAMPLES: dict[str, Any] = {"size": 64}
MODEL: dict[str, Any] = {"encoder": "conv4"}


@dataclass(frozen=True)
class Recipe:
    """One comparison; all settings that are not given are those of `SAMPLES` and `MODEL`, or defaults of the library.

    Args:
        folder: folder of the clips in `clips/` of the data folder.
        models: as for `onlooker compare --models`; with `motion` and `convlstm:flow`, these are also fused.
        data: sample settings.
        training: training settings.
        model: settings of all models.
        seeds: number of seeds, from 0.
        folds: number of folds; 0: one split.
        masks: the true masks of the person or hand, by which attention is scored: a folder of masks in `clips/`, or
            `not-black`; empty: attention is not scored.
    """

    folder: str
    models: str
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 3
    folds: int = 0
    masks: str = ""


_PERSON: dict[str, Any] = {
    "folder": "weizmann/frames",
    "data": {"motion_crop": 0.6, "channels": 1, "frames": 8, "temporal_crops": 5, "hflip": True},
    "training": {"lr": 3e-3, "epochs": 120, "batch": 8},
    "model": {"attention_loss": True},
    "masks": "weizmann/masks",
}
_HAND: dict[str, Any] = {"folder": "hand_gestures", "masks": "not-black"}
RECIPES = {
    "surveillance": Recipe(
        folder="surveillance",
        models=f"{ABLATION},tcn:flow,tcn:both,mil:flow",
        data={"frames": 16, "hflip": True},
        training={"lr": 2e-3, "epochs": 40},
    ),
    "basketball": Recipe(
        folder="basketball", models=ABLATION, data={"frames": 7, "hflip": True}, training={"lr": 2e-3, "epochs": 100}
    ),
    "weizmann": Recipe(models=f"{ABLATION},convnet:both", folds=3, **_PERSON),
    "weizmann_one_out": Recipe(models="motion", folds=9, seeds=1, **_PERSON),
    "hand_gestures": Recipe(
        models="tcn,atcn,tcn:both",
        data={"motion_crop": 0.45, "frames": 30, "size": 48, "degrees": 15.0, "speed": 0.2},
        training={"lr": 4e-3, "batch": 16, "epochs": 120, "loss": "last"},
        seeds=2,
        **_HAND,
    ),
    "hand_gestures_ablation": Recipe(
        models=ABLATION,
        data={"motion_crop": 0.45, "frames": 15, "degrees": 15.0},
        training={"lr": 3e-3, "batch": 16, "epochs": 30},
        **_HAND,
    ),
    "hand_gestures_followed": Recipe(
        models="mil:both",
        data={"motion_crop": 0.45, "frames": 30, "degrees": 15.0},
        training={"lr": 3e-3, "batch": 16, "epochs": 80, "loss": "last"},
        seeds=1,
        **_HAND,
    ),
}
