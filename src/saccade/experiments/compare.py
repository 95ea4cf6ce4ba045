"""Several models, seeds and splits on one folder of clips, side by side in one table."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from saccade.config import DataConfig, ModelConfig, TrainConfig, read_json, write_json
from saccade.data.folder import Split, find_clips
from saccade.evaluation.report import Page
from saccade.evaluation.results import machine, write_results
from saccade.evaluation.summary import percent
from saccade.experiments.clips import read_clips, train
from saccade.models.build import MODELS, configured
from saccade.pictures.curves import side_by_side, to_svg
from saccade.recognizer import resolve_normalization
from saccade.structures import Clip


@dataclass(frozen=True)
class Cell:
    """One training: a model, a seed, a split."""

    model: ModelConfig
    seed: int
    split_name: str
    split: Split

    @property
    def name(self) -> str:
        """The name of its run inside the comparison."""
        return f"{self.model.name}/{self.split_name}-seed{self.seed}"


def compare(
    folder: Path,
    out: Path,
    models: Sequence[ModelConfig],
    make_splits: Callable[[Sequence[Clip]], Mapping[str, Split]],
    seeds: Sequence[int],
    data: DataConfig,
    training: TrainConfig,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Train every model with every seed on every split; a cell that is done is not computed again.

    Args:
        folder: the clips, one class a sub-folder.
        out: gets a run for every cell, comparison.json and report.html.
        models: what to compare.
        make_splits: from the clips that can be read to splits by name. Each seed's accuracy counts the test videos of
            all splits together.
        seeds: of weights, order and augmentation; the splits stay.
        data, training: settings, the same for all models.
        jobs: trainings side by side, one thread each; None: one for every core.

    Returns:
        `accuracy`: by model, the mean over seeds; `spread`: their standard deviation; `frame_accuracy`; `per_seed`;
        `majority`: what always saying one and the same class can reach on the test videos; and the counts.

    Raises:
        ValueError: no model of a name, a name twice, or a cell that was trained with other settings.
    """
    names = [model.name for model in models]
    if wrong := sorted({name for name in names if name not in MODELS or names.count(name) > 1}):
        raise ValueError(f"models to compare: {', '.join(wrong)} is unknown or twice; there are {', '.join(MODELS)}")
    if not models or not seeds:
        raise ValueError(f"{len(models)} models and {len(seeds)} seeds, expected at least one of each")
    jobs = jobs or machine()["cores"]
    clips = find_clips(folder)
    classes = sorted({clip.label for clip in clips})
    for model in models:  # settings that do not fit are told before clips are read
        configured(model, data, len(classes))
    samples, skipped = read_clips(clips, classes, resolve_normalization(data, models[0].pretrained), processes=jobs)
    splits = make_splits(samples.clips)
    cells = [Cell(model, seed, name, split) for model in models for seed in seeds for name, split in splits.items()]
    for cell in cells:
        _check_settings(out / cell.name, cell, resolve_normalization(data, cell.model.pretrained), training, folder)
    _train_cells(cells, folder, out, data, training, jobs)
    results = _gather(out, models, splits, seeds)
    results["skipped"] = [str(error) for error in skipped]
    write_json(out / "comparison.json", results)
    _page(out, folder.resolve().name, results, next(iter(splits)), data, training).write(out / "report.html")
    return results


