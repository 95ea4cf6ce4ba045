"""A folder of clips, one sub-folder per class, and recordings.csv, which says which clips belong
together.
"""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from onlooker.base.files import model_folder
from onlooker.base.intervals import parse_time, with_interval
from onlooker.base.records import Clip, ClipError
from onlooker.base.text import composed, counted, relative_name, some_of
from onlooker.data.lists import SPLIT_NAMES, group_names
from onlooker.data.split import ClipSet
from onlooker.data.tables import ListTable, read_table
from onlooker.video.rates import RATE_FILE
from onlooker.video.reader import SUFFIXES, is_video

RECORDINGS = "recordings.csv"
CUT_FROM = "cut_from"  # its column with the file that a clip is a part of
KEPT_RECORDINGS = Path(".onlooker", "recordings")  # in the folder of clips: such files
# In small letters: of operating systems, and of network storage (recycle bins, snapshots, thumbnails).
SYSTEM_FOLDERS = frozenset(
    {
        "__macosx",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
        "network trash folder",
        "temporary items",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "@eadir",
        "@tmp",
        "@synoresource",
        "@recycle",
        "@recently-snapshot",
        "@.thumb",
        "@__thumb",
        "@sharebin",
    }
)
_PERSON = re.compile(
    r"(person|subject|participant|actor|signer|user|subj|sub|p|s)[-_ ]*\d+", re.IGNORECASE
)
_FETCH = "fetch it (git annex get, dvc pull), mount its disk, or remove the link"
_HOLDS = "a class folder holds video files, or one folder per image sequence; move it out if it is not a class"
_OWN_FOLDER = "put the images of each clip into a folder of its own, such as"


def read_folder(folder: Path, classes: int = 2) -> ClipSet:
    """The clips of a folder with one sub-folder per class; or with train/, val/ and test/, each
    with one per class.

    A clip is a video file or a folder with an image sequence. Hidden entries and folders of
    operating systems are skipped. Clips may differ in size and length. In a class folder without
    clips of its own, each sub-folder is a recording, such as a person, or a split. If the class
    folders are named like people, it is the other way around, and a note says so.

    If `recordings.csv` (columns clip, recording) is in the folder, the clips that it lists carry
    their recordings.

    Returns:
        The clips, sorted; an error for each link to a file that does not exist; and notes on how
        the folder was understood.

    Raises:
        ClipError: no such folder, a class folder without clips, fewer than `classes` class folders,
            the folder of one class or of a run, a parent of the right folder, or a recordings.csv
            that lists no clip of the folder, or a clip in two recordings.
    """
    if not folder.is_dir():
        state = "a file, not a folder" if folder.exists() else "no such folder"
        raise ClipError(folder, state, "give a folder with one sub-folder per class")
    refuse_run(folder)
    people = set[str]()
    parts = {
        name: [replace(clip, root=folder) for clip in _clips_by_class(path, classes, people)]
        for name, path in (_split_folders(folder) or {"": folder}).items()
    }
    clips = [clip for part in parts.values() for clip in part]
    notes = []
    sub_folders = {clip.recording for clip in clips if clip.recording}
    are_splits = {name.lower() for name in sub_folders} <= SPLIT_NAMES.keys()
    if are_splits and len(sub_folders) > 1 and "" in parts:
        parts = _split_by_recording(clips)
    if (folder / RECORDINGS).exists():
        table = read_recordings(folder / RECORDINGS)
        parts, unlisted = _with_recordings(folder, parts, table)
        notes += [f"{RECORDINGS}: {note}" for note in (*table.notes(), *unlisted)]
    used = {clip.recording for part in parts.values() for clip in part}
    if recordings := sorted(sub_folders & used):
        text = f"sub-folders of classes are recordings ({some_of(recordings)})"
        if people:
            inside = some_of(sorted({clip.label for clip in clips}))
            text = f"folders are named like people ({some_of(recordings)}) and taken for recordings"
            text += f", their sub-folders for the classes ({inside})"
        notes.append(f"{text}; a split keeps the clips of each together")
    if people:
        name = min(people)
        notes.append(f"if {name} is a class, rename its folder, such as to class-{name}")
    left_out = []
    ignored = []
    for path in list_files(folder, {clip.path for clip in clips}.__contains__)[1]:
        if _is_broken(path):
            problem = f"a link to {os.readlink(path)}, which does not exist"
            left_out.append(ClipError(path, problem, _FETCH))
        elif path != folder / RECORDINGS and path.name != RATE_FILE:
            ignored.append(path)
    if ignored:
        notes.append(ignored_text(folder, ignored))
    return ClipSet(folder, parts, left_out, notes=notes)


