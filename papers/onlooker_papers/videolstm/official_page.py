"""The page of VideoLSTM's models on a published set: the paper's table, and learning curves."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onlooker.evaluation.report import Page
from onlooker_papers.pages import add_curves, add_left_out, add_settings
from onlooker_papers.tables import add_table, build, key, rows, share
from onlooker_papers.videolstm.official_budget import BOTH, MOTION, NAMES, SINGLE, Budget, OfficialSet

_STREAMS = {"rgb": "RGB", "flow": "flow"}
_OURS = (
    "Not as in the paper: `convnet` and `lstm` see the average over the map, not fc7; validation clips, "
    "a tenth of the training list, choose the epoch, where the authors' code keeps the best on the test list. Unless "
    "`--full` is given, also: encoders keep their weights, flow is DIS in stacks of ten fields, and initial weights, "
    "AdamW with a one-cycle schedule, states that start from zeros, attention × number of locations, the averaged map "
    "before the classes and forget bias 1 are ours."
)


def write_page(
    folder: Path, official: OfficialSet, split: int, budget: Budget, figures: Mapping[str, Any], command: str
) -> Path:
    """Write `report.html` into the folder of a split's models.

    Args:
        folder: has a folder for each model.
        official: the set.
        split: number of the split.
        budget: the budget of the run.
        figures: `classes`, `clips` of each split, `models` and `fused` with their `accuracy`, and `left_out`.
        command: the command that made the page.
    """
    models, counts = figures["models"], ", ".join(f"{count:,} {side}" for side, count in figures["clips"].items())
    page = Page(
        f"VideoLSTM on {official.published.title}",
        f"Split {split} · {figures['classes']} classes · clips: {counts} · {budget.name}",
    )
    if not budget.pretrained:
        page.text("**The encoder has random weights** (`--no-pretrained`): the page only shows that everything runs.")
    page.heading("The table of the paper")
    cited = official.cited if split == 1 else {}
    page.table(
        [
            row
            for stream, words in _STREAMS.items()
            for row in (
                [words, *(share(models[f"{name}-{stream}"]["accuracy"]) for name in SINGLE)],
                *([[f"{words}, cited", *map(str, cited[stream])]] if stream in cited else []),
            )
        ],
        ["", *NAMES.values()],
        f"Test clips correct, %, the mean of {budget.crops} temporal crops of {budget.frames} frames. *Cited*: "
        "Li et al. 2016 on split 1, as commonly cited; their encoders were trained on the set.",
    )
    together = build(
        rows({"motion: the flow says where to attend in RGB": models[MOTION], **figures["fused"]}, "*"),
        {
            "": key(0, str),
            "here": ("accuracy", share),
            "weights": ("weights", lambda of: " : ".join(f"{weight:.2f}" for weight in of)),
            "cited": lambda row: str(official.cited_together) if row.key[0] == BOTH else None,
        },
        "Two streams: probabilities weighed and added, with weights that validation clips choose.",
    )
    add_table(page, together)
    page.text(_OURS)
    page.heading("Training curves")
    for stream, words in _STREAMS.items():
        names = [f"{model}-{stream}" for model in SINGLE] + ([MOTION] if stream == "rgb" else [])
        add_curves(page, {name: folder / name for name in names}, words)
    add_left_out(page, [list(error.values()) for error in figures["left_out"]])
    add_settings(page, command, {"these models": asdict(budget)})
    return page.write(folder / "report.html")
