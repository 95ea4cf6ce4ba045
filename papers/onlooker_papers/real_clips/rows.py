"""The figures of a comparison as rows of a results file: one per set of clips and model, and one per set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.config import DataConfig, TrainConfig
from onlooker.files import read_json
from onlooker_papers.results import CELLS, About, Key, Row, read_rows, write_rows

WHAT = "accuracy by model on folders of clips: means over seeds, test videos of all splits together"
# Figures of a comparison that have a value for each model, and their names in results files.
_BY_MODEL = {
    "accuracy": "accuracy",
    "spread": "spread",
    "frame_accuracy": "frame_accuracy",
    "per_seed": "per_seed",
    "modality": "streams",
    "streams": "streams",
    "places": "places",
}
_WEIGHTS = ("ensemble_weights", "fused_weights")
_ENSEMBLE = "fused"  # the name of the ensemble's row in results files
_OF_SET = ("majority", "test_videos", "splits", "seeds", "weights", "skipped")


def write_set(
    results: Path,
    file: str,
    name: str,
    figures: Mapping[str, Any],
    data: DataConfig,
    training: TrainConfig,
    command: str,
    only: str = "",
) -> Path:
    """Write the rows of one set to `results/FILE.json`, next to those of other sets.

    Args:
        results: the folder of the results files.
        file: name of the results file, without `.json`.
        name: of the set.
        figures: of `compare`.
        data, training: settings of the comparison.
        command: made the rows of this set.
        only: options that select some models: rows of the other models stay.

    Raises:
        ValueError: the rows that stay are of other clips, seeds or settings.
    """
    rows = _rows(name, figures, data, training, command)
    if only:
        _check_same_set(results, file, name, rows.pop((name,)))
    known = read_rows(results, file)
    of_sets = {key[0]: row["figures"] for key, row in known.items() if len(key) == 1}
    if not only:
        of_sets[name] = dict(rows[name,].figures)
    seeds = sorted({seed for of_set in of_sets.values() for seed in of_set["seeds"]})
    commands = " && ".join(of_set["command"] for of_set in of_sets.values())
    return write_rows(results, file, About(WHAT, commands, seeds), rows, only, made_by=command)


def _rows(
    name: str, figures: Mapping[str, Any], data: DataConfig, training: TrainConfig, command: str
) -> dict[Key, Row]:
    settings = {**data.to_dict(), **training.to_dict()}
    budget = {"epochs": training.epochs, "frames": data.frames, "size": data.size, "channels": data.channels}
    of_set = {"command": command, "budget": budget, "settings": settings, **{key: figures[key] for key in _OF_SET}}
    rows: dict[Key, Row] = {(name,): Row(of_set, settings)}
    for model in figures["accuracy"]:
        row = {_BY_MODEL[key]: values[model] for key, values in figures.items() if key in _BY_MODEL and model in values}
        is_ensemble = model in (_ENSEMBLE, "ensemble")
        if is_ensemble:
            row["weights"] = next(figures[key] for key in _WEIGHTS if key in figures)
        modality = {"modality": row["streams"]} if "streams" in row else {}
        key = (name, "models", _ENSEMBLE if is_ensemble else model)
        rows[key] = Row(row, {**settings, **modality, "seeds": figures["seeds"], "splits": figures["splits"]})
    return rows


def _check_same_set(results: Path, file: str, name: str, row: Row) -> None:
    path = results / CELLS / file / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{results / file}.json has no rows of {name} to replace; run all of its models first")
    stored = read_json(path)["figures"]
    # Rows from before settings were recorded have their budget alone.
    wanted = {key: value for key, value in row.figures.items() if key not in ("command", "settings")}
    if differ := [key for key, value in wanted.items() if stored.get(key, value) != value]:
        raise ValueError(f"{results / file}.json: {name} differs in {', '.join(differ)}; run all of its models")
