"""The tables of real clips, made from the results of `onlooker compare` on folders of them."""

from collections.abc import Callable
from typing import Any

from digit_tables import Results, percent, table

from onlooker.runs.masks import BASELINES
from onlooker_papers.videolstm.on_clips import MODELS

NAME = "real-clips"


def accuracies(results: Results) -> str:
    """A row a model, a column a set."""
    sets = results[NAME]
    found = dict.fromkeys(model for of in sets.values() for model in of["accuracy"])
    first = [model.replace(":", "-") for model in MODELS.split(",")]  # in the order of the ablation
    models = [*(model for model in first if model in found), *(model for model in found if model not in first)]
    rows = [["majority class", *(percent(of["majority"]) for of in sets.values())]]
    rows += [[f"`{model}`", *(_accuracy(of, model) for of in sets.values())] for model in models]
    counts = [f"{name}: {of['test_videos']} test videos, {_seeds(of)}" for name, of in sets.items()]
    note = f"Test videos correct, %, means over seeds ± their spread; {'; '.join(counts)}."
    return table(["model", *(name.replace("_", " ") for name in sets)], rows) + f"\n{note}\n"


def _seeds(of: dict[str, Any]) -> str:
    count = len(of["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def _accuracy(of: dict[str, Any], model: str) -> str:
    if model not in of["accuracy"]:
        return "–"
    spread = of["spread"][model]
    return percent(of["accuracy"][model]) + ("" if spread is None else f" ± {percent(spread)}")


def places(results: Results) -> str:
    """Where people are, from labels only: every set that was scored by masks."""
    columns = ("peak_in_silhouette", "peak_in_box", "box_iou_50", "box_iou")
    rows = []
    for name, of in results[NAME].items():
        found = of.get("places", {})
        for model, each in found.items():
            rows.append([name, f"`{model}`", *(percent(each[key]) for key in columns)])
            if "cell" in each:
                rows.append([name, "the middle of its highest cell", *(percent(each["cell"][key]) for key in columns)])
        if found:
            # The frames are the same for all models.
            without = found[of["places_of"]]["baselines"]
            rows += [[name, BASELINES[key], *(percent(each[c]) for c in columns)] for key, each in without.items()]
    return table(["set", "by", "peak on it", "peak in its box", "box with IoU ≥ .5", "mean IoU"], rows)


TABLES: dict[str, Callable[[Results], str]] = {"real-accuracy": accuracies, "real-places": places}
NEEDED: dict[str, set[str]] = {"real-accuracy": {NAME}, "real-places": {NAME}}
