"""Where `linear` with the encoder `small` looks in real clips, against people's true boxes, in clips and frame by
frame.

    python -m onlooker_papers.real_clips.where_own                # half an hour; writes
    results/where-own.json
    python -m onlooker_papers.real_clips.where_own --sets flying_visible,flying_infrared

Weizmann: three folds of three people, the box of the person's silhouette; five classes of UCF101
with boxes: the test clips of list 1; small flying things (Svanström, Englund, Alonso-Fernandez 2020),
visible and infrared: the clips in the upper half of the numbers of each class, because neighbors
are of one recording. No box is used in training, and none of these test clips chose the rule for
boxes; training clips of UCF101 and generated figures did. `accuracy` of flying things: of the
default, and of `--eyes pictures` and `both`.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker import Clip, Recognizer, Step, Tube
from onlooker.data.sets import read_set
from onlooker.data.split import Split
from onlooker.video.reader import VideoReader
from onlooker_papers.real_clips.frozen import SETS, Eyes, fitted, splits_of
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.real_places import Seen, frame_figures, mean_figures
from onlooker_papers.videolstm.ucf101_24 import ucf101_24
from onlooker_papers.videolstm.where_real import truth_of

FILE = "where-own"
COMMAND = "python -m onlooker_papers.real_clips.where_own"
WHAT = "where the model with the encoder small looks in real clips, against true boxes: shares of the frames with one"
_WHITE = 128  # threshold of masks, which are white on black

Truth = Callable[[Clip], Sequence[Tube]]
_BLOCKS = 10  # ranges of the numbers of a class: neighbors are one recording
_TRAINING = 0.4  # share of the numbers, and of those of training and validation
_VALIDATION = 0.5


class Places(NamedTuple):
    """The clips of a set, and where their actors are.

    Args:
        folder: of the clips.
        splits: by name; the test clips are measured.
        truth: the true tubes of a clip.
        eyes: whose accuracy is measured besides that of the default.
    """

    folder: Path
    splits: Mapping[str, Split]
    truth: Truth
    eyes: Sequence[Eyes] = ()


def silhouette(clip: Clip) -> list[Tube]:
    """The smallest box around the white pixels of each mask of a clip of Weizmann."""
    masks = VideoReader(Path(str(clip.path).replace("/frames/", "/masks/")))
    frames = list[int]()
    boxes = list[list[int]]()
    for index, _, pixels in masks:
        rows, columns = np.nonzero(pixels.max(-1) >= _WHITE)
        if len(rows):
            frames.append(index)
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return [Tube(clip.label, np.array(frames), np.array(boxes, np.float32))]


def box_of_thing(clip: Clip) -> list[Tube]:
    """The boxes of a flying thing, in the frames in which it is in view."""
    file = clip.path.parents[2] / "boxes" / f"{clip.path.stem}.csv"
    with file.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["x"]]
    frames = np.array([row["frame"] for row in rows], np.int64)
    sides = np.array([[row[side] for side in "xywh"] for row in rows], np.float32).reshape(-1, 4)
    return [Tube(clip.label, frames, np.hstack((sides[:, :2], sides[:, :2] + sides[:, 2:])))]


def by_numbers(folder: Path) -> Split:
    """The numbered clips of a folder: the lower half of the numbers of each class is for training
    and validation, the upper one for the test.
    """
    sides: tuple[list[Clip], ...] = ([], [], [])
    clips = read_set(folder).clips
    for label in sorted({clip.label for clip in clips}):
        numbered = sorted((clip for clip in clips if clip.label == label), key=attrgetter("path"))
        for number, clip in enumerate(numbered):
            place = number / len(numbered)
            side = sides[(place >= _TRAINING) + (place >= _VALIDATION)]
            side.append(replace(clip, recording=f"{label} {int(_BLOCKS * place)}"))
    return Split(*map(tuple, sides))


def people() -> Places:
    """Weizmann."""
    folder = data_folder() / "clips" / SETS["weizmann"].folder
    return Places(folder, splits_of("weizmann"), silhouette)


def sports() -> Places:
    """Five classes of UCF101."""
    annotated = ucf101_24(data_folder() / "annotations" / "ucf101-24")
    folder = data_folder() / "clips" / SETS["ucf101_18"].folder
    splits = {"split1": splits_of("ucf101_18")["split1"]}
    return Places(folder, splits, lambda clip: truth_of(clip, annotated))


def flying(part: str) -> Places:
    """Small flying things."""
    folder = data_folder() / "clips" / "flying" / part
    splits = {"numbers": by_numbers(folder)}
    return Places(folder, splits, box_of_thing, eyes=("pictures", "both"))


PLACES: Mapping[str, Callable[[], Places]] = {
    "weizmann": people,
    "ucf101_18": sports,
    "flying_visible": partial(flying, "V"),
    "flying_infrared": partial(flying, "IR"),
}


def measured(
    recognizer: Recognizer, clip: Clip, truth: Sequence[Tube]
) -> dict[str, NDArray[np.float64]]:
    """`frame_figures` of a clip, and those of a stream of the same frames, with the suffix `_live`."""
    sample = recognizer.read(clip.path)
    prediction = recognizer.predict_clip(clip.path, sample)  # also of a longer clip than usual
    seen = Seen(prediction, truth)
    assert prediction.points is not None
    assert prediction.size is not None
    true = seen.true_boxes.astype(np.float64)
    of_clip = frame_figures(
        prediction.points.astype(np.float64), seen.boxes.astype(np.float64), true
    )
    scale = np.divide(prediction.size[::-1], sample.frames.shape[2:0:-1])
    steps = list(_streamed(recognizer, sample.frames, sample.times))
    points = np.array([step.point or (np.nan, np.nan) for step in steps])
    boxes = np.array([step.boxes[0].corners if step.boxes else [np.nan] * 4 for step in steps])
    live = frame_figures(points * scale, boxes * np.tile(scale, 2), true)
    return {**of_clip, **{f"{name}_live": values for name, values in live.items()}}


def _streamed(
    recognizer: Recognizer, frames: NDArray[np.uint8], times: NDArray[np.float64]
) -> Iterator[Step]:
    streams = recognizer.streams(rate=0)  # the frames of the clip, and no others
    for index, (time, frame) in enumerate(zip(times.tolist(), frames, strict=True)):
        yield streams.step({"": (index, time, frame)})[""]


def figures_of(places: Places, run: Path, title: str) -> dict[str, Any]:
    """The figures of a set, whose models are trained in the folder `run`."""
    parts = list[dict[str, NDArray[np.float64]]]()
    accuracy = dict[str, float]()
    for split, clips in places.splits.items():
        recognizer = fitted(places.folder, clips, run / split)
        known = [(clip, tubes) for clip in clips.test if (tubes := places.truth(clip))]
        parts += [measured(recognizer, *each) for each in track(known, f"{title}, {split}")]
        for eyes in places.eyes:
            of_eyes = fitted(places.folder, clips, run / f"{split}-{eyes}", eyes=eyes)
            accuracy[eyes] = share_correct(of_eyes, clips.test)
        if places.eyes:
            accuracy["default"] = share_correct(recognizer, clips.test)
    frames = sum(len(part["shown"]) for part in parts)
    figures: dict[str, Any] = {**mean_figures(parts), "clips": len(parts), "frames": frames}
    if accuracy:
        figures["accuracy"] = accuracy
    return figures


def share_correct(recognizer: Recognizer, clips: Sequence[Clip]) -> float:
    """The share of clips that are classified correctly."""
    predictions = recognizer.predict_many([clip.path for clip in clips], quiet=True)
    answers = zip(predictions, clips, strict=True)
    return float(np.mean([prediction.label == clip.label for prediction, clip in answers]))


def main(
    run: Path = Path("runs/where-own"),
    results: Path = Path("results"),
    sets: Annotated[
        str, typer.Option(help=f"Some of {', '.join(PLACES)}, separated by commas.")
    ] = "",
) -> None:
    """Train `linear` with the encoder `small` on each set, and score where it looks; $ONLOOKER_DATA has clips and
    boxes.
    """
    for name in sets.split(",") if sets else PLACES:
        figures = figures_of(PLACES[name](), run / name, name)
        only = f"--sets {name}" if sets else ""
        rows: dict[Key, Row] = {(name,): Row(figures, {})}
        write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows=rows, only=only)
        typer.echo(f"{name}: {figures}")


if __name__ == "__main__":
    typer.run(main)
