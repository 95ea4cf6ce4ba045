"""Several models, seeds and splits on one folder of clips, side by side in one table."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from rich.progress import track

import onlooker
from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.sets import ClipSet, read_set, set_name
from onlooker.data.split import Split, Splits, few_of_each
from onlooker.drawing.plots import side_by_side, to_svg
from onlooker.evaluation.report import Page, percent
from onlooker.files import read_json, write_json
from onlooker.models.registry import configured
from onlooker.recognizer import load, resolve_normalization
from onlooker.runs.ensemble import fuse
from onlooker.runs.evaluate import read_clips
from onlooker.runs.masks import BASELINES, Truth, mean_places, read_truth, score_places
from onlooker.runs.memo import fingerprint
from onlooker.runs.model_spec import ENSEMBLE, ModelSpec, check_specs
from onlooker.runs.parallel import run_parallel
from onlooker.runs.train import train_run

__all__ = ["compare", "table"]

_GROUPS: dict[str, type[DataConfig | ModelConfig | TrainConfig]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainConfig,
}

_EVALUATION = "evaluation.json"


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
    def part(self) -> str:
        """Which of its model's trainings."""
        return _part(self.split_name, self.training.seed)

    @property
    def name(self) -> str:
        """The name of its run inside the comparison."""
        return f"{self.spec.folder}/{self.part}"

    def settings(self, folder: Path) -> dict[str, dict[str, Any]]:
        """What its figures depend on."""
        groups = {"model": self.model, "data": self.data, "training": self.training}
        return {**{name: group.to_dict() for name, group in groups.items()}, "split": self.split.to_dict(folder)}

    def done(self, out: Path) -> bool:
        """Whether its figures are there."""
        return (out / self.name / _EVALUATION).exists()

    def compute(self, folder: Path, out: Path) -> dict[str, Any]:
        """Train it, or go on where it was cut off."""
        return train_run(
            folder, out / self.name, self.model, self.data, self.training, self.split, resume=True, quiet=True
        )


