"""Decoded, resized clips and their optical flow on disk: made once, whatever the number of epochs, models and runs."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from saccade.config import DataConfig
from saccade.structures import Clip, ClipError, Frames
from saccade.video.flow import LIMIT, read_flow
from saccade.video.read import read
from saccade.video.resize import resize

# Wraps results as they come, of which there will be so many, to show how far it is.
Files = tuple[Path, ...]  # of a clip: its frames, its flow, or both
Progress = Callable[[Iterable[Files | ClipError], int], Iterable[Files | ClipError]]

# Part of every key: raise it when reading or resizing changes what comes out.
_VERSION = 2


def default_cache() -> Path:
    """`$SACCADE_CACHE`, else `saccade` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SACCADE_CACHE") or Path(base) / "saccade")


def cached_frames(path: Path, config: DataConfig, cache: Path) -> Path:
    """The `.npy` file (`T H W C`, uint8) of a clip, made now where it is not there yet.

    Raises:
        ClipError: the clip cannot be read.
    """
    return _cached(
        path,
        cache / "frames",
        (config.frames, config.size, config.channels),
        lambda: resize(read(path, config.frames).pixels, config.size, config.channels),
    )


def cached_flow(
    path: Path, cache: Path, count: int, size: int, length: int = 10, method: str = "dis", limit: float = LIMIT
) -> Path:
    """The `.npy` file (`T size size 2L`, uint8) of a clip's optical flow, made now where it is not there yet.

    Its frames are those of `cached_frames` with the same count; see `read_flow` for the arguments.

    Raises:
        ClipError: the clip cannot be read, or has a single frame.
        ValueError: a setting that does not fit.
        RuntimeError: the method is not installed, or its weights cannot be had.
    """
    return _cached(
        path,
        cache / "flow",
        (count, size, length, method, float(limit)),
        lambda: read_flow(path, count, length, method, limit, size).stacks,
    )


def _cached(path: Path, folder: Path, settings: tuple[object, ...], make: Callable[[], NDArray[np.uint8]]) -> Path:
    """What `make` gives of a clip, as a file of `folder`.

    The key is what the clip is (its place, size and time of change) and how it is sampled, so that a changed file or
    setting is read anew. The file is written under another name and renamed: half a file is never found.
    """
    target = folder / f"{_key(path, settings)}.npy"
    if not target.exists():
        pixels = make()
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}.part")
        try:
            with temporary.open("wb") as file:
                np.save(file, pixels)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
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


def read_sample(path: Path, config: DataConfig) -> tuple[Frames, NDArray[np.uint8]]:
    """A clip's chosen frames as they are, and what a model sees of the clip, `T H W C` uint8, without a cache.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    frames = read(path, config.frames)
    parts = []
    if config.streams != "flow":
        parts.append(resize(frames.pixels, config.size, config.channels))
    if config.streams != "rgb":
        c = config
        parts.append(read_flow(path, c.frames, c.flow_length, c.flow, c.flow_limit, c.size).stacks)
    return frames, np.concatenate(parts, -1)


def cached_sample(path: Path, config: DataConfig, cache: Path) -> Files:
    """The files of what a model sees of a clip; behind each other by channels they are `read_sample`'s.

    Raises:
        ClipError: the clip cannot be read, or has a single frame where flow is wanted.
    """
    files = []
    if config.streams != "flow":
        files.append(cached_frames(path, config, cache))
    if config.streams != "rgb":
        c = config
        files.append(cached_flow(path, cache, c.frames, c.size, c.flow_length, c.flow, c.flow_limit))
    return tuple(files)


def _try(path: Path, config: DataConfig, cache: Path) -> Files | ClipError:
    try:
        return cached_sample(path, config, cache)
    except ClipError as error:
        return error


def load_frames(files: Files) -> NDArray[np.generic]:
    """The sample `T H W C` uint8 in the files of a clip: picture and flow behind each other by channels."""
    parts = [np.load(file) for file in files]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)


class ClipFrames(Dataset[tuple[Tensor, int, int]]):
    """Clips as samples: `(frames T H W C uint8, target, index)`, or features `T h w D` float16 in place of frames.

    Args:
        clips: those whose frames are in `files`.
        files: of each of them, as `cached_sample` gives them.
        classes: the `K` class names; a target is a place in it.
        load: from the files of a clip to its sample.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        files: Sequence[Files],
        classes: Sequence[str],
        load: Callable[[Files], NDArray[np.generic]] = load_frames,
    ) -> None:
        self.clips, self.files, self.classes, self.load = tuple(clips), tuple(files), tuple(classes), load
        places = {label: i for i, label in enumerate(classes)}
        self.targets = [places[clip.label] for clip in clips]

    def __len__(self) -> int:
        return len(self.clips)

    def only(self, clips: Sequence[Clip]) -> "ClipFrames":
        """These of the clips, in the order given.

        Raises:
            ClipError: a clip that is not among them.
        """
        files = {clip.path: file for clip, file in zip(self.clips, self.files, strict=True)}
        for clip in clips:
            if clip.path not in files:
                raise ClipError(clip.path, "cannot be read any more", "the split of the run names it; restore it")
        return ClipFrames(clips, [files[clip.path] for clip in clips], self.classes, self.load)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return torch.from_numpy(self.load(self.files[index])), self.targets[index], index


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
    """
    folder = cache or default_cache()
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
    return ClipFrames([clip for clip, _ in good], [files for _, files in good], classes), errors
