"""Several models, seeds and splits on the same clips: a table, a report, and one memo file per training."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.sets import ClipSet, read_set, set_name
from onlooker.data.split import Split, Splits
from onlooker.drawing.plots import side_by_side, to_svg
from onlooker.evaluation.metrics import SHOWN
from onlooker.evaluation.report import Page, percent
from onlooker.experiments.memo import memo, read_memo
from onlooker.experiments.model_spec import ENSEMBLE, ModelSpec, check_specs
from onlooker.experiments.parallel import run_parallel
from onlooker.files import write_json
from onlooker.models.registry import configured, find_recipe, resolve
from onlooker.run_record import RunRecord, lock_run
from onlooker.runs.ensemble import ensemble
from onlooker.runs.train import continue_run
from onlooker.structures import Clip, ClipError
from onlooker.training.reading import read_clips

__all__ = ["compare", "table"]

Configs = tuple[ModelConfig, DataConfig, TrainConfig]

# Figures that a memo file keeps besides the metrics of `SHOWN`; all others are in the evaluation.json of the run.
_KEPT = ("videos", "frames", "confusion", "weights")


@dataclass(frozen=True)
class Trial:
    """One training, or an ensemble of trainings, for one seed and split.

    Args:
        run: its folder; the figures are in RUN.json.
    """

    run: Path
    settings: dict[str, Any]
    measure: Callable[[], dict[str, Any]]
    members: tuple["Trial", ...] = ()

    @property
    def name(self) -> str:
        """Model, split and seed."""
        return f"{self.run.parent.name}/{self.run.name}"

    @property
    def file(self) -> Path:
        """The memo file."""
        return self.run.with_name(f"{self.run.name}.json")

    def figures(self) -> dict[str, Any]:
        """Its figures, computed unless they are there."""

        def compute() -> dict[str, Any]:
            measured = self.measure()
            return {name: measured[name] for name in (*SHOWN, *_KEPT) if name in measured}

        return memo(self.file, self.settings, compute)


Trials = Mapping[str, list[list[Trial]]]  # by model, for each seed and each split


def compare(
    clips: Path | ClipSet,
    out: Path,
    models: Sequence[ModelSpec],
    splits: Splits,
    seeds: Sequence[int],
    data: DataConfig,
    training: TrainConfig,
    jobs: int | None = None,
    members: Sequence[ModelSpec] = (),
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
        members: those of the models that form an ensemble, with weights chosen on validation clips for each seed and
            split: one more row, without training. Empty: no such row.

    Returns:
        By model: `accuracy` (mean over seeds), `spread` (its standard deviation), `frame_accuracy`, `per_seed`,
        `modality`; `ensemble_weights` of the members; `majority` (baseline); and the counts.

    Raises:
        ValueError: models that are unknown or listed twice, members that are not among them, settings that no model
            has, existing figures that were computed with other settings, or another process that computes in `out`.
    """
    model = model or ModelConfig()
    check_specs(models, members, model)
    if not models or not seeds:
        raise ValueError(f"{len(models)} models and {len(seeds)} seeds, expected at least one of each")
    clips = read_set(clips) if isinstance(clips, Path) else clips
    configs = [settings_of(spec, model, data, training) for spec in models]
    splits, skipped = _read(clips.clips, splits, configs)
    trials = _trials(out, clips.root, [*zip(models, configs, strict=True)], members, splits, seeds)
    with lock_run(out):
        _compute_all(trials, jobs)
        results = _gather(trials)
        combined = [trial.figures()["weights"] for of_seed in trials.get(ENSEMBLE, []) for trial in of_seed]
        results.update(
            splits=len(splits),
            seeds=list(seeds),
            weights="pretrained" if any(of[0].pretrained for of in configs) else "from scratch",
            modality={spec.name: of[1].modality for spec, of in zip(models, configs, strict=True)},
            ensemble_weights=dict(
                zip((spec.name for spec in members), map(mean, zip(*combined, strict=True)), strict=True)
            ),
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


def settings_of(spec: ModelSpec, model: ModelConfig, data: DataConfig, training: TrainConfig) -> Configs:
    """The settings of one model of a comparison: the shared ones, completed by its recipe."""
    if find_recipe(spec.model).solver == "linear":  # all other settings are those of gradient descent
        training = TrainConfig(seed=training.seed)
    return resolve(spec.model_config(model), spec.data_config(data), training)


def _read(
    clips: Sequence[Clip], splits: Splits, configs: Sequence[Configs]
) -> tuple[dict[str, Split], tuple[ClipError, ...]]:
    """Decode the clips for all models; the splits without those that cannot be read."""
    classes = sorted({clip.label for clip in clips})
    for model, data, _ in configs:  # settings that do not fit are an error before clips are read
        configured(model, data, len(classes))
    modalities = {data.modality for _, data, _ in configs}
    data = replace(configs[0][1], modality=modalities.pop() if len(modalities) == 1 else "both")
    samples, skipped = read_clips(clips, classes, data)
    if callable(splits):
        return dict(splits(samples.clips)), skipped
    unreadable = {error.path for error in skipped}
    return {name: split.without(unreadable) for name, split in splits.items()}, skipped


def _trials(
    out: Path,
    folder: Path,
    models: Sequence[tuple[ModelSpec, Configs]],
    members: Sequence[ModelSpec],
    splits: Mapping[str, Split],
    seeds: Sequence[int],
) -> Trials:
    def trained(spec: ModelSpec, configs: Configs, seed: int, name: str) -> Trial:
        model, data, training = configs
        record = RunRecord(folder, (), model, data, replace(training, seed=seed), splits[name])
        run = out / spec.folder / f"{name}-seed{seed}"
        return Trial(run, record.identity, partial(continue_run, record, run, quiet=True))

    def combined(of: tuple[Trial, ...]) -> Trial:
        run = out / ENSEMBLE / of[0].run.name
        settings = {"members": {trial.run.parent.name: trial.settings for trial in of}}
        return Trial(run, settings, partial(_ensemble_again, [trial.run for trial in of], run), of)

    trials = {
        spec.name: [[trained(spec, configs, seed, name) for name in splits] for seed in seeds]
        for spec, configs in models
    }
    if members:
        by_seed = zip(*(trials[spec.name] for spec in members), strict=True)
        trials[ENSEMBLE] = [[combined(of) for of in zip(*of_seed, strict=True)] for of_seed in by_seed]
    return trials


def _ensemble_again(runs: Sequence[Path], out: Path) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    return ensemble(runs, out, quiet=True)


def _compute_all(trials: Trials, jobs: int | None) -> None:
    """Compute the missing figures, after checking that all existing ones have the same settings."""
    every = [trial for of_model in trials.values() for of_seed in of_model for trial in of_seed]
    missing = {trial.file for trial in every if read_memo(trial.file, trial.settings) is None}
    for trial in every:
        if any(member.file in missing for member in trial.members):  # the ensemble may get other weights
            trial.file.unlink(missing_ok=True)
            missing.add(trial.file)
    for title, is_ensemble in {"training": False, "ensembles": True}.items():
        of_kind = [trial for trial in every if bool(trial.members) == is_ensemble]
        tasks = {trial.name: trial.figures for trial in of_kind if trial.file in missing}
        run_parallel(tasks, jobs, title, done=len(of_kind) - len(tasks))


def _gather(trials: Trials) -> dict[str, Any]:
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
    if weights := results["ensemble_weights"]:
        shares = ", ".join(f"{percent(weight, 0)} {member}" for member, weight in weights.items())
        page.text(
            f"ensemble: the scores of trained models, averaged with weights chosen on validation clips ({shares})."
        )
    page.figure(to_svg(side_by_side(results["per_seed"], results["majority"], "majority class")), "One dot per seed.")
    page.text("Each training is a folder with its own report: MODEL/SPLIT-seedSEED/report.html.")
    if results["skipped"]:
        page.heading("Clips left out").table([[text] for text in results["skipped"]], ["problem"])
    with page.details("Settings"):
        modality = ", ".join(f"{model} {value}" for model, value in results["modality"].items())
        page.table(
            [[key, str(value)] for key, value in {**settings, "modality": modality}.items()], ["setting", "value"]
        )
    return page
