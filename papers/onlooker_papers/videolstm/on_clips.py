"""VideoLSTM's ablation on folders of real clips: the cells, the table and the page of `onlooker compare`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.data.folder import find_clips
from onlooker.data.sets import ClipSet
from onlooker.data.split import make_splits
from onlooker.runs.compare import compare
from onlooker.runs.model_spec import parse_specs
from onlooker_papers.real_clips.rows import write_set
from onlooker_papers.sets import few_of_each, set_name
from onlooker_papers.videolstm.budget import ClipsBudget

# A single frame and the models of Li et al. 2016 in their order, the report's, flow next to RGB, attention that
# follows it, two streams together.
MODELS = "single-frame,convnet,lstm,alstm,convlstm,convalstm,report,convnet:flow,convlstm:flow,motion,ensemble"
RESULTS = "videolstm-clips"


def check_sets(folders: Sequence[Path]) -> None:
    """Find out before anything is computed what would end it.

    Raises:
        ValueError: two sets of one name.
        ClipError: a folder that is no set of clips.
    """
    for folder in folders:
        find_clips(folder)
    for name, count in Counter(map(set_name, folders)).items():
        if count > 1:
            raise ValueError(f"--clips: {count} sets are called {name}; rename a folder, or give one of them")


def compete_on_clips(
    run: Path, folders: Mapping[Path, str], budget: ClipsBudget, results: Path | None, jobs: int | None = None
) -> dict[str, dict[str, Any]]:
    """Train what is missing on every set, each in a folder of its own with a page.

    Args:
        run: gets the folders, by the names of the sets.
        folders: of clips, one sub-folder per class, and the command that makes the figures of each.
        budget: with how much.
        results: a folder for `videolstm-clips.json`; None: the figures are in `run` alone.
        jobs: trainings side by side, one thread each; None: one for every core.

    Returns:
        By the name of the set, what `compare` found.

    Raises:
        ValueError: cells that are there were made with other settings, or too few clips for a split.
    """
    found = {}
    for folder, command in folders.items():
        name = set_name(folder)
        specs, members = parse_specs(MODELS, budget.data)
        clips = ClipSet(folder, {"": few_of_each(find_clips(folder), budget.clips)})
        settings = budget.seeds, budget.data, budget.training
        found[name] = compare(clips, run / name, specs, make_splits, *settings, jobs, members)
        if results is not None:
            write_set(results, RESULTS, name, found[name], budget.data, budget.training, command)
    return found
