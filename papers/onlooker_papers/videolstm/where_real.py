"""Where actors are, learned from class labels alone: five classes of UCF101 have true boxes
(UCF101-24), split 1.

    python -m onlooker_papers.videolstm.where_real       # some minutes; writes
    results/where-real.json

`linear` with the encoder `small` is trained on the training clips of 18 classes, and predicts all test clips:
tubes of the five classes in clips of other classes count as false positives. The rows `models`,
the attention of trained models of VideoLSTM, are by code that was last in commit eb2120c1. The
overlap of two tubes is that of UCF101-24 (`detection.tube_iou`): the IoU of their times × the
mean IoU of their boxes over the common frames.

The rule for boxes was chosen on generated figures and on the boxes of training clips, once for all
classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from rich.progress import track

from onlooker import Clip, Prediction, Tube
from onlooker_papers.real_clips.frozen import trained
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.real_places import Seen, figures_of, in_the_middle
from onlooker_papers.videolstm.ucf101_24 import clip_name, ucf101_24

FILE = "where-real"
SET = "ucf101_18"
COMMAND = "python -m onlooker_papers.videolstm.where_real"
WHAT = "boxes and tubes from class labels alone on five classes of UCF101, split 1, and boxes without attention"
_HALF = 0.5  # the clips have half of the height and width to which the boxes refer

Predict = Callable[[Clip], Prediction]


def truth_of(clip: Clip, annotated: Mapping[str, Sequence[Tube]]) -> list[Tube]:
    """The tubes of a clip in pixels of a video of half the height and width; none without
    annotations.
    """
    tubes = annotated.get(clip_name(clip), ())
    return [replace(tube, boxes=tube.boxes * _HALF) for tube in tubes]


def score(clips: Sequence[Clip], predict: Predict) -> dict[str, Any]:
    """The figures of a model, those of a centered box with its classes, and how many clips have
    boxes.
    """
    annotated = ucf101_24(data_folder() / "annotations" / "ucf101-24")
    seen = [Seen(predict(clip), truth_of(clip, annotated)) for clip in track(clips, "predicting")]
    methods = {
        "boxes": figures_of(seen),
        "center": figures_of([in_the_middle(each) for each in seen]),
    }
    return {"methods": methods, "clips": sum(bool(of.truth) for of in seen), "all_clips": len(seen)}


def main() -> None:
    """Train `linear` with `small`, and score where it finds actors; $ONLOOKER_DATA has clips and
    boxes.
    """
    recognizer, split = trained(SET, "split1", Path("runs/where-real"))
    figures = score(split.test, lambda clip: recognizer.predict(clip.path))
    rows: dict[Key, Row] = {("default",): Row(figures, {})}
    write_rows(Path("results"), FILE, about=About(WHAT, COMMAND, [0]), rows=rows)
    for rule, found in figures["methods"].items():
        typer.echo(
            f"{rule}: video-mAP .2 {found['video_map_20']:.3f}, peak {found['peak_in_box']:.3f}"
        )


if __name__ == "__main__":
    typer.run(main)
