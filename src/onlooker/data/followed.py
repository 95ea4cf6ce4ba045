"""What a window that follows what moves shows of a clip: cut out of whole frames, picture and flow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.structures import Frames
from onlooker.video.decode import Change, Choose
from onlooker.video.flow import LIMIT, SIDE, read_flow
from onlooker.video.motion_crop import Crop, motion_crop
from onlooker.video.reader import pick
from onlooker.video.resize import resize, shrink_to


@dataclass(frozen=True, eq=False)
class Scene:
    """The frames that crops are cut from: whole, at a size at which a crop has about as many pixels as a sample.

    Args:
        frames: `T` of them.
        crop: of each frame; see `video.motion_crop`.
        size: height and width of the video.
    """

    frames: Frames
    crop: Crop
    size: tuple[int, int]


def read_scene(path: Path, choose: Choose, config: DataConfig) -> Scene:
    """Chosen frames of a clip, and the window that follows what moves from one of them to the next.

    Raises:
        ClipError: the clip cannot be read.
    """
    frames, size = picked(path, choose, shrink_to(scene_side(config)))
    return Scene(frames, motion_crop(frames.pixels, config.motion_crop), size)


def picked(path: Path, choose: Choose, change: Change) -> tuple[Frames, tuple[int, int]]:
    """Chosen frames, changed as they come, and the height and width of the video."""
    size = (0, 0)

    def noting(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        nonlocal size
        size = frame.shape[0], frame.shape[1]
        return change(frame)

    return pick(path, choose, noting), size


def cut_picture(scene: Scene, config: DataConfig) -> NDArray[np.uint8]:
    """What the windows show, `T size size C`."""
    return resize(scene.crop.cut(scene.frames.pixels, config.size), config.size, config.channels)


def cut_flow(path: Path, choose: Choose, scene: Scene, config: DataConfig) -> NDArray[np.uint8]:
    """How what the windows show moves, `T size size 2L`: the flow of whole frames, cut.

    Flow at a window's edge needs what is beyond it.

    Raises:
        ClipError: the clip cannot be read, or has a single frame.
    """
    limit = scene_limit(scene.size)
    flow = read_flow(path, choose, config.flow_length, config.flow, limit, size=None)
    return scene.crop.cut(flow.stacks, config.size)


def scene_side(config: DataConfig) -> int:
    """Pixels of the shorter side of whole frames in which a window that follows has as many as a sample."""
    return round(config.size / config.motion_crop)


def scene_limit(size: tuple[int, int]) -> float:
    """Where displacements in whole frames of a video of that height and width are clipped, in their pixels.

    In pixels of a sample that is `DataConfig.flow_limit`: the same bytes stand for both.
    """
    return LIMIT * min(SIDE, *size) / SIDE
