"""UCF101-24: boxes of the actor in every frame, for 24 classes of UCF101, in the corrected
annotations.

The annotations of the THUMOS challenge, corrected by Singh, Saha, Sapienza, Torr and Cuzzolin,
*Online real-time multiple spatiotemporal action localization and prediction*, ICCV 2017: 3,194
clips (910 of them for testing), 4,458 tubes, 573,862 boxes. Nine clips that could not be annotated
again are missing.
"""

from pathlib import Path

import numpy as np

from onlooker import Clip, ClipError, Tube


def ucf101_24(path: Path) -> dict[str, list[Tube]]:
    """The true tubes of `finalAnnots.mat`, one for each instance of the action by an actor; by the
    names of the clips (`<Class>/v_<Class>_g<nn>_c<nn>`, as in UCF101, without suffix).

    The file counts frames from 1 (its first is ours of index 0) and gives a box as `x y w h` whose
    corner counts pixels from 1: `x1 = x - 1`, `x2 = x - 1 + w`. Its authors limited `x + w` to 320
    and `y + h` to 240, so a box that reaches the right or lower border ends one pixel before the
    border here; sizes are kept as published.

    Args:
        path: the file, or its folder: a MATLAB file of version 5, which is only data and executes
            nothing.

    Raises:
        ClipError: no such file, not these annotations, a duplicate clip, or a tube that does not
            fit its clip.
    """
    path = path / "finalAnnots.mat" if path.is_dir() else path
    if not path.is_file():
        raise ClipError(
            path, "no such file", "expected finalAnnots.mat, the corrected annotations of UCF101-24"
        )
    # Importing this takes half a second, and only these boxes need it.
    from scipy.io import loadmat

    try:
        rows = loadmat(path, variable_names=["annot"])["annot"].ravel()
        read = [_clip(row) for row in rows]
    except Exception as error:  # the reader raises many kinds of errors for damaged files
        found = f"not the annotations of UCF101-24 ({type(error).__name__}: {error})"
        raise ClipError(path, found, "expected finalAnnots.mat") from error
    clips: dict[str, list[Tube]] = {}
    for name, tubes in read:
        if name in clips:
            raise ClipError(path, f"{name} is there twice", "take the published file")
        clips[name] = tubes
    return clips


def clip_name(clip: Clip) -> str:
    """The name of a clip in the annotations."""
    return f"{clip.label}/{clip.path.stem}"


def _clip(row: np.void) -> tuple[str, list[Tube]]:
    """The name of a clip, and its tubes."""
    name = str(row["name"].item())
    frames = int(row["num_imgs"].item())
    label = name.split("/")[0]
    tubes = [_tube(label, tube) for tube in row["tubes"].ravel()]
    for tube in tubes:
        if tube.frames[-1] >= frames:
            raise ValueError(
                f"{name}: a tube ends with frame {tube.frames[-1]}, the clip has {frames}"
            )
    return name, tubes


def _tube(label: str, tube: np.void) -> Tube:
    corner, size = np.split(tube["boxes"].astype(np.float32), 2, axis=1)
    if not size.all():
        raise ValueError("a box without width or height; expected x1 < x2 and y1 < y2")
    boxes = np.concatenate((corner - 1, corner - 1 + size), axis=1)
    return Tube(label, np.arange(int(tube["sf"].item()) - 1, int(tube["ef"].item())), boxes)
