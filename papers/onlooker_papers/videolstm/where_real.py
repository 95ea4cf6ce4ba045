"""Localization on real video: boxes and tubes from class labels alone, on five classes of UCF101 with boxes.

`python -m onlooker_papers.videolstm.where_real` with `ONLOOKER_DATA`, after `onlooker_papers.videolstm.real_video
ucf101_18`. The attention models of that command are scored on the test clips of split 1 that have boxes in UCF101-24;
the main figure is that of `motion`. The parameters for boxes are chosen on validation clips by blanking, without their
boxes; a tube lasts as long as its class is probable. The baselines
have the same classes and scores: a centered box, the largest moving region, and Grad-CAM of the same model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from onlooker.data.samples import read_sample
from onlooker.localization.parameters import LocalizationParameters
from onlooker.recognizer import Recognizer, load
from onlooker.structures import Clip, Tube
from onlooker.training.forward import encode_samples
from onlooker.training.reading import read_clips
from onlooker.video.sampling import equally_spaced
from onlooker_papers.grad_cam import grad_cam
from onlooker_papers.memo import fingerprint, memo
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import WHOLE, About, Row, means, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.blanking import choose_spatial_parameters
from onlooker_papers.videolstm.official_budget import MOTION
from onlooker_papers.videolstm.on_features import Cell, RealSet
from onlooker_papers.videolstm.real_places import ATTENTION, Seen, figures_of
from onlooker_papers.videolstm.reduced import sampling
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, clip_name, ucf101_24

FILE, SET = "where-real", "ucf101_18"
COMMAND = "python -m onlooker_papers.videolstm.where_real"
WHAT = "boxes and tubes from class labels alone on five classes of UCF101, split 1, and boxes without attention"
_HALF = 0.5  # the clips have half of the height and width to which the boxes refer
# Boxes from attention are tuned on 6 frames of 12 validation clips, each encoded twice for every candidate.
_CLIPS, _FRAMES = 12, 6
MODELS = (MOTION, "convalstm-rgb", "convalstm-flow")
METHODS = (ATTENTION, "center", "motion", "grad_cam")


def truth_of(clip: Clip, annotated: Mapping[str, AnnotatedClip]) -> list[Tube]:
    """The tubes of a clip in pixels of a video of half the height and width; none without annotations."""
    known = annotated.get(clip_name(clip))
    return [replace(tube, boxes=tube.boxes * _HALF) for tube in known.tubes] if known else []


def see(recognizer: Recognizer, clip: Clip, features: Any, truth: Sequence[Tube]) -> Seen:
    """The prediction of a model with attention for a clip of stored features `T h w D`."""
    scores, attention, _ = recognizer.classify(features[None]).numpy()
    assert attention is not None
    label = recognizer.aggregate(scores).argmax(1)
    maps = encode_samples(recognizer.model, features[None], recognizer.data)
    cam = grad_cam(recognizer.model, maps, torch.from_numpy(label)).numpy()
    sample = read_sample(clip.path, sampling("rgb"))
    return Seen(clip_name(clip), sample, scores[0], {ATTENTION: attention[0], "grad_cam": cam[0]}, truth)


def choose_for(recognizer: Recognizer, clips: Sequence[Clip]) -> LocalizationParameters:
    """`choose_spatial_parameters` on some frames of some clips, with only their labels."""
    chosen = [clips[i] for i in np.linspace(0, len(clips) - 1, min(_CLIPS, len(clips))).astype(int)]
    samples, _ = read_clips(chosen, recognizer.classes, recognizer.data, strict=True)
    at = equally_spaced(len(samples[0][0]), _FRAMES)
    pixels = torch.stack([samples[index][0][at] for index in range(len(samples))])
    frames = [clip[..., : recognizer.data.image_channels] for clip in pixels.numpy()]
    return choose_spatial_parameters(recognizer, pixels, frames, samples.targets)


def score(cell: Cell, boxes: Path) -> dict[str, Any]:
    """The figures of one trained model on the test clips with boxes."""
    of = cell.of
    annotated = ucf101_24(boxes)
    test = [clip for clip in of.split.test if clip_name(clip) in annotated]
    labels = {clip.label for clip in test}
    validation = [clip for clip in of.split.validation if clip.label in labels]

    def compute() -> dict[str, Any]:
        recognizer = load(cell.folder, device="cpu")
        parameters = choose_for(recognizer, validation)
        features = of.features(recognizer.model, cell.modality, test)
        seen = [see(recognizer, clip, features[i][0], truth_of(clip, annotated)) for i, clip in enumerate(test)]
        methods = {method: figures_of(seen, method, of.classes, parameters) for method in METHODS}
        right = [
            of.classes[int(each.scores.mean(0).argmax())] == clip.label for each, clip in zip(seen, test, strict=True)
        ]
        settings = {name: getattr(parameters, name) for name in ("foreground", "extent", "threshold")}
        return {"methods": methods, "accuracy": float(np.mean(right)), "clips": len(test), "classes": sorted(labels),
                "localization": settings}  # fmt: skip

    settings = {"weights": fingerprint(cell.folder), "clips": len(test), "methods": list(METHODS)}
    return memo(_memo(cell), settings, compute)


def _memo(cell: Cell) -> Path:
    return cell.folder.with_name(f"where-{cell.name}.json")


def reproduce(run: Path, results: Path, seeds: int) -> dict[str, Any]:
    """Score the models of `real_video`, and write `where-real.json`: means over seeds.

    Raises:
        FileNotFoundError: a model is not trained yet.
        ValueError: ONLOOKER_DATA is not set, or the figures are of other weights.
    """
    of = RealSet(run / SET / "split1", SET, splits_of(SET)["split1"])
    boxes = data_folder() / "annotations" / "ucf101-24"
    rows = {name: _means([score(Cell(of, name, seed), boxes) for seed in range(seeds)]) for name in MODELS}
    keys = ("video_map_20", "video_map_50", "point_in_box")
    figures = {**{key: rows[MOTION]["methods"][ATTENTION][key] for key in keys}, "models": rows, "seeds": seeds}
    memos = [_memo(Cell(of, name, seed)) for name in MODELS for seed in range(seeds)]
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds)), {WHOLE: Row.of(figures, *memos)})
    return figures


def _means(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds; chosen parameters are listed."""
    measured = [{key: each[key] for key in ("methods", "accuracy", "localization")} for each in found]
    return {**means(measured), **{key: found[0][key] for key in ("clips", "classes")}}


def main(seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1) -> None:
    """Score where the trained models attend."""
    for name, row in reproduce(Path("runs/videolstm-real"), Path("results"), seeds)["models"].items():
        for method, of in row["methods"].items():
            typer.echo(f"{name} {method}: video-mAP .2 {of['video_map_20']:.3f}, point {of['point_in_box']:.3f}")


if __name__ == "__main__":
    typer.run(main)
