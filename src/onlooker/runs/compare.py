"""Several models, seeds and splits on the same clips: a table, a report, and one memo file per training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from onlooker.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.sets import ClipSet, read_set, set_name
from onlooker.data.split import Split, Splits
from onlooker.drawing.plots import side_by_side, to_svg
from onlooker.evaluation.metrics import SHOWN
from onlooker.evaluation.report import Page, percent
from onlooker.experiments.memo import memo, read_memo
from onlooker.experiments.model_spec import ModelSpec
from onlooker.experiments.parallel import run_parallel
from onlooker.files import write_json
from onlooker.models.registry import configured, find_recipe, resolve
from onlooker.run_record import RunRecord, lock_run
from onlooker.runs.train import continue_run
from onlooker.structures import Clip, ClipError
from onlooker.training.reading import read_clips

__all__ = ["compare", "table"]

# Figures that a memo file keeps; all others are in the evaluation.json of the run.
_KEPT = (*SHOWN, "videos", "frames", "confusion")


@dataclass(frozen=True)
class _Trial:
    """One training: its settings, seed and split, and the folder of the run; the figures are in RUN.json."""

    record: RunRecord
    run: Path

    @property
    def file(self) -> Path:
        """The memo file."""
        return self.run.with_name(f"{self.run.name}.json")

    def figures(self) -> dict[str, Any]:
        """Its figures, computed unless they are there."""

        def compute() -> dict[str, Any]:
            measured = continue_run(self.record, self.run, quiet=True)
            return {name: measured[name] for name in _KEPT if name in measured}

        return memo(self.file, self.record.identity, compute)


_Trials = Mapping[str, list[list[_Trial]]]  # by model, for each seed and each split


def compare(
    clips: Path | ClipSet,
    out: Path,
    models: Sequence[ModelSpec],
    splits: Splits,
    seeds: Sequence[int],
    data: DataConfig,
    training: TrainConfig,
    jobs: int | None = None,
    model: ModelConfig | None = None,
) -> dict[str, Any]:
    """Train every model with every seed on every split; what was computed before is not computed again.

    All models are trained on the same clips: one that a single model cannot use, such as a clip of one frame where
    optical flow is needed, is left out for all.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        out: gets a run and a memo file for every training, comparison.json and report.html.
        models: what to compare (`parse_specs`).
        splits: by name, or a function that makes them from the clips that can be read. Each seed's accuracy is over
            the test videos of all splits together.
        seeds: of weights, order and augmentation; the splits stay.
        data, training, model: settings of all models.
        jobs: trainings in parallel; None: `default_jobs`.

    Returns:
        By model: `accuracy` (mean over seeds), `spread` (its standard deviation), `frame_accuracy`, `per_seed`,
        `modality`; and `majority` (baseline) and the counts.

    Raises:
        ValueError: models that are unknown or listed twice, settings that no model has, existing figures that were
            computed with other settings, or another process that computes in `out`.
    """
    names = [spec.name for spec in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"models to compare: {', '.join(twice)} is listed twice; list it once")
    clips = read_set(clips) if isinstance(clips, Path) else clips
    configs = {spec: settings_of(spec, model or ModelConfig(), data, training) for spec in models}
    splits, skipped = _read(clips.clips, splits, [*configs.values()])

    def trial(spec: ModelSpec, seed: int, name: str) -> _Trial:
        of = configs[spec]
        record = RunRecord(clips.root, (), of.model, of.data, replace(of.training, seed=seed), splits[name])
        return _Trial(record, out / spec.folder / f"{name}-seed{seed}")

    trials = {spec.name: [[trial(spec, seed, name) for name in splits] for seed in seeds] for spec in models}
    with lock_run(out):
        _compute_missing(trials, jobs)
        results = _gather(trials)
        results.update(
            splits=len(splits),
            seeds=list(seeds),
            weights="pretrained" if any(of.model.pretrained for of in configs.values()) else "from scratch",
            modality={spec.name: of.data.modality for spec, of in configs.items()},
            skipped=[str(error) for error in (*clips.left_out, *skipped)],
        )
        write_json(out / "comparison.json", results)
        page = _page(set_name(clips.path), results, {**data.to_dict(), **training.to_dict()})
        page.write(out / "report.html")
    return results


def table(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: one row per model, the majority-class baseline first."""
    others = [metric for metric in SHOWN if metric != "accuracy" and results.get(metric)]
    columns = ["model", SHOWN["accuracy"][0], "± over seeds", *(SHOWN[metric][0] for metric in others)]
    rows = [["majority class", percent(results["majority"]), "", *[""] * len(others)]]
    for name, accuracy in results["accuracy"].items():
        spread = results["spread"][name]
        values = (results[metric].get(name) for metric in others)
        shares = ("" if value is None else percent(value) for value in values)
        rows.append([name, percent(accuracy), "" if spread is None else f"± {100 * spread:.1f}", *shares])
    return columns, rows


