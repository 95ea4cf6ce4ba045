"""The model of a run, and its training by gradient descent, in one process or in each of several."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.clips import ClipCrops, ClipFrames
from onlooker.data.feature_store import FeatureStore
from onlooker.data.split import Split
from onlooker.models.registry import configured
from onlooker.models.video_model import VideoModel
from onlooker.runs.evaluate import read_clips
from onlooker.runs.features import open_stores, stored_clips, use_encoders
from onlooker.runs.folder import RunRecord
from onlooker.training.losses import check_regularization
from onlooker.training.processes import Processes

__all__ = ["Initialize", "build", "fit_weights", "join_training"]

# A function that gives a new model its first weights. It is called with the model, the class names, the sample settings
# and the split, and returns plain values for config.json that say where the weights come from.
Initialize = Callable[[VideoModel, Sequence[str], DataConfig, Split], dict[str, Any]]


def build(
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    classes: Sequence[str],
    stores: Sequence[FeatureStore],
    initialize: Initialize | None,
) -> VideoModel:
    """The untrained model, with the encoder of the stores, if there are any."""
    torch.manual_seed(training.seed)
    # Pretrained weights would be loaded, or downloaded, only to be replaced.
    elsewhere = bool(stores) or initialize is not None
    net = configured(replace(model, pretrained=model.pretrained and not elsewhere), data, len(classes))
    if model.pretrained and elsewhere:
        net.note_pretrained()
    check_regularization(net, training)
    if stores:
        if not net.encodes_frames:
            raise ValueError(f"{model.name} needs frames, not stored features; leave out --features")
        if model.frozen is False:
            raise ValueError("frozen is false, and the encoder of stored features is; leave out --no-frozen")
        use_encoders(net, stores)
    return net


def fit_weights(
    net: VideoModel, samples: ClipFrames, record: RunRecord, run: Path, title: str | None, processes: Processes
) -> None:
    """Train by gradient descent, with a part of each batch in each process; `title` is that of the progress bar."""
    from onlooker.training.fit import fit  # imported here: Lightning takes seconds, and linear models do not need it

    training, validation = samples.only(record.split.training), samples.only(record.split.validation)
    if isinstance(training, ClipCrops):
        training = training.random(record.training.seed)
    fit(net, training, validation, record.data, record.training, run, title, processes=processes)


def join_training(clips: Path, run: Path, initialize: Initialize | None, processes: Processes) -> None:
    """Train in a process other than the first, with the settings and clips of the run, as soon as it is there."""
    torch.distributed.barrier()
    record = RunRecord.read(run, clips)
    split, data = record.split, record.data
    stores = open_stores(record.features)
    net = build(record.model, data, record.training, record.classes, stores, initialize)
    read = partial(stored_clips, stores=stores, net=net) if stores else read_clips
    samples, _ = read((*split.training, *split.validation), record.classes, data=data, strict=True, quiet=True)
    if initialize:
        initialize(net, record.classes, data, split)
    fit_weights(net, samples, record, run, None, processes)
