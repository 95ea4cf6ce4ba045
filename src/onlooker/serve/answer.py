"""A prediction as the page draws it: plain values, with places as shares of the frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.drawing.overlay import full_strength
from onlooker.structures import Prediction

__all__ = ["describe_prediction", "heat_levels"]

_DRAWN_FRAMES = 5_000  # of a recording; in longer ones no heat map is drawn: its values would fill the browser


def describe_prediction(prediction: Prediction) -> dict[str, Any]:
    """A prediction, for JSON."""
    heat = prediction.heat if len(prediction.times) <= _DRAWN_FRAMES else None
    position = {int(index): t for t, index in reversed(list(enumerate(prediction.indices)))}
    return {
        "classes": list(prediction.classes),
        "label": prediction.label,
        "nothing": prediction.nothing_name,
        "score": prediction.score,
        "threshold": prediction.threshold,
        "ranking": [[name, round(score, 4)] for name, score in prediction.ranking],
        "times": np.round(prediction.times, 4).tolist(),
        "scores": np.round(prediction.frame_scores.astype(float), 4).tolist(),
        "labels": [_label_at(prediction, time) for time in prediction.times.tolist()],
        "heat": None if heat is None else heat_levels(heat, full_strength(heat)),
        "boxes": [
            {"t": position[int(index)], "corners": corners, "label": tube.label, "score": round(tube.score, 4)}
            for tube in prediction.actors
            for index, corners in zip(tube.frames, _shares(tube.boxes, prediction), strict=True)
            if int(index) in position
        ],
        "segments": [vars(segment) for segment in prediction.segments],
    }


def heat_levels(heat: NDArray[np.float32], scale: float) -> list[Any]:
    """Heat maps `… 30 40` with half as many rows and columns, as shares, from 0 for an even map to 1 for the weight
    that is drawn at full strength."""
    *frames, h, w = heat.shape
    halved = heat.reshape(*frames, h // 2, 2, w // 2, 2).mean((-3, -1), dtype=float)
    even = 1 / (h * w)
    levels: list[Any] = np.round(np.clip((halved - even) / (scale - even), 0, 1), 2).tolist()
    return levels


def _label_at(prediction: Prediction, time: float) -> str:
    """The class of the event at a time, or the name of nothing."""
    event = prediction.event_at(time)
    return prediction.nothing_name if event is None else event.label


def _shares(places: NDArray[np.floating], prediction: Prediction) -> list[list[float]]:
    """Boxes `T 4` in pixels, as shares of the frame's width and height."""
    height, width = prediction.size or (1, 1)
    shares: list[list[float]] = np.round(places / [width, height, width, height], 4).tolist()
    return shares