def settings_of(spec: ModelSpec, model: ModelConfig, data: DataConfig, training: TrainConfig) -> Settings:
    """The settings of one model of a comparison: the shared ones, completed by its recipe."""
    if not spec.learns_attention:
        training = replace(training, attention_regularization=0.0)
    if find_recipe(spec.model).solver == "linear":  # all other settings are those of gradient descent
        training = TrainConfig(seed=training.seed)
    return resolve(spec.model_config(model), spec.data_config(data), training)


def _read(
    clips: Sequence[Clip], splits: Splits, configs: Sequence[Settings]
) -> tuple[dict[str, Split], tuple[ClipError, ...]]:
    """Decode the clips for all models; the splits without those that cannot be read."""
    classes = sorted({clip.label for clip in clips})
    for model, data, _ in configs:  # settings that do not fit are an error before clips are read
        configured(model, data, len(classes))
    modalities = {data.modality for _, data, _ in configs}
    data = replace(configs[0].data, modality=modalities.pop() if len(modalities) == 1 else "both")
    samples, skipped = read_clips(clips, classes, data)
    if callable(splits):
        return dict(splits(samples.clips)), skipped
    unreadable = {error.path for error in skipped}
    return {name: split.without(unreadable) for name, split in splits.items()}, skipped


def _compute_missing(trials: _Trials, jobs: int | None) -> None:
    """Compute the missing figures, after checking that all existing ones have the same settings."""
    every = [trial for of_model in trials.values() for of_seed in of_model for trial in of_seed]
    missing = [trial for trial in every if read_memo(trial.file, trial.record.identity) is None]
    tasks = {f"{trial.run.parent.name}/{trial.run.name}": trial.figures for trial in missing}
    run_parallel(tasks, jobs, done=len(every) - len(missing))


def _gather(trials: _Trials) -> dict[str, Any]:
    results: dict[str, Any] = {"accuracy": {}, "spread": {}, "per_seed": {}}
    for model, of_model in trials.items():
        by_seed = [[trial.figures() for trial in of_seed] for of_seed in of_model]
        accuracies = [_pooled(parts, "accuracy", "videos") for parts in by_seed]
        results["spread"][model] = stdev(accuracies) if len(accuracies) > 1 else None
        results["per_seed"][model] = accuracies
        for metric, (_, count) in SHOWN.items():
            if all(metric in part for parts in by_seed for part in parts):  # not in older memo files
                results.setdefault(metric, {})[model] = mean(_pooled(parts, metric, count) for parts in by_seed)
    # The parts of the last model and seed: the test videos are the same in all of them.
    shown = np.sum([part["confusion"] for part in by_seed[-1]], axis=(0, 2))
    return {**results, "majority": float(shown.max() / shown.sum()), "test_videos": int(shown.sum())}


def _pooled(parts: Sequence[Mapping[str, Any]], name: str, count: str) -> float:
    """A share over the videos or frames of all splits together."""
    return float(sum(part[name] * part[count] for part in parts) / sum(part[count] for part in parts))


def _page(name: str, results: Mapping[str, Any], settings: Mapping[str, Any]) -> Page:
    columns, rows = table(results)
    splits = "one split" if results["splits"] == 1 else f"{results['splits']} splits"
    seeds = ", ".join(map(str, results["seeds"]))
    page = Page(f"Comparison of models: {name}", f"{splits} · {results['test_videos']} test videos · seeds {seeds}")
    page.table(rows, columns, "Means over seeds; all models with the same clips and the same maximum number of epochs.")
    page.figure(to_svg(side_by_side(results["per_seed"], results["majority"], "majority class")), "One dot per seed.")
    page.text("Each training is a folder with its own report: MODEL/SPLIT-seedSEED/report.html.")
    if results["skipped"]:
        page.heading("Clips left out").table([[text] for text in results["skipped"]], ["problem"])
    with page.details("Settings"):
        modality = ", ".join(f"{model} {value}" for model, value in results["modality"].items())
        shown = {**settings, "modality": modality}
        page.table([[key, str(value)] for key, value in shown.items()], ["setting", "value"])
    return page