def list_files(
    folder: Path, is_clip: Callable[[Path], bool] | None = None
) -> tuple[list[Path], list[Path]]:
    """All clips in a folder, at any depth, and all other files, in order, without hidden ones.

    An image sequence in a folder that holds videos, too, is no clip.
    """
    clips = list[Path]()
    files = list[Path]()
    for path in entries(folder):
        if (is_clip or _is_clip)(path):
            clips.append(path)
        elif path.is_dir() and not (
            path.is_symlink() and folder.resolve().is_relative_to(path.resolve())
        ):
            inside = list_files(path, is_clip)
            clips += inside[0]
            files += inside[1]
        else:
            files.append(path)
    return clips, files


def ignored_text(folder: Path, ignored: Iterable[Path]) -> str:
    """How many files are ignored, and the names of the first ones."""
    names = [relative_name(path, folder) for path in ignored]
    return f"ignored: {len(names)} ({some_of(names)})"


def refuse_run(folder: Path) -> None:
    """Raise a ClipError for the folder of a trained run or model, in place of one of clips."""
    if model_folder(folder):
        raise ClipError(
            folder,
            "the folder of a run, not of clips",
            "give the run first, and the clips after it",
        )


def entries(folder: Path) -> list[Path]:
    """The content of a folder, sorted, without hidden entries and files of operating systems."""
    return [folder / name for name in sorted(os.listdir(folder)) if not is_hidden(name)]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is neither a clip nor a class."""
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def _is_clip(path: Path) -> bool:
    if not path.is_dir():
        return is_video(path)
    # there may be millions of images: only files that are named like videos are looked at
    named = (inside for inside in entries(path) if inside.suffix.lower() in SUFFIXES)
    return is_video(path) and not any(inside.is_file() for inside in named)


def _is_broken(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def read_recordings(path: Path) -> ListTable:
    """The table of a recordings.csv, with plain names of clips: `wave/1.mp4`, not `.\\wave\\1.mp4`;
    a ClipError if it cannot be read, or if a clip, however it is spelled, is in two recordings.
    """
    table = read_table(path, ("clip", "recording"), (CUT_FROM,))
    written = dict[str, str]()
    for number, row in table.rows:
        row["clip"] = posixpath.normpath(row["clip"].replace("\\", "/"))
        recording = composed(row["recording"])
        above = written.setdefault(composed(row["clip"]), recording)
        if above != recording:
            problem = f"line {number}: {row['clip']} is in recording {above} above"
            raise ClipError(path, problem, "keep one of the rows")
    return table


def recordings_of(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The recordings of clips by the names of the clips: clips with one name in the column
    recording, or cut from one file, are of one.

    A row that names a clip as its own recording has no effect.
    """
    listed = [*rows]
    given = ["" if row["recording"] == row["clip"] else row["recording"] for row in listed]
    clips = [composed(row["clip"]) for row in listed]  # which may have several rows
    names = group_names(given, [row.get(CUT_FROM, "") for row in listed], clips)
    rows_with_names = zip(listed, names, clips, strict=True)
    return {row["clip"]: name for row, name, clip in rows_with_names if name != clip}


def _with_recordings(
    folder: Path, parts: Mapping[str, list[Clip]], table: ListTable
) -> tuple[dict[str, list[Clip]], list[str]]:
    """The clips with the recordings of a table, and which clips and rows have no counterpart, a
    sentence each.
    """
    rows = [
        {**row, "clip": composed(row["clip"]), "recording": composed(row["recording"])}
        for _, row in table.rows
    ]
    recordings = recordings_of(rows)
    sources = {row["clip"]: _source(folder, row) for row in rows}
    names = {
        clip: composed(clip.name.replace("\\", "/")) for clips in parts.values() for clip in clips
    }
    present = {*names.values()}
    gone = [row["clip"] for row in rows if row["clip"] not in present]
    if len(gone) == len(rows):
        problem = f"lists no clip of the folder: {some_of(gone)}"
        remedy = f"name clips as {min(present)}, relative to the folder; or remove the file"
        raise ClipError(folder / RECORDINGS, problem, remedy)
    notes = []
    if gone:
        notes.append(
            f"{len(gone)} of {len(rows)} rows name no clip of the folder ({some_of(gone)})"
        )
    if unlisted := sorted(present - sources.keys()):
        notes.append(f"{len(unlisted)} of {len(names)} clips are not listed ({some_of(unlisted)})")
    with_recordings = {
        split: [
            replace(
                clip,
                recording=recordings.get(names[clip], clip.recording),
                source=sources.get(names[clip]),
            )
            for clip in clips
        ]
        for split, clips in parts.items()
    }
    return with_recordings, notes


