"""Two people act, and one of them is the label: motion alone does not tell which one.

`python -m onlooker_papers.figures.bystander`: every clip shows a second person, who moves during the whole clip. The
actions of the second person are never those of the labels. The model is trained on the labels alone; where its
attention and its Grad-CAM point is compared with the largest moving region. Every training is memoized; run the same
command to continue.
"""

import json
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.config import TrainConfig
from onlooker.data.figure_motion import ACTIONS
from onlooker.data.split import Split
from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.data.write_folder import TRUTH
from onlooker.evaluation.pointing import uniform_in_box
from onlooker.files import read_json
from onlooker.localization.parameters import LocalizationParameters
from onlooker.recognizer import load
from onlooker.runs.train import train_run
from onlooker.video.sampling import equally_spaced
from onlooker_papers.figures.reproduce import DATA, MODEL, TRAINING, about_clip, event_boxes, read_both
from onlooker_papers.grad_cam import frame_grad_cam
from onlooker_papers.memo import memo_of_training
from onlooker_papers.pointing import map_points, motion_points, pointing
from onlooker_papers.results import WHOLE, About, Row, write_rows

FILE = "moving-bystander"
COMMAND = "python -m onlooker_papers.figures.bystander"
WHAT = "stick figures with a second person who moves: accuracy, and where attention, Grad-CAM and motion point"
CLASSES, OTHERS = tuple(ACTIONS)[::2], tuple(ACTIONS)[1::2]
FIGURES = StickFigures(people=20, bystanders=1.0, bystander_actions=OTHERS)
CLIPS, SEEDS = 80, 3
MOVING = LocalizationParameters(foreground="motion")


def reproduce(
    run: Path,
    results: Path,
    seeds: int = SEEDS,
    clips: int = CLIPS,
    how: TrainConfig = TRAINING,
    figures: StickFigures = FIGURES,
) -> dict[str, Any]:
    """Write the clips, compute the missing trainings, and write `moving-bystander.json`.

    Args:
        run: the folder of the clips and of the trainings.
        results: a folder for the results file.
        seeds: number of trainings; each has its own split by person.
        clips: clips per class.
        how: the training; its seed is replaced.
        figures: the settings of the clips.

    Raises:
        ValueError: the run was made with other settings.
    """
    if not (run / "clips").exists():
        write_set(run / "clips", clips, figures=figures, actions=CLASSES)
    cells, memos = [], []
    for seed in range(seeds):
        training, folder = replace(how, seed=seed), run / f"seed{seed}"
        configs = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "training": training.to_dict()}
        settings = {**configs, "clips": clips, "actions": CLASSES, "figures": asdict(figures)}
        settings = json.loads(json.dumps(settings))  # JSON knows no tuples
        cells.append(memo_of_training(folder, settings, partial(_cell, folder, training)))
        memos.append(folder.with_suffix(".json"))
    found = {
        "accuracy": mean(cell["accuracy"] for cell in cells),
        "per_seed": [cell["accuracy"] for cell in cells],
        "videos": cells[0]["videos"],
        "majority_share": cells[0]["majority_share"],
        "uniform": mean(cell["uniform"] for cell in cells),
        "minutes": max(cell["minutes"] for cell in cells),
        "maps": {
            name: {where: mean(cell["maps"][name][where] for cell in cells) for where in ("target", "other")}
            for name in cells[0]["maps"]
        },
    }
    shared = {"clips": clips, "epochs": how.epochs, "classes": len(CLASSES)}
    about = About(WHAT, COMMAND, range(seeds), shared)
    write_rows(results, FILE, about, {WHOLE: Row.of(found, *memos)})
    return found


def _cell(folder: Path, how: TrainConfig) -> dict[str, Any]:
    """The figures of one training, and where its maps point in the frames of the event."""
    clips = folder.parent / "clips"
    started = time.process_time()
    measured = train_run(clips, folder, MODEL, DATA, how, resume=(folder / "config.json").exists())
    minutes = (time.process_time() - started) / 60
    recognizer, truth = load(folder, device="cpu"), read_json(clips / TRUTH)
    test = Split.from_dict(read_json(folder / "split.json"), clips).test
    samples, images = read_both(recognizer, test)
    scores, attention, _ = recognizer.classify(samples).numpy()
    assert attention is not None, "it attends"
    boxes = np.stack([_boxes_of_both(about_clip(clip, truth), DATA.frames) for clip in test])
    height, width = truth["settings"]["size"]
    boxes *= np.float32(DATA.size) / np.tile([width, height], 2).astype(np.float32)
    grad_cam = frame_grad_cam(recognizer, samples, scores.mean(1).argmax(1))
    points = {
        "attention": map_points(attention, images),
        "attention_moving": map_points(attention, images, MOVING),
        "grad_cam": map_points(grad_cam, images),
        "grad_cam_moving": map_points(grad_cam, images, MOVING),
        "motion": motion_points(images),
    }
    size = images.shape[2], images.shape[3]
    return {
        **{name: measured[name] for name in ("videos", "accuracy", "accuracy_interval", "majority_share")},
        "minutes": minutes,
        "uniform": float(np.nanmean(uniform_in_box(boxes[:, :, :1], attention.shape[-2:], size))),
        "maps": {name: pointing(at, boxes) for name, at in points.items()},
    }


def _boxes_of_both(about: dict[str, Any], frames: int) -> NDArray[np.float32]:
    """The boxes of the person and of the bystander in the frames that the model sees, `T 2 4`; NaN: no event."""
    indices = equally_spaced(len(about["boxes"]), frames)
    return np.stack([event_boxes(about, indices), np.array(about["bystander"], np.float32)[indices]], axis=1)


def main(
    run: Annotated[Path, typer.Option(help="Folder of the clips and trainings.")] = Path("runs/moving-bystander"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1, max=5)] = SEEDS,
) -> None:
    """Train the model."""
    found = reproduce(run, results, seeds)
    typer.echo(f"{found['accuracy']:.1%}, {found['maps']}")


if __name__ == "__main__":
    typer.run(main)
