"""HMDB-51 as published: class folders or the rar of rars, three official splits, and the report's ten classes.

H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre, *HMDB: a large video database for human motion recognition*,
ICCV 2011.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from onlooker.data import rar
from onlooker.data.published import apportion, check_classes, check_present, check_share, read_lines
from onlooker.data.split import Split
from onlooker.structures import Clip, ClipError

ARCHIVE, SPLITS_ARCHIVE, SPLITS = "hmdb51_org.rar", "test_train_splits.rar", "testTrainMulti_7030_splits"

# How many clips each class has: 6,766 in all, as the official split files name them.
# fmt: off
CLASSES = {
    "brush_hair": 107, "cartwheel": 107, "catch": 102, "chew": 109, "clap": 130, "climb": 108,
    "climb_stairs": 112, "dive": 127, "draw_sword": 103, "dribble": 145, "drink": 164, "eat": 108,
    "fall_floor": 136, "fencing": 116, "flic_flac": 107, "golf": 105, "handstand": 113, "hit": 127,
    "hug": 118, "jump": 151, "kick": 130, "kick_ball": 128, "kiss": 102, "laugh": 128, "pick": 106,
    "pour": 106, "pullup": 104, "punch": 126, "push": 116, "pushup": 103, "ride_bike": 103,
    "ride_horse": 116, "run": 232, "shake_hands": 162, "shoot_ball": 131, "shoot_bow": 112,
    "shoot_gun": 103, "sit": 142, "situp": 105, "smile": 102, "smoke": 109, "somersault": 140,
    "stand": 154, "swing_baseball": 143, "sword": 127, "sword_exercise": 127, "talk": 120,
    "throw": 102, "turn": 240, "walk": 548, "wave": 104,
}
# fmt: on
FIRST_TEN = tuple(CLASSES)[:10]
SMALLEST_TEN = tuple(sorted(sorted(CLASSES, key=lambda label: CLASSES[label])[:10]))
REPORT_CLIPS = {"training": 730, "validation": 220, "test": 78}
_UNUSED, _TRAINING, _TEST = "0", "1", "2"  # as the split files say it
_PER_CLASS = {_TRAINING: 70, _TEST: 30}

# source, class, visible body (full, head, lower, upper), camera in motion or not, persons, viewpoint, quality, number
_NAME = re.compile(r"(?P<source>.+)_[fhlu]_(cm|nm)_np\d+_(ba|fr|le|ri)_(bad|goo|med)_\d+\.avi")


def hmdb51(
    root: Path,
    annotations: Path | None = None,
    split: int = 1,
    classes: Sequence[str] = (),
    validation: float = 0.1,
    seed: int = 0,
    complete: bool = True,
) -> Split:
    """An official split: 70 training and 30 test clips a class, 3,570 and 1,530 in all; the other 1,666 are unused.

    The official splits have no validation side: a share of the training clips is carved out of them, so that all
    clips of one source video, whatever their classes, stay on one side of the two.

    Between training and test the official splits keep a source apart within each class, not across classes: in split
    1, 133 films give training clips of one class and test clips of another. That is as published; the recording of a
    clip is hence named by class and source.

    Args:
        root: holds one folder of `.avi` files a class; folders that are missing are unpacked from `hmdb51_org.rar` in
            it, one by one, so that an interruption costs one class.
        annotations: holds `<class>_test_split<n>.txt`, or `testTrainMulti_7030_splits/`, or `test_train_splits.rar`
            (or is that archive), which is then unpacked beside itself; `root` where not given.
        split: 1, 2 or 3.
        classes: which, all 51 where not given.
        validation: which share of the training clips validates.
        seed: of the choice of validation clips.
        complete: insist on 70 and 30 clips a class; a cut-down copy in the same layout needs False.

    Raises:
        ClipError: naming what is missing, stands twice, or is not as published.
        ValueError: no such split, class or share.
    """
    if split not in (1, 2, 3):
        raise ValueError(f"split is {split}, HMDB-51 has 1, 2 and 3")
    check_share(validation)
    chosen = check_classes(classes, CLASSES, "HMDB-51")
    lists = _split_folder(root if annotations is None else annotations)
    sides = {label: read_split(lists / f"{label}_test_split{split}.txt", complete) for label in chosen}
    unpack(root, chosen)
    learn, test = (
        [
            Clip(root / label / name, label, f"{label}/{source(name, label)}")
            for label in chosen
            for name, side in sides[label].items()
            if side == wanted
        ]
        for wanted in (_TRAINING, _TEST)
    )
    check_present(learn + test, root, lists)
    sources = [source(clip.path.name, clip.label) for clip in learn]
    parts = apportion(learn, sources, {"training": 1 - validation, "validation": validation}, seed)
    return Split(parts["training"], parts["validation"], tuple(test))


def hmdb10(root: Path, classes: Sequence[str] = FIRST_TEN, seed: int = 0, complete: bool = True) -> Split:
    """The ten classes of Teja & Akunuri 2020, shared out as 730 : 220 : 78, with no source video on two sides.

    What is unknown: which ten classes they took beyond cartwheel and brush_hair, which of their clips, and how they
    were shared out. Their 1,028 clips are fewer than any ten whole classes with these two hold (1,034), so that some
    were left out. The only ten whole classes with 1,028 clips are the ten smallest (`SMALLEST_TEN`), without either.
    The default, the first ten in the alphabet, holds 1,150, which are shared out in the report's proportions, as
    nearly as whole sources allow: 817, 246 and 87.

    Args:
        root: as for `hmdb51`; the official splits play no part.
        classes: which.
        seed: of the sharing.
        complete: insist on the published number of clips a class.

    Raises:
        ClipError: a class without clips, or with another number of them than published.
        ValueError: no such class, or sources that cannot be shared out.
    """
    chosen = check_classes(classes, CLASSES, "HMDB-51")
    unpack(root, chosen)
    clips = []
    for label in chosen:
        names = sorted(path.name for path in (root / label).glob("*.avi") if not path.name.startswith("."))
        if not names or (complete and len(names) != CLASSES[label]):
            found = f"{len(names)} .avi files, the published class has {CLASSES[label]}"
            raise ClipError(root / label, found, "unpack its archive again, or leave the class out")
        clips += [Clip(root / label / name, label, source(name, label)) for name in names]
    parts = apportion(clips, [str(clip.recording) for clip in clips], REPORT_CLIPS, seed)
    return Split(**parts)


def source(name: str, label: str) -> str:
    """The video that a clip was cut from, out of the clip's name.

    A name is `<source>_<class>_<body>_<camera>_np<persons>_<viewpoint>_<quality>_<number>.avi`, such as
    `Veoh_Alpha_Dog_1_talk_h_nm_np1_fr_goo_3.avi`. Parts of a film that were uploaded as videos of their own
    (`Two_Towers_3`, `Two_Towers_4`) are sources of their own.

    Raises:
        ClipError: the name is of another form.
    """
    match = _NAME.fullmatch(name)
    if match is None or not match["source"].endswith(f"_{label}"):
        form = f"<source>_{label}_<body>_<cm or nm>_np<persons>_<viewpoint>_<quality>_<number>.avi"
        raise ClipError(name, "not named as HMDB-51 names its clips", f"expected {form}")
    return match["source"].removesuffix(f"_{label}")


def read_split(path: Path, complete: bool = True) -> dict[str, str]:
    """One class of an official split: for each of its clips "1" (training), "2" (test) or "0" (unused).

    Raises:
        ClipError: no such file, a line of another form, a clip that stands twice, or not 70 and 30 clips.
    """
    sides: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in read_lines(path, "copy the official split files there, or name their folder"):
        name, _, side = line.rpartition(" ")
        name = name.strip()
        if side not in (_UNUSED, _TRAINING, _TEST) or not name:
            raise ClipError(path, f"line {number} is {line!r}", "expected the name of a clip, a space, and 0, 1 or 2")
        if name in lines:
            raise ClipError(path, f"line {number}: {name} stands in line {lines[name]} too", "take the official file")
        lines[name], sides[name] = number, side
    counts = Counter(sides.values())
    if complete and any(counts[side] != count for side, count in _PER_CLASS.items()):
        found = f"{counts[_TRAINING]} training and {counts[_TEST]} test clips"
        raise ClipError(path, found, "an official split has 70 and 30; take the official file")
    return sides


def unpack(root: Path, classes: Iterable[str] = tuple(CLASSES)) -> None:
    """Make the class folders that are missing out of `<class>.rar`, or of `hmdb51_org.rar`, which holds those.

    Raises:
        ClipError: no such folder, or an archive is not there, cannot be unpacked, or lacks a class.
    """
    if not root.is_dir():
        raise ClipError(root, "no such folder", f"expected a folder with {ARCHIVE}, or with one folder a class")
    missing = [label for label in classes if not (root / label).is_dir()]
    inner = [label for label in missing if not (root / f"{label}.rar").is_file()]
    archive = root / ARCHIVE
    if inner and not archive.is_file():
        more = f" (the same for {len(inner) - 1} more)" if len(inner) > 1 else ""
        found = f"neither {inner[0]}/ nor {inner[0]}.rar{more}, and no {ARCHIVE}"
        raise ClipError(root, found, "put the archive there, or unpack the classes there")
    for label in missing:
        if label not in inner:
            rar.unpack(root / f"{label}.rar", root / label, ".avi")
    if inner:
        _unpack_inner(archive, root, inner)


def _unpack_inner(archive: Path, root: Path, classes: Sequence[str]) -> None:
    with rar.opened(archive) as content:
        inside = rar.files(content, ".rar")
        for label in classes:
            name = f"{label}.rar"
            if name not in inside:
                raise ClipError(archive, f"no {name} inside", "fetch it again")
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as passing:
                rar.extract(content, inside[name], Path(passing) / name)
                try:
                    rar.unpack(Path(passing) / name, root / label, ".avi")
                except ClipError as error:
                    # The passing file is gone when the message is read.
                    raise ClipError(archive / name, error.found, error.remedy) from error


def _split_folder(given: Path) -> Path:
    """Where the split files lie: in `given`, in the folder that their archive holds, or unpacked from it."""
    archive = given if given.suffix.lower() == ".rar" else given / SPLITS_ARCHIVE
    within = archive.parent / SPLITS
    for folder in (given, within):
        if folder.is_dir() and next(folder.glob("*_test_split?.txt"), None):
            return folder
    if not archive.is_file():
        looked = f"<class>_test_split1.txt, {SPLITS}/ and {SPLITS_ARCHIVE}"
        raise ClipError(given, f"no split files; looked there for {looked}", "give the folder of the split files")
    rar.unpack(archive, within, ".txt")
    return within
