"""Generated videos as a folder of clips: video files, their recordings and their ground truth."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.data.folder import RECORDINGS
from onlooker.files import whole_folder, write_bytes, write_json
from onlooker.video.write import write

__all__ = ["TRUTH", "GeneratedClip", "write_folder"]

TRUTH = "truth.json"


@dataclass(frozen=True, eq=False)
class GeneratedClip:
    """One video to be written: its class, recording, pixels `T H W 3` uint8 RGB, and ground truth as plain values."""

    label: str
    recording: str
    pixels: NDArray[np.uint8]
    truth: Mapping[str, Any]


def write_folder(folder: Path, clips: Iterable[GeneratedClip], fps: float, about: Mapping[str, Any]) -> Path:
    """Write `folder/<class>/NNN.mp4`, `recordings.csv`, and `truth.json`: `about`, and the ground truth of each clip.

    Clips are numbered within their classes; `fps` are their frames per second. Everything is written next to `folder`
    and renamed at the end, so that an existing folder is complete.

    Raises:
        FileExistsError: the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder; choose a new folder, or remove it")
    numbers: Counter[str] = Counter()
    recordings, truth = io.StringIO(), {}
    rows = csv.writer(recordings)
    rows.writerow(["clip", "recording"])
    with whole_folder(folder) as part:
        for clip in clips:
            name = f"{clip.label}/{numbers[clip.label]:03}.mp4"
            numbers[clip.label] += 1
            write(part / name, clip.pixels, fps)
            rows.writerow([name, clip.recording])
            truth[name] = dict(clip.truth)
        write_bytes(part / RECORDINGS, recordings.getvalue().encode())
        write_json(part / TRUTH, {**about, "fps": fps, "clips": truth})
    return folder
