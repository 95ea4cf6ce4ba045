"""Update `recordings.csv` when clips are moved: every clip keeps its recording, and new clips are listed, too."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from onlooker.data.folder import RECORDINGS
from onlooker.files import read_bytes, write_bytes

__all__ = ["follow_moves", "join_recording"]


def follow_moves(folder: Path, moves: Sequence[tuple[str, str]]) -> None:
    """Rewrite the list, if there is one that can be read; training reports a damaged one.

    Args:
        moves: renames of clips and class folders. The rows of deleted clips go to the trash with them, so that a clip
            that gets the name of a deleted one does not share its row. A new clip becomes its own recording.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_bytes(folder / RECORDINGS).decode("utf-8-sig"), newline=""))
        rows = [*reader]
    except (OSError, ValueError, csv.Error):
        return
    columns = [name for name in reader.fieldnames or () if name]
    if not {"clip", "recording"} <= set(columns):
        return
    for source, target in moves:
        moved = [row for row in rows if f"{row['clip']}/".startswith(f"{source}/")]
        for row in moved:
            row["clip"] = target + row["clip"][len(source) :]
        if not moved and "/" in target and not target.startswith("."):
            rows.append({"clip": target, "recording": target})
    _write(folder, columns, rows)


def join_recording(folder: Path, names: Iterable[str], clip: str, recording: str) -> None:
    """Write the recording of a clip into the list; a list that is made for it names every clip.

    Args:
        names: of all clips, as in the list.
    """
    if not (folder / RECORDINGS).exists():
        _write(folder, ["clip", "recording"], [{"clip": name, "recording": name} for name in names])
    rows = [*csv.DictReader(io.StringIO(read_bytes(folder / RECORDINGS).decode("utf-8-sig"), newline=""))]
    listed = {row.get("clip"): row for row in rows}
    rows += [] if clip in listed else [{"clip": clip}]
    (listed.get(clip) or rows[-1])["recording"] = recording
    _write(folder, [name for name in rows[0] if name], rows)


def _write(folder: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(folder / RECORDINGS, text.getvalue().encode())
