"""Where the default command finds hands and people, scored by true masks or boxes, which are not used in training.

    ONLOOKER_DATA=folder python -m onlooker_papers.real_clips.default_places      # half an hour of one core

Each set is trained by `onlooker train` on the splits of `own_clips`. Weizmann has a mask of the person in every frame,
the hands are drawn on black, and five of the 18 classes of UCF101 have boxes in UCF101-24.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import onlooker
from onlooker.data.split import Split
from onlooker.recognizer import load
from onlooker.runs.folder import RunRecord
from onlooker.runs.memo import fingerprint
from onlooker.structures import Clip
from onlooker.video.reader import VideoReader
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.real_clips.masks import NOT_BLACK, Truth, read_truth, score_places
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, ucf101_24

FILE = "default-places"
COMMAND = "python -m onlooker_papers.real_clips.default_places"
WHAT = "points and boxes of the default command in the true masks or boxes, and those of baselines without attention"
WAYS = {"default": "the default command", "cell": "its map alone: the center of the highest cell"}
BASELINES = ("center", "moving")  # of `masks.BASELINES`
BOXED = "ucf101_18"  # has boxes, of several people in some frames: only points are scored
SETS = {"weizmann": 3, "hand_gestures": 1, BOXED: 1}  # splits that are tested
_HALF = 0.5  # the clips have half of the height and width to which the boxes refer


def in_boxes(annotated: dict[str, AnnotatedClip]) -> Truth:
    """Masks `T H W` of a clip that are true inside its boxes."""

    def read(clip: Clip, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        masks = np.zeros((len(indices), *VideoReader(clip.path).get(indices[:1]).pixels.shape[1:3]), bool)
        for tube in annotated[_name(clip)].tubes:
            _, here, there = np.intersect1d(indices, tube.frames, return_indices=True)
            for at, (x1, y1, x2, y2) in zip(here, (tube.boxes[there] * _HALF).round().astype(int), strict=True):
                masks[at, y1:y2, x1:x2] = True
        return masks

    return read


def truth_of(name: str) -> tuple[Truth, Sequence[str] | None]:
    """The truth of a set, and the names of the clips that have it; None: all."""
    clips = data_folder() / "clips"
    if name == BOXED:
        annotated = ucf101_24(data_folder() / "annotations" / "ucf101-24")
        return in_boxes(annotated), [*annotated]
    if name == "weizmann":
        return read_truth(str(clips / "weizmann" / "masks"), clips / "weizmann" / "frames"), None
    return read_truth(NOT_BLACK, clips / name), None


def train(split: Split, run: Path) -> Path:
    """Train on a split by the default command, unless it is done."""
    if not (run / "report.html").exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        parts = {"train": (*split.training, *split.validation), "test": split.test}
        rows = [
            [str(clip.path), clip.label, part, clip.recording or ""] for part, clips in parts.items() for clip in clips
        ]
        columns = 4 if all(row[3] for row in rows) else 3
        listed = run.with_suffix(".csv")
        with listed.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(row[:columns] for row in [["path", "label", "split", "recording"], *rows])
        onlooker.train(listed, run)
    return run


def figures_of(runs: Sequence[Path], truth: Truth, named: Sequence[str] | None, boxes: bool) -> dict[str, Any]:
    """Shares of frames by `WAYS` and `BASELINES`.

    Args:
        runs: trained on each split.
        truth: of the set.
        named: the clips that have it; None: all.
        boxes: also score boxes.
    """
    answers = [
        (load(run, "cpu"), [clip for clip in RunRecord.read(run).split.test if named is None or _name(clip) in named])
        for run in runs
    ]
    found = score_places(answers, truth)
    rows = {"default": found, "cell": found["cell"], **{name: found["baselines"][name] for name in BASELINES}}
    keys = ("peak_in_silhouette", *(("peak_in_box", "box_iou_50", "box_iou") if boxes else ()))
    clips = sum(len(tested) for _, tested in answers)
    chosen = [{name: getattr(recognizer.localization, name) for name in ("foreground", "extent", "threshold")}
              for recognizer, _ in answers]  # fmt: skip
    shares = {name: {key: row[key] for key in keys if name != "cell" or "iou" not in key} for name, row in rows.items()}
    return {**shares, "frames": found["frames"], "clips": clips, "localization": chosen}


def measure(name: str, run: Path, results: Path) -> dict[str, Any]:
    """Measure one of `SETS`, and write its row of `default-places.json`."""
    runs = [train(split, run / name / of) for of, split in [*splits_of(name).items()][: SETS[name]]]
    figures = figures_of(runs, *truth_of(name), boxes=name != BOXED)
    settings = {"data": RunRecord.read(runs[0]).data.to_dict(), "weights": [fingerprint(each) for each in runs]}
    write_rows(results, FILE, About(WHAT, COMMAND, [0]), {(name,): Row(figures, settings)})
    return figures


def _name(clip: Clip) -> str:
    """The name of a clip in UCF101-24."""
    return f"{clip.label}/{clip.path.stem}"


def main() -> None:
    """Measure all sets."""
    for name in SETS:
        print(name, measure(name, Path("runs/real-clips/default"), Path("results")), flush=True)


if __name__ == "__main__":
    main()
