"""Clips as a data set: decoded, resized frames and optical flow, cached for all epochs, models and
runs.
"""

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.base.config import DataConfig, Modality
from onlooker.base.files import NOT_WRITABLE_REMEDY, check_writable
from onlooker.base.intervals import file_of, resolved
from onlooker.base.parallel import map_ahead
from onlooker.base.progress import tracked
from onlooker.base.records import Clip, ClipError
from onlooker.base.text import format_bytes
from onlooker.data.array_cache import ArrayCache, Key, load_rows, open_array
from onlooker.data.samples import Sample, read_at, read_sample
from onlooker.data.scenes import FRAMES, NO_THUMBNAILS, thumbnails
from onlooker.localization.crop import VERSION
from onlooker.video.container import accessing
from onlooker.video.eyes import eyes_of
from onlooker.video.rates import stated_rate
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import Sampling, Timing, equally_spaced

__all__ = ["ClipFrames", "read_clips"]

Files = tuple[Path, ...]  # of a clip: its frames, its flow, or both
Decoded = TypeVar("Decoded")

_SMALL = DataConfig(frames=FRAMES, size=32)  # of thumbnails
_CONTAINERS = {".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
_REPEAT = "run the same command again (`onlooker train` with --resume if the run has started): it is computed again"


def cached_sample(
    path: Path,
    config: DataConfig,
    cache: ArrayCache,
    *,
    jitter: int = 0,
) -> Files:
    """The cached input of a model from a clip: a file of frames, one of their crops, one of their
    flow, or two of these; then one of what each other eye sees.

    One pass over the clip gives its frames, crops, what eyes see, and its header; `jitter` as in
    `read_at`.
    """
    reader = VideoReader(path)
    clip = identity(path)
    samples = list[Sample]()
    eyes = eyes_of(config.layer_eyes)

    def entry(content: str, settings: Key, make: Callable[[], NDArray[Any]]) -> Path:
        return cache.get({"clip": clip, **settings}, make, content=content, path=path)

    def read(config: DataConfig) -> Sample:
        sampling = partial(equally_spaced, count=config.frames)
        sample = read_at(reader, config, sampling, jitter=jitter)
        samples.append(sample)
        _header_file(reader, cache)
        return sample

    def whole() -> Sample:
        return samples[0] if samples else read(config)

    def pixels(modality: Modality) -> NDArray[np.uint8]:
        if "actor" in config.views:
            return whole().frames
        pictures = replace(config, modality=modality, eyes="pictures")
        return (samples[0] if eyes and samples else read(pictures)).pixels

    seen = [
        entry(
            f"its {name}",
            {"content": name, "words": eye.digest, "frames": config.frames},
            partial(lambda name: whole().eyes[name], name),
        )
        for name, eye in eyes.items()
    ]
    modalities: tuple[Modality, ...] = (config.modality,)
    if config.modality == "both":
        modalities = ("rgb", "flow")
    frames = [
        entry(
            "its frames",
            stored_settings(replace(config, modality=modality)),
            partial(pixels, modality),
        )
        for modality in modalities
    ]
    if "actor" in config.views:
        key = {**stored_settings(config), **_crop_key(jitter)}
        close = entry("its crops", key, lambda: whole().pixels[..., -config.channels :])
        entry("its crops", _places_key(config, jitter), lambda: np.asarray(whole().crops))
        frames = [close] if config.views == ("actor",) else [*frames, close]
    return (*frames, *seen)


def _crop_key(jitter: int) -> Key:
    return {"crop": VERSION, "copy": jitter}


def _places_key(config: DataConfig, jitter: int = 0) -> Key:
    """Of where the crops of a clip are."""
    return {"content": "crops", "frames": config.frames, **_crop_key(jitter)}


def crops_of(path: Path, config: DataConfig, cache: ArrayCache) -> NDArray[np.int64]:
    """Where the crops of a clip are, `T 4` (`Sample.crops`); errors as in `cached_sample`."""
    cached_sample(path, config, cache)
    return np.array(open_array(cache.file({"clip": identity(path), **_places_key(config)})))


def stored_frames(reader: VideoReader, config: DataConfig, cache: ArrayCache) -> NDArray[np.uint8]:
    """The distinct frames of a sample, `T H W C`. The header of the clip goes into the cache, so
    that nothing else has to open the clip.
    """
    frames = read_at(
        reader, config, lambda total: equally_spaced(total, min(config.frames, total))
    ).pixels
    _header_file(reader, cache)
    return frames


class Header(NamedTuple):
    """The times of a clip's frames, and their height and width."""

    timing: Timing
    size: tuple[int, int]


def read_header(path: Path) -> Header:
    """The header of a clip, which is opened only if its frames are not in the cache.

    Raises:
        ClipError: the clip cannot be read.
        DiskFullError, NotWritableError: the cache cannot be written to.
    """
    reader = VideoReader(path)
    file = _header_file(reader, ArrayCache.for_user())
    try:
        values: NDArray[np.float64] = open_array(file)
    except (OSError, ValueError):  # another process has just removed it
        values = _header_values(reader)
    height, width, assumes_rate, end = values[:4].tolist()
    return Header(Timing(np.array(values[4:]), end, bool(assumes_rate)), (int(height), int(width)))


def _header_file(reader: VideoReader, cache: ArrayCache) -> Path:
    rate = stated_rate(file_of(reader.path))  # maybe in a folder above
    key = {"clip": identity(reader.path), "content": "header", "rate": rate}
    return cache.get(key, partial(_header_values, reader), content="its times", path=reader.path)


def _header_values(reader: VideoReader) -> NDArray[np.float64]:
    size = reader.size  # opens a clip that was not read yet, and indexes it
    timing = reader.timing
    return np.array([*size, timing.assumes_rate, timing.end, *timing.times], np.float64)


def states_rate(path: Path) -> bool:
    """Whether a clip is in a container that states when its frames are shown, as far as its name
    tells; raw video and image sequences do not.
    """
    return file_of(path).suffix.lower() in _CONTAINERS


def unknown_rates(paths: Iterable[Path]) -> list[Path]:
    """The files of clips whose frame rate is unknown, by the headers of the clips in the cache."""
    unknown = list[Path]()
    for file, path in sorted({file_of(path): path for path in paths}.items()):
        with suppress(ClipError):  # only its stored features are left
            if read_header(path).timing.assumes_rate:
                unknown.append(file)
    return unknown


def sample_rate(paths: Sequence[Path], config: DataConfig, count: int = 16) -> float | None:
    """Median frames per second of the samples of at most `count` clips; None if it is unknown."""
    rates = []
    for i in np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)):
        with suppress(ClipError):
            timing = read_header(paths[i]).timing
            _, moments = timing.moments()
            # padding repeats the last frame
            times = np.unique(moments[equally_spaced(len(moments), config.frames)])
            if len(times) > 1 and not timing.assumes_rate:
                rates.append((len(times) - 1) / (times[-1] - times[0]))
    return float(np.median(rates)) if rates else None


