"""Where the moving digit is: the boxes of the library (`localize`) from a model's attention, against
the true ones.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker import Decision, Prediction, Recognizer, Tube
from onlooker.localization import localize
from onlooker_papers.videolstm.moving_target import CLASSES, SIZE, TargetClips
from onlooker_papers.videolstm.real_places import Seen, figures_of

Floats = NDArray[np.float32]


def localized(recognizer: Recognizer, clips: TargetClips) -> dict[str, Any]:
    """How well a trained model localizes the digit that moves in clips of its modality.

    Returns:
        The figures of `localization_figures`; nothing for a model that does not attend.
    """
    scores, attention, *_ = recognizer.classify(clips.frames())
    return {} if attention is None else localization_figures(scores, attention, clips)


def localization_figures(scores: Floats, attention: Floats, clips: TargetClips) -> dict[str, Any]:
    """The figures of `real_places.figures_of`, and under `baselines` those of even attention,
    `motion`: what moves.

    Args:
        scores: `B T K`, probabilities at every frame.
        attention: `B T h w`.
        clips: the `B` clips.
    """
    even = np.full_like(attention, 1 / attention[0, 0].size)
    return {
        **_figures(scores, attention, clips),
        "baselines": {"motion": _figures(scores, even, clips)},
    }


def _figures(scores: Floats, attention: Floats, clips: TargetClips) -> dict[str, float]:
    indices = np.arange(scores.shape[1])
    seen = list[Seen]()
    for b, images in enumerate(clips.images):
        prediction = Prediction(
            Path(str(b)),
            Decision(CLASSES),
            scores[b],
            scores=scores[b].mean(0),
            times=indices.astype(np.float64),
            indices=indices,
            attention=attention[b],
            size=(SIZE, SIZE),
        )
        label = CLASSES[int(clips.batch.targets[b])]
        seen.append(Seen(localize(prediction, images), [Tube(label, indices, clips.boxes[b])]))
    return figures_of(seen)
