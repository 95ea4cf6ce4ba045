"""The figures of a comparison as rows of a results file: one per set of clips and model, and one per set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.config import DataConfig, TrainConfig
from onlooker.experiments.model_spec import ENSEMBLE
from onlooker_papers.results import About, Key, Row, read_rows, write_rows

WHAT = "accuracy by model on folders of clips: means over seeds, test videos of all splits together"
# Figures of a comparison that have a value for each model; results files keep their original names.
_BY_MODEL = ("accuracy", "spread", "frame_accuracy", "per_seed", "modality", "places")
_ENSEMBLE, _MODALITY = "fused", "streams"
_OF_SET = ("majority", "test_videos", "splits", "seeds", "weights", "skipped")


def write_set(
    results: Path,
    file: str,
    name: str,
    figures: Mapping[str, Any],
    data: DataConfig,
    training: TrainConfig,
    command: str,
) -> Path:
    """Write the rows of one set to `results/FILE.json`, next to those of other sets.

    Args:
        results: the folder of the results files.
        file: name of the results file, without `.json`.
        name: name of the set.
        figures: the figures of `compare`.
        data, training: settings of the comparison.
        command: the command that made the rows of this set.
    """
    rows = _rows(name, figures, data, training, command)
    of_sets = {key[0]: row["figures"] for key, row in read_rows(results, file).items() if len(key) == 1}
    of_sets[name] = dict(rows[name,].figures)
    seeds = sorted({seed for of_set in of_sets.values() for seed in of_set["seeds"]})
    commands = " && ".join(of_set["command"] for of_set in of_sets.values())
    return write_rows(results, file, About(WHAT, commands, seeds), rows, made_by=command)


def _rows(
    name: str, figures: Mapping[str, Any], data: DataConfig, training: TrainConfig, command: str
) -> dict[Key, Row]:
    settings = {**data.to_dict(), **training.to_dict()}
    budget = {"epochs": training.epochs, "frames": data.frames, "size": data.size, "channels": data.channels}
    of_set = {"command": command, "budget": budget, "settings": settings, **{key: figures[key] for key in _OF_SET}}
    rows: dict[Key, Row] = {(name,): Row(of_set, settings)}
    for model in figures["accuracy"]:
        row = {key: figures[key][model] for key in _BY_MODEL if model in figures.get(key, {})}
        of_row = {**settings, "seeds": figures["seeds"], "splits": figures["splits"]}
        if model == ENSEMBLE:
            model, row["weights"] = _ENSEMBLE, figures["ensemble_weights"]
        else:
            of_row["modality"] = row[_MODALITY] = row.pop("modality")
        rows[name, "models", model] = Row(row, of_row)
    return rows
