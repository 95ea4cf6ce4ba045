"""Decoded, resized clips and their optical flow on disk: made once, whatever the number of epochs, models and runs."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig
from onlooker.data.array_file import ArrayFile, is_whole
from onlooker.data.followed import cut_flow, cut_picture, picked, read_scene
from onlooker.files import remove_leftovers, room_for, whole_file
from onlooker.structures import Clip, ClipError, Frames
from onlooker.video.decode import Choose
from onlooker.video.flow import LIMIT, read_flow, stream_flow
from onlooker.video.motion_crop import Crop
from onlooker.video.reader import claimed_frames, stream
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced, frames_of
from onlooker.video.sampling import windows as spread_windows

# Wraps results as they come, of which there will be so many, to show how far it is.
Files = tuple[Path, ...]  # of a clip: its frames, its flow, or both
Progress = Callable[[Iterable[Files | ClipError], int], Iterable[Files | ClipError]]
Load = Callable[[Files, Choose], NDArray[np.generic]]
Make = Callable[[], Iterable[NDArray[np.uint8]]]  # the frames of a clip in turn, in parts `N H W C`

# Part of every key: raise it when reading or resizing changes what comes out.
_VERSION = 2
_EVERY = "every"  # frame of a clip, in a key
_ANEW = "run the same command again (`onlooker train` with --resume), which makes it anew"
_REMEDY = (
    "make room, or name a folder on a larger disk in ONLOOKER_CACHE, and run the same command again (`onlooker train` "
    "with --resume where the run has begun): what is there already stays"
)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a model receives of one video.

    Args:
        pixels: `U H W C`, uint8: the sampled frames, resized; a frame that several temporal crops share is stored once.
        times, indices: `U`, of these frames in the video.
        windows: `W T`, positions in `pixels`: the frames of each temporal crop; a single row of `U` for equally spaced
            frames.
        size: height and width of the video.
        frames: `U H W C`, uint8, whole frames, in which localization looks for the foreground: RGB (or gray) of
            `pixels`, or the frames that `crop` cuts; flow for a model of flow alone.
        crop: the crops that `pixels` are cut with; None: `pixels` are whole frames.

    Raises:
        ValueError: arrays whose shapes do not fit each other.
    """

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]
    indices: NDArray[np.int64]
    windows: NDArray[np.int64]
    size: tuple[int, int]
    frames: NDArray[np.uint8]
    crop: Crop | None = None

    def __post_init__(self) -> None:
        U = len(self.pixels)
        for name, ndim in (("pixels", 4), ("frames", 4), ("times", 1), ("indices", 1)):
            array = getattr(self, name)
            if array.ndim != ndim or len(array) != U:
                raise ValueError(f"{name} has shape {array.shape}, expected {ndim} dimensions, the first of them {U}")
        if self.windows.ndim != 2:
            raise ValueError(f"windows has shape {self.windows.shape}, expected 2 dimensions")
        if self.crop is not None and len(self.crop) != U:
            raise ValueError(f"crop has {len(self.crop)} boxes for {U} frames")


