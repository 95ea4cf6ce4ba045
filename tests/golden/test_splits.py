"""Golden values of splits and folds: on which side each clip of a folder or list is, and which
recording it is of.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from golden import check
from test_runs import write_lossless

import onlooker
from onlooker.data.split import Split, make_splits

CLASSES = ("jump", "run", "wave")
TABLE = [("jump", 0.2, 1.0), ("run", 1.2, 2.0), ("wave", 2.4, 3.2), ("jump", 3.6, 4.4)]


def make_video(path: Path, seed: int, frames: int = 12) -> Path:
    """A scene of its own, 10 frames a second, in which something moves."""
    random = np.random.default_rng(seed)
    scene = random.integers(0, 256, (8, 8, 3)).repeat(4, 0).repeat(4, 1)
    pixels = np.repeat(scene[None], frames, 0).astype(np.uint8)
    for t, frame in enumerate(pixels):
        x = t % 24
        frame[8:16, x : x + 8] = 255
    return write_lossless(path, pixels, 10)


def make_recordings(folder: Path, count: int = 6) -> list[str]:
    names = [f"{number}.mkv" for number in range(count)]
    for seed, name in enumerate(names):
        make_video(folder / name, seed, frames=75)
    return names


def write_rows(folder: Path, names: str, rows: Iterable[Sequence[object]]) -> Path:
    path = folder / "list.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names.split(","), *rows])
    return path


def clips_of_classes(
    folder: Path, count: int = 7, pattern: str = "{label}/{i}.mkv"
) -> list[str]:
    names = [
        pattern.format(label=label, i=i, person=f"p{(i + k) % 4}")
        for k, label in enumerate(CLASSES)
        for i in range(count + k)
    ]
    for seed, name in enumerate(names):
        make_video(folder / name, seed)
    return names


def plain_folder(folder: Path) -> Path:
    clips_of_classes(folder)
    return folder


def folder_with_copies(folder: Path) -> Path:
    """The first two clips of a class are the same, and two clips of another show one scene."""
    clips_of_classes(folder)
    (folder / "jump" / "1.mkv").write_bytes((folder / "jump" / "0.mkv").read_bytes())
    make_video(folder / "run" / "1.mkv", 7, frames=14)
    return folder


def folder_with_recordings(folder: Path) -> Path:
    names = clips_of_classes(folder)
    rows = [(name, f"camera {i * 5 % 8}") for i, name in enumerate(names)]
    write_rows(folder, "path,recording", rows).rename(folder / "recordings.csv")
    return folder


def folder_of_recordings(folder: Path) -> Path:
    clips_of_classes(folder, pattern="{label}/{person}/{i}.mkv")
    return folder


def folder_of_persons(folder: Path) -> Path:
    clips_of_classes(folder, pattern="{person}/{label}/{i}.mkv")
    return folder


def folder_of_splits(folder: Path) -> Path:
    for seed, label in enumerate(CLASSES):
        for number, side in enumerate(("train", "train", "train", "val", "test")):
            make_video(folder / side / label / f"{number}.mkv", 10 * seed + number)
    return folder


def list_with_groups(folder: Path) -> Path:
    names = clips_of_classes(folder, pattern="{label}-{i}.mkv")
    rows = [(name, name.split("-")[0], f"g{i * 3 % 7}") for i, name in enumerate(names)]
    return write_rows(folder, "path,label,group", rows)


def list_with_splits(folder: Path) -> Path:
    names = clips_of_classes(folder, pattern="{label}-{i}.mkv")
    sides = ["train", "test", "train", "train"]
    rows = [(name, name.split("-")[0], sides[i % 4]) for i, name in enumerate(names)]
    return write_rows(folder, "path,label,split", rows)


def list_with_unknown_column(folder: Path) -> Path:
    names = clips_of_classes(folder, pattern="{label}-{i}.mkv")
    rows = [(name, name.split("-")[0], ["sun", "rain"][i % 2]) for i, name in enumerate(names)]
    return write_rows(folder, "path,label,weather", rows)


def intervals(folder: Path) -> Path:
    """Events, with pauses of which examples of nothing are made, and rows without a label."""
    rows = [
        (name, start, end, label)
        for name in make_recordings(folder)
        for label, start, end in TABLE
    ]
    return write_rows(folder, "path,start,end,label", [*rows, ("1.mkv", 4.5, 4.9, "")])


def intervals_of_frames(folder: Path) -> Path:
    rows = [
        (name, round(10 * start), round(10 * end), label, f"mouse {int(name[0]) // 2}")
        for name in make_recordings(folder)
        for label, start, end in TABLE
    ]
    return write_rows(folder, "video,start_frame,end_frame,behavior,recording", rows)


def intervals_of_tiers(folder: Path) -> Path:
    rows = [
        (name, *row)
        for name in make_recordings(folder)
        for row in (
            (0, 2.5, "sit", "posture"),
            (2.5, 5, "walk", "posture"),
            (1, 3, "eat", "action"),
            (3.5, 4.5, "look", "action"),
        )
    ]
    return write_rows(folder, "path,start,end,label,tier", rows)


def intervals_of_subjects(folder: Path) -> Path:
    rows = [
        (name, start + shift, end + shift, label, subject)
        for name in make_recordings(folder)
        for shift, subject in ((0, "ada"), (0.3, "rex"))
        for label, start, end in TABLE
    ]
    return write_rows(folder, "path,start,end,label,subject", rows)


def intervals_of_scorers(folder: Path) -> Path:
    rows = [
        (name, start, end + shift, label, scorer)
        for name in make_recordings(folder)
        for shift, scorer in ((0, "kim"), (0.1, "lee"))
        for label, start, end in TABLE
    ]
    return write_rows(folder, "path,start,end,label,scorer", rows)


def of_boris(folder: Path) -> list[Path]:
    behaviors = [{"code": label, "type": "State event"} for label in CLASSES]
    observations = {
        name: {
            "file": {"1": [name]},
            "time offset": 0.0,
            "media_info": {"length": {name: 7.5}},
            "events": [[time, "", label, "", ""] for label, *span in TABLE for time in span],
        }
        for name in make_recordings(folder)
    }
    project = {
        "behaviors_conf": {str(i): behavior for i, behavior in enumerate(behaviors)},
        "observations": observations,
    }
    (folder / "project.boris").write_text(json.dumps(project))
    return [folder / "project.boris"]


def of_elan(folder: Path) -> list[Path]:
    """A file for each recording, with the tiers `posture` and `action`."""
    postures = [("sit", 0.0, 2.5), ("walk", 2.5, 5.0)]
    return [
        elan(folder / name, {"posture": postures, "action": TABLE})
        for name in make_recordings(folder)
    ]


def elan(video: Path, tiers: Mapping[str, Sequence[tuple[str, float, float]]]) -> Path:
    slots = list[str]()
    texts = list[str]()
    for tier, labels in tiers.items():
        annotations = list[str]()
        for label, *span in labels:
            ids = [f"ts{len(slots) + 1}", f"ts{len(slots) + 2}"]
            slots += [
                f'<TIME_SLOT TIME_SLOT_ID="{slot}" TIME_VALUE="{round(1000 * time)}" />'
                for slot, time in zip(ids, span, strict=True)
            ]
            annotations.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{ids[0]}" '
                f'TIME_SLOT_REF1="{ids[0]}" TIME_SLOT_REF2="{ids[1]}"><ANNOTATION_VALUE>{label}'
                "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        texts.append(f'<TIER TIER_ID="{tier}">{"".join(annotations)}</TIER>')
    path = video.with_suffix(".eaf")
    path.write_text(
        f'<A><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="{video.name}" /></HEADER>'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(texts)}</A>"
    )
    return path


def of_label_studio(folder: Path) -> list[Path]:
    tasks = [
        {
            "data": {"video": name},
            "annotations": [
                {
                    "result": [
                        {
                            "type": "timelinelabels",
                            "value": {
                                "ranges": [
                                    {"start": round(24 * start), "end": round(24 * end)}
                                ],
                                "timelinelabels": [label],
                            },
                        }
                        for label, start, end in TABLE
                    ]
                }
            ],
        }
        for name in make_recordings(folder)
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return [folder / "tasks.json"]


def converted(write: Callable[[Path], list[Path]]) -> Callable[[Path], Path]:
    def convert(folder: Path) -> Path:
        call("convert", *write(folder), folder / "list.csv")
        return folder / "list.csv"

    return convert


SETS: dict[str, Callable[[Path], Path]] = {
    "folder": plain_folder,
    "folder, copies": folder_with_copies,
    "folder, recordings.csv": folder_with_recordings,
    "folder, of recordings": folder_of_recordings,
    "folder, of persons": folder_of_persons,
    "folder, of splits": folder_of_splits,
    "list, groups": list_with_groups,
    "list, splits": list_with_splits,
    "list, unknown column": list_with_unknown_column,
    "intervals": intervals,
    "intervals, frames": intervals_of_frames,
    "intervals, tiers": intervals_of_tiers,
    "intervals, subjects": intervals_of_subjects,
    "intervals, scorers": intervals_of_scorers,
    "boris": converted(of_boris),
    "elan": converted(of_elan),
    "label-studio": converted(of_label_studio),
}


def sides(split: Split | str, root: Path) -> Any:
    """The clips of each side with their labels, recordings and tiers; or why there is no split."""
    if isinstance(split, str):
        return split.replace(f"{root}/", "")
    names = ("path", "label", "recording", "tier", "source")
    return {
        side: [" | ".join(str(clip.get(name, "")) for name in names) for clip in clips]
        for side, clips in split.to_dict(root).items()
    }


@pytest.mark.parametrize("name", SETS)
def test_splits_and_folds(name: str, tmp_path: Path) -> None:
    path = SETS[name](tmp_path)
    checked = onlooker.check(path, quiet=True)
    values = {"split": sides(checked.split, tmp_path)}
    if checked.clips.split is None:
        splits = {**make_splits(checked.clips.clips), **make_splits(checked.clips.clips, 3)}
        values |= {part: sides(split, tmp_path) for part, split in splits.items()}
    text = json.dumps(values)
    assert str(tmp_path) not in text
    assert all(label in text for label in {clip.label for clip in checked.clips.clips})
    check(f"splits-{name.replace(', ', '-').replace(' ', '-')}", values)
