"""Training that starts from the weights of other runs: `motion` starts from its two streams (Li et al. 2016)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from onlooker.config import DataConfig, Modality
from onlooker.data.feature_store import FeatureStore
from onlooker.data.split import Split
from onlooker.experiments.memo import fingerprint
from onlooker.models.attention import SoftAttention
from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.lstm import ConvLSTM
from onlooker.models.cells.motion import MotionCell
from onlooker.models.classifier import Classifier
from onlooker.models.encoders.paired import Paired
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, load
from onlooker.runs.features import open_stores, weights_digest
from onlooker.runs.folder import RunRecord
from onlooker.runs.train import Initialize
from onlooker_papers.videolstm.published import MotionInit

# The sample settings that must be equal, because the weights were trained on such samples.
_SETTINGS: dict[Modality, tuple[str, ...]] = {
    "rgb": ("modality", "size", "channels", "motion_crop", "normalization"),
    "flow": ("modality", "size", "motion_crop", "flow", "flow_length"),
}


def init_from(rgb: Path, flow: Path, folder: Path, features: Sequence[Path] = ()) -> Initialize:
    """Give `motion` the weights of a `convalstm` run on RGB and a `convlstm` run on flow.

    Args:
        rgb, flow: the two runs, trained on the same split as the new run.
        folder: the clips.
        features: the feature stores of the new run, if any; the two runs must have the encoders of these stores.

    Returns:
        A function for `train_run`. It raises a FileNotFoundError if a run does not exist or is not finished, and a
        ValueError if the runs do not fit. config.json of the new run gets the fingerprint of each run's weights.
    """

    def initialize(net: VideoModel, classes: Sequence[str], data: DataConfig, split: Split) -> dict[str, Any]:
        of: dict[Modality, Path] = {"rgb": rgb, "flow": flow}
        members = {modality: load(run, device="cpu") for modality, run in of.items()}
        stores: dict[Modality, FeatureStore] = {store.settings.data.modality: store for store in open_stores(features)}
        for modality, run in of.items():
            _check(run, members[modality], classes, data.to_dict() | {"modality": modality}, stores.get(modality))
            if RunRecord.read(run, folder).split != split:
                raise ValueError(
                    f"{run}: trained on another split, so its training clips may be validation or test clips here; "
                    "start from runs of this split (equal --seed, and the same clips, all of which can be read)"
                )
        initialize_motion(net, members["rgb"].model, members["flow"].model)
        return {run.resolve().name: fingerprint(run) for run in sorted(of.values())}

    return initialize


def _check(
    run: Path, member: Recognizer, classes: Sequence[str], data: Mapping[str, Any], store: FeatureStore | None
) -> None:
    """Raise a ValueError unless the weights of a run fit these classes, samples and features."""
    if list(member.classes) != list(classes):
        trained, expected = ", ".join(member.classes), ", ".join(classes)
        raise ValueError(
            f"{run}: its classes are {trained}, here they are {expected}; start from runs on the same clips"
        )
    trained_on = member.data.to_dict()
    if changed := [name for name in _SETTINGS[data["modality"]] if trained_on[name] != data[name]]:
        values = ", ".join(f"{name} {trained_on[name]} (here: {data[name]})" for name in changed)
        raise ValueError(f"{run}: trained with {values}; start from runs with the same settings")
    if store is not None and weights_digest(cast(nn.Module, member.model.encoder)) != store.settings.weights:
        raise ValueError(
            f"{run}: its encoder is not the one that made {store.folder}; start from a run on that store (features)"
        )


def initialize_motion(model: VideoModel, rgb: VideoModel, flow: VideoModel) -> None:
    """Give a `motion` model the weights of its two streams: ConvALSTM on RGB, ConvLSTM on flow (Li et al. 2016).

    The encoder, attention, ConvLSTM (here the upper one), head, and the linear layer of the attention loss (if both
    have one) come from RGB; the second encoder and the lower ConvLSTM come from flow. The lower ConvLSTM has 1×1
    kernels; they get the centers of the 3×3 kernels of flow (the paper does not say how; the authors' script copies the
    3×3 kernels). With the models of `published`, the first state of the upper ConvLSTM comes from RGB, too.
    `from_upper` is not changed.

    Args:
        model: `motion`, which is changed.
        rgb: `convalstm`, trained on the first channels of `model`.
        flow: `convlstm`, trained on the last channels.

    Raises:
        ValueError: other models, or other shapes.
    """
    net, both, cell = _motion(model)
    seen, attentive, upper = _convalstm(rgb)
    moved, lower = _convlstm(flow)
    parts = [
        ("the encoder of RGB", both.rgb, _weights(seen.encoder)),
        ("the attention", cell.attention, _weights(attentive.attention)),
        ("the upper ConvLSTM", cell.upper, _weights(upper)),
        ("the head", net.head, _weights(seen.head)),
        ("the encoder of flow", both.flow, _weights(moved.encoder)),
        ("the lower ConvLSTM", cell.lower, {name: _center(part) for name, part in _weights(lower).items()}),
    ]
    if isinstance(first := getattr(net, "learned_init", None), MotionInit) and seen.init == "clip-mean":
        parts.append(("the first state", first.upper, _weights(seen.learned_init)))
    if net.attention_head is not None and seen.attention_head is not None:
        parts.append(("the attention_head", net.attention_head, _weights(seen.attention_head)))
    for name, part, weights in parts:
        try:
            part.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{name} does not fit this model; build all three alike: {error}") from error


def _motion(model: VideoModel) -> tuple[Classifier, Paired, MotionCell]:
    if not (isinstance(model, Classifier) and isinstance(model.cell, MotionCell) and isinstance(model.encoder, Paired)):
        raise ValueError("only motion begins from two streams, and this is another model; use motion")
    return model, model.encoder, model.cell


def _convalstm(model: VideoModel) -> tuple[Classifier, AttentiveCell, ConvLSTM]:
    if isinstance(model, Classifier) and isinstance(model.cell, AttentiveCell):
        inner = model.cell.cell
        if isinstance(model.cell.attention, SoftAttention) and isinstance(inner, ConvLSTM) and _is_whole(inner):
            return model, model.cell, inner
    raise ValueError("the RGB model is not convalstm with its own cell; train one as --model convalstm")


def _convlstm(model: VideoModel) -> tuple[Classifier, ConvLSTM]:
    if isinstance(model, Classifier) and isinstance(model.cell, ConvLSTM) and _is_whole(model.cell):
        return model, model.cell
    raise ValueError("the flow model is not convlstm with its own cell; train one as --model convlstm")


def _is_whole(cell: ConvLSTM) -> bool:
    """Whether each of its convolutions has one full kernel, instead of separable ones."""
    return isinstance(cell.from_features, nn.Conv2d)


def _weights(part: object) -> dict[str, Tensor]:
    return cast(nn.Module, part).state_dict()


def _center(part: Tensor) -> Tensor:
    """Kernels `O D k k` as 1×1 kernels of their center; a bias as it is."""
    if part.ndim < 4:
        return part
    y, x = part.shape[2] // 2, part.shape[3] // 2
    return part[:, :, y : y + 1, x : x + 1]
