"""The tables of real clips, from the figures of their results file."""

from collections.abc import Mapping
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.digits.tables import Results, share
from onlooker_papers.real_clips.recipes import ABLATION

NAME = "real-clips"


def accuracies(results: Results) -> Table:
    """One row per model, one column per set."""
    sets = results[NAME]
    known = dict.fromkeys(model for of in sets.values() for model in of["accuracy"])
    first = [model.replace(":", "-") for model in ABLATION.split(",")]  # in the order of the ablation
    models = [*(model for model in first if model in known), *(model for model in known if model not in first)]
    rows: list[list[str | None]] = [["majority class", *(share(of["majority"]) for of in sets.values())]]
    rows += [[f"`{model}`", *(_accuracy(of, model) for of in sets.values())] for model in models]
    counts = [f"{name}: {of['test_videos']} test videos, {_seeds(of)}" for name, of in sets.items()]
    note = f"Test videos correct, %, means over seeds ± their standard deviation; {'; '.join(counts)}."
    return Table(["model", *(name.replace("_", " ") for name in sets)], rows, note)


def places(results: Results) -> Table:
    """Where people and hands are, from labels only: every set that was scored by masks."""
    from onlooker_papers.real_clips.masks import BASELINES

    columns = ("peak_in_silhouette", "peak_in_box", "box_iou_50", "box_iou")
    rows = []
    for name, of in results[NAME].items():
        found = of.get("places", {})
        for model, row in found.items():
            rows.append([name, f"`{model}`", *(share(row[key]) for key in columns)])
            if "cell" in row:
                rows.append([name, "the center of its highest cell", *(share(row["cell"][key]) for key in columns)])
        if found:
            # The frames are the same for all models.
            baselines = found[of["places_of"]]["baselines"]
            rows += [[name, BASELINES[key], *(share(row[c]) for c in columns)] for key, row in baselines.items()]
    heads = ["set", "by", "peak in the mask", "peak in its box", "box with IoU ≥ .5", "mean IoU"]
    return Table(heads, rows, "In % of frames.")


def _seeds(of: Mapping[str, Any]) -> str:
    return "1 seed" if len(of["seeds"]) == 1 else f"{len(of['seeds'])} seeds"


def _accuracy(of: Mapping[str, Any], model: str) -> str | None:
    if model not in of["accuracy"]:
        return None
    spread = of["spread"][model]
    return share(of["accuracy"][model]) + ("" if spread is None else f" ± {share(spread)}")


TABLES = {"real-accuracy": accuracies, "real-places": places}
NEEDED = {name: {NAME} for name in TABLES}
