"""Train and compare the models of one recipe, and write its rows to `results/real-clips.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.split import make_splits
from onlooker.run.compare import compare, settings_of
from onlooker_papers.fusion import fused_row
from onlooker_papers.real_clips.recipes import MODEL, RECIPES, SAMPLES, SEEDS
from onlooker_papers.results import About, Row, read_rows, write_rows
from onlooker_papers.sets import data_folder

FILE = "real-clips"  # of results
WHAT = "accuracy by model on folders of clips: means over seeds, test videos of all splits together"
# Figures of a comparison that have a value for each model.
_BY_MODEL = ("accuracy", "spread", "frame_accuracy", "per_seed")
# The two-stream model of Li et al. (2016): attention on RGB that follows the flow, and the flow
# itself.
_STREAMS = ("motion", "convlstm-flow")
_OF_SET = ("majority", "test_videos", "splits", "seeds", "weights", "skipped")


def reproduce(
    name: str, run: Path, *, results: Path | None = None, jobs: int | None = None
) -> dict[str, Any]:
    """Compute the missing figures of one recipe; existing trainings are not repeated.

    The arguments are those of the command; the folder of the recipe is in `run`. Returns the
    figures of `compare`, and `fused` (`fused_row`) of two streams.

    Raises:
        ValueError: an unknown recipe, ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there are no such clips.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    data = DataConfig(**{**SAMPLES, **recipe.data})
    training = TrainConfig(**{"batch": 16, "patience": 0, **recipe.training})
    clips = data_folder() / "clips"
    models = settings_of(recipe.models, Settings(ModelConfig(**MODEL), data, training))
    figures = compare(
        clips / recipe.folder, run / name, models, splits=make_splits, seeds=SEEDS, jobs=jobs
    )
    members = {stream: run / name / stream for stream in _STREAMS}
    figures["fused"] = fused_row(run / name, members, SEEDS)
    if results is not None:
        write_set(results, name, figures, data=data, training=training)
    return figures


def write_set(
    results: Path, name: str, figures: Mapping[str, Any], *, data: DataConfig, training: TrainConfig
) -> Path:
    """Write the row of one set, by the figures of `compare`, next to those of the other sets."""
    command = f"python -m onlooker_papers.real_clips {name}"
    settings = {**data.to_dict(), **training.to_dict()}
    fused = figures["fused"]
    columns = {column: {**figures[column], "fused": fused[column]} for column in _BY_MODEL}
    row = {
        "command": command,
        "budget": {
            "epochs": training.epochs,
            "frames": data.frames,
            "size": data.size,
            "channels": data.channels,
        },
        "settings": settings,
        **{key: figures[key] for key in _OF_SET},
        **columns,
        "streams": figures["modality"],  # as results files call it
        "fused_weights": fused["weights"],
    }
    of_sets = {key[0]: row["figures"] for key, row in read_rows(results, FILE).items()}
    of_sets[name] = row
    seeds = sorted({seed for of_set in of_sets.values() for seed in of_set["seeds"]})
    commands = " && ".join(of_set["command"] for of_set in of_sets.values())
    about = About(WHAT, commands, seeds)
    return write_rows(
        results, FILE, about=about, rows={(name,): Row(row, settings)}, made_by=command
    )
