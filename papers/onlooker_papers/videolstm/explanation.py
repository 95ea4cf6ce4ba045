"""How well attention explains a classifier of moving targets, compared with Grad-CAM of the same model."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.recognizer import Recognizer
from onlooker_papers.detection import pointing_game
from onlooker_papers.explanation import SHARES, blanked_accuracy
from onlooker_papers.grad_cam import frame_grad_cam
from onlooker_papers.videolstm.target_clips import SIZE, TargetClips


def explained(recognizer: Recognizer, test: TargetClips) -> dict[str, Any]:
    """How well attention and Grad-CAM of one model point at the target, and the effect of blanking what they mark.

    Returns:
        `shares` of the pixels that are blanked, and under `attention` and `grad_cam`: `pointing`, and `whole`,
        `attended`, `random` of `blanked_accuracy`. Grad-CAM is computed for the predicted class. Nothing for a
        model that does not attend.
    """
    samples = test.frames()
    scores, attention, _ = recognizer.classify(samples).numpy()
    if attention is None:
        return {}
    flow = samples.shape[-1] if test.modality == "flow" else recognizer.data.flow_channels
    blank = [0] * (samples.shape[-1] - flow) + [128] * flow
    targets = test.batch.targets.tolist()
    true = test.batch.boxes[:, :, :1].numpy()

    def judge(clips: NDArray[np.uint8]) -> NDArray[np.floating]:
        answers: NDArray[np.float32] = recognizer.classify(torch.from_numpy(clips)).scores.numpy().mean(1)
        return answers

    maps = {"attention": attention, "grad_cam": frame_grad_cam(recognizer, samples, scores.mean(1).argmax(1))}
    return {"shares": list(SHARES)} | {
        name: {
            "pointing": pointing_game(here, true, (SIZE, SIZE)),
            **blanked_accuracy(judge, samples.numpy(), here, targets, blank),
        }
        for name, here in maps.items()
    }
