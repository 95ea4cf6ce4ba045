"""Feature maps on disk: a clip is encoded once, for all epochs, runs and processes, and no kill leaves half of it.

A store is a folder. `store.json` says what made the maps, `encoder.safetensors` is the encoder that did, and
`maps/KEY.npy` are those of a clip, `T h w D` in half precision. The channels are last because encoders write and cells
read them so: nothing is turned around on the way. Only distinct frames are stored: `T` is less than the frames asked
for where the clip is shorter, and `load_maps` repeats the last one.

Locks are those of POSIX systems (Linux, macOS), which end with their process whatever killed it.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.data.array_file import ArrayFile, is_whole
from onlooker.files import read_json, write_json
from onlooker.structures import ClipError
from onlooker.video.container import check_file
from onlooker.video.decode import Choose
from onlooker.video.image_sequence import pictures

Maps = NDArray[np.float16]  # `T h w D`

# Part of every key: raise it when reading, resizing or the files' layout changes.
VERSION = 1
EVERY = "every"  # what `frames` says in a store of all frames
_ANEW = "run `onlooker features` again with the same arguments, which makes it anew"
_FILE, _ENCODER, _LOCK, _MAPS = "store.json", "encoder.safetensors", ".lock", "maps"


@dataclass(frozen=True)
class Origin:
    """What made the features of a store: all that a clip's maps depend on besides the clip.

    Args:
        encoder: its name.
        pretrained: whether it started from ImageNet weights.
        weights: a digest of its weights.
        precision: that it computed in, `32` or `bf16`.
        data: how clips are sampled, resized and normalized; augmentation plays no part.
        every: all frames of a clip in place of `data.frames` equally spaced ones, for windows that share frames.

    Raises:
        ValueError: a normalization that depends on something else.
    """

    encoder: str
    pretrained: bool
    weights: str
    precision: str
    data: DataConfig
    every: bool = False

    def __post_init__(self) -> None:
        if self.data.normalization == "auto":
            raise ValueError("normalization is auto, expected the one that the encoder was trained with")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what `store.json` says and what makes keys."""
        data = self.data
        values = {"encoder": self.encoder, "pretrained": self.pretrained, "weights": self.weights}
        values |= {"precision": self.precision, "frames": EVERY if self.every else data.frames}
        values |= {name: getattr(data, name) for name in ("size", "channels", "modality", "normalization")}
        if data.modality != "rgb":
            values |= {"flow": data.flow, "flow_length": data.flow_length}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Origin":
        """What `to_dict` made."""
        made = {name: values[name] for name in ("encoder", "pretrained", "weights", "precision")}
        sampling = {name: value for name, value in values.items() if name not in made}
        every = sampling["frames"] == EVERY
        if every:
            del sampling["frames"]
        return cls(**made, data=DataConfig.from_dict(sampling | {"translate": 0.0, "scale": 0.0}), every=every)


class FeatureStore:
    """A folder of feature maps, keyed by what a clip contains and by what made them.

    Several processes may write to one store. Use `FeatureStore.make` or `FeatureStore.open`.
    """

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin

    @classmethod
    def open(cls, folder: Path) -> "FeatureStore":
        """The store in a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: another version of onlooker wrote it, or `store.json` is damaged.
        """
        if not (folder / _FILE).exists():
            remedy = f"make one by `onlooker features CLIPS --store {folder}`"
            raise FileNotFoundError(f"{folder}: no feature store there (no {_FILE}); {remedy}")
        values = read_json(folder / _FILE)
        version = values.pop("version", None)
        if version != VERSION:
            raise ValueError(
                f"{folder}: a store of version {version}, this onlooker reads and writes version {VERSION}; "
                "make a new one in another folder"
            )
        try:
            return cls(folder, Origin.from_dict(values))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / _FILE}: not what a feature store says ({error!r}); restore it") from error

    @classmethod
    def make(cls, folder: Path, origin: Origin, save: Callable[[Path], None]) -> "FeatureStore":
        """The store in a folder, made where there is none yet.

        Args:
            folder: of the store.
            origin: what its features are made by.
            save: writes the encoder's weights to a file.

        Raises:
            FileExistsError: the folder holds other things.
            ValueError: the store that is there was made by something else, or by another version of onlooker.
        """
        folder.mkdir(parents=True, exist_ok=True)
        own = {_FILE, _ENCODER, _LOCK, _MAPS}
        if foreign := sorted(p.name for p in folder.iterdir() if p.name not in own and not p.name.endswith(".part")):
            raise FileExistsError(f"{folder}: holds files that are not a store's ({foreign[0]}); choose a new folder")
        with _wait_for(folder / _LOCK):  # shards begin at the same time
            if not (folder / _FILE).exists():
                for leftover in folder.glob("*.part"):
                    leftover.unlink()
                part = folder / f"{_ENCODER}.part"
                save(part)
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                os.replace(part, folder / _ENCODER)
                write_json(folder / _FILE, {"version": VERSION, **origin.to_dict()})
        store = cls.open(folder)
        there, asked = store.origin.to_dict(), origin.to_dict()
        if changed := [name for name in {**there, **asked} if there.get(name) != asked.get(name)]:
            said = ", ".join(f"{name} {there.get(name)} (asked for: {asked.get(name)})" for name in changed)
            of_weights = " (--seed, --pretrained)" if "weights" in changed else ""
            raise ValueError(
                f"{folder}: a store made with {said}; give the same{of_weights}, or another folder by --store"
            )
        return store

    @property
    def encoder_file(self) -> Path:
        """The encoder's weights, as safetensors."""
        return self.folder / _ENCODER

    def file(self, clip: Path) -> Path:
        """Where a clip's maps are or will be: the name is a hash of the clip's bytes and of what makes the maps.

        Raises:
            ClipError: the clip cannot be read.
        """
        what = (VERSION, sorted(self.origin.to_dict().items()), content_digest(clip))
        return self.folder / _MAPS / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}.npy"

    def maps(self, clip: Path) -> Maps:
        """A clip's maps `T h w D`, all that are stored; a part of them reads only that from the disk.

        Raises:
            ClipError: the clip cannot be read.
            FileNotFoundError: its features are not stored.
        """
        return _open(self.file(clip))

    def claim(self, file: Path) -> "Claim | None":
        """The right to write `file`, or over it if it is damaged; None where another process is at it, or was."""
        file.parent.mkdir(exist_ok=True)
        held = _hold(file.with_name(f"{file.name}.part"))
        if held is None:
            return None
        claim = Claim(file, held)
        if is_whole(file):
            claim.discard()
            return None
        return claim

    def clean(self) -> None:
        """Remove what killed processes have left; what living ones write stays."""
        for part in (self.folder / _MAPS).glob("*.part"):
            if held := _hold(part):
                Claim(part.with_suffix(""), held).discard()


