"""The fitter of models that are trained by gradient descent; validation clips calibrate them."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from onlooker.base.config import AUGMENTING, DataConfig, Settings, TrainConfig
from onlooker.base.decision import Decision
from onlooker.base.records import ClipError
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split
from onlooker.measure.events import choose_threshold, threshold_text
from onlooker.measure.metrics import balancing_weights, fit_temperature
from onlooker.models.video_model import VideoModel
from onlooker.training.fit import fit
from onlooker.training.fitter import FitContext, Fitted, Fitter
from onlooker.training.forward import forward_samples, memory_batches
from onlooker.training.processes import launched

_MIN_CALIBRATION = 10  # validation clips; with fewer of them the temperature is 1
_BATCH = 16  # clips that are read together


class GradientFitter(Fitter):
    """Gradient descent (`training.fit.fit`), in one process or in all that torchrun started."""

    settings = TrainConfig
    uses = AUGMENTING | {"frozen", "precision"}
    is_distributed = True

    def fit(self, samples: ClipFrames, split: Split, context: FitContext) -> Fitted:
        settings = context.settings
        model = context.model
        train = settings.training
        assert isinstance(train, TrainConfig)
        validation = samples.subset(split.validation)
        curves = fit(
            model,
            samples.subset(split.training),
            validation,
            data=settings.data,
            train=train,
            folder=context.run,
            title=settings.model.name,
            writer=context.writer,
        )
        notes = dict[str, str]()
        decision = context.decision
        if len(validation) >= _MIN_CALIBRATION and not launched().rank:
            try:
                decision, notes = calibrated(decision, model, validation, settings=settings)
            except ClipError as error:  # a clip that was removed while the model was trained
                notes["calibration"] = f"none: {error}"
        return Fitted(model, decision, settings, curves=curves, notes=notes)


def calibrated(
    decision: Decision, model: VideoModel, validation: ClipFrames, *, settings: Settings
) -> tuple[Decision, dict[str, str]]:
    """The decision with the temperature, and the threshold of events if there is a class in which
    nothing happens, that fit the validation clips; and what they say of the threshold. Classes weigh
    equally if they did in training.

    Raises:
        ClipError: a clip was removed after it was read.
    """
    logits = _logits(model, validation, settings.data)
    targets = np.array(validation.targets, np.int64)
    weighs_equally = settings.training.class_weights == "balanced"
    temperature = fit_temperature(
        [decision.probabilities(clip_logits).numpy() for clip_logits in logits],
        targets,
        aggregation=decision.aggregation,
        weights=balancing_weights(targets) if weighs_equally else None,
    )
    decision = replace(decision, temperature=temperature)
    scores = np.stack(
        [decision.aggregate(decision.probabilities(clip_logits).numpy()) for clip_logits in logits]
    )
    nothing = decision.nothing_class
    threshold = choose_threshold(scores, targets, nothing=nothing)
    if threshold is None:
        return decision, {}
    text = threshold_text(threshold, scores, targets, nothing=nothing)
    return decision.with_threshold(threshold), {"threshold": text}


@torch.inference_mode()
def _logits(model: VideoModel, samples: ClipFrames, data: DataConfig) -> list[Tensor]:
    """The scores of each clip before the softmax, `T K`, on the CPU."""
    batches = (
        batch for frames, _, _ in DataLoader(samples, _BATCH) for batch in memory_batches(frames)
    )
    return [
        logits
        for batch in batches
        for logits in forward_samples(model, batch, data).logits.float().cpu()
    ]
