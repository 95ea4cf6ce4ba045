"""Update `recordings.csv` when clips are moved: every clip keeps its recording, and new clips are listed, too."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from onlooker.data.folder import RECORDINGS
from onlooker.data.tables import read_table
from onlooker.files import write_csv
from onlooker.structures import ClipError

__all__ = ["follow_moves", "join_recording", "read_recordings"]

Row = dict[str, str]


def read_recordings(path: Path) -> dict[str, str]:
    """The recordings by clip; a ClipError for a list that cannot be read, as training does."""
    return {row["clip"]: row["recording"] for _, row in read_table(path, ("clip", "recording")).rows}


def follow_moves(folder: Path, moves: Sequence[tuple[str, str]]) -> None:
    """Rewrite the list, if there is one that can be read; training reports a damaged one.

    Args:
        moves: renames of clips and class folders. The rows of deleted clips go to the trash with them, so that a clip
            that gets the name of a deleted one does not share its row. A new clip becomes its own recording.
    """
    if not (rows := _read(folder / RECORDINGS)):
        return
    for source, target in moves:
        moved = [row for row in rows if f"{row['clip']}/".startswith(f"{source}/")]
        for row in moved:
            row["clip"] = target + row["clip"][len(source) :]
        if not moved and "/" in target and not target.startswith("."):
            rows.append({"clip": target, "recording": target})
    _write(folder / RECORDINGS, rows)


def join_recording(path: Path, names: Iterable[str], clip: str, recording: str, target: Path) -> None:
    """Write a list with the recording of a clip; one that is made for it names every clip.

    Args:
        names: of all clips, as in the list.
        target: where it is written; nothing is, if the list at `path` is damaged: training says how.
    """
    rows = _read(path)
    if not rows and path.exists():
        return
    rows = rows or [{"clip": name, "recording": name} for name in names]
    row = next((row for row in rows if row["clip"] == clip), None)
    if row is None:
        row = {"clip": clip}
        rows.append(row)
    row["recording"] = recording
    _write(target, rows)


def _read(path: Path) -> list[Row]:
    try:
        return [row for _, row in read_table(path, ("clip", "recording")).rows]
    except (ClipError, OSError, ValueError):
        return []


def _write(path: Path, rows: Sequence[Row]) -> None:
    columns = [*rows[0]]
    write_csv(path, [columns, *([row.get(column, "") for column in columns] for row in rows)])
