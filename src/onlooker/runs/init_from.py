"""A training that begins with the weights of other runs: `motion` from those of its two streams (Li et al. 2016)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from torch import nn

from onlooker.config import DataConfig
from onlooker.files import read_json
from onlooker.data.feature_store import FeatureStore
from onlooker.data.split import Split
from onlooker.runs.memo import fingerprint
from onlooker.runs.features import weights_digest
from onlooker.models.initialize import initialize_motion
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, load

# What a stream must look like for weights that have learned from it.
_SEEN = {"rgb": ("size", "channels", "motion_crop", "normalization"), "flow": ("size", "motion_crop", "flow", "flow_length")}


def initialize(
    net: VideoModel,
    runs: Mapping[Path, str | None],
    classes: Sequence[str],
    data: DataConfig,
    stores: Sequence[FeatureStore] = (),
) -> dict[str, str]:
    """Give `motion` the weights of a `convalstm` run on the picture and a `convlstm` run on the flow.

    Args:
        net: the model, which is changed.
        runs: the two, in any order, each with the fingerprint that its weights must have; None: any. Of none at all
            nothing comes.
        classes: the `K` class names.
        data: how clips become samples for `net`.
        stores: the features that it learns from, if it does; the runs' encoders must be those that made them.

    Returns:
        For config.json: the path of each run, and the fingerprint of its weights.

    Raises:
        FileNotFoundError: a run that is not there, or has not finished.
        ValueError: runs that do not fit, or have other weights than wanted.
    """
    if not runs:
        return {}
    members = {run: _read(run, weights) for run, weights in runs.items()}
    of = {member.data.modality: run for run, member in members.items()}
    if set(of) != set(_SEEN) or len(runs) != len(_SEEN):
        found = ", ".join(f"{run} sees {member.data.modality}" for run, member in members.items())
        raise ValueError(
            f"runs to begin from: {found}; expected two, for motion: a convalstm on rgb and a convlstm on flow"
        )
    encoded = {store.origin.data.modality: store for store in stores}
    for streams, run in of.items():
        _check(run, members[run], classes, data, encoded.get(streams))
    initialize_motion(net, members[of["rgb"]].model, members[of["flow"]].model)
    return {str(run.resolve()): fingerprint(run) for run in runs}


def check_split(runs: Sequence[Path], split: Split, folder: Path) -> None:
    """Refuse runs that may have learned from clips which choose or test here.

    Args:
        runs: that a training begins from.
        split: of this training.
        folder: of its clips.

    Raises:
        ValueError: a run was trained on another split.
    """
    wanted = split.to_dict(folder)
    for run in runs:
        if read_json(run / "split.json") != wanted:
            raise ValueError(
                f"{run}: trained on another split, so it may have learned from clips that choose or test here; begin "
                "from runs of this split (equal --seed, and the same clips, all of which can be read)"
            )


def _read(run: Path, weights: str | None) -> Recognizer:
    member = load(run, device="cpu")
    if not (run / "split.json").exists():
        raise FileNotFoundError(f"{run}: no split.json; expected a run's folder, as `onlooker train` leaves it")
    if weights not in (None, fingerprint(run)):
        raise ValueError(f"{run}: other weights than those that this training began with; restore it, or train anew")
    return member


def _check(run: Path, member: Recognizer, classes: Sequence[str], data: DataConfig, store: FeatureStore | None) -> None:
    """Raise a ValueError unless what a run has learned holds for these classes, samples and features."""
    if list(member.classes) != list(classes):
        learned, wanted = ", ".join(member.classes), ", ".join(classes)
        raise ValueError(f"{run}: its classes are {learned}, here they are {wanted}; begin from runs on the same clips")
    seen, here = member.data.to_dict(), data.to_dict()
    if changed := [name for name in _SEEN[member.data.modality] if seen[name] != here[name]]:
        said = ", ".join(f"{name} {seen[name]} (here: {here[name]})" for name in changed)
        raise ValueError(f"{run}: trained with {said}; begin from runs with the same settings")
    if store is not None and weights_digest(cast(nn.Module, member.model.encoder)) != store.origin.weights:
        raise ValueError(
            f"{run}: its encoder is not the one that made {store.folder}; begin from a run on that store (--features)"
        )
