"""Feature maps on disk: a clip is encoded once, for all epochs, runs and processes.

A store is a folder. `store.json` says what made the maps, `encoder.safetensors` holds the encoder, and `maps/` is an
`ArrayCache` with the maps of each clip, `T h w D` in half precision. The channels are last because encoders write and
cells read them in that order. Only distinct frames are stored: `T` is less than the number of frames asked for if the
clip is shorter. Threads decode clips, encode them in batches, and write them as they are encoded.
"""

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.array_cache import ArrayCache, Parts, is_whole, open_array
from onlooker.data.clips import decode_each
from onlooker.data.fingerprint import fingerprint
from onlooker.data.folder import entries
from onlooker.data.samples import read_sample, stream_frames
from onlooker.files import explain_write_errors, read_json, reading, write_bytes, write_json
from onlooker.processes import map_ahead
from onlooker.settings import field_of
from onlooker.structures import ClipError
from onlooker.video.container import check_file

__all__ = ["FeatureStore", "StoreSettings"]

VERSION = 2  # of the files of a store
EVERY = "every"  # the value of `frames` in a store of all frames
_OWN = {"encoder": str, "pretrained": bool, "weights": str, "precision": str}  # settings that are not in `DataConfig`
_FILE, _ENCODER, _MAPS = "store.json", "encoder.safetensors", "maps"
_REMEDY = "free some space, or move the store to a larger disk, and run the same command again: what is stored stays"

# From resized frames `N H W C` uint8 to maps `N D h w`. It also normalizes: bytes are transferred to a GPU faster.
Encode = Callable[[Tensor], Tensor]

# Stores the maps of a clip, which it gets part by part; or takes note of the ClipError that is raised meanwhile.
Write = Callable[[Path, Parts], None]


