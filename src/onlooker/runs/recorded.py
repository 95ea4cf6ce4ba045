"""Comparisons of models on several sets in one file of results, a set beside the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.config import DataConfig, TrainConfig
from onlooker.evaluation.results import write_results
from onlooker.files import read_json
from onlooker.runs.model_spec import ENSEMBLE

# Of a comparison: what has a value for each model, and what all its models share.
# Results files keep the names that they were begun with.
_RECORDED = {"modality": "streams", "ensemble_weights": "fused_weights"}
_BY_MODEL = ("accuracy", "spread", "frame_accuracy", "per_seed", "streams", "places")
_SHARED = ("majority", "test_videos", "splits", "seeds", "weights", "skipped", "budget", "settings")
_THEN = " && "


def add_results(
    path: Path,
    name: str,
    figures: Mapping[str, Any],
    data: DataConfig,
    training: TrainConfig,
    command: str,
    add: bool = False,
) -> None:
    """Put one set's figures into a file of results, beside those of other sets; its command stands with each set.

    Args:
        path: the file, made where there is none.
        name: of the set.
        figures: of `compare`.
        data, training: its settings.
        command: what made the figures.
        add: the set is there already: its models keep their rows, those of `figures` come among them.

    Raises:
        ValueError: as `rows_to_add_to`, or rows of other clips or settings.
    """
    known = read_json(path)["figures"] if path.exists() else {}
    budget = {"epochs": training.epochs, "frames": data.frames, "size": data.size, "channels": data.channels}
    settings = {**data.to_dict(), **training.to_dict()}
    entry = {"command": command, "budget": budget, "settings": settings, **recorded(figures)}
    if add:
        entry = _merged(path, name, entry)
    if places := entry.get("places"):
        # Of the model that the set is for: the one that follows motion, else the last that attends.
        name_of = "motion" if "motion" in places else list(places)[-1]
        keys = ("peak_in_silhouette", "peak_in_box", "box_iou_50")
        entry = {**entry, "places_of": name_of, **{key: places[name_of][key] for key in keys}}
    known[name] = entry
    commands = _THEN.join(entry["command"] for entry in known.values())
    seeds = sorted({seed for entry in known.values() for seed in entry["seeds"]})
    what = "accuracy by model on folders of clips: means over seeds, test videos of all splits together"
    write_results(path, what, commands, known, seeds)


def recorded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of `compare` with the names that results files have for them."""
    rows = {name: {("fused" if model == ENSEMBLE else model): value for model, value in of.items()}
            for name, of in figures.items() if isinstance(of, Mapping)}  # fmt: skip
    return {_RECORDED.get(name, name): rows.get(name, value) for name, value in figures.items()}


def rows_to_add_to(path: Path, name: str, models: Sequence[str], fused: bool) -> tuple[dict[str, Any], list[str]]:
    """The set of this name in `path`, and the commands that made its rows.

    Args:
        path, name: of the set.
        models: names of rows to be added.
        fused: whether a row of fused ones is among them.

    Raises:
        ValueError: there is no such set, or what is fused there would be left with an older row of one of the models.
    """
    known = read_json(path)["figures"] if path.exists() else {}
    if name not in known:
        raise ValueError(f"{path} has no rows of {name} to add to (--add); leave it out, or check --results and --name")
    stored: dict[str, Any] = known[name]
    if not fused and (replaced := [model for model in models if model in stored["fused_weights"]]):
        members = " and ".join(stored["fused_weights"])
        raise ValueError(f"{path}: {name} has {members} fused, and new rows of {replaced[0]}; fuse them anew, too")
    return stored, stored["command"].split(_THEN)


def _merged(path: Path, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of a set with those of `entry` among them."""
    stored, commands = rows_to_add_to(path, name, list(entry["accuracy"]), bool(entry["fused_weights"]))
    # What was recorded before settings were has its budget alone.
    if differ := [key for key in _SHARED if stored.get(key, entry[key]) != entry[key]]:
        raise ValueError(
            f"{path}: the rows of {name} are of other clips, seeds or settings (differs: {', '.join(differ)}); leave "
            "out --add"
        )
    merged = {**stored, **entry}
    for key in _BY_MODEL:
        if key in merged:
            merged[key] = {**stored.get(key, {}), **entry.get(key, {})}
    merged["fused_weights"] = entry["fused_weights"] or stored["fused_weights"]
    earlier = [command for command in commands if command != entry["command"]]
    return {**merged, "command": _THEN.join([*earlier, entry["command"]])}
