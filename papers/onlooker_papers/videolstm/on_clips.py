"""VideoLSTM's ablation on folders of real clips: the figures, the table and the page of `onlooker compare`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onlooker.config import ModelConfig
from onlooker.data.folder import find_clips
from onlooker.data.sets import ClipSet
from onlooker.data.split import make_splits
from onlooker.experiments.model_spec import parse_specs
from onlooker.runs.compare import compare
from onlooker_papers.real_clips.rows import write_set
from onlooker_papers.sets import few_of_each, set_name
from onlooker_papers.videolstm.budget import ClipsBudget

# A single frame and the models of Li et al. 2016 in their order, the report's model, models of flow, motion-based
# attention, and the ensemble of two streams.
MODELS = "single-frame,convnet,lstm,alstm,convlstm,convalstm,report,convnet:flow,convlstm:flow,motion,ensemble"
RESULTS = "videolstm-clips"


def check_sets(folders: Sequence[Path]) -> None:
    """Check the sets of clips before anything is computed.

    Raises:
        ValueError: two sets with the same name.
        ClipError: a folder that is not a set of clips.
    """
    for folder in folders:
        find_clips(folder)
    for name, count in Counter(map(set_name, folders)).items():
        if count > 1:
            raise ValueError(f"--clips: {count} sets are called {name}; rename a folder, or give one of them")


def compete_on_clips(
    run: Path, folders: Mapping[Path, str], budget: ClipsBudget, results: Path | None, jobs: int | None = None
) -> dict[str, dict[str, Any]]:
    """Train the missing models on every set; each set has a folder with a page.

    Args:
        run: gets a folder for each set.
        folders: folders of clips, with one sub-folder per class, and the command that makes the figures of each.
        budget: how much is computed.
        results: a folder for `videolstm-clips.json`.
        jobs: parallel trainings; None: as many as the machine allows.

    Returns:
        By the name of the set, the figures of `compare`.

    Raises:
        ValueError: a run made with other settings, or too few clips for a split.
    """
    found = {}
    for folder, command in folders.items():
        name = set_name(folder)
        specs, members = parse_specs(MODELS, budget.data)
        clips = ClipSet(folder, {"": few_of_each(find_clips(folder), budget.clips)})
        settings, model = (budget.seeds, budget.data, budget.training), ModelConfig(encoder="conv4")
        found[name] = compare(clips, run / name, specs, make_splits, *settings, jobs, members, model)
        if results is not None:
            write_set(results, RESULTS, name, found[name], budget.data, budget.training, command)
    return found
