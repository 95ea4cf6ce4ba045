"""Feature maps on disk: a clip is encoded once, for all epochs, runs and processes.

A store is a folder. `store.json` says what made the maps, `encoder.safetensors` holds the encoder, and `maps/` is an
`ArrayCache` with the maps of each clip, `T h w D` in half precision. The channels are last because encoders write and
cells read them in that order. Only distinct frames are stored: `T` is less than the number of frames asked for if the
clip is shorter.
"""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onlooker.config import DataConfig
from onlooker.data.array_cache import ArrayCache, open_array
from onlooker.data.fingerprint import fingerprint
from onlooker.data.folder import entries
from onlooker.files import explain_write_errors, read_json, reading, write_bytes, write_json
from onlooker.settings import field_of
from onlooker.video.container import check_file

__all__ = ["FeatureStore", "StoreSettings"]

VERSION = 2  # of the files of a store
EVERY = "every"  # the value of `frames` in a store of all frames
_STORE_SETTINGS = ("encoder", "pretrained", "weights", "precision")  # settings that are not in `DataConfig`
_FILE, _ENCODER, _MAPS = "store.json", "encoder.safetensors", "maps"
_REMEDY = "free some space, or move the store to a larger disk, and run the same command again: what is stored stays"


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
        """Plain values, without those that are still to be chosen: the content of `store.json` and part of the keys."""
        names = ["size", "channels", "modality", "normalization"]
        names += [] if self.data.modality == "rgb" else ["flow", "flow_length"]
        own = {name: getattr(self, name) for name in _STORE_SETTINGS}
        sampling = {name: getattr(self.data, name) for name in names}
        return {**own, "frames": EVERY if self.every else self.data.frames, **sampling}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StoreSettings":
        """The inverse of `to_dict`."""
        own = {name: field_of(values, name, bool if name == "pretrained" else str) for name in _STORE_SETTINGS}
        sampling = {name: value for name, value in values.items() if name not in _STORE_SETTINGS}
        if every := sampling["frames"] == EVERY:
            del sampling["frames"]
        made = cls(**own, data=DataConfig.from_dict(sampling | {"translate": 0.0, "scale": 0.0}), every=every)
        for missing in made.to_dict().keys() - values.keys():
            raise KeyError(missing)
        return made


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
            if foreign := sorted(path.name for path in entries(folder) if path.name not in (_FILE, _ENCODER, _MAPS)):
                raise FileExistsError(
                    f"{folder}: holds files that are not a store's ({foreign[0]}); choose a new folder"
                )
            if not (folder / _FILE).exists():
                write_bytes(folder / _ENCODER, save())
                write_json(folder / _FILE, {"version": VERSION, **settings.to_dict()})
        store = cls.open(folder)
        stored, asked = store.settings.to_dict(), settings.to_dict()
        if changed := differences(stored, asked, {**stored, **asked}):
            options = " (--seed, --pretrained)" if store.settings.weights != settings.weights else ""
            raise ValueError(
                f"{folder}: a store made with {changed}; give the same{options}, or another folder by --store"
            )
        return store

    def key(self, clip: Path) -> dict[str, Any]:
        """The key of a clip's maps in `cache`: its content and the settings; a ClipError if it cannot be read."""
        if not os.path.isdir(clip):
            check_file(clip)
        return {"clip": fingerprint(clip, whole=True), **self.settings.to_dict()}

    def file(self, clip: Path) -> Path:
        """Where the maps of a clip are, or will be."""
        return self.cache.file(self.key(clip))


def check_maps(file: Path, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless a file holds maps `T h w D` of the encoder whose shape `h w D` is given."""
    maps = open_array(file)
    expected = f"expected float16 T {' '.join(map(str, shape))}"
    if maps.dtype != np.float16 or maps.shape[1:] != shape:
        found = f"features {maps.dtype} {' '.join(map(str, maps.shape))}, {expected}"
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