class Claim:
    """A clip's file while it is written, by this process alone; the claim ends with the process at the latest."""

    def __init__(self, file: Path, held: BinaryIO) -> None:
        self._file, self._part, self._held = file, file.with_name(f"{file.name}.part"), held
        self._array = ArrayFile(held, "<f2")

    @property
    def written(self) -> int:
        """How many frames."""
        return self._array.written

    @property
    def frame_bytes(self) -> int:
        """Of one frame's map; 0 before the first was written."""
        return self._array.row_bytes

    def append(self, maps: Maps) -> None:
        """Write the maps `N h w D` of the next frames.

        Raises:
            OSError: the disk is full.
        """
        if not self.written:
            self._held.truncate(0)  # of a process that was killed
        self._array.append(maps)

    def commit(self) -> None:
        """Flush to the disk, then rename: a reader finds the whole file or none.

        Raises:
            OSError: the disk is full.
        """
        self._array.finish()
        os.fsync(self._held.fileno())
        os.replace(self._part, self._file)
        self._held.close()

    def discard(self) -> None:
        """Remove what was written, if it was not committed."""
        if not self._held.closed:
            self._part.unlink(missing_ok=True)  # before the lock goes: afterwards it may be another's
            with suppress(OSError):  # the disk may be full, and the rest of the buffer is not wanted
                self._held.close()


def load_maps(files: tuple[Path, ...], choose: Choose) -> Maps:
    """The maps `T h w D` of chosen frames, in the file of a clip; of several files, their features behind each other.

    From a store of every frame equally spaced ones are the frames that `video.read` gives; a store of so many frames
    holds no others.

    Raises:
        FileNotFoundError: a file is gone.
        ValueError: one is damaged.
    """
    stored = [_open(file) for file in files]
    chosen = choose(len(stored[0]))
    return np.concatenate([maps[chosen] for maps in stored], -1)


def content_digest(clip: Path) -> str:
    """A hash of all bytes of a clip: a copy or another name changes nothing, any other change does.

    Of a folder, the numbered pictures count, in their order.

    Raises:
        ClipError: the clip cannot be read.
    """
    digest = hashlib.sha256()
    if not clip.is_dir():
        check_file(clip)
    try:
        files = pictures(clip) if clip.is_dir() else [clip]
        for path in files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise ClipError(clip, f"cannot be read ({error.strerror})", "allow reading it, check the disk") from error
    if not files:
        raise ClipError(clip, "a folder without numbered pictures", "give a video file, or number the pictures")
    return digest.hexdigest()


def _open(file: Path) -> Maps:
    try:
        return np.load(file, mmap_mode="r")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: no such features; {_ANEW}") from error
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file}: not whole ({error}); {_ANEW}") from error


def _hold(path: Path) -> BinaryIO | None:
    """A file for this process alone, made where there is none, until it is closed or the process ends.

    Returns:
        The open file; None where another process holds it.
    """
    import fcntl  # here, because Windows has none, and all but stores works there

    while True:
        held = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return None
        # Between opening and locking, whoever held it may have renamed or removed it.
        try:
            if os.path.samestat(os.fstat(held.fileno()), path.stat()):
                return held
        except FileNotFoundError:
            pass
        held.close()


def _wait_for(path: Path) -> BinaryIO:
    while (held := _hold(path)) is None:
        time.sleep(0.05)
    return held