@dataclass(frozen=True)
class EnsembleCell:
    """An ensemble of trained cells of one seed and split."""

    members: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The name of its folder inside the comparison."""
        return f"{ENSEMBLE}/{self.members[0].part}"

    def settings(self, folder: Path) -> dict[str, dict[str, Any]]:
        """What its figures depend on."""
        of_members = {member.spec.name: member.settings(folder) for member in self.members}
        splits = [settings.pop("split") for settings in of_members.values()]  # which are one and the same
        return {"ensemble": {"members": list(of_members), **of_members}, "split": splits[0]}

    def done(self, out: Path) -> bool:
        """Whether its figures are there, and of its members as they are now."""
        run = out / self.name
        return (run / _EVALUATION).exists() and read_json(run / "config.json").get(
            "fingerprints"
        ) == self._fingerprints(out)

    def _fingerprints(self, out: Path) -> dict[str, str]:
        return {member.spec.name: fingerprint(out / member.name) for member in self.members}

    def compute(self, folder: Path, out: Path) -> dict[str, Any]:
        """Choose the weights on validation clips, and test; the folder is there when all of it is."""
        run = out / self.name
        temporary = run.with_name(f".{run.name}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        measured = fuse([out / member.name for member in self.members], temporary, quiet=True)
        stored = {"onlooker": onlooker.__version__, **self.settings(folder), "fingerprints": self._fingerprints(out)}
        write_json(temporary / "config.json", stored)
        shutil.rmtree(run, ignore_errors=True)
        temporary.rename(run)
        return measured


def _part(split_name: str, seed: int) -> str:
    return f"{split_name}-seed{seed}"


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
    silhouettes: str | None = None,
    clips_a_class: int = 0,
    model: ModelConfig | None = None,
) -> dict[str, Any]:
    """Train every model with every seed on every split; a cell that is done is not computed again.

    All models learn from the same clips: one that a single model cannot see, such as a clip of one frame where optical
    flow is wanted, is left out for all.

    Args:
        clips: a folder, a list, or what `read_set` returns; or the folder with the clips of given splits.
        out: gets a run for every cell, comparison.json and report.html.
        models: what to compare (`parse_specs`).
        splits: by name, such as official ones, or what makes them from the clips that can be read. Each seed's accuracy
            counts the test videos of all splits together.
        seeds: of weights, order and augmentation; the splits stay.
        data, training: settings of all models, but for the modality; the attention_regularization is that of models
            that attend.
        jobs: trainings in parallel; None: `default_jobs`.
        members: those of the models that form an ensemble, for each seed and split with weights chosen on validation
            clips: one more row, without training. None: no such row.
        silhouettes: of what is to be found in the clips, see `silhouettes.read_truth`: where models looked is scored by
            them. None: it is not.
        clips_a_class: at most so many of each class take part; 0: all.
        model: settings of all models; None: the defaults.

    Returns:
        `accuracy`: by model, the mean over seeds; `spread`: their standard deviation; `frame_accuracy`; `per_seed`;
        `modality` of each; `ensemble_weights`: of its members, means over seeds and splits; `places`: of
        each that attends, the figures of `score_places`, means over seeds;
        `majority`: what always saying one and the same class can reach on the test videos; and the counts.

    Raises:
        ValueError: no model of a name, a model twice, a member that is not among the models, a penalty where none
            attends, or a cell that was made with other settings.
    """
    model = model or ModelConfig()
    check_specs(models, members, model)
    if not models or not seeds:
        raise ValueError(f"{len(models)} models and {len(seeds)} seeds, expected at least one of each")
    if training.attention_regularization and not any(_penalty(spec, training) for spec in models):
        raise ValueError(
            f"attention_regularization is {training.attention_regularization}, and none of the models attends; "
            "leave it out"
        )
    if isinstance(clips, Path):
        clips = read_set(clips) if callable(splits) else ClipSet(clips, {})
    found, folder = clips, clips.root
    truth = None if silhouettes is None else read_truth(silhouettes, folder)
    given = {} if callable(splits) else splits
    if callable(splits):
        chosen = few_of_each(found.clips, clips_a_class)
    else:
        chosen = list(dict.fromkeys(clip for split in splits.values() for clip in split.clips))
    classes = sorted({clip.label for clip in chosen})
    models_of = [each.model_config(model) for each in models]
    seen = [resolve_normalization(each.data_config(data), model.pretrained, each.model) for each in models]
    for each, config in zip(models_of, seen, strict=True):  # what does not fit is an error before clips are read
        configured(each, config, len(classes))
    streams = {config.modality for config in seen}
    everything = replace(seen[0], modality=streams.pop() if len(streams) == 1 else "both")
    samples, skipped = read_clips(chosen, classes, everything, processes=jobs or None)
    unreadable = {error.path for error in skipped}
    whole = {name: split.without(unreadable) for name, split in given.items()}
    splits = splits(samples.clips) if callable(splits) else whole
    cells = [
        Cell(
            spec,
            each,
            config,
            replace(training, seed=seed, attention_regularization=_penalty(spec, training)),
            name,
            split,
        )
        for spec, each, config in zip(models, models_of, seen, strict=True)
        for seed in seeds
        for name, split in splits.items()
    ]
    together = _ensembles(cells, members)
    _compute_all(cells, together, folder, out, jobs)
    names = [spec.name for spec in models]
    results = _gather(out, [*names, *([ENSEMBLE] if members else [])], splits, seeds)
    results["weights"] = "ImageNet" if model.pretrained else "from scratch"
    results["modality"] = {name: config.modality for name, config in zip(names, seen, strict=True)}
    results["ensemble_weights"] = _ensemble_weights(out, members, together)
    results["skipped"] = [str(error) for error in (*found.left_out, *skipped)]
    if truth is not None:
        results["places"] = _places(out, models, splits, seeds, truth)
    write_json(out / "comparison.json", results)
    page = _page(out, set_name(found.path), models, results, next(iter(splits)), data, training)
    page.write(out / "report.html")
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


def _penalty(spec: ModelSpec, training: TrainConfig) -> float:
    """The weight of the penalty on what is attended: none where nothing is."""
    return training.attention_regularization if spec.attends else 0.0


def _ensembles(cells: Sequence[Cell], members: Sequence[ModelSpec]) -> list[EnsembleCell]:
    # Of each model the cells are in one order, that of seeds and splits.
    columns = [[cell for cell in cells if cell.spec == spec] for spec in members]
    return [EnsembleCell(of_part) for of_part in zip(*columns, strict=True)]


def _ensemble_weights(out: Path, members: Sequence[ModelSpec], cells: Sequence[EnsembleCell]) -> dict[str, float]:
    """The weight of each member, mean over seeds and splits."""
    weights = [read_json(out / cell.name / _EVALUATION)["weights"] for cell in cells]
    means = [mean(of_member) for of_member in zip(*weights, strict=True)]
    return {spec.name: weight for spec, weight in zip(members, means, strict=True)}


def _compute_all(
    cells: Sequence[Cell], together: Sequence[EnsembleCell], folder: Path, out: Path, jobs: int | None
) -> None:
    """What is not there yet, once all that is there is known to be what is asked for."""
    kinds: dict[str, Sequence[Cell | EnsembleCell]] = {"training": cells, "ensembles": together}
    for cell in chain(*kinds.values()):
        _check_settings(out / cell.name, cell.settings(folder))
    for what, of_kind in kinds.items():
        todo = [cell for cell in of_kind if not cell.done(out)]
        run_parallel(
            {cell.name: partial(cell.compute, folder, out) for cell in todo}, jobs, what, done=len(of_kind) - len(todo)
        )


def _check_settings(run: Path, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """A cell that is there already must be what is asked for: else its figures would stand under other settings."""
    if not (run / "config.json").exists():
        return
    stored = _completed(read_json(run / "config.json"))
    if (run / "split.json").exists():
        stored["split"] = read_json(run / "split.json")
    for group, values in wanted.items():
        if changed := [name for name, value in values.items() if stored[group].get(name) != value]:
            raise ValueError(
                f"{run}: trained with another {group} ({', '.join(changed)}); choose another --run, or remove it"
            )


def _completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings with the defaults of those that came later, which do what was done before there were any."""

    def complete(name: str, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return _GROUPS[name].from_dict(value).to_dict() if name in _GROUPS else _completed(value)

    return {name: complete(name, value) for name, value in stored.items()}


def _gather(out: Path, names: Sequence[str], splits: Mapping[str, Split], seeds: Sequence[int]) -> dict[str, Any]:
    results: dict[str, Any] = {"accuracy": {}, "spread": {}, "frame_accuracy": {}, "per_seed": {}}
    for row in names:
        by_seed, frames_by_seed = [], []
        for seed in seeds:
            paths = [out / row / _part(name, seed) / _EVALUATION for name in splits]
            parts = [read_json(path) for path in paths]
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


def _places(
    out: Path, models: Sequence[ModelSpec], splits: Mapping[str, Split], seeds: Sequence[int], truth: Truth
) -> dict[str, Any]:
    """Where the models that attend looked in the test clips of all splits, means over seeds."""
    attentive = [each.name for each in models if each.attends]
    steps = track(attentive, "where they looked", disable=not attentive)
    return {
        name: mean_places(
            [
                score_places(
                    ((load(out / name / _part(part, seed), "cpu"), split.test) for part, split in splits.items()), truth
                )
                for seed in seeds
            ]
        )
        for name in steps
    }


def _places_table(places: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: two a model, and those without attention, as seen beside the last of them."""
    columns = ["looked", "peak in the silhouette", "peak in its box", "box with IoU ≥ .5", "mean IoU"]
    rows: dict[str, Mapping[str, Any]] = {}
    for name, figures in places.items():
        rows |= {name: figures, f"{name}: the middle of its highest cell": figures["cell"]}
    for name, figures in list(places.values())[-1]["baselines"].items():
        rows[BASELINES[name]] = figures
    keys = ("peak_in_silhouette", "peak_in_box", "box_iou_50", "box_iou")
    return columns, [[name, *(percent(figures[key]) for key in keys)] for name, figures in rows.items()]


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
    page = Page(f"Models side by side: {name}", f"{parts} · seeds {', '.join(map(str, seeds))}")
    page.table(rows, columns, "Means over seeds; every model saw the same clips, in the same number of epochs at most.")
    if weights := results["ensemble_weights"]:
        shares = ", ".join(f"{percent(weight, 0)} {member}" for member, weight in weights.items())
        page.text(
            f"ensemble: the scores of trained models, averaged with weights chosen on validation clips ({shares})."
        )
    page.figure(
        to_svg(side_by_side(results["per_seed"], results["majority"], "majority class")), "A dot for each seed."
    )
    if places := results.get("places"):
        page.heading("Where")
        columns, rows = _places_table(places)
        page.table(rows, columns, "Share of frames of test clips; the silhouettes were not seen in training.")
    attentive = [spec.name for spec in models if spec.attends]
    if attentive:
        page.heading("What they looked at")
        page.text("Test clips drawn by lot, half of them clips that the model got wrong where there are so many.")
        for model in attentive:
            sheet = out / model / _part(first, seeds[0]) / "attention.png"
            page.figure(sheet.read_bytes(), f"{model}, {first}, seed {seeds[0]}", wide=True)
    if results["skipped"]:
        page.heading("Clips left out").table([[text] for text in results["skipped"]], ["what was found"])
    with page.details("Settings"):
        streams = ", ".join(f"{model} {seen}" for model, seen in results["modality"].items())
        values = {**data.to_dict(), "streams": streams, **training.to_dict()}
        page.table([[key, str(value)] for key, value in values.items()], ["setting", "value"])
    return page
