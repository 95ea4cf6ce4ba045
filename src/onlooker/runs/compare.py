"""Several models, seeds and splits on the same clips: a table, a report, and one memo file per training."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.sets import ClipSet, read_set, set_name
from onlooker.data.split import Split, Splits, few_of_each
from onlooker.drawing.plots import side_by_side, to_svg
from onlooker.evaluation.report import Page, percent
from onlooker.files import read_json, write_json
from onlooker.models.registry import configured, resolve_loss
from onlooker.recognizer import resolve_normalization
from onlooker.runs.ensemble import ensemble
from onlooker.runs.evaluate import read_clips
from onlooker.runs.folder import RunRecord
from onlooker.runs.memo import check_settings, fingerprint, memo, read_memo
from onlooker.runs.model_spec import ENSEMBLE, ModelSpec, check_specs
from onlooker.runs.parallel import run_parallel
from onlooker.runs.train import train_run
from onlooker.structures import Clip, ClipError

__all__ = ["compare", "table"]

_GROUPS: dict[str, type[DataConfig | ModelConfig | TrainConfig]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainConfig,
}
# The figures that a memo file keeps; all others are in the evaluation.json of the run.
_FIGURES = ("accuracy", "frame_accuracy", "videos", "frames", "confusion", "weights")


@dataclass(frozen=True)
class Cell:
    """One training: a model, a seed, a split."""

    spec: ModelSpec
    model: ModelConfig
    data: DataConfig
    training: TrainConfig
    split_name: str
    split: Split

    @property
    def name(self) -> str:
        """The name of its run inside the comparison."""
        return f"{self.spec.folder}/{_part(self.split_name, self.training.seed)}"

    def settings(self, folder: Path) -> dict[str, Any]:
        """What its figures depend on."""
        groups = {"model": self.model, "data": self.data, "training": self.training}
        return {**{name: group.to_dict() for name, group in groups.items()}, "split": _digest(self.split, folder)}

    def memo(self, folder: Path, out: Path) -> dict[str, Any] | None:
        """Its figures; None if they are still to be computed."""
        _add_new_settings(_memo_file(out, self.name))
        return read_memo(_memo_file(out, self.name), self.settings(folder))

    def compute(self, folder: Path, out: Path) -> dict[str, Any]:
        """Train, or continue a training that was interrupted."""
        run, settings = out / self.name, self.settings(folder)

        def train() -> dict[str, Any]:
            if (run / "config.json").exists():
                record = RunRecord.read(run, folder)
                check_settings(run, {**record.settings, "split": _digest(record.split, folder)}, settings)
            clips = ClipSet(folder, {})
            return _kept(
                train_run(clips, run, self.model, self.data, self.training, self.split, resume=True, quiet=True)
            )

        return memo(_memo_file(out, self.name), settings, train)


@dataclass(frozen=True)
class EnsembleCell:
    """An ensemble of trained cells of one seed and split."""

    members: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The name of its folder inside the comparison."""
        return f"{ENSEMBLE}/{_part(self.members[0].split_name, self.members[0].training.seed)}"

    def settings(self, folder: Path) -> dict[str, Any]:
        """What its figures depend on, besides the weights of its members."""
        return {"members": {member.spec.name: member.settings(folder) for member in self.members}}

    def memo(self, folder: Path, out: Path) -> dict[str, Any] | None:
        """Its figures; None if they are still to be computed, or a member was trained again."""
        path = _memo_file(out, self.name)
        _add_new_settings(path)
        figures = read_memo(path, self.settings(folder))
        if figures is not None and figures["fingerprints"] != self._fingerprints(out):
            path.unlink()
            return None
        return figures

    def compute(self, folder: Path, out: Path) -> dict[str, Any]:
        """Choose the weights on validation clips, and test; the folder appears when it is complete."""
        run = out / self.name

        def combine() -> dict[str, Any]:
            temporary = run.with_name(f".{run.name}.part")
            shutil.rmtree(temporary, ignore_errors=True)
            measured = ensemble([out / member.name for member in self.members], temporary, quiet=True)
            shutil.rmtree(run, ignore_errors=True)
            temporary.rename(run)
            return {**_kept(measured), "fingerprints": self._fingerprints(out)}

        return memo(_memo_file(out, self.name), self.settings(folder), combine)

    def _fingerprints(self, out: Path) -> dict[str, str | None]:
        runs = {member.spec.name: out / member.name for member in self.members}
        return {
            name: fingerprint(run) if (run / "model" / "model.safetensors").exists() else None
            for name, run in runs.items()
        }


def _part(split_name: str, seed: int) -> str:
    return f"{split_name}-seed{seed}"


def _memo_file(out: Path, name: str) -> Path:
    return out / f"{name}.json"