def _source(folder: Path, row: Mapping[str, str]) -> Path | None:
    """The part of a recording in the folder that the clip of a row was cut from; None if the row
    does not tell, or the recording is not there.
    """
    file = folder / KEPT_RECORDINGS / Path(row.get(CUT_FROM, "")).name
    with suppress(KeyError, ValueError):
        start = parse_time(row["start"])
        if file.is_file() and start < (end := parse_time(row["end"])):
            return with_interval(file, start, end)
    return None


def _split_by_recording(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """The clips of class folders that hold train/ and test/."""
    parts = defaultdict[str, list[Clip]](list)
    for clip in clips:
        parts[SPLIT_NAMES[str(clip.recording).lower()]].append(replace(clip, recording=None))
    return parts


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders train/ and val/ or test/, by split; none if these are class folders, which hold
    clips themselves.
    """
    names = {
        SPLIT_NAMES[path.name.lower()]: path
        for path in entries(folder)
        if path.name.lower() in SPLIT_NAMES
    }
    holds_clips = any(
        is_video(path) for split in names.values() if split.is_dir() for path in entries(split)
    )
    return names if "training" in names and len(names) > 1 and not holds_clips else {}


def _clips_by_class(folder: Path, classes: int, people: set[str]) -> list[Clip]:
    """The clips of class folders; `people` gets the names of folders that are taken for people."""
    labels = [path for path in entries(folder) if path.is_dir()]
    clips = {label: _clips_of(label) for label in labels}
    loose = [path for path in entries(folder) if _is_clip(path)]
    if loose and not any(clips.values()):
        raise _without_classes(folder, loose)
    all_clips = [clip for label in labels for clip in clips[label]]
    parents = {clip.path.parent for clip in all_clips}
    inner = Path(os.path.commonpath(parents)) if parents else folder
    if inner != folder and inner not in parents:
        raise ClipError(
            folder,
            f"all clips are in folders of {inner}",
            "give that one, if its folders are the classes",
        )
    if len({composed(label.name) for label in labels}) < classes:
        expected = f"expected at least {classes}, each with the clips of one class"
        raise ClipError(folder, counted(len(labels), "sub-folder"), expected)
    if empty := [label for label in labels if not clips[label]]:
        raise _without_clips(empty)
    recordings = {clip.recording or "" for clip in all_clips}
    if all(_PERSON.fullmatch(label.name) for label in labels) and not any(
        map(_PERSON.fullmatch, recordings | {""})
    ):
        people.update(label.name for label in labels)
        return [Clip(clip.path, clip.recording, clip.label) for clip in all_clips if clip.recording]
    return all_clips


def _clips_of(label: Path) -> list[Clip]:
    """The clips of a class folder; if it holds none itself, the clips of its sub-folders, which are
    recordings.
    """
    inside = entries(label)
    if clips := [Clip(path, label.name) for path in inside if _is_clip(path)]:
        return clips
    folders = [path for path in inside if path.is_dir()]
    return [
        Clip(path, label.name, folder.name) for folder in folders for path in list_files(folder)[0]
    ]


def _without_classes(folder: Path, clips: Sequence[Path]) -> ClipError:
    remedy = f"give the folder that holds the class folders ({folder.resolve().parent}?)"
    if all(path.is_dir() for path in clips):
        names = some_of([path.name for path in clips])
        remedy += f"; or if {names} are classes, {_OWN_FOLDER} {clips[0] / 'clip1'}"
    return ClipError(
        folder, f"holds {counted(len(clips), 'clip')} itself, like the folder of one class", remedy
    )


def _without_clips(empty: Sequence[Path]) -> ClipError:
    """The error for class folders without clips: what the first one holds instead, and what to do."""
    folder = empty[0]
    if is_video(folder):
        remedy = f"{_OWN_FOLDER} {folder / 'clip1'}"
        return ClipError(folder, "numbered images, and no folder for each clip", remedy)
    files = list_files(folder)[1]
    if links := [path for path in files if _is_broken(path)]:
        return ClipError(
            folder, f"no clips, and {len(links)} links to files that do not exist", _FETCH
        )
    more = f", and none in {', '.join(label.name for label in empty[1:])}" if len(empty) > 1 else ""
    fetch = "fetch them (dvc pull); " if any(path.suffix == ".dvc" for path in files) else ""
    return ClipError(folder, f"no clips{more}", fetch + _HOLDS)
