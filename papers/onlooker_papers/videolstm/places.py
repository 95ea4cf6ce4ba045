"""How well one object per clip is localized from scores and attention, compared with baselines
without attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Box, Tube
from onlooker_papers.detection import (
    at_thresholds,
    cor_loc,
    frame_map,
    label_boxes,
    video_map,
)
from onlooker_papers.pointing import peak_in_box
from onlooker_papers.videolstm.boxes import BoxParameters, Found, cut_boxes, find_boxes
from onlooker_papers.videolstm.foregrounds import motion
from onlooker_papers.videolstm.tubes import label_tubes, link

Scores = NDArray[np.float32]

# Names of the baselines: boxes without attention, or from attention alone.
BASELINES = {"motion": "the largest moving region", "map": "the map without a foreground"}


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """Clips with one object each, and its true boxes.

    Args:
        images: `B T H W C`, uint8, for the search of the largest moving region.
        boxes: `B T 4`, float32, x1 y1 x2 y2 in pixels of `images`.
        targets: `B`, the class of each clip, as an index into `classes`.
        classes: the `K` class names.
    """

    images: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    targets: Sequence[int]
    classes: Sequence[str]

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""
        return self.images.shape[2], self.images.shape[3]


def localization_figures(
    scores: Scores,
    attention: NDArray[np.float32],
    truth: TrueBoxes,
    parameters: BoxParameters,
) -> dict[str, Any]:
    """How well the object is localized, compared with baselines without attention but with the same
    classes.

    Args:
        scores: `B T K`, probabilities at every frame.
        attention: `B T h w`.
        truth: the `B` clips, with their boxes.
        parameters: how boxes are cut, chosen without these clips.

    Returns:
        `pointing`, the share of frames in which the center of the map's highest cell is in the box;
        `point`, the same for the most attended pixel (`Candidate.point`); `cor_loc`,
        `frame_map_20`, `frame_map_50`, `frame_map_50_95`, `video_map_20`, `video_map_50`,
        `video_map_50_95`; `localization`: the chosen parameters; and under `baselines` the same of
        `motion` (the largest moving region, cut by the same threshold) and `map` (the attention
        without a foreground).
    """

    def cut(how: BoxParameters) -> list[Found]:
        return [
            find_boxes(of_clip, pixels, how)
            for of_clip, pixels in zip(attention, truth.images, strict=True)
        ]

    guesses: dict[str, list[Found]] = {
        "motion": [cut_boxes(motion(pixels), parameters) for pixels in truth.images],
        "map": cut(BoxParameters()),
    }
    return {
        "pointing": float(peak_in_box(attention, truth.boxes, truth.size).mean()),
        **_figures(cut(parameters), scores, truth),
        "localization": {
            name: getattr(parameters, name) for name in ("foreground", "extent", "threshold")
        },
        "baselines": {name: _figures(guess, scores, truth) for name, guess in guesses.items()},
    }


def _figures(candidates: Sequence[Found], scores: Scores, truth: TrueBoxes) -> dict[str, float]:
    indices = np.arange(scores.shape[1])
    classes = truth.classes
    boxes = {}
    tubes = {}
    true_boxes = {}
    true_tubes = {}
    for b, (found, of_frames) in enumerate(zip(candidates, scores, strict=True)):
        name = str(b)
        label = classes[int(truth.targets[b])]
        boxes[name] = label_boxes(found, of_frames, classes)
        # One score per clip: the uncertain first frames would lower the score of a tube.
        tubes[name] = label_tubes(link(found), of_frames.mean(axis=0), classes)
        true_boxes[name] = [Box(label, int(t), tuple(truth.boxes[b, t].tolist())) for t in indices]
        true_tubes[name] = [Tube(label, indices, truth.boxes[b])]
    points = np.array(
        [[here.point if here else (np.nan, np.nan) for here in found] for found in candidates]
    )
    inside = np.all((truth.boxes[..., :2] <= points) & (points <= truth.boxes[..., 2:]), axis=-1)
    return {
        "point": float(inside.mean()),
        "cor_loc": cor_loc(boxes, true_boxes),
        **at_thresholds("frame_map", frame_map(boxes, true_boxes)),
        **at_thresholds("video_map", video_map(tubes, true_tubes)),
    }
