"""Sets of real clips: their folder `$ONLOOKER_DATA`, a few clips of each class, the clips of a split."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from onlooker import Clip
from onlooker.data.split import Split

VARIABLE = "ONLOOKER_DATA"
WAY = f"set {VARIABLE} to a folder that has clips/SET/CLASS/"


def data_folder() -> Path:
    """`$ONLOOKER_DATA`.

    Raises:
        ValueError: it is not set, or not a folder with clips.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise ValueError(f"{VARIABLE} is not set; {WAY}")
    if not (Path(named) / "clips").is_dir():
        raise ValueError(f"{VARIABLE} is {named}, which has no folder clips; {WAY}")
    return Path(named)


def few_of_each(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips of each class, equally spaced in their order; 0: all."""
    chosen: set[Path] = set()
    for label in {clip.label for clip in clips}:
        paths = [clip.path for clip in clips if clip.label == label]
        number = min(count or len(paths), len(paths))
        chosen |= {paths[i * len(paths) // number] for i in range(number)}
    return [clip for clip in clips if clip.path in chosen]


def counts_of(split: Split) -> dict[str, int]:
    """The number of clips in each part of a split."""
    return {part: len(clips) for part, clips in vars(split).items()}


def digest_of(split: Split) -> str:
    """A fingerprint of a split: the class and the file name of each clip, by part."""
    names = {
        part: [(clip.label, clip.path.name) for clip in clips]
        for part, clips in vars(split).items()
    }
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
