"""Train and compare the models of one recipe, and write its rows to `results/real-clips.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.split import make_splits
from onlooker.run.compare import compare, settings_of
from onlooker_papers.fusion import fused_row
from onlooker_papers.real_clips.recipes import MODEL, RECIPES, SAMPLES
from onlooker_papers.results import About, Key, Row, read_rows, write_rows
from onlooker_papers.sets import data_folder

FILE = "real-clips"  # of results
WHAT = "accuracy by model on folders of clips: means over seeds, test videos of all splits together"
# Figures of a comparison that have a value for each model; results files keep their original names.
_BY_MODEL = ("accuracy", "spread", "frame_accuracy", "per_seed", "modality", "places")
_FUSED = "fused"
_MODALITY = "streams"
# The two-stream model of Li et al. (2016): attention on RGB that follows the flow, and the flow
# itself.
_STREAMS = ("motion", "convlstm-flow")
_OF_SET = ("majority", "test_videos", "splits", "seeds", "weights", "skipped")


def reproduce(
    name: str, run: Path, results: Path | None = None, jobs: int | None = None
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
    seeds = range(recipe.seeds)
    figures = compare(clips / recipe.folder, run / name, models, make_splits, seeds, jobs)
    if models.keys() >= {*_STREAMS}:
        members = {stream: run / name / stream for stream in _STREAMS}
        figures["fused"] = fused_row(run / name, members, ["split"], seeds)
    if results is not None:
        write_set(results, name, figures, data, training)
    return figures


def write_set(
    results: Path, name: str, figures: Mapping[str, Any], data: DataConfig, training: TrainConfig
) -> Path:
    """Write the rows of one set, by the figures of `compare`, next to those of the other sets."""
    command = f"python -m onlooker_papers.real_clips {name}"
    rows = _rows(name, figures, data, training, command)
    of_sets = {
        key[0]: row["figures"] for key, row in read_rows(results, FILE).items() if len(key) == 1
    }
    of_sets[name] = dict(rows[name,].figures)
    seeds = sorted({seed for of_set in of_sets.values() for seed in of_set["seeds"]})
    commands = " && ".join(of_set["command"] for of_set in of_sets.values())
    return write_rows(results, FILE, About(WHAT, commands, seeds), rows, made_by=command)


def _rows(
    name: str, figures: Mapping[str, Any], data: DataConfig, training: TrainConfig, command: str
) -> dict[Key, Row]:
    settings = {**data.to_dict(), **training.to_dict()}
    budget = {
        "epochs": training.epochs,
        "frames": data.frames,
        "size": data.size,
        "channels": data.channels,
    }
    of_set = {
        "command": command,
        "budget": budget,
        "settings": settings,
        **{key: figures[key] for key in _OF_SET},
    }
    rows: dict[Key, Row] = {(name,): Row(of_set, settings)}
    of_all = {"seeds": figures["seeds"], "splits": figures["splits"]}
    for model in figures["accuracy"]:
        row = {key: figures[key][model] for key in _BY_MODEL if model in figures.get(key, {})}
        of_row = {**settings, **of_all}
        of_row["modality"] = row[_MODALITY] = row.pop("modality")
        rows[name, "models", model] = Row(row, of_row)
    if _FUSED in figures:
        rows[name, "models", _FUSED] = Row(figures[_FUSED], {**settings, **of_all})
    return rows
