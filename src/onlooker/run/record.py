"""The folder of a run, and the record of its settings, split and skipped clips.

    config.json      settings, classes, the folder of the clips, which of them, version
    split.json       training, validation and test clips: path, label, recording, fingerprint of
                     the content
    skipped.json     clips that could not be used, and why
    scenes.safetensors
                     three gray images of 16 × 16 of each clip of the split, to recognize its
                     scene
    curves.csv       loss and accuracy per epoch
    checkpoints/     the best and the last epoch, to continue from
    model/           the trained model: onlooker.load reads it
    final/           after cross-validation: a run on all clips
    cross_validation.json
                     figures of the cross-validation that chose the model, if there was one
                     (`measure.figures`)
    evaluation.json, scores.csv, report.html
                     figures of the test clips; of other clips in evaluation-NAME/

A run can be moved to another machine: only training and the evaluation of its own test clips need
the clips.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import load, save

import onlooker
from onlooker.base.config import SetConfig, Settings
from onlooker.base.files import (
    check_digest,
    check_writable,
    file_digest,
    read_bytes,
    read_csv,
    read_json,
    reading,
    write_bytes,
    write_json,
)
from onlooker.base.intervals import (
    WHOLE,
    Times,
    file_of,
    resolved,
    split_interval,
    with_interval,
)
from onlooker.base.records import ClipError, Curves, Recording, clip_name
from onlooker.base.settings import field_of, refuse
from onlooker.base.text import composed
from onlooker.data.folder import entries
from onlooker.data.scenes import scene_images
from onlooker.data.split import SPLITS, Split, fingerprint
from onlooker.measure.figures import Figures
from onlooker.storage import address_of, local
from onlooker.training.fitters import joined_settings, read_settings

__all__ = ["RunRecord", "check_settings"]

FIGURES = "evaluation.json"
SCORES = "scores.csv"
REPORT = "report.html"
CROSS_VALIDATION = "cross_validation.json"
_SCENES = "scenes.safetensors"
_LOCK = ".lock"
# Files that are written before config.json: a folder with nothing else holds no run yet.
_BEFORE_CONFIG = ("split.json", "skipped.json")


@dataclass(frozen=True)
class RunRecord:
    """The clips and settings of a run.

    Args:
        clips: the folder (or list) of the clips.
        requested: which of these clips are used.
        notes: how the folder or list was interpreted, in sentences (`ClipSet.notes`).
        background: recordings in which none of the classes happens.
        recordings: files (`resolved`) that have unknown time.
    """

    clips: Path
    classes: tuple[str, ...]
    settings: Settings
    split: Split
    skipped: tuple[ClipError, ...] = ()
    requested: SetConfig = field(default_factory=SetConfig)
    notes: tuple[str, ...] = ()
    background: tuple[Path, ...] = ()
    recordings: Sequence[Recording] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """The settings and a digest of the split, which its figures depend on."""
        split = json.dumps(self.split.to_dict(self.clips), sort_keys=True)
        return {**self.settings.to_dict(), "split": hashlib.sha256(split.encode()).hexdigest()[:32]}

    def write(self, run: Path) -> None:
        """Write config.json, split.json and skipped.json into the folder of a run."""
        # Clips whose features are stored may have been removed.
        all_exist = all(os.path.exists(file_of(clip.path)) for clip in self.split.clips)
        write_json(run / "split.json", self.split.to_dict(self.clips, fingerprints=all_exist))
        write_json(run / "skipped.json", [error.to_dict() for error in self.skipped])
        self.write_config(run)

    def write_config(self, run: Path) -> None:
        """Write config.json alone, after the other files."""
        root = self.clips.resolve()
        unknown = [
            clip_name(with_interval(recording.path, *span), root)
            for recording in self.recordings
            for span in recording.unknown
        ]
        config = {
            "onlooker": onlooker.__version__,
            "clips": address_of(self.clips) or str(root),
            "classes": list(self.classes),
            "split": file_digest(run / "split.json"),
            **self.settings.to_dict(),
            "set": self.requested.to_dict(),
            **({"notes": list(self.notes)} if self.notes else {}),
            **({"background": list(map(str, self.background))} if self.background else {}),
            **({"unknown": unknown} if unknown else {}),
        }
        write_json(run / "config.json", config)

    @classmethod
    def read(cls, run: Path, clips: Path | None = None) -> "RunRecord":
        """Read what `write` wrote; `clips` is the present folder of the clips (None: unchanged).

        Raises:
            FileNotFoundError: no run there, or one of its files is missing.
            ValueError: another version of onlooker wrote it, or a file was changed.
        """
        if missing := [
            name for name in ("config.json", *_BEFORE_CONFIG) if not (run / name).exists()
        ]:
            remedy = (
                "restore it, or train again in another folder" if run.is_dir() else "check the path"
            )
            raise FileNotFoundError(
                f"{run}: no {missing[0]}, expected what `onlooker train` writes; {remedy}"
            )
        with reading(run / "config.json"):
            stored = read_json(run / "config.json")
            folder = clips or local(field_of(stored, "clips", str))
            classes = tuple(map(composed, field_of(stored, "classes", list[str])))
            settings = read_settings(stored)
            # earlier versions have fewer of these
            own = {"when": SetConfig.when, "subject": "", "tier": ""}
            own |= field_of({"set": SetConfig().to_dict(), **stored}, "set", dict)
            requested = SetConfig.from_field({"set": own}, "set")
            notes = field_of({"notes": [], **stored}, "notes", list[str])
            background = field_of({"background": [], **stored}, "background", list[str])
            unknown = defaultdict[Path, list[Times]](list)
            for name in field_of({"unknown": [], **stored}, "unknown", list[str]):
                file, times = split_interval(folder / name)
                unknown[resolved(file)].append(times or WHOLE)
            digest = field_of(stored, "split", str)
        with reading(run / "split.json"):
            split = Split.from_dict(read_json(run / "split.json"), folder)
            if foreign := sorted({clip.label for clip in split.clips} - set(classes)):
                raise ValueError(
                    f"clips of class {foreign[0]}, which config.json does not name among its classes"
                )
            check_digest(run / "split.json", digest, run / "config.json")
        with reading(run / "skipped.json"):
            errors = [ClipError.from_dict(error) for error in read_json(run / "skipped.json", list)]
        return cls(
            folder,
            classes,
            settings,
            split=split,
            skipped=tuple(errors),
            requested=requested,
            notes=tuple(notes),
            background=tuple(map(Path, background)),
            recordings=[Recording(file, (), tuple(spans)) for file, spans in unknown.items()],
        )


def check_given(run: Path, clips: Path, given: Mapping[str, Any]) -> None:
    """Raise a ValueError if a run to continue has other settings than the explicit ones.

    Args:
        clips: the present folder of the clips.
        given: by name; `auto` and None leave a setting open.
    """
    record = RunRecord.read(run, clips)
    groups = (*record.settings, record.requested)
    own = {name: value for group in groups for name, value in vars(group).items()}
    other_settings = {f.name for f in fields(joined_settings())} - {*own}
    refuse(given.keys(), dict.fromkeys(other_settings, f"in {record.settings.model.name}"))
    changed = [
        f"{'model' if name == 'name' else name} is {value}, the run has {own.get(name)}"
        for name, value in given.items()
        if value not in (own.get(name), "auto", None)
    ]
    if changed:
        raise ValueError(
            f"{'; '.join(changed)}: a resumed run keeps its settings; leave them out, or start a new run"
        )


def check_content(run: Path, split: Split) -> None:
    """Raise a ValueError if clips of the stored split of a run are other files now, with the same
    names.
    """
    values = read_json(run / "split.json")
    stored = [entry.get("fingerprint") for name in SPLITS for entry in values[name]]
    content = {
        clip.path: digest for clip, digest in zip(split.clips, stored, strict=True) if digest
    }
    if replaced := [
        path
        for path, digest in content.items()
        if os.path.exists(file_of(path)) and fingerprint(path) != digest
    ]:
        problem = f"{len(replaced)} of its clips were replaced by others, such as {replaced[0]}"
        raise ValueError(f"{run}: {problem}; restore them, or train in another folder (--run)")


def check_settings(path: Path, stored: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise a ValueError that names the settings in which `stored`, of the file or run `path`,
    differs.
    """
    ours = dict(_flat(settings))
    theirs = dict(_flat(stored))
    if changed := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
        remedy = "choose another --run, or remove all that was made with them"
        raise ValueError(f"{path}: made with other settings ({', '.join(changed)}); {remedy}")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@contextmanager