def table(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: a row a model, the majority class first."""
    columns = ["model", "videos right", "± over seeds", "frames right"]
    rows = [["majority class", percent(results["majority"]), "", ""]]
    for name, accuracy in results["accuracy"].items():
        spread = results["spread"][name]
        frames = percent(results["frame_accuracy"][name])
        rows.append([name, percent(accuracy), "" if spread is None else f"± {100 * spread:.1f}", frames])
    return columns, rows


def _train_cells(
    cells: Sequence[Cell], folder: Path, out: Path, data: DataConfig, training: TrainConfig, jobs: int
) -> None:
    todo = [cell for cell in cells if not (out / cell.name / "evaluation.json").exists()]
    # spawn: a forked child would inherit the threads' locks of PyTorch.
    with Progress() as progress, ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        bar = progress.add_task("training", total=len(cells), completed=len(cells) - len(todo))
        futures = {pool.submit(_train_cell, folder, out, cell, data, training): cell for cell in todo}
        try:
            for future in as_completed(futures):
                accuracy = percent(future.result()["accuracy"])
                progress.console.print(f"{futures[future].name}: {accuracy}", markup=False)
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else those that wait would all be trained first
            raise


def _check_settings(run: Path, cell: Cell, data: DataConfig, training: TrainConfig, folder: Path) -> None:
    """A cell that is there already must be what is asked for: else its figures would stand under other settings."""
    if not (run / "config.json").exists():
        return
    stored = {**read_json(run / "config.json"), "split": read_json(run / "split.json")}
    wanted = {
        "model": cell.model.to_dict(),
        "data": data.to_dict(),
        "training": replace(training, seed=cell.seed).to_dict(),
        "split": cell.split.to_dict(folder),
    }
    for group, values in wanted.items():
        if changed := [name for name, value in values.items() if stored[group].get(name) != value]:
            raise ValueError(
                f"{run}: trained with another {group} ({', '.join(changed)}); choose another --run, or remove it"
            )


def _train_cell(folder: Path, out: Path, cell: Cell, data: DataConfig, training: TrainConfig) -> dict[str, Any]:
    torch.set_num_threads(1)
    run, settings = out / cell.name, replace(training, seed=cell.seed)
    return train(folder, run, cell.model, data, settings, cell.split, resume=True, quiet=True)


def _gather(
    out: Path, models: Sequence[ModelConfig], splits: Mapping[str, Split], seeds: Sequence[int]
) -> dict[str, Any]:
    results: dict[str, Any] = {"accuracy": {}, "spread": {}, "frame_accuracy": {}, "per_seed": {}}
    for model in models:
        by_seed, frames_by_seed = [], []
        for seed in seeds:
            paths = [out / model.name / f"{name}-seed{seed}" / "evaluation.json" for name in splits]
            parts = [read_json(path) for path in paths]
            by_seed.append(sum(p["accuracy"] * p["videos"] for p in parts) / sum(p["videos"] for p in parts))
            frames_by_seed.append(
                sum(p["frame_accuracy"] * p["frames"] for p in parts) / sum(p["frames"] for p in parts)
            )
        results["accuracy"][model.name] = mean(by_seed)
        results["spread"][model.name] = stdev(by_seed) if len(by_seed) > 1 else None
        results["frame_accuracy"][model.name] = mean(frames_by_seed)
        results["per_seed"][model.name] = by_seed
    # The parts of the last model and seed: the test videos are the same in all of them.
    shown = np.sum([p["confusion"] for p in parts], axis=(0, 2))
    results["majority"] = float(shown.max() / shown.sum())
    results.update(test_videos=int(shown.sum()), splits=len(splits), seeds=list(seeds))
    results["weights"] = "ImageNet" if models[0].pretrained else "from scratch"
    return results


def _page(
    out: Path, name: str, results: Mapping[str, Any], first: str, data: DataConfig, training: TrainConfig
) -> Page:
    """The page of a comparison in `out`; `first` is the name of its first split."""
    columns, rows = table(results)
    splits, seeds = results["splits"], results["seeds"]
    parts = f"{'one split' if splits == 1 else f'{splits} splits'} · {results['test_videos']} test videos"
    page = Page(f"Models side by side: {name}", f"{parts} · seeds {', '.join(map(str, seeds))}")
    page.table(rows, columns, "Means over seeds; every model saw the same clips, in the same number of epochs at most.")
    page.figure(
        to_svg(side_by_side(results["per_seed"], results["majority"], "majority class")), "A dot for each seed."
    )
    sheets = {model: out / model / f"{first}-seed{seeds[0]}" / "attention.png" for model in results["accuracy"]}
    attentive = {model: sheet for model, sheet in sheets.items() if MODELS[model].settings.get("attention")}
    if attentive:
        page.heading("What they looked at")
        page.text("Test clips drawn by lot, half of them clips that the model got wrong where there are so many.")
        for model, sheet in attentive.items():
            page.figure(sheet.read_bytes(), f"{model}, {first}, seed {seeds[0]}", wide=True)
    if results["skipped"]:
        page.heading("Clips left out").table([[text] for text in results["skipped"]], ["what was found"])
    with page.details("Settings"):
        values = {**data.to_dict(), **training.to_dict()}
        page.table([[key, str(value)] for key, value in values.items()], ["setting", "value"])
    return page


def add_results(
    path: Path, name: str, figures: Mapping[str, Any], data: DataConfig, training: TrainConfig, command: str
) -> None:
    """Put one set's figures into a file of results, beside those of other sets; its command stands with each set."""
    known = read_json(path)["figures"] if path.exists() else {}
    budget = {"epochs": training.epochs, "frames": data.frames, "size": data.size, "channels": data.channels}
    known[name] = {"command": command, "budget": budget, **figures}
    commands = " && ".join(entry["command"] for entry in known.values())
    seeds = sorted({seed for entry in known.values() for seed in entry["seeds"]})
    what = "accuracy by model on folders of clips: means over seeds, test videos of all splits together"
    write_results(path, what, commands, known, seeds)