@dataclass(frozen=True)
class StoreSettings:
    """What a feature store is made with: all that the maps of a clip depend on except the clip.

    Args:
        encoder, pretrained: its name (`build_encoder`), and whether its weights are pretrained. None: if there are any;
            replaced when the encoder is built.
        data: how clips are sampled, resized and normalized; augmentation does not matter.
        every: all frames of a clip instead of `data.frames` equally spaced ones, for temporal crops that share frames.
        precision: `32`, `bf16`, or `auto`: the precision of the store; for a new one bf16 if the hardware supports it.
        seed: of the weights, if they are not pretrained.
        weights: their digest; known once the encoder is built.
    """

    encoder: str = "small"
    data: DataConfig = field(default_factory=DataConfig)
    pretrained: bool | None = None
    every: bool = False
    precision: str = "auto"
    seed: int = 0
    weights: str = ""

    def __post_init__(self) -> None:
        if self.data.motion_crop:
            crop = self.data.motion_crop
            raise ValueError(f"motion_crop is {crop}, and features are stored of whole frames; leave it at 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the content of `store.json`, and part of the keys."""
        flow = [] if self.data.modality == "rgb" else ["flow", "flow_length"]
        sampling = ["size", "channels", "modality", "normalization", *flow]
        frames = EVERY if self.every else self.data.frames
        own = {name: getattr(self, name) for name in _OWN}
        return {**own, "frames": frames, **{name: getattr(self.data, name) for name in sampling}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StoreSettings":
        """The inverse of `to_dict`."""
        own = {name: field_of(values, name, kind) for name, kind in _OWN.items()}
        every = values["frames"] == EVERY
        sampling = {k: value for k, value in values.items() if k not in own and not (every and k == "frames")}
        made = cls(**own, data=DataConfig.from_dict(sampling | {"translate": 0.0, "scale": 0.0}), every=every)
        for missing in made.to_dict().keys() - values.keys():
            raise KeyError(missing)
        return made


@dataclass(frozen=True)
class Extracted:
    """For each clip, in the given order, its file in the store or an error; and how many files are `new` there."""

    results: tuple[Path | ClipError, ...]
    new: int

    @property
    def failed(self) -> tuple[ClipError, ...]:
        """An error for each clip that cannot be read."""
        return tuple(result for result in self.results if isinstance(result, ClipError))

    @property
    def existing(self) -> int:
        """Clips that were already stored, or are copies of others."""
        return len(self.results) - len(self.failed) - self.new


class FeatureStore:
    """Feature maps, keyed by the content of a clip and by what made them; several processes may write to one store."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self.folder, self.settings = folder, settings
        self.cache, self.encoder_file = ArrayCache(folder / _MAPS, remedy=_REMEDY), folder / _ENCODER

    @classmethod
    def open(cls, folder: Path) -> "FeatureStore":
        """The store in a folder; a FileNotFoundError or ValueError if there is none that this version can read."""
        if not (folder / _FILE).exists():
            remedy = f"make one by `onlooker features CLIPS --store {folder}`"
            raise FileNotFoundError(f"{folder}: no feature store there (no {_FILE}); {remedy}")
        with reading(folder / _FILE):
            values = read_json(folder / _FILE)
            version = values.pop("version", None)
            if version != VERSION:
                raise ValueError(f"a store of version {version}, expected {VERSION}; make a new one in another folder")
            return cls(folder, StoreSettings.from_dict(values))

    @classmethod
    def make(cls, folder: Path, settings: StoreSettings, save: Callable[[], bytes]) -> "FeatureStore":
        """The store in a folder, made if there is none yet; `save` returns the encoder's weights as safetensors.

        Raises:
            FileExistsError: the folder holds other files.
            ValueError: the store in the folder was made by something else, or by another version of onlooker.
            DiskFullError, NotWritableError: the folder cannot be written to.
        """
        with explain_write_errors("the feature store", folder):
            folder.mkdir(parents=True, exist_ok=True)
            if foreign := [path.name for path in entries(folder) if path.name not in (_FILE, _ENCODER, _MAPS)]:
                found = f"holds files that are not a store's ({foreign[0]})"
                raise FileExistsError(f"{folder}: {found}; choose a new folder")
            if not (folder / _FILE).exists():
                write_bytes(folder / _ENCODER, save())
                write_json(folder / _FILE, {"version": VERSION, **settings.to_dict()})
        store = cls.open(folder)
        stored, asked = store.settings.to_dict(), settings.to_dict()
        if changed := differences(stored, asked, {**stored, **asked}):
            raise ValueError(f"{folder}: a store made with {changed}; give the same, or another folder by --store")
        return store

    def key(self, clip: Path) -> dict[str, Any]:
        """The key of a clip's maps in `cache`: its content and the settings; a ClipError if it cannot be read."""
        if not os.path.isdir(clip):
            check_file(clip)
        return {"clip": fingerprint(clip, whole=True), **self.settings.to_dict()}

    def file(self, clip: Path) -> Path:
        """Where the maps of a clip are, or will be."""
        return self.cache.file(self.key(clip))

    def add(
        self,
        clips: Sequence[Path],
        encode_clips: Callable[[Iterable[Path], Write], Generator[None]],
        progress: Callable[[Iterable[None], int], Iterable[None]] = lambda items, total: items,
    ) -> Extracted:
        """Store the maps of clips that are not stored yet, or damaged; and continue after those that cannot be read.

        If it is killed, the same call continues at the clip where it was.

        Args:
            encode_clips: encodes clips, calls `Write` for each in any order, and yields after each (`encode_here`). It
                gets the clips that are not stored, one of several equal ones.
            progress: wraps what `encode_clips` yields; with the number of clips to encode.

        Raises:
            DiskFullError, NotWritableError: the store cannot be written to. What was done stays.
            ValueError: features that are not finite numbers in half precision.
        """
        found = dict(zip(clips, decode_each(clips, self.key), strict=True))
        keys = {clip: key for clip, key in found.items() if not isinstance(key, ClipError)}
        # By clip, or by file: clips of equal content fail alike.
        errors = {clip: key for clip, key in found.items() if isinstance(key, ClipError)}
        files = {clip: self.cache.file(key) for clip, key in keys.items()}
        missing = {file: clip for clip, file in files.items() if not is_whole(file)}

        def write(clip: Path, maps: Parts) -> None:
            try:
                self.cache.get(keys[clip], lambda: maps, "its features", clip)
            except ClipError as error:
                errors[files[clip]] = error

        with closing(encode_clips(missing.values(), write)) as encoded:
            for _ in progress(encoded, len(missing)):
                pass

        def result(clip: Path) -> Path | ClipError:
            file = files.get(clip, clip)
            return ClipError(clip, errors[file].found, errors[file].remedy) if file in errors else file

        return Extracted(tuple(map(result, clips)), len(missing.keys() - errors))


def encode_here(
    clips: Iterable[Path], write: Write, encode: Callable[[Path], Parts], threads: int = 1
) -> Generator[None]:
    """Encode clips by `encode`, such as `maps_of`, in threads of this process."""
    return map_ahead(lambda clip: write(clip, encode(clip)), clips, threads)


def maps_of(clip: Path, settings: StoreSettings, encode: Encode, batch: int) -> Iterator[NDArray[np.float16]]:
    """The maps of a clip, in parts `N h w D` of `batch` frames, in memory that does not depend on its length.

    Raises:
        ClipError: the clip cannot be read.
        ValueError: features outside the range of half precision.
    """
    for frames in samples(clip, settings, batch):
        features = encode(torch.from_numpy(frames))
        maps = features.permute(0, 2, 3, 1).to(torch.float16).contiguous().cpu()
        if not maps.isfinite().all():
            largest = features.abs().max().item()
            raise ValueError(f"{clip}: features up to {largest:g} are beyond half precision; use another encoder")
        yield maps.numpy()


def samples(path: Path, settings: StoreSettings, size: int) -> Iterator[NDArray[np.uint8]]:
    """What a model sees of a clip, in batches `N H W C` of `size`: distinct frames, without the repeated last one."""
    frames: Iterable[NDArray[np.uint8]]
    if settings.every:
        frames = stream_frames(path, settings.data)
    else:
        sample = read_sample(path, replace(settings.data, temporal_crops=0))
        frames = sample.pixels[: len(np.unique(sample.indices))]
    left = iter(frames)
    while rows := list(islice(left, size)):
        yield np.stack(rows)


def check_maps(file: Path, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless a file holds maps `T h w D` of the encoder whose shape `h w D` is given."""
    maps = open_array(file)
    if maps.dtype != np.float16 or maps.shape[1:] != shape:
        sizes, expected = (" ".join(map(str, each)) for each in (maps.shape, shape))
        found = f"features {maps.dtype} {sizes}, expected float16 T {expected}"
    elif not np.isfinite(maps).all():
        found = "features that are not finite numbers"
    else:
        return
    raise ValueError(f"{file}: {found}; remove the file, and the clip is encoded again")


def differences(
    stored: Mapping[str, Any], asked: Mapping[str, Any], names: Collection[str], other: str = "asked for"
) -> str:
    """Which of the named settings differ, as text for error messages; empty if none does."""
    changed = [name for name in names if stored.get(name) != asked.get(name)]
    return ", ".join(f"{name} {stored.get(name)} ({other}: {asked.get(name)})" for name in changed)
