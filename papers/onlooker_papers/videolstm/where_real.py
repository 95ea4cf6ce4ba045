"""Where actors are, learned from class labels alone: five classes of UCF101 have true boxes (UCF101-24), split 1.

    python -m onlooker_papers.videolstm.where_real       # some minutes; writes results/where-real.json

The default command is trained on the training clips of 18 classes, and predicts all test clips: tubes of the five
classes in clips of other classes count as false positives. Models that `onlooker_papers.videolstm.real_video ucf101_18`
has trained (seed 0) are scored in the same way. The overlap of two tubes is that of UCF101-24 (`detection.tube_iou`):
the IoU of their times × the mean IoU of their boxes over the common frames.

The size of the window and the IoU from which a component counts as the object in it were chosen with the boxes of
training clips, once for all classes; the boxes of any four of the classes choose the same size, out of five.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.samples import Sample, read_sample
from onlooker.localization.parameters import LocalizationParameters
from onlooker.recognizer import Recognizer, load
from onlooker.run_record import RunRecord
from onlooker.runs.fitting import BOXES
from onlooker.runs.train import continue_run
from onlooker.structures import Clip, Tube
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.official_budget import MOTION
from onlooker_papers.videolstm.on_features import Cell, RealSet
from onlooker_papers.videolstm.real_places import Seen, figures_of
from onlooker_papers.videolstm.reduced import sampling
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, clip_name, ucf101_24

FILE, SET = "where-real", "ucf101_18"
COMMAND = "python -m onlooker_papers.videolstm.where_real"
WHAT = "boxes and tubes from class labels alone on five classes of UCF101, split 1, and boxes without attention"
DEFAULT, MODELS = "default", (MOTION, "convalstm-rgb", "convalstm-flow")
# Rules for boxes: that of the library, the same over the whole clip, that of earlier versions, and a centered box.
RULES = {
    "window": BOXES,
    "window, whole clip": replace(BOXES, onset=0.0),
    "component": LocalizationParameters(foreground="motion", extent="object", threshold=0.1),
    "center": BOXES,
}
_HALF = 0.5  # the clips have half of the height and width to which the boxes refer

Floats = NDArray[np.float32]
Predict = Callable[[Clip], tuple[Sample, Floats, Floats]]  # a clip's sample, its scores `T K`, and attention `T h w`


def truth_of(clip: Clip, annotated: Mapping[str, AnnotatedClip]) -> list[Tube]:
    """The tubes of a clip in pixels of a video of half the height and width; none without annotations."""
    known = annotated.get(clip_name(clip))
    return [replace(tube, boxes=tube.boxes * _HALF) for tube in known.tubes] if known else []


def score(clips: Sequence[Clip], classes: Sequence[str], predict: Predict) -> dict[str, Any]:
    """The figures of a model by each of `RULES`, and how many clips have boxes."""
    annotated, seen = ucf101_24(data_folder() / "annotations" / "ucf101-24"), []
    for clip in track(clips, "predicting"):
        sample, scores, attention = predict(clip)
        seen.append(Seen(clip_name(clip), sample, scores, dict.fromkeys(RULES, attention), truth_of(clip, annotated)))
    methods = {rule: figures_of(seen, rule, classes, how) for rule, how in RULES.items()}
    return {"methods": methods, "clips": sum(bool(of.truth) for of in seen), "all_clips": len(seen)}


def by_default(recognizer: Recognizer) -> Predict:
    """The predictions of the default command."""

    def predict(clip: Clip) -> tuple[Sample, Floats, Floats]:
        sample = read_sample(clip.path, recognizer.data)
        found = recognizer.predict_sample(sample, clip.path)
        assert found.attention is not None
        return sample, found.frame_scores, found.attention

    return predict


def by_cell(cell: Cell, clips: Sequence[Clip]) -> Predict:
    """The predictions of a model on stored features."""
    recognizer = load(cell.folder, device="cpu")
    features = cell.of.features(recognizer.model, cell.modality, clips)
    place = {clip: i for i, clip in enumerate(clips)}

    def predict(clip: Clip) -> tuple[Sample, Floats, Floats]:
        scores, attention, _ = recognizer.classify(features[place[clip]][0][None]).numpy()
        assert attention is not None
        return read_sample(clip.path, sampling("rgb")), scores[0], attention[0]

    return predict


def reproduce(run: Path, trained: Path, results: Path) -> dict[str, Any]:
    """Train the default command in `run`, score it and the models that are there in `trained`, and write their rows.

    Raises:
        ValueError: ONLOOKER_DATA is not set, or the run was made with other settings.
    """
    split, settings = splits_of(SET)["split1"], (ModelConfig(), DataConfig(), TrainConfig())
    continue_run(RunRecord(data_folder() / "clips" / SET, (), *settings, split), run)
    recognizer = load(run)
    rows: dict[Key, Row] = {(DEFAULT,): Row(score(split.test, recognizer.classes, by_default(recognizer)), {})}
    of = RealSet(trained / SET / "split1", SET, split)
    for cell in (Cell(of, name, 0) for name in MODELS):
        if (cell.folder / "model").exists():
            rows["models", cell.name] = Row(score(split.test, of.classes, by_cell(cell, split.test)), {})
    write_rows(results, FILE, About(WHAT, COMMAND, [0]), rows)
    return {"/".join(name): row.figures for name, row in rows.items()}


def main() -> None:
    """Score where the default command and the trained models find actors; $ONLOOKER_DATA has clips and boxes."""
    for name, of in reproduce(Path("runs/where-real"), Path("runs/videolstm-real"), Path("results")).items():
        for rule, found in of["methods"].items():
            typer.echo(f"{name}, {rule}: video-mAP .2 {found['video_map_20']:.3f}, point {found['point_in_box']:.3f}")


if __name__ == "__main__":
    typer.run(main)