def _digest(split: Split, folder: Path) -> str:
    text = json.dumps(split.to_dict(folder), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _kept(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {name: measured[name] for name in _FIGURES if name in measured}


def _add_new_settings(path: Path) -> None:
    """Add settings to a memo file that did not exist when it was written; their defaults change nothing."""
    if not path.exists():
        return
    stored = read_json(path)
    completed = {**stored, "settings": _completed(stored.get("settings") or {})}
    if stored.get("settings") and completed != stored:
        write_json(path, completed)


def _completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    def complete(name: str, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return _GROUPS[name].from_dict(value).to_dict() if name in _GROUPS else _completed(value)

    return {name: complete(name, value) for name, value in settings.items()}


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
    clips_a_class: int = 0,
    model: ModelConfig | None = None,
) -> dict[str, Any]:
    """Train every model with every seed on every split; what is there already is not computed again.

    All models are trained on the same clips: one that a single model cannot use, such as a clip of one frame where
    optical flow is needed, is left out for all.

    Args:
        clips: a folder, a list, or what `read_set` returns; or the folder with the clips of given splits.
        out: gets a run and a memo file for every training, comparison.json and report.html.
        models: what to compare (`parse_specs`).
        splits: by name, or a function that makes them from the clips that can be read. Each seed's accuracy is over
            the test videos of all splits together.
        seeds: of weights, order and augmentation; the splits stay.
        data, training: settings of all models. attention_regularization is used for models with attention only.
        jobs: trainings in parallel; None: `default_jobs`.
        members: those of the models that form an ensemble, with weights chosen on validation clips for each seed and
            split: one more row, without training. Empty: no such row.
        clips_a_class: at most so many clips of each class; 0: all.
        model: settings of all models; None: the defaults.

    Returns:
        By model: `accuracy` (mean over seeds), `spread` (its standard deviation), `frame_accuracy`, `per_seed`,
        `modality`; `ensemble_weights` of the members; `majority` (baseline); and the counts.

    Raises:
        ValueError: models that are unknown or listed twice, members that are not among them, settings that no model
            has, or figures that are there were computed with other settings.
    """
    model = model or ModelConfig()
    _check(models, members, seeds, training, model)
    if isinstance(clips, Path):
        clips = read_set(clips) if callable(splits) else ClipSet(clips, {})
    if callable(splits):
        chosen = few_of_each(clips.clips, clips_a_class)
    else:
        chosen = list(dict.fromkeys(clip for split in splits.values() for clip in split.clips))
    configs = [settings_of(spec, model, data, training) for spec in models]
    splits, skipped = _read(chosen, splits, configs)
    cells = [
        Cell(spec, of_model, of_data, replace(of_training, seed=seed), name, split)
        for spec, (of_model, of_data, of_training) in zip(models, configs, strict=True)
        for seed in seeds
        for name, split in splits.items()
    ]
    ensembles = _ensembles(cells, members)
    _compute_all(cells, ensembles, clips.root, out, jobs)
    rows = {spec.name: spec.folder for spec in models} | ({ENSEMBLE: ENSEMBLE} if members else {})
    results = _gather(out, rows, splits, seeds)
    results["weights"] = "ImageNet" if model.pretrained else "from scratch"
    results["modality"] = {spec.name: of[1].modality for spec, of in zip(models, configs, strict=True)}
    results["ensemble_weights"] = _ensemble_weights(out, members, ensembles)
    results["skipped"] = [str(error) for error in (*clips.left_out, *skipped)]
    write_json(out / "comparison.json", results)
    page = _page(out, set_name(clips.path), models, results, next(iter(splits)), data, training)
    page.write(out / "report.html")
    return results


def table(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: one row per model, the majority-class baseline first."""
    columns = ["model", "videos correct", "± over seeds", "frames correct"]
    rows = [["majority class", percent(results["majority"]), "", ""]]
    for name, accuracy in results["accuracy"].items():
        spread = results["spread"][name]
        frames = percent(results["frame_accuracy"][name])
        rows.append([name, percent(accuracy), "" if spread is None else f"± {100 * spread:.1f}", frames])
    return columns, rows


def _check(
    models: Sequence[ModelSpec],
    members: Sequence[ModelSpec],
    seeds: Sequence[int],
    training: TrainConfig,
    model: ModelConfig,
) -> None:
    check_specs(models, members, model)
    if not models or not seeds:
        raise ValueError(f"{len(models)} models and {len(seeds)} seeds, expected at least one of each")
    if training.attention_regularization and not any(spec.attends for spec in models):
        raise ValueError(
            f"attention_regularization is {training.attention_regularization}, and none of the models attends; "
            "leave it out"
        )


def settings_of(
    spec: ModelSpec, model: ModelConfig, data: DataConfig, training: TrainConfig
) -> tuple[ModelConfig, DataConfig, TrainConfig]:
    """The settings of one model of a comparison: the shared ones, completed by its recipe."""
    if not spec.attends:
        training = replace(training, attention_regularization=0.0)
    of_model = spec.model_config(model)
    of_data = resolve_normalization(spec.data_config(data), of_model.pretrained, spec.model)
    return of_model, of_data, resolve_loss(training, spec.model)


def _read(
    clips: Sequence[Clip], splits: Splits, configs: Sequence[tuple[ModelConfig, DataConfig, TrainConfig]]
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


def _ensembles(cells: Sequence[Cell], members: Sequence[ModelSpec]) -> list[EnsembleCell]:
    # Of each model the cells are in one order, that of seeds and splits.
    columns = [[cell for cell in cells if cell.spec == spec] for spec in members]
    return [EnsembleCell(of_part) for of_part in zip(*columns, strict=True)]


def _ensemble_weights(out: Path, members: Sequence[ModelSpec], cells: Sequence[EnsembleCell]) -> dict[str, float]:
    """The weight of each member, mean over seeds and splits."""
    weights = [read_json(_memo_file(out, cell.name))["figures"]["weights"] for cell in cells]
    means = [mean(of_member) for of_member in zip(*weights, strict=True)]
    return {spec.name: weight for spec, weight in zip(members, means, strict=True)}


def _compute_all(
    cells: Sequence[Cell], ensembles: Sequence[EnsembleCell], folder: Path, out: Path, jobs: int | None
) -> None:
    """Compute what is missing, once all that is there is known to have the same settings."""
    kinds: dict[str, Sequence[Cell | EnsembleCell]] = {"training": cells, "ensembles": ensembles}
    there = {cell.name for of_kind in kinds.values() for cell in of_kind if cell.memo(folder, out) is not None}
    for title, of_kind in kinds.items():
        # Ensembles are asked again: their members may just have been trained.
        todo = [cell for cell in of_kind if cell.name not in there or cell.memo(folder, out) is None]
        tasks = {cell.name: partial(cell.compute, folder, out) for cell in todo}
        run_parallel(tasks, jobs, title, done=len(of_kind) - len(todo))


def _gather(out: Path, rows: Mapping[str, str], splits: Mapping[str, Split], seeds: Sequence[int]) -> dict[str, Any]:
    results: dict[str, Any] = {"accuracy": {}, "spread": {}, "frame_accuracy": {}, "per_seed": {}}
    for row, folder in rows.items():
        by_seed, frames_by_seed = [], []
        for seed in seeds:
            files = [_memo_file(out, f"{folder}/{_part(name, seed)}") for name in splits]
            parts = [read_json(file)["figures"] for file in files]
            by_seed.append(sum(p["accuracy"] * p["videos"] for p in parts) / sum(p["videos"] for p in parts))
            frames_by_seed.append(
                sum(p["frame_accuracy"] * p["frames"] for p in parts) / sum(p["frames"] for p in parts)
            )
        results["accuracy"][row] = mean(by_seed)
        results["spread"][row] = stdev(by_seed) if len(by_seed) > 1 else None
        results["frame_accuracy"][row] = mean(frames_by_seed)
        results["per_seed"][row] = by_seed
    # The parts of the last model and seed: the test videos are the same in all of them.
    shown = np.sum([p["confusion"] for p in parts], axis=(0, 2))
    results["majority"] = float(shown.max() / shown.sum())
    results.update(test_videos=int(shown.sum()), splits=len(splits), seeds=list(seeds))
    return results


def _page(
    out: Path,
    name: str,
    models: Sequence[ModelSpec],
    results: Mapping[str, Any],
    first: str,
    data: DataConfig,
    training: TrainConfig,
) -> Page:
    """The page of a comparison in `out`; `first` is the name of its first split."""
    columns, rows = table(results)
    splits, seeds = results["splits"], results["seeds"]
    parts = f"{'one split' if splits == 1 else f'{splits} splits'} · {results['test_videos']} test videos"
    page = Page(f"Comparison of models: {name}", f"{parts} · seeds {', '.join(map(str, seeds))}")
    page.table(rows, columns, "Means over seeds; all models with the same clips and the same maximum number of epochs.")
    if weights := results["ensemble_weights"]:
        shares = ", ".join(f"{percent(weight, 0)} {member}" for member, weight in weights.items())
        page.text(
            f"ensemble: the scores of trained models, averaged with weights chosen on validation clips ({shares})."
        )
    page.figure(to_svg(side_by_side(results["per_seed"], results["majority"], "majority class")), "One dot per seed.")
    if attentive := [spec for spec in models if spec.attends]:
        page.heading("Attention")
        page.text("Random test clips; up to half are mistakes.")
        for spec in attentive:
            sheet = out / spec.folder / _part(first, seeds[0]) / "attention.png"
            page.figure(sheet.read_bytes(), f"{spec.name}, {first}, seed {seeds[0]}", wide=True)
    if results["skipped"]:
        page.heading("Clips left out").table([[text] for text in results["skipped"]], ["problem"])
    with page.details("Settings"):
        modality = ", ".join(f"{model} {value}" for model, value in results["modality"].items())
        values = {**data.to_dict(), "modality": modality, **training.to_dict()}
        page.table([[key, str(value)] for key, value in values.items()], ["setting", "value"])
    return page
