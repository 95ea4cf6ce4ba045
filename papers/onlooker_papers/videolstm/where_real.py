"""Localization on real video: boxes and tubes from class labels alone, on five classes of UCF101 with boxes.

`python -m onlooker_papers.videolstm.where_real` with `ONLOOKER_DATA`, after `onlooker_papers.videolstm.real_video
ucf101_18`. The attention models of that command are scored on the test clips of split 1 that have boxes in UCF101-24;
the main figure is that of `motion`. The parameters for boxes are chosen on validation clips by blanking, without their
boxes; a tube lasts as long as its class is probable. The baselines
have the same classes and scores: a centered box, the largest moving region, and Grad-CAM of the same model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from onlooker.data.samples import Sample, read_sample
from onlooker.experiments.memo import fingerprint, memo
from onlooker.localization.boxes import Candidates, cut_boxes, find_boxes
from onlooker.localization.maps import motion
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import label_tubes, link
from onlooker.recognizer import Recognizer, load
from onlooker.runs.evaluate import read_clips
from onlooker.runs.tune_localization import choose_spatial_parameters
from onlooker.structures import Clip, Tube
from onlooker.training.forward import encode_samples
from onlooker.video.sampling import equally_spaced
from onlooker_papers.explanation import grad_cam
from onlooker_papers.pointing import peak_in_box
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import WHOLE, About, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.official_budget import MOTION
from onlooker_papers.videolstm.on_features import Cell, RealSet
from onlooker_papers.videolstm.places import always, tube_figures
from onlooker_papers.videolstm.reduced import sampling
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip, clip_name, ucf101_24

FILE, SET = "where-real", "ucf101_18"
COMMAND = "python -m onlooker_papers.videolstm.where_real"
WHAT = "boxes and tubes from class labels alone on five classes of UCF101, split 1, and boxes without attention"
_HALF = 0.5  # the clips have half of the height and width to which the boxes refer
_CENTER = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
# Boxes from attention are tuned on 6 frames of 12 validation clips, each encoded twice for every candidate.
_CLIPS, _FRAMES = 12, 6
OURS = "attention"
MODELS = (MOTION, "convalstm-rgb", "convalstm-flow")
METHODS = (OURS, "center", "motion", "grad_cam")


@dataclass(frozen=True, eq=False)
class Seen:
    """The prediction of a model for a test clip.

    Args:
        name: the name in the annotations.
        sample: its frames.
        scores: `T K`.
        maps: attention and Grad-CAM of the predicted class, `T h w` each.
        truth: its tubes, in pixels of the video.
    """

    name: str
    sample: Sample
    scores: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    truth: Sequence[Tube]


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
    return Seen(clip_name(clip), sample, scores[0], {OURS: attention[0], "grad_cam": cam[0]}, truth)


def candidates(seen: Seen, method: str, parameters: LocalizationParameters) -> Sequence[Candidates]:
    """The boxes of a method in every frame of the sample, in its pixels."""
    frames = seen.sample.pixels
    if method == "center":
        return always(_CENTER * np.array([*frames.shape[2:0:-1]] * 2, np.float32), len(frames))
    if method == "motion":
        return cut_boxes(motion(frames), parameters)
    return find_boxes(seen.maps[method], frames, parameters)


def figures_of(
    clips: Sequence[Seen], method: str, classes: Sequence[str], parameters: LocalizationParameters
) -> dict[str, float]:
    """frame- and video-mAP of a method's tubes, and the share of frames in which its point is in a true box."""
    labels = {tube.label for seen in clips for tube in seen.truth}
    found: dict[str, list[Tube]] = {}
    inside: list[NDArray[np.float64]] = []
    peaks: list[NDArray[np.float64]] = []
    for seen in clips:
        boxes = candidates(seen, method, parameters)
        tracks = link(boxes, parameters)
        (height, width), (H, W) = seen.sample.size, seen.sample.pixels.shape[1:3]
        scale = np.array([width / W, height / H] * 2, np.float32)
        tubes = label_tubes(tracks, seen.scores, seen.sample.indices, classes, parameters)
        found[seen.name] = [replace(tube, boxes=tube.boxes * scale) for tube in tubes if tube.label in labels]
        true = true_boxes(seen)
        points = np.stack([each.point for each in boxes]) * scale[:2]
        inside.append(point_in_box(points, true))
        if method in seen.maps:
            peaks.append(peak_in_box(seen.maps[method][None], true[None], seen.sample.size)[0])
    true_tubes = {seen.name: list(seen.truth) for seen in clips}
    peak = {"peak_in_box": float(np.nanmean(np.concatenate(peaks)))} if peaks else {}
    return {
        "point_in_box": float(np.nanmean(np.concatenate(inside))),
        **peak,
        **tube_figures(found, true_tubes),
    }


def true_boxes(seen: Seen) -> NDArray[np.float32]:
    """The boxes at the frames of the sample, `T n 4` in pixels of the video; NaN where a tube has none."""
    boxes = np.full((len(seen.sample.indices), len(seen.truth), 4), np.nan, np.float32)
    for n, tube in enumerate(seen.truth):
        _, here, there = np.intersect1d(seen.sample.indices, tube.frames, return_indices=True)
        boxes[here, n] = tube.boxes[there]
    return boxes


def point_in_box(points: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Whether points `T 2` lie in one of the boxes `T n 4`, `T`; NaN in frames without a box."""
    inside = ((boxes[..., :2] <= points[:, None]) & (points[:, None] <= boxes[..., 2:])).all(-1).any(-1)
    return np.where(np.isfinite(boxes).all(-1).any(-1), inside.astype(float), np.nan)


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
        features = of.features[cell.modality].only(test)
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
    figures = {**{key: rows[MOTION]["methods"][OURS][key] for key in keys}, "models": rows, "seeds": seeds}
    memos = [_memo(Cell(of, name, seed)) for name in MODELS for seed in range(seeds)]
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds)), {WHOLE: Row.of(figures, *memos)})
    return figures


def _means(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds; chosen parameters are listed."""
    first = found[0]
    methods = {
        method: {key: float(np.mean([each["methods"][method][key] for each in found])) for key in values}
        for method, values in first["methods"].items()
    }
    accuracy = float(np.mean([each["accuracy"] for each in found]))
    kept = {key: first[key] for key in ("clips", "classes")}
    return {"methods": methods, "accuracy": accuracy, "localization": [each["localization"] for each in found], **kept}


def main(
    run: Annotated[Path, typer.Option(help="Folder of `real_video`.")] = Path("runs/videolstm-real"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1,
) -> None:
    """Score where the trained models attend."""
    for name, row in reproduce(run, results, seeds)["models"].items():
        for method, of in row["methods"].items():
            typer.echo(f"{name} {method}: video-mAP .2 {of['video_map_20']:.3f}, point {of['point_in_box']:.3f}")


if __name__ == "__main__":
    typer.run(main)