def default_cache() -> Path:
    """`$ONLOOKER_CACHE`, else `onlooker` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ONLOOKER_CACHE") or Path(base) / "onlooker")


def cached_frames(path: Path, config: DataConfig, cache: Path) -> Path:
    """The `.npy` file (`T H W C`, uint8) of a clip, made now where it is not there yet.

    For windows these are all frames of the clip; others are `config.frames`, equally spaced.

    Raises:
        ClipError: the clip cannot be read.
        DiskFullError: no room for them in the cache.
    """
    count = None if config.windows else config.frames
    settings = (config.size, config.channels)
    if config.motion_crop:
        make = partial(_cut_picture_of, path, config)
        return _cached(path, cache / "frames", count, (*settings, config.motion_crop), make)
    return _cached(path, cache / "frames", count, settings, partial(_pictures, path, config))


def cached_flow(
    path: Path, cache: Path, count: int | None, size: int, length: int = 10, method: str = "dis", limit: float = LIMIT
) -> Path:
    """The `.npy` file (`T size size 2L`, uint8) of a clip's optical flow, made now where it is not there yet.

    It is the flow at `count` equally spaced frames, or at every frame (None); see `read_flow` for the other arguments.

    Raises:
        ClipError: the clip cannot be read, or has a single frame.
        ValueError: a setting that does not fit.
        RuntimeError: the method is not installed, or its weights cannot be had.
        DiskFullError: no room for it in the cache.
    """

    def make() -> Iterator[NDArray[np.uint8]]:
        if count is None:
            yield from (stack[None] for stack in stream_flow(path, length, method, limit, size))
        else:
            yield read_flow(path, count, length, method, limit, size).stacks

    return _cached(path, cache / "flow", count, (size, length, method, float(limit)), make)


def _cached(path: Path, folder: Path, count: int | None, settings: tuple[object, ...], make: Make) -> Path:
    """What `make` gives of a clip at `count` frames, or at every one (None), as a file of `folder`.

    The key is what the clip is (its place, size and time of change) and how it is sampled, so that a changed file or
    setting is read anew. The file is written under another name and renamed: half a file is never found.
    """
    target = folder / f"{_key(path, (_EVERY if count is None else count, *settings))}.npy"
    if is_whole(target):
        return target
    array: ArrayFile | None = None

    def needed() -> int:
        return 0 if array is None else array.row_bytes * max(count or claimed_frames(path), array.written)

    with room_for("its frames", folder, _REMEDY, needed, whose=path), whole_file(target) as file:
        array = ArrayFile(file, "|u1")
        for rows in make():
            array.append(rows)
        array.finish()
    return target


def _key(path: Path, settings: tuple[object, ...]) -> str:
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except FileNotFoundError as error:
        raise ClipError(path, "no such file", "check the path") from error
    except OSError as error:
        raise ClipError(path, f"cannot be looked at ({error.strerror})", "allow reading it") from error
    what = (_VERSION, str(path.resolve()), states, *settings)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32]


def read_sample(path: Path, config: DataConfig) -> Sample:
    """What a model sees of a clip, without a cache.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    windows = np.arange(config.frames)[None]

    def choose(total: int) -> NDArray[np.int64]:
        nonlocal windows  # the last call is the one that counts
        if not config.windows:
            return equally_spaced(total, config.frames)
        chosen, windows = frames_of(spread_windows(total, config.frames, config.windows))
        return chosen

    if config.motion_crop:
        scene = read_scene(path, _stored(config), config)
        parts = [cut_picture(scene, config)] if config.modality != "flow" else []
        if config.modality != "rgb":
            parts.append(cut_flow(path, _stored(config), scene, config))
        pixels, frames = np.concatenate(parts, -1), scene.frames
        at = choose(len(pixels)) if config.windows else np.arange(len(pixels))
        times, indices, whole = frames.times[at], frames.indices[at], frames.pixels[at]
        return Sample(pixels[at], times, indices, windows, scene.size, whole, scene.crop.at(at))
    pixels, frames, size = _resized(path, choose, config)
    parts = [pixels] if config.modality != "flow" else []
    if config.modality != "rgb":
        c = config
        parts.append(read_flow(path, choose, c.flow_length, c.flow, c.flow_limit, c.size).stacks)
    together = np.concatenate(parts, -1)
    whole = together[..., : config.picture_channels]
    return Sample(together, frames.times, frames.indices, windows, size, whole)


def _resized(path: Path, choose: Choose, config: DataConfig) -> tuple[NDArray[np.uint8], Frames, tuple[int, int]]:
    """Chosen frames as the model sees them; in color, with their times; and the height and width of the video."""
    frames, size = picked(path, choose, lambda frame: resize(frame[None], config.size, 3)[0])
    return (frames.pixels if config.channels == 3 else resize(frames.pixels, config.size, 1)), frames, size


def _pictures(path: Path, config: DataConfig) -> Iterator[NDArray[np.uint8]]:
    """The frames that are kept of a clip; of all of them one at a time, whatever its length."""
    if config.windows:
        yield from (resize(pixels[None], config.size, config.channels) for _, _, pixels in stream(path))
    else:
        yield _resized(path, _stored(config), config)[0]


def _cut_picture_of(path: Path, config: DataConfig) -> Iterator[NDArray[np.uint8]]:
    yield cut_picture(read_scene(path, _stored(config), config), config)


def _cut_flow_of(path: Path, config: DataConfig) -> Iterator[NDArray[np.uint8]]:
    yield cut_flow(path, _stored(config), read_scene(path, _stored(config), config), config)


def _stored(config: DataConfig) -> Choose:
    """Which frames of a clip are kept: every one, where windows begin anywhere."""
    return np.arange if config.windows else partial(equally_spaced, count=config.frames)


def cached_sample(path: Path, config: DataConfig, cache: Path) -> Files:
    """The files of what a model sees of a clip: the frames, the flow at these frames, or both.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
        DiskFullError: no room in the cache.
    """
    files = []
    if config.modality != "flow":
        files.append(cached_frames(path, config, cache))
    if config.modality != "rgb":
        c = config
        count = None if c.windows else c.frames
        if c.motion_crop:
            settings = (c.size, c.flow_length, c.flow, c.motion_crop)
            files.append(_cached(path, cache / "flow", count, settings, partial(_cut_flow_of, path, config)))
        else:
            files.append(cached_flow(path, cache, count, c.size, c.flow_length, c.flow, c.flow_limit))
    return tuple(files)


def _try(path: Path, config: DataConfig, cache: Path) -> Files | ClipError:
    try:
        return cached_sample(path, config, cache)
    except ClipError as error:
        return error


def load_frames(files: Files, choose: Choose) -> NDArray[np.generic]:
    """Of the frames in the files of a clip those chosen, `T H W C` uint8: picture and flow behind each other."""
    stored = [np.load(file, mmap_mode="r") for file in files]
    chosen = choose(len(stored[0]))
    parts = [part[chosen] for part in stored]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)


