"""Where actors are, learned from class labels alone: five classes of UCF101 have true boxes
(UCF101-24), split 1.

    python -m onlooker_papers.videolstm.where_real       # some minutes; writes
    results/where-real.json

The default command is trained on the training clips of 18 classes, and predicts all test clips:
tubes of the five classes in clips of other classes count as false positives. Models that
`onlooker_papers.videolstm.real_video ucf101_18` has trained (seed 0) are scored in the same way.
The overlap of two tubes is that of UCF101-24 (`detection.tube_iou`): the IoU of their times × the
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

from onlooker.base.config import Settings
from onlooker.base.records import Clip, Prediction, Tube
from onlooker.data.samples import read_sample
from onlooker.localization import localize
from onlooker.recognizer import load
from onlooker.run.record import RunRecord
from onlooker.run.train import continue_run
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.official_budget import MOTION
from onlooker_papers.videolstm.on_features import Cell, RealSet
from onlooker_papers.videolstm.real_places import Seen, figures_of, in_the_middle
from onlooker_papers.videolstm.reduced import sampling
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, clip_name, ucf101_24

FILE = "where-real"
SET = "ucf101_18"
COMMAND = "python -m onlooker_papers.videolstm.where_real"
WHAT = "boxes and tubes from class labels alone on five classes of UCF101, split 1, and boxes without attention"
DEFAULT = "default"
MODELS = (MOTION, "convalstm-rgb", "convalstm-flow")
_HALF = 0.5  # the clips have half of the height and width to which the boxes refer

Predict = Callable[[Clip], Prediction]


def truth_of(clip: Clip, annotated: Mapping[str, AnnotatedClip]) -> list[Tube]:
    """The tubes of a clip in pixels of a video of half the height and width; none without
    annotations.
    """
    known = annotated.get(clip_name(clip))
    return [replace(tube, boxes=tube.boxes * _HALF) for tube in known.tubes] if known else []


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


def by_cell(cell: Cell, clips: Sequence[Clip]) -> Predict:
    """The predictions of a model on stored features."""
    recognizer = load(cell.folder, device="cpu")
    features = cell.of.features(cell.modality, clips)
    place = {clip: i for i, clip in enumerate(clips)}

    def predict(clip: Clip) -> Prediction:
        scores, attention, _ = recognizer.classify(features[place[clip]][0][None])
        assert attention is not None
        sample = read_sample(clip.path, sampling("rgb"))
        prediction = Prediction(
            clip.path,
            recognizer.classes,
            scores[0],
            recognizer.aggregate(scores)[0],
            sample.times,
            sample.indices,
            attention=attention[0],
            size=sample.size,
        )
        return localize(prediction, sample.frames)

    return predict


def reproduce(run: Path, trained: Path, results: Path) -> dict[str, Any]:
    """Train the default command in `run`, score it and the models that are there in `trained`, and
    write their rows.

    Raises:
        ValueError: ONLOOKER_DATA is not set, or the run was made with other settings.
    """
    split = splits_of(SET)["split1"]
    continue_run(RunRecord(data_folder() / "clips" / SET, (), Settings(), split), run)
    recognizer = load(run)
    rows: dict[Key, Row] = {
        (DEFAULT,): Row(score(split.test, lambda clip: recognizer.predict(clip.path)), {})
    }
    of = RealSet(trained / SET / "split1", SET, split)
    for cell in (Cell(of, name, 0) for name in MODELS):
        if (cell.folder / "model").exists():
            rows["models", cell.name] = Row(score(split.test, by_cell(cell, split.test)), {})
    write_rows(results, FILE, About(WHAT, COMMAND, [0]), rows)
    return {"/".join(name): row.figures for name, row in rows.items()}


def main() -> None:
    """Score where the default command and the trained models find actors; $ONLOOKER_DATA has clips
    and boxes.
    """
    for name, of in reproduce(
        Path("runs/where-real"), Path("runs/videolstm-real"), Path("results")
    ).items():
        for rule, found in of["methods"].items():
            typer.echo(
                f"{name}, {rule}: video-mAP .2 {found['video_map_20']:.3f}, peak {found['peak_in_box']:.3f}"
            )


if __name__ == "__main__":
    typer.run(main)
