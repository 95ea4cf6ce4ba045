"""Localization in a stream: frame by frame, without later frames, in constant memory."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.boxes import Rectangles, find_rectangles, heat_of, to_share
from onlooker.localization.motion import Scene, moved
from onlooker.localization.tubes import linked

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_KEPT = 0.2  # of the heat of the frame before
_LEAD = 3.0  # of the best path over any other at most: how long a box stays after another place gets more heat


class Places(NamedTuple):
    """What is kept of a stream to find boxes: its `scene`, the sum of its `heat`, and the best `paths`."""

    scene: Scene
    heat: Floats
    paths: Rectangles | None = None


def find_boxes(before: Places | None, attention: ArrayLike, frame: Pixels) -> tuple[Floats, Rectangles, Places]:
    """The heat map of one frame, `h w`, and its rectangles, that of the best path first; and what the next frame needs.

    Args:
        before: of the previous frame; None at the first. A frame of another size is a first one.
        attention: `h w`, sums to one.
        frame: `H W C`, uint8.
    """
    motion, scene = moved(before and before.scene, frame)
    heat = heat_of(attention, motion)
    paths = None
    if before is not None and scene.earlier is not None:
        heat += _KEPT * before.heat
        paths = before.paths
    shown = to_share(heat)
    found = find_rectangles(shown)
    if not len(found.weights):
        return shown, found, Places(scene, heat, paths)
    sums = found.weights if paths is None else linked(paths, found)[0]
    order = np.argsort(-sums, kind="stable")
    ordered = Rectangles(*(part[order] for part in found))
    led = np.maximum(sums - sums.max(), -_LEAD).astype(np.float32)
    return shown, ordered, Places(scene, heat, Rectangles(ordered.corners, led[order]))