class ClipFrames(Dataset[tuple[Tensor, int, int]]):
    """Clips as samples: `(frames T H W C uint8, target, index)`, or features `T h w D` float16 in place of frames.

    Args:
        clips: those whose frames are in `files`.
        files: of each of them, as `cached_sample` gives them.
        classes: the `K` class names; a target is a place in it.
        load: from the files of a clip, and a choice among the frames stored there, to its sample.
        choose: that choice, from their number.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        files: Sequence[Files],
        classes: Sequence[str],
        load: Load = load_frames,
        choose: Choose = np.arange,
    ) -> None:
        self.classes, self.load, self.choose = tuple(classes), load, choose
        self._hold(clips, files)

    def _hold(self, clips: Sequence[Clip], files: Sequence[Files]) -> None:
        self.clips, self.files = tuple(clips), tuple(files)
        places = {label: i for i, label in enumerate(self.classes)}
        self.targets = [places[clip.label] for clip in clips]

    def __len__(self) -> int:
        return len(self.clips)

    def only(self, clips: Sequence[Clip]) -> Self:
        """These of the clips, in the order given.

        Raises:
            ClipError: a clip that is not among them.
        """
        files = {clip.path: file for clip, file in zip(self.clips, self.files, strict=True)}
        for clip in clips:
            if clip.path not in files:
                raise ClipError(clip.path, "cannot be read any more", "the split of the run names it; restore it")
        part = copy(self)
        part._hold(clips, [files[clip.path] for clip in clips])
        return part

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self._loaded(index, self.choose), self.targets[index], index

    def _loaded(self, index: int, choose: Choose) -> Tensor:
        try:
            return torch.from_numpy(self.load(self.files[index], choose))
        except (OSError, ValueError, EOFError) as error:  # the files were whole when the clips were read
            found = f"what is kept of it is damaged or gone ({error})"
            raise ClipError(self.clips[index].path, found, _ANEW) from error


class ClipWindows(ClipFrames):
    """Clips as windows of consecutive frames (VideoLSTM): the middle one of each, or another one in every epoch.

    Args:
        clips, files, classes, load: as for `ClipFrames`, the files with every frame of a clip.
        length: frames in a window (T).
        count: windows at test (W).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        files: Sequence[Files],
        classes: Sequence[str],
        length: int,
        count: int,
        load: Load = load_frames,
    ) -> None:
        super().__init__(clips, files, classes, load)
        self.length, self.count = length, count
        self._seed: int | None = None
        self._epoch = 0

    def drawn(self, seed: int) -> Self:
        """The same clips with windows by lot, which `seed`, epoch and clip decide."""
        part = copy(self)
        part._seed = seed
        return part

    def set_epoch(self, epoch: int) -> None:
        """The training says which epoch it is."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        def choose(total: int) -> NDArray[np.int64]:
            if self._seed is None or total <= self.length:
                return spread_windows(total, self.length, 1)[0]
            chance = np.random.default_rng([self._seed, self._epoch, index])
            return chance.integers(total - self.length + 1) + np.arange(self.length)

        return self._loaded(index, choose), self.targets[index], index

    def every_window(self, index: int) -> tuple[Tensor, NDArray[np.int64]]:
        """What all windows of a clip see, `U …`, as a sample, and the windows as places in it, `W T`."""
        windows = np.empty((0, self.length), np.int64)

        def choose(total: int) -> NDArray[np.int64]:
            nonlocal windows
            chosen, windows = frames_of(spread_windows(total, self.length, self.count))
            return chosen

        return self._loaded(index, choose), windows


def prepare(
    clips: Sequence[Clip],
    classes: Sequence[str],
    config: DataConfig,
    cache: Path | None = None,
    processes: int = 1,
    progress: Progress = lambda items, total: items,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Read every clip once, and go on without those that cannot be read.

    Args:
        clips: what to read.
        classes: the `K` class names.
        config: how to sample and resize.
        cache: where the frames are kept; None: `default_cache()`.
        processes: how many read side by side.
        progress: wraps the results as they come, to show how far it is.

    Returns:
        The samples, and an error for each clip that could not be used.

    Raises:
        ClipError: not one clip could be read.
        DiskFullError: no room in the cache. What was read stays there.
    """
    folder = cache or default_cache()
    for of_kind in ("frames", "flow"):
        remove_leftovers(folder / of_kind)
    paths, n = [clip.path for clip in clips], len(clips)
    if processes > 1 and n > 1:
        # spawn: a forked child would inherit the threads' locks of PyTorch and FFmpeg.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            results = list(progress(pool.map(_try, paths, [config] * n, [folder] * n, chunksize=4), n))
    else:
        results = list(progress((_try(path, config, folder) for path in paths), n))
    good = [(clip, result) for clip, result in zip(clips, results, strict=True) if not isinstance(result, ClipError)]
    errors = tuple(result for result in results if isinstance(result, ClipError))
    if not good:
        raise (
            errors[0]
            if len(errors) == 1
            else ClipError(paths[0].parent, f"none of {n} clips can be read", str(errors[0]))
        )
    read = [clip for clip, _ in good], [files for _, files in good], classes
    if config.windows:
        return ClipWindows(*read, config.frames, config.windows), errors
    return ClipFrames(*read), errors
