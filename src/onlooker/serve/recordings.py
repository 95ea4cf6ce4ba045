"""Update `recordings.csv` when clips are moved: every clip keeps its recording, and new clips are listed, too."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from onlooker.data.folder import RECORDINGS
from onlooker.files import read_bytes, write_bytes

__all__ = ["follow_moves", "listed_clips"]


def listed_clips(folder: Path) -> list[str]:
    """The names of all clips in the list, also of deleted ones; none without a list that can be read."""
    return [row["clip"] or "" for row in _read(folder / RECORDINGS)]


def _read(file: Path) -> list[dict[str, str]]:
    """The rows of the list; none if there is none, or it is damaged, which training reports."""
    try:
        rows = [*csv.DictReader(io.StringIO(read_bytes(file).decode("utf-8-sig"), newline=""))]
    except (OSError, ValueError, csv.Error):
        return []
    return rows if rows and {"clip", "recording"} <= set(rows[0]) else []


def follow_moves(folder: Path, moves: Sequence[tuple[str, str]], clips: Callable[[], Sequence[str]]) -> None:
    """Rewrite the list, if there is one that can be read.

    Args:
        moves: renames of clips and class folders; the rows of deleted clips go to the trash with them, so that a clip
            that gets the name of a deleted one does not share its row.
        clips: returns all clips after the moves. Each clip without a row becomes its own recording.
    """
    file = folder / RECORDINGS
    if not (rows := _read(file)):
        return
    before = [dict(row) for row in rows]
    for source, target in moves:
        for row in rows:
            row["clip"] = _moved(row["clip"] or "", source, target)
    listed = {row["clip"] for row in rows}
    rows += [{"clip": clip, "recording": clip} for clip in clips() if clip not in listed]
    if rows != before:
        text = io.StringIO()
        writer = csv.DictWriter(text, [name for name in rows[0] if name], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(file, text.getvalue().encode())


def _moved(clip: str, source: str, target: str) -> str:
    inside = clip == source or clip.startswith(f"{source}/")
    return target + clip[len(source) :] if inside else clip
