"""The size of the motion crop of the recipe `weizmann`, chosen by validation clips of its folds.

    python -m onlooker_papers.real_clips.motion_crop    # forty minutes of one core, resumable

The size had been chosen in a pilot by test clips of one fold. This repeats the choice: `motion` is trained with each
size, and the lowest validation loss, as a mean over folds, decides.
"""

import csv
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from onlooker.config import DataConfig, TrainConfig
from onlooker_papers.real_clips.recipes import RECIPES, SAMPLES
from onlooker_papers.real_clips.reproduce import compared
from onlooker_papers.results import About, Row, write_rows

FILE = "motion-crop"
COMMAND = "python -m onlooker_papers.real_clips.motion_crop"
WHAT = "motion on Weizmann by size of the motion crop: validation clips of three folds"
SIZES = (0.0, 0.4, 0.6, 0.8)  # shares of the frame's smaller side; 0: the whole frame


def measure(run: Path, results: Path, sizes: tuple[float, ...] = SIZES, model: str = "motion") -> dict[str, Any]:
    """Compute the missing trainings, and write the rows of `motion-crop.json`.

    Args:
        run: the folder of the trainings.
        results: a folder for the results file.
        sizes: of the crop.
        model: that is trained.

    Raises:
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
    """
    recipe = replace(RECIPES["weizmann"], seeds=1, masks="")
    training = TrainConfig(**{"patience": 0, **recipe.training})
    rows: dict[tuple[str, ...], Row] = {}
    for size in sizes:
        data = DataConfig(**{**SAMPLES, **recipe.data, "motion_crop": size})
        folder = run / f"crop-{size:g}"
        compared(recipe, folder, data, training, model, jobs=1)
        best = [lowest_loss(folder / model / f"fold{fold}-seed0" / "curves.csv") for fold in range(recipe.folds)]
        rows[(f"{size:g}",)] = Row(
            {
                "loss": mean(loss for loss, _ in best),
                "accuracy": mean(accuracy for _, accuracy in best),
                "losses": [loss for loss, _ in best],
            },
            {"data": data.to_dict(), "training": training.to_dict(), "model": model},
        )
    write_rows(results, FILE, About(WHAT, COMMAND, [0]), rows)
    return {key[0]: row.figures for key, row in rows.items()}


def lowest_loss(curves: Path) -> tuple[float, float]:
    """The lowest validation loss of a training, and the validation accuracy of that epoch."""
    with curves.open(encoding="utf-8", newline="") as file:
        epochs = [(float(row["validation_loss"]), float(row["validation_accuracy"])) for row in csv.DictReader(file)]
    return min(epochs)


def main(
    run: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/real-clips/motion-crop"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
) -> None:
    """Train with each size of the crop."""
    for size, found in measure(run, results).items():
        typer.echo(f"{size}: validation loss {found['loss']:.3f}, accuracy {found['accuracy']:.1%}")


if __name__ == "__main__":
    typer.run(main)
