"""Which clips show one scene, and which are copies, from small gray images; such clips are kept
together in splits.

Clips that were cut from one recording share its background: a model that knows the background knows
the class of the others, whatever they show.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Clip, InputError
from onlooker.data.split import COPIES, SCENE, group_of
from onlooker.video.sampling import equally_spaced

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Planned = TypeVar("Planned")

# images of a clip, and cells of their side
FRAMES = 8
_CELLS = 16
NO_THUMBNAILS = np.zeros((FRAMES, _CELLS, _CELLS), np.uint8)
# Correlation of local contrasts. Chosen on surveillance clips and the training clips of UCF101
# (results/answered/scenes.json).
SAME_SCENE = 0.65
# copies that were encoded again; two moments of a scene differ in motion
_SAME_IMAGE = 0.98
_SAME_MOTION = 0.95
# share of clips in one group; above it, the whole set shows one scene, as from a fixed camera
SHARED = 0.5
# recordings of a class that splits and folds need, the first possible one is taken
_MINIMUMS = (2, 3, 5)
_BLACK = 16  # gray level; a cell that never exceeds it is a black bar, or a black background
# gray levels that count little; side, in cells, of the square for local contrast
_CONTRAST = 4.0
_NEAR = 5
# Share of cells that differ from cells near them by more than 2 gray levels. Things on a plain
# background (drawn hands, generated squares) have up to .31, 99 % of real clips more than .36.
_DETAIL = 2.0
_STRUCTURED = 0.35
_FLAT = 2.0  # gray levels: the standard deviation below which an image shows nothing
# gray levels: the noise of a compressed still image is below, a distant person above
STILL = 5.0
MAX_COMPARED = 20_000  # clips; two minutes on one core
_BLOCK = 64  # clips compared with all others at once: 80 MB for 10,000 clips


def thumbnails(frames: Images) -> Images:
    """Equally spaced frames of a clip as small gray images: `T H W C` (RGB or gray) to `8 16 16`."""
    sampled = frames[equally_spaced(len(frames), FRAMES)]
    gray = [
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.shape[-1] == 3 else frame[..., 0]
        for frame in sampled
    ]
    return np.stack(
        [cv2.resize(image, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA) for image in gray]
    )


def scene_images(images: Images) -> Images:
    """The images that are compared to find scenes: the static background (median over time), the first
    and the last thumbnail.

    Args:
        images: `B 8 16 16`.

    Returns:
        `B 3 16 16`.
    """
    background = np.median(images, axis=1).astype(np.uint8)
    return np.stack([background, images[:, 0], images[:, -1]], axis=1)


def scenes(images: Images) -> Ints:
    """Groups of clips that show one scene: for each clip, the position of the first one of its
    group.

    Two clips show one scene if the local contrasts of any two of their images correlate
    (`SAME_SCENE`); this does not depend on brightness, and black bars and things on a plain
    background have none. Groups are the connected components.

    Args:
        images: `B 3 16 16` (`scene_images`).
    """
    return _components(len(images), _same_scene(images))


def copies(images: Images) -> Ints:
    """As `scenes`, the groups of clips that have the same content, also if it was encoded again.

    Args:
        images: thumbnails, `B 8 16 16`.
    """
    gray = images.astype(np.float32)
    changes = gray - gray.mean((2, 3), keepdims=True)
    changes -= changes.mean(1, keepdims=True)
    still = np.ptp(images, axis=1).max((1, 2)) < STILL
    motions = np.where(still[:, None], 0, _normalized(changes.reshape(len(gray), -1)))
    means = _normalized(gray.mean(1).reshape(len(gray), -1))

    def alike(rows: slice) -> NDArray[np.bool_]:
        return (means[rows] @ means.T >= _SAME_IMAGE) & (motions[rows] @ motions.T >= _SAME_MOTION)

    shown = gray.std((2, 3)).max(1) >= _FLAT
    contents = [
        image.tobytes() if shows else i
        for i, (image, shows) in enumerate(zip(images, shown, strict=True))
    ]
    return _merged(_components(len(images), alike), _first(contents))


def seen(images: Images, groups: Sequence[Hashable]) -> NDArray[np.bool_]:
    """For each clip, whether a clip of another group shows its scene; the arguments are `B 3 16 16`
    and `B`.
    """
    same_scene = _same_scene(images)
    group = _first(groups)
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(images), _BLOCK)]
    return np.concatenate(
        [(same_scene(rows) & (group[rows, None] != group)).any(1) for rows in blocks]
    )


def plan_joined(
    plan: Callable[[Sequence[Clip]], Planned],
    clips: Sequence[Clip],
    images: Images,
    *,
    by_scene: bool = True,
) -> Planned:
    """What `plan` returns for the clips, such as a split, after clips that belong together were
    given one recording.

    Clips without a recording that show one scene are of one, unless this is the scene of most
    clips, as of a fixed camera, or `plan` cannot divide a class then. Copies are always of one
    recording, and so are recordings that share a copy.

    More than `MAX_COMPARED` clips are not joined: each is compared with all others, which would
    take hours.

    Args:
        images: thumbnails, `B 8 16 16`.
        by_scene: whether clips without recordings are joined by their scenes, not only as copies.

    Raises:
        InputError: what is left cannot be divided.
    """
    if len(clips) > MAX_COMPARED:
        return plan(clips)
    copied = copies(images)
    recordings = _first([group_of(clip) for clip in clips])
    if by_scene and any(clip.recording is None for clip in clips):
        shown = scenes(scene_images(images))
        for minimum in _MINIMUMS:
            together = _divisible(clips, shown, minimum)
            prefix = SCENE if len(set(together.tolist())) < len(clips) else COPIES
            with suppress(InputError):
                return plan(_joined(clips, _merged(copied, recordings, together), prefix))
    joined = _joined(clips, _merged(copied, recordings), COPIES)
    try:
        return plan(joined)
    except InputError as error:
        if len(set(map(group_of, joined))) == len(set(map(group_of, clips))):
            raise
        remedy = "copies count as one recording, and so do recordings that share one: see `onlooker check`"
        raise InputError(error.found, f"{error.remedy}; {remedy}") from error


def _joined(clips: Sequence[Clip], groups: Ints, prefix: str) -> list[Clip]:
    """The clips, with each group of several clips in one recording: the first recording in the
    group, or else a new one, whose name begins with `prefix`.
    """
    sizes = Counter(groups.tolist())
    names: dict[int, str] = {}
    for clip, group in zip(clips, groups.tolist(), strict=True):
        if clip.recording is not None:
            names.setdefault(group, clip.recording)
    joined = list[Clip]()
    for clip, group in zip(clips, groups.tolist(), strict=True):
        name = names.get(group, f"{prefix}{clips[group].name}")
        joined.append(replace(clip, recording=name) if sizes[group] > 1 else clip)
    return joined


def is_joined(clip: Clip) -> bool:
    """Whether the recording of a clip was found by its scene or a copy (`plan_joined`)."""
    return clip.recording is not None and clip.recording.startswith((SCENE, COPIES))


def count_joined(clips: Sequence[Clip]) -> tuple[int, int]:
    """How many clips are joined (`is_joined`), and in how many recordings."""
    joined = [clip.recording for clip in clips if is_joined(clip)]
    return len(joined), len(set(joined))


def _divisible(clips: Sequence[Clip], shown: Ints, minimum: int) -> Ints:
    """The scenes `shown` as groups of clips without a recording, except the scene of most clips and
    classes that would be in fewer than `minimum` groups and recordings.
    """
    labels = np.array([clip.label for clip in clips])
    sizes = np.bincount(shown, minlength=len(clips))
    alone = np.array([clip.recording is not None for clip in clips])
    alone |= (sizes > max(2, SHARED * len(clips)))[shown]
    recordings = _first([group_of(clip) for clip in clips])
    divided = _merged(recordings, _without(shown, alone))
    for label in set(labels.tolist()):
        if len(set(divided[labels == label].tolist())) < minimum:
            alone |= labels == label
    return _without(shown, alone)


def _without(groups: Ints, alone: NDArray[np.bool_]) -> Ints:
    """The groups, after the clips `alone` were taken out of theirs: each is a group of its own."""
    return _first(np.where(alone, len(groups) + np.arange(len(groups)), groups).tolist())


def _same_scene(images: Images) -> Callable[[slice], NDArray[np.bool_]]:
    """A function from some of the clips to whether each shows the scene of each clip, `b B`."""
    patterns = np.stack([_local_contrast(image) for image in images], axis=1)

    def alike(rows: slice) -> NDArray[np.bool_]:
        largest = np.zeros((len(images[rows]), len(images)), np.float32)
        for ours in patterns:
            for theirs in patterns:
                np.maximum(largest, ours[rows] @ theirs.T, out=largest)
        return largest >= SAME_SCENE

    return alike


def _local_contrast(images: Images) -> Floats:
    """Images of a clip `3 16 16` to vectors `3 256` whose products are correlations; zero for one
    without a scene.
    """
    gray = np.moveaxis(images, 0, -1).astype(np.float32)
    light = np.broadcast_to((images.max(0) >= _BLACK)[..., None], gray.shape).astype(np.float32)
    share = np.maximum(_near(light), 1e-6)
    detail = (light * (gray - _near(gray * light) / share)).astype(np.float32)
    contrast = np.sqrt(_near(detail * detail) / share)
    pattern = detail / (contrast + _CONTRAST)
    structured = (np.abs(detail) > _DETAIL).mean((0, 1)) >= _STRUCTURED
    return np.where(
        structured[:, None], _normalized(pattern.reshape(-1, len(images)).T.astype(np.float32)), 0
    )


def _near(values: Floats) -> Floats:
    """The mean of the cells near each cell, `16 16 C`."""
    return np.asarray(cv2.blur(values, (_NEAR, _NEAR)), np.float32)


def _normalized(vectors: Floats) -> Floats:
    """Vectors `B N` with mean 0 and norm 1, so that products are correlations; zeros stay."""
    centered = vectors - vectors.mean(1, keepdims=True)
    norms = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.where(norms < _FLAT, 0, centered / np.maximum(norms, 1e-6))


def _components(count: int, alike: Callable[[slice], NDArray[np.bool_]]) -> Ints:
    """The connected components of clips that are alike, compared in blocks, so that pairs are never
    all in memory.
    """
    groups = np.arange(count)
    for start in range(0, count, _BLOCK):
        rows, columns = np.nonzero(alike(slice(start, start + _BLOCK)))
        groups = _linked(groups[rows + start], groups[columns], count)[groups]
    return groups


def connected(*groupings: Sequence[Hashable]) -> Ints:
    """For each item, the position of the first item that it is connected with: by an equal key in
    a grouping, directly or through other items.
    """
    return _merged(*map(_first, groupings))


def _merged(*groupings: Ints) -> Ints:
    """The components of clips that are together in any of the groupings."""
    count = len(groupings[0])
    return _linked(np.tile(np.arange(count), len(groupings)), np.concatenate(groupings), count)


def _linked(nodes: Ints, neighbors: Ints, count: int) -> Ints:
    """The components of a graph of `count` nodes with edges between `nodes` and `neighbors`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(nodes), np.bool_), (nodes, neighbors)), (count, count))
    return _first(connected_components(graph, directed=False)[1].tolist())


def _first(keys: Sequence[Hashable]) -> Ints:
    """For each key, the position of the first equal one."""
    positions: dict[Hashable, int] = {}
    return np.array([positions.setdefault(key, i) for i, key in enumerate(keys)], np.int64)
