"""Grad-CAM maps of a recognizer's model, to compare its attention with."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.data.samples import Sample
from onlooker.data.transforms import to_video
from onlooker.localization import localize
from onlooker.recognizer import Recognizer, mean_over_crops
from onlooker.structures import Prediction
from onlooker_papers.explanation import grad_cam

__all__ = ["frame_grad_cam", "grad_cam_prediction"]

_CLIPS_PER_BATCH = 50


def frame_grad_cam(recognizer: Recognizer, samples: torch.Tensor, targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Grad-CAM for the classes `B` of samples `B T H W C`, as maps `B T h w`, of a model whose features are maps."""
    model, data, parts = recognizer.model, recognizer.data, []
    batches = samples.split(_CLIPS_PER_BATCH), torch.from_numpy(targets).split(_CLIPS_PER_BATCH)
    for clips, classes in zip(*batches, strict=True):
        with torch.inference_mode():
            features = model.encode_video(to_video(clips, data.normalization, data.flow_channels))
            parts.append(grad_cam(model, features, classes).cpu())
    return torch.cat(parts).numpy()


def grad_cam_prediction(recognizer: Recognizer, prediction: Prediction, sample: Sample) -> Prediction:
    """The prediction with the maps, points and tubes of Grad-CAM for the predicted class."""
    crops = sample.temporal_crops
    targets = np.full(len(crops), recognizer.classes.index(prediction.label))
    maps = frame_grad_cam(recognizer, torch.from_numpy(sample.pixels[crops]), targets)
    attention = mean_over_crops(maps, crops, len(sample.pixels))
    if sample.crop is not None:
        attention = sample.crop.to_frame(attention)
    return localize(replace(prediction, attention=attention), sample.frames, recognizer.localization)
