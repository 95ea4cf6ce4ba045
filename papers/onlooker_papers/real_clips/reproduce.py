"""Train and compare the models of one recipe, and write its rows to `results/real-clips.json`."""

from functools import partial
from pathlib import Path
from typing import Any

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.split import make_splits
from onlooker.experiments.model_spec import parse_specs
from onlooker.runs.compare import compare
from onlooker_papers.real_clips.masks import read_truth, score_comparison
from onlooker_papers.real_clips.recipes import MODEL, RECIPES, SAMPLES, Recipe
from onlooker_papers.real_clips.rows import write_set
from onlooker_papers.sets import data_folder

FILE = "real-clips"  # of results


def reproduce(name: str, run: Path, results: Path | None = None, jobs: int | None = None) -> dict[str, Any]:
    """Compute the missing figures of one recipe; existing trainings are not repeated.

    Args:
        name: one of `RECIPES`.
        run: the folder of all recipes; the one of this recipe is in it, with `report.html`.
        results: a folder for `real-clips.json`; None: the figures are only in the run.
        jobs: trainings in parallel; None: as many as the machine allows.

    Returns:
        The figures of `compare`.

    Raises:
        ValueError: an unknown recipe, ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there are no such clips.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    data, training = (
        DataConfig(**{**SAMPLES, **recipe.data}),
        TrainConfig(**{"batch": 16, "patience": 0, **recipe.training}),
    )
    figures = compared(recipe, run / name, data, training, jobs)
    if results is not None:
        command = f"python -m onlooker_papers.real_clips {name}"
        write_set(results, FILE, name, figures, data, training, command)
    return figures


def compared(recipe: Recipe, run: Path, data: DataConfig, training: TrainConfig, jobs: int | None) -> dict[str, Any]:
    """The figures of `compare` for one recipe, with these settings."""
    clips = data_folder() / "clips"
    specs, members = parse_specs(recipe.models, data)
    figures = compare(
        clips / recipe.folder, run, specs, partial(make_splits, folds=recipe.folds), range(recipe.seeds), data,
        training, jobs, members, model=ModelConfig(**{**MODEL, **recipe.model}),
    )  # fmt: skip
    if recipe.masks:
        truth = read_truth(str(clips / recipe.masks) if "/" in recipe.masks else recipe.masks, clips / recipe.folder)
        splits = [f"fold{i}" for i in range(recipe.folds)] or ["split"]
        figures["places"] = score_comparison(run, specs, splits, range(recipe.seeds), truth)
    return figures
