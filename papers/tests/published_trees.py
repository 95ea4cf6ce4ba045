"""Small versions of published data sets: generated clips in exactly the published layouts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clips
import numpy as np
from scipy.io import savemat

from onlooker_papers.published_sets.hmdb51 import read_split

ACTIONS = ("cartwheel", "wave")
# Of each class of `write_hmdb51`: which of its seven films test in a split; the last is in no
# split.
HMDB51_TESTS = {1: (0, 1), 2: (2, 3), 3: (4, 5)}


def write_ucf101(
    root: Path,
    labels: Sequence[str] = ("Archery", "Basketball", "YoYo"),
    groups: int = 6,
    frames: int = 4,
) -> Path:
    """Classes with some groups of one clip each, every clip one frame longer; split `n` tests
    groups n and n + 1.
    """
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text(
        "".join(f"{i} {label}\r\n" for i, label in enumerate(labels, 1))
    )
    rows = [
        (i, g, f"{label}/v_{label}_g{g:02}_c01.avi")
        for i, label in enumerate(labels, 1)
        for g in range(1, groups + 1)
    ]
    for split in (1, 2, 3):
        tests = (split, split + 1)
        learn = "".join(f"{name} {i}\r\n" for i, g, name in rows if g not in tests)
        (lists / f"trainlist0{split}.txt").write_text(learn)
        (lists / f"testlist0{split}.txt").write_text(
            "".join(f"{name}\r\n" for _, g, name in rows if g in tests)
        )
    for number, (_, _, name) in enumerate(rows):
        path = root / "UCF-101" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        clips.make_clip(path, frames=frames + number, size=(40, 32))
    return root


def write_hmdb51(root: Path) -> Path:
    """Two classes of seven films of one clip, and the folder of split files."""
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for label in ACTIONS:
        names = [hmdb51_name(label, film) for film in range(7)]
        (root / label).mkdir()
        for film, name in enumerate(names):
            clips.make_clip(root / label / name, film + 2 * len(label), (40, 32))
        for split, tests in HMDB51_TESTS.items():
            sides = [0 if film == 6 else 2 if film in tests else 1 for film in range(7)]
            text = "".join(f"{name} {side} \n" for name, side in zip(names, sides, strict=True))
            (lists / f"{label}_test_split{split}.txt").write_text(text)
    return root


def touch_hmdb51(lists: Path, root: Path) -> Path:
    """The unpacked tree with all names of the official split files, as empty files."""
    for path in lists.glob("*_test_split1.txt"):
        folder = root / path.name.removesuffix("_test_split1.txt")
        folder.mkdir()
        for name in read_split(path):
            (folder / name).touch()
    return root


def hmdb51_name(label: str, film: int) -> str:
    return f"Film_{film}_{label}_f_cm_np1_fr_med_0.avi"


def annotated_tube(first: int, boxes: list[list[int]]) -> dict[str, Any]:
    """As published: frames and pixels counted from 1, boxes x y w h."""
    return {
        "ef": first + len(boxes) - 1,
        "sf": first,
        "class": 20,
        "boxes": np.array(boxes, dtype=np.uint16),
    }


def write_annotations(path: Path, *clips: tuple[str, int, list[dict[str, Any]]]) -> Path:
    """`finalAnnots.mat` of UCF101-24, with these clips: name, frames, tubes."""
    fields = [("num_imgs", object), ("name", object), ("tubes", object)]
    annot = np.zeros((1, len(clips)), dtype=fields)
    for column, (name, frames, tubes) in enumerate(clips):
        within = np.zeros(
            (1, len(tubes)), dtype=[(key, object) for key in ("ef", "sf", "class", "boxes")]
        )
        for at, one in enumerate(tubes):
            within[0, at] = tuple(one.values())
        annot[0, column] = (frames, name, within)
    savemat(path, {"annot": annot})
    return path
