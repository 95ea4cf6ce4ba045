"""Comparisons of models on several sets in one file of results, a set beside the other."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.config import DataConfig, TrainConfig, read_json
from saccade.evaluation.results import write_results

# Of a comparison: what has a value for each model, and what all its models share.
_BY_MODEL = ("accuracy", "spread", "frame_accuracy", "per_seed", "streams", "places")
_SHARED = ("majority", "test_videos", "splits", "seeds", "weights", "skipped", "budget")
# Options that change no figure of a model, and whether they take a value.
_OF_NO_MODEL = {"--models": True, "--jobs": True, "--run": True, "--name": True, "--results": True, "--add": False}
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
        ValueError: rows to be added to none, or to some that other clips or settings made.
    """
    known = read_json(path)["figures"] if path.exists() else {}
    budget = {"epochs": training.epochs, "frames": data.frames, "size": data.size, "channels": data.channels}
    entry = {"command": command, "budget": budget, **figures}
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


def check_added(path: Path, name: str, command: str) -> dict[str, Any]:
    """The set of this name in `path`, to whose rows those of `command` may be added.

    Raises:
        ValueError: it has none, or other settings made them.
    """
    known = read_json(path)["figures"] if path.exists() else {}
    if name not in known:
        raise ValueError(f"{path} has no rows of {name} to add to (--add); leave it out, or check --results and --name")
    stored: dict[str, Any] = known[name]
    if any(_settings(part) != _settings(command) for part in stored["command"].split(_THEN)):
        raise ValueError(
            f"{path}: the rows of {name} were made by {stored['command']!r}, and this is {command!r}; give the same "
            "options but for --models, or leave out --add"
        )
    return stored


def _merged(path: Path, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of a set with those of `entry` among them."""
    stored = check_added(path, name, entry["command"])
    if differ := [key for key in _SHARED if stored.get(key) != entry[key]]:
        raise ValueError(
            f"{path}: the rows of {name} are of other clips or seeds (differs: {', '.join(differ)}); leave out --add"
        )
    merged = {**stored, **entry}
    for key in _BY_MODEL:
        if key in merged:
            merged[key] = {**stored.get(key, {}), **entry.get(key, {})}
    merged["fused_weights"] = entry["fused_weights"] or stored["fused_weights"]
    earlier = [part for part in stored["command"].split(_THEN) if part != entry["command"]]
    return {**merged, "command": _THEN.join([*earlier, entry["command"]])}


def _settings(command: str) -> set[tuple[str, ...]]:
    """What a model's figures depend on: arguments, and options with their values, in any order."""
    # --option=value is the same as --option value
    words = [part for word in shlex.split(command) for part in (word.split("=", 1) if word[:2] == "--" else [word])]
    found = set()
    while words:
        word, *words = words
        valued = word.startswith("--") and bool(words) and not words[0].startswith("--")
        value, words = (words[:1], words[1:]) if _OF_NO_MODEL.get(word, valued) else ([], words)
        if word not in _OF_NO_MODEL:
            found.add((word, *value))
    return found
