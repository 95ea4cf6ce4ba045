"""Where `linear` with the encoder `small` looks in real clips, against people's true boxes, in clips and frame by
frame.

    python -m onlooker_papers.real_clips.where_own      # a quarter of an hour; writes
    results/where-own.json

Weizmann: three folds of three people, the box of the person's silhouette; five classes of UCF101
with boxes: the test clips of list 1. No box is used in training, and none of these sets chose the
rule for boxes; training clips of UCF101 and generated figures did.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker import Clip, Recognizer, Step, Tube
from onlooker.video.reader import VideoReader
from onlooker_papers.real_clips.frozen import trained
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.real_places import Seen, frame_figures, mean_figures
from onlooker_papers.videolstm.ucf101_24 import ucf101_24
from onlooker_papers.videolstm.where_real import truth_of

FILE = "where-own"
COMMAND = "python -m onlooker_papers.real_clips.where_own"
WHAT = "where the default command looks in real clips, against true boxes: shares of the frames with one"
_WHITE = 128  # threshold of masks, which are white on black

Truth = Callable[[Clip], Sequence[Tube]]


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


def truths() -> dict[str, tuple[list[str], Truth]]:
    """For each set: the splits that are measured, and the true tubes of a clip."""
    annotated = ucf101_24(data_folder() / "annotations" / "ucf101-24")
    return {
        "weizmann": ([f"fold{fold}" for fold in range(3)], silhouette),
        "ucf101_18": (["split1"], lambda clip: truth_of(clip, annotated)),
    }


def measured(
    recognizer: Recognizer, clip: Clip, truth: Sequence[Tube]
) -> dict[str, NDArray[np.float64]]:
    """`frame_figures` of a clip, and those of a stream of the same frames, with the suffix `_live`."""
    sample = recognizer.read(clip.path)
    prediction = recognizer.predict(clip.path, sample)
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


def main(run: Path = Path("runs/where-own"), results: Path = Path("results")) -> None:
    """Train `linear` with the encoder `small` on each set, and score where it looks; $ONLOOKER_DATA has clips and
    boxes.
    """
    rows: dict[Key, Row] = {}
    for name, (splits, truth) in truths().items():
        parts = []
        for split in splits:
            recognizer, known = trained(name, split, run / name / split)
            clips = [(clip, tubes) for clip in known.test if (tubes := truth(clip))]
            parts += [measured(recognizer, *each) for each in track(clips, f"{name}, {split}")]
        frames = sum(len(part["shown"]) for part in parts)
        figures: dict[str, Any] = {**mean_figures(parts), "clips": len(parts), "frames": frames}
        rows[name,] = Row(figures, {})
        typer.echo(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows=rows)


if __name__ == "__main__":
    typer.run(main)