def start_run(run: Path, resume: bool) -> Iterator[bool]:
    """Make and lock the folder of a run, and find out before any work that it can be written to.

    Yields:
        Whether the folder holds a run to continue.

    Raises:
        FileExistsError: it holds a run and `resume` is false, or it holds other files.
        FileNotFoundError: it holds a run whose config.json is missing.
        NotWritableError: it cannot be written to.
        ValueError: another process trains in it.
    """
    names = {path.name for path in entries(run) if path.exists()} if run.is_dir() else set()
    if "config.json" not in names and names - set(_BEFORE_CONFIG):
        if names & set(_BEFORE_CONFIG):
            raise FileNotFoundError(
                f"{run}: a run without config.json; restore it, or choose a new folder with --run"
            )
        raise FileExistsError(
            f"{run}: holds files that are not a run's; choose a new folder with --run"
        )
    with lock_run(run):
        holds_run = (run / "config.json").exists()
        is_started = any((run / name).exists() for name in ("checkpoints", "model"))
        if holds_run and is_started and not resume:
            remedy = "choose another --run, also to train with new clips; or continue an interrupted run with --resume"
            raise FileExistsError(f"{run}: holds a run already; {remedy}")
        yield resume and holds_run


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lock a run or comparison, so that no other process writes to its folder. A folder that is made
    for it, and stays empty because the training is refused, is removed.

    Raises:
        NotWritableError: it cannot be written to.
        ValueError: another process writes to it.
    """
    is_new = not folder.exists()
    check_writable(folder, "choose another folder with --run")
    try:
        with FileLock(folder / _LOCK, timeout=0):
            try:
                yield
            finally:
                # while it is locked: nobody else can be using it; systems that cannot remove a file
                # that is open keep it
                with suppress(OSError):
                    if is_new and [path.name for path in folder.iterdir()] == [_LOCK]:
                        (folder / _LOCK).unlink()
                        folder.rmdir()
    except Timeout as error:
        raise ValueError(
            f"{folder}: another process computes it; wait until it ends, or choose another --run"
        ) from error


def read_figures(run: Path) -> Figures | None:
    """The figures of the test clips of a run, or of its cross-validation; None before there are any."""
    return Figures.read(run / FIGURES)


def write_scenes(run: Path, thumbnails: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Write the scenes of all clips of the split, in its order, from the thumbnails `8 16 16` of
    each; returns them, `B 3 16 16`.
    """
    images = scene_images(np.stack(thumbnails))
    write_bytes(run / _SCENES, save({"images": images}))
    return images


def read_scenes(run: Path) -> NDArray[np.uint8] | None:
    """The scenes that `write_scenes` wrote, `B 3 16 16`; None in runs of earlier versions."""
    if not (run / _SCENES).exists():
        return None
    with reading(run / _SCENES):
        images: NDArray[np.uint8] = load(read_bytes(run / _SCENES))["images"]
        if images.dtype != np.uint8 or images.shape[1:] != (3, 16, 16):
            raise ValueError(f"images {images.shape} {images.dtype}, expected B 3 16 16 uint8")
        return images


def read_curves(run: Path) -> Curves | None:
    """Loss and accuracy per epoch from `curves.csv`; None if there is none."""
    if not (run / "curves.csv").exists():
        return None
    with reading(run / "curves.csv"):
        rows = read_csv(run / "curves.csv")
        if not rows:
            raise ValueError("no epochs in it")
        return {
            split: {
                name: [float(row[f"{split}_{name}"]) for row in rows]
                for name in ("loss", "accuracy")
            }
            for split in ("training", "validation")
        }