def cached_read(path: Path, config: DataConfig) -> Sample:
    """As `read_sample`, from the cache: a clip whose frames are there is not opened.

    Raises:
        ClipError: the clip cannot be read.
        DiskFullError, NotWritableError: the cache cannot be written to.
    """
    cache = ArrayCache.for_user()
    files = cached_sample(path, config, cache)
    names = [*eyes_of(config.layer_eyes)]
    count = len(files) - len(names)
    has_crops = "actor" in config.views
    try:
        pixels = load_rows(files[:count], np.arange)
        rows = [load_rows((file,), np.arange) for file in files[count:]]
        frames = pixels[..., : config.image_channels]
        if config.views == ("actor",):
            frames = load_rows(
                cached_sample(path, replace(config, eyes="pictures"), cache), np.arange
            )
        crops = crops_of(path, config, cache) if has_crops else None
    except (OSError, ValueError):  # another process has just removed them
        return read_sample(path, config)
    timing, size = read_header(path)
    indices, moments = timing.moments()
    sampled = equally_spaced(len(moments), config.frames)
    return Sample(
        pixels,
        moments[sampled],
        indices[sampled],
        size=size,
        frames=frames,
        assumes_rate=timing.assumes_rate,
        end=timing.end,
        length=timing.length,
        eyes=dict(zip(names, rows, strict=True)),
        crops=crops,
    )


