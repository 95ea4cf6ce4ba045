"""What could explain the distance from the published figure: the division of clips, the loss, the
number of clips.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from onlooker.base.config import Loss
from onlooker.base.records import Clip
from onlooker.data.split import Split, group_of
from onlooker_papers.apportion import apportion
from onlooker_papers.hmdb10.classes import ATTENTION, BASELINE, FIRST_TEN, REPORT_CLIPS
from onlooker_papers.published_sets.hmdb51 import read_split, source


class Protocol(NamedTuple):
    """Whether recordings stay whole or each clip is divided alone, the loss, and how much is
    trained.
    """

    whole: bool = True
    loss: Loss = "auto"
    half: bool = False  # of the training clips
    models: tuple[str, ...] = (ATTENTION, BASELINE)


OURS = "each recording in one split"
RANDOM = "clips divided at random"
PROTOCOLS = {
    OURS: Protocol(),
    RANDOM: Protocol(whole=False),
    f"{OURS}, loss of the last frame": Protocol(loss="last"),
    f"{OURS}, half of the training clips": Protocol(half=True, models=(BASELINE,)),
    f"{RANDOM}, half of the training clips": Protocol(whole=False, half=True, models=(BASELINE,)),
}


def divide(clips: Sequence[Clip], protocol: Protocol, seed: int) -> Split:
    """A split in the report's proportions."""
    if not protocol.whole:  # a Split does not allow a recording in two parts
        clips = [replace(clip, recording=None) for clip in clips]
    parts = apportion(clips, [group_of(clip) for clip in clips], REPORT_CLIPS, seed)
    if protocol.half:
        groups = [group_of(clip) for clip in parts["training"]]
        parts["training"] = apportion(parts["training"], groups, {"kept": 1, "left out": 1}, seed)[
            "kept"
        ]
    return Split(**parts)


def known(clips: Sequence[Clip], split: Split) -> list[bool]:
    """For each test clip of a split of `clips`, whether a training clip was cut from the same
    recording.
    """
    recordings = {clip.path: clip.recording for clip in clips}
    training = {recordings[clip.path] for clip in split.training}
    return [recordings[clip.path] in training for clip in split.test]


def names_of_hmdb51(lists: Path) -> list[Clip]:
    """The clips of HMDB-51's first ten classes by their names in the official lists, without the
    videos.
    """
    names = [
        (label, name)
        for label in FIRST_TEN
        for name in read_split(lists / f"{label}_test_split1.txt")
    ]
    return [
        Clip(Path(label, name), label, f"{label}/{source(name, label)}") for label, name in names
    ]
