"""Frame rates: which are plausible, where they are stated, and which one is assumed otherwise."""

import os
import re
from pathlib import Path

from onlooker.base.records import ClipError

RATE = 25.0  # frames per second, assumed for images, and where a file or sender does not say
LOWEST, HIGHEST = 0.1, 1000.0  # frames per second: others are a mistake of a program
# states the frames per second of images or raw video beside it, and in folders below
RATE_FILE = "frame_rate.txt"
RATE_REMEDY = (
    f"write the frames per second into a file {RATE_FILE} beside the images or the file, or above"
)
UNKNOWN_RATE = "the frame rate is unknown, and seconds are those of"
RATE_NOTE = f"{UNKNOWN_RATE} {RATE:g} frames per second; {RATE_REMEDY}"


def is_possible(rate: float) -> bool:
    """Whether a number can be the frames per second of a video."""
    return LOWEST <= rate <= HIGHEST


def stated_rate(path: Path) -> float | None:
    """Frames per second by the nearest `frame_rate.txt`, in a folder, beside a file or above; None
    if there is none.

    Raises:
        ClipError: naming `path`, if there is something else in it.
    """
    for parent in (path / RATE_FILE if path.is_dir() else path).absolute().parents:
        if os.path.isfile(file := parent / RATE_FILE):
            text = file.read_bytes()[:100].decode(errors="replace").strip()
            stated = re.fullmatch(
                r"(?:frame_rate\s*[:=]?\s*)?(\d{1,4}(?:\.\d{1,9})?)", text, re.ASCII
            )
            if stated is None or not is_possible(float(stated[1])):
                raise ClipError(
                    path,
                    f"{file} says {text[:20]!r}",
                    f"write frames per second into it, such as 12.5 ({LOWEST:g} to {HIGHEST:g})",
                )
            return float(stated[1])
    return None
