"""Training that starts from the weights of other runs: `motion` from those of its two streams (Li et al. 2016)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from onlooker.config import DataConfig
from onlooker.data.feature_store import FeatureStore
from onlooker.data.split import Split
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, load
from onlooker.runs.features import open_stores, weights_digest
from onlooker.runs.folder import RunRecord
from onlooker.runs.memo import fingerprint
from onlooker.runs.train import Initialize
from onlooker_papers.videolstm.initialize import initialize_motion

# The sample settings that must be equal, because the weights were trained on such samples.
_SETTINGS = {
    "rgb": ("size", "channels", "motion_crop", "normalization"),
    "flow": ("size", "motion_crop", "flow", "flow_length"),
}


def init_from(runs: Sequence[Path], folder: Path, features: Sequence[Path] = ()) -> Initialize:
    """Give `motion` the weights of a `convalstm` run on RGB and a `convlstm` run on flow.

    Args:
        runs: the two, in any order, trained on the same split as the new run.
        folder: the clips.
        features: the stores that the new run is trained on, if any; the encoders of `runs` must be theirs.

    Returns:
        For `train_run`; called, it raises a FileNotFoundError if a run does not exist or is not finished, and a
        ValueError if the runs do not fit. config.json of the new run gets the fingerprint of each run's weights.
    """

    def initialize(net: VideoModel, classes: Sequence[str], data: DataConfig, split: Split) -> dict[str, Any]:
        members = {run: load(run, device="cpu") for run in runs}
        of = _by_modality(members)
        stores: dict[str, FeatureStore] = {store.settings.data.modality: store for store in open_stores(features)}
        for modality, run in of.items():
            _check(run, members[run], classes, data, stores.get(modality))
            if RunRecord.read(run, folder).split != split:
                raise ValueError(
                    f"{run}: trained on another split, so its training clips may be validation or test clips here; "
                    "start from runs of this split (equal --seed, and the same clips, all of which can be read)"
                )
        initialize_motion(net, members[of["rgb"]].model, members[of["flow"]].model)
        return {run.resolve().name: fingerprint(run) for run in sorted(runs)}

    return initialize


def _by_modality(members: Mapping[Path, Recognizer]) -> dict[str, Path]:
    of: dict[str, Path] = {member.data.modality: run for run, member in members.items()}
    if set(of) != set(_SETTINGS) or len(members) != len(_SETTINGS):
        given = ", ".join(f"{run} sees {member.data.modality}" for run, member in members.items())
        raise ValueError(
            f"runs to start from: {given}; expected two, for motion: a convalstm on rgb and a convlstm on flow"
        )
    return {modality: of[modality] for modality in _SETTINGS}


def _check(run: Path, member: Recognizer, classes: Sequence[str], data: DataConfig, store: FeatureStore | None) -> None:
    """Raise a ValueError unless the weights of a run fit these classes, samples and features."""
    if list(member.classes) != list(classes):
        trained, expected = ", ".join(member.classes), ", ".join(classes)
        raise ValueError(
            f"{run}: its classes are {trained}, here they are {expected}; start from runs on the same clips"
        )
    theirs, ours = member.data.to_dict(), data.to_dict()
    if changed := [name for name in _SETTINGS[member.data.modality] if theirs[name] != ours[name]]:
        values = ", ".join(f"{name} {theirs[name]} (here: {ours[name]})" for name in changed)
        raise ValueError(f"{run}: trained with {values}; start from runs with the same settings")
    if store is not None and weights_digest(cast(nn.Module, member.model.encoder)) != store.settings.weights:
        raise ValueError(
            f"{run}: its encoder is not the one that made {store.folder}; start from a run on that store (features)"
        )