def stored_settings(config: DataConfig) -> dict[str, Any]:
    """All settings that the stored frames of a clip depend on (`stored_frames`): part of their key."""
    names = ["modality", "size"]
    names += ["channels"] if config.modality != "flow" else []
    names += ["flow_limit"] if config.modality != "rgb" else []
    return {"frames": config.frames, **{name: getattr(config, name) for name in names}}


def identity(path: Path) -> list[Any]:
    """What identifies a clip in the cache: its absolute path, and the size and modification time of
    its files.
    """
    with accessing(path):
        file = file_of(path)
        files = sorted(file.iterdir()) if file.is_dir() else [file]
        stats = [(file.name, file.stat()) for file in files]
    return [
        str(resolved(path)),
        *([name, stat.st_size, stat.st_mtime_ns] for name, stat in stats),
    ]


class ClipFrames(Dataset[tuple[Tensor, int, int]]):
    """Clips as samples: `(frames T H W C uint8, target, index)`, or features `T h w D` float16
    instead of frames.

    Args:
        clips, files: the clips, and for each the files of its frames (`cached_sample`) or of its
            stored features; then the files of what other eyes see.
        classes: the `K` class names; a target is a position in it.
        sampling: which of the stored frames are used; None: all.
        make: computes the files of a clip again if they are damaged, or the cache was pruned; None:
            that is an error.
        eyes: the names of these eyes (`features`).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        files: Sequence[Files],
        classes: Sequence[str],
        *,
        sampling: Sampling | None = None,
        make: Callable[[Path], Files] | None = None,
        eyes: Sequence[str] = (),
    ) -> None:
        self.clips = tuple(clips)
        self.files = tuple(files)
        self.classes = tuple(classes)
        self.targets = [self.classes.index(clip.label) for clip in clips]
        self.sampling = sampling or np.arange
        self.make = make
        self.eyes = tuple(eyes)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the clips in an `Evaluation`."""
        return tuple(clip.name for clip in self.clips)

    def subset(self, clips: Sequence[Clip]) -> Self:
        """A subset of the clips, in the order given; a ClipError for one that is not in the data
        set.
        """
        files = {clip.path: file for clip, file in zip(self.clips, self.files, strict=True)}
        for clip in clips:
            if clip.path not in files:
                raise ClipError(
                    clip.path,
                    "cannot be read any more",
                    "the split of the run names it; restore it, or train again",
                )
        return type(self)(
            clips,
            [files[clip.path] for clip in clips],
            self.classes,
            sampling=self.sampling,
            make=self.make,
            eyes=self.eyes,
        )

    def thumbnails(self, channels: int) -> NDArray[np.uint8]:
        """The thumbnails of all clips (`scenes.thumbnails`), `B 8 16 16`, of the RGB or gray
        `channels`.
        """
        few = partial(equally_spaced, count=FRAMES)
        return np.stack(
            [
                thumbnails(self._loaded(index, few).numpy()[..., :channels])
                for index in range(len(self))
            ]
        )

    def copy(self, config: DataConfig, jitter: int) -> Self:
        """Altered copies of the clips, with other crops (`read_at`).

        Raises:
            ClipError: a clip cannot be read any more.
        """
        cache = ArrayCache.for_user()
        make = partial(cached_sample, config=config, cache=cache, jitter=jitter)
        files = [make(clip.path) for clip in self.clips]
        return type(self)(
            self.clips,
            files,
            self.classes,
            sampling=self.sampling,
            make=make,
            eyes=self.eyes,
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self._loaded(index, self.sampling), self.targets[index], index

    def features(self, eye: str, index: int) -> Tensor:
        """What an eye sees in a clip, `T 1+F` (`Sample.eyes`)."""
        place = len(self.files[index]) - len(self.eyes) + self.eyes.index(eye)
        return self._loaded(index, np.arange, slice(place, place + 1))

    def _loaded(self, index: int, sampling: Sampling, which: slice | None = None) -> Tensor:
        """The rows of some of the files of a clip; None: of its frames or stored features."""
        path = self.clips[index].path
        which = which or slice(len(self.files[index]) - len(self.eyes))
        try:
            return torch.from_numpy(load_rows(self.files[index][which], sampling))
        except (OSError, ValueError) as error:  # the files were whole when the clips were read
            if self.make is None:
                raise ClipError(
                    path, f"what is stored of it is damaged or gone ({error})", _REPEAT
                ) from error
        return torch.from_numpy(load_rows(self.make(path)[which], sampling))


def read_clips(
    clips: Sequence[Clip],
    classes: Sequence[str],
    config: DataConfig,
    *,
    strict: bool = False,
    cache: Path | None = None,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Decode every clip into the cache, and continue without those that cannot be read.

    Args:
        clips, classes, config: the clips, the `K` class names, and how to sample and resize.
        strict: the first clip that cannot be read is an error.
        cache: its folder; None: `default_cache()`.

    Returns:
        The samples, and an error for each clip that could not be used.

    Raises:
        ClipError: none of the clips can be read.
        DiskFullError, NotWritableError: the cache cannot be written to. What was decoded stays.
    """
    arrays = ArrayCache.for_user(cache)
    check_writable(arrays.folder, NOT_WRITABLE_REMEDY)
    arrays.prune()
    make = partial(cached_sample, config=config, cache=arrays)
    samples, errors = made_samples(
        clips, classes, config, make=make, stage="reading clips", strict=strict
    )
    if removed := sum(not all(file.exists() for file in files) for files in samples.files):
        warnings.warn(
            f"{arrays.folder}: {removed} of {len(clips)} clips do not fit into the cache's limit of "
            f"{format_bytes(arrays.limit or 0)}, and are decoded each time they are used; raise ONLOOKER_CACHE_LIMIT",
            stacklevel=2,
        )
    return samples, errors


def made_samples(
    clips: Sequence[Clip],
    classes: Sequence[str],
    config: DataConfig,
    *,
    make: Callable[[Path], Files],
    stage: str,
    strict: bool,
    threads: int | None = None,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """The samples of the clips for which `make` returns files; an error for every other clip.

    Args:
        stage: of the progress, and the title of its bar (`base.progress`).
        strict: as in `read_clips`.
        threads: as in `map_ahead`.
    """
    read = list[tuple[Clip, Files]]()
    errors = list[ClipError]()
    results = decode_each([clip.path for clip in clips], make, threads)
    for clip, result in zip(clips, tracked(results, stage, len(clips)), strict=True):
        if not isinstance(result, ClipError):
            read.append((clip, result))
        elif strict or len(clips) == 1:
            raise result
        else:
            errors.append(result)
    if errors and not read:
        raise ClipError(
            clips[0].path.parent, f"none of {len(clips)} clips can be read", str(errors[0])
        )
    return ClipFrames(
        [clip for clip, _ in read],
        [files for _, files in read],
        classes,
        sampling=partial(equally_spaced, count=config.frames),
        make=make,
        eyes=[*eyes_of(config.layer_eyes)],
    ), tuple(errors)


def read_thumbnails(
    samples: ClipFrames, data: DataConfig, features: bool = False
) -> NDArray[np.uint8]:
    """The thumbnails of clips, `B 8 16 16`: of the frames of their samples; if samples are features
    or flow, the clips are decoded.

    The thumbnails of a clip that cannot be read, as when only its features are left, are black.

    Args:
        data, features: how the samples were made, and whether they are features.
    """
    if data.views == ("actor",):
        data = replace(data, eyes="pictures")
        samples, _ = read_clips(samples.clips, samples.classes, data, strict=True)
    if not features and data.modality != "flow":
        return samples.thumbnails(data.channels)
    try:
        decoded, _ = read_clips(samples.clips, samples.classes, _SMALL)
    except ClipError:
        return np.stack([NO_THUMBNAILS] * len(samples))
    images = {
        clip.path: image
        for clip, image in zip(decoded.clips, decoded.thumbnails(_SMALL.channels), strict=True)
    }
    return np.stack([images.get(clip.path, NO_THUMBNAILS) for clip in samples.clips])


def decode_each(
    paths: Iterable[Path], make: Callable[[Path], Decoded], threads: int | None = None
) -> Generator[Decoded | ClipError]:
    """What `make` returns for each clip, in order, or the ClipError of a clip that cannot be read;
    see `map_ahead`.
    """

    def attempt(path: Path) -> Decoded | ClipError:
        try:
            return make(path)
        except ClipError as error:
            return error

    return map_ahead(attempt, paths, threads)
