"""Golden values of boxes, tubes and segments of a synthetic scene, in clips and streams, and of all metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import check, measured_as_stored
from numpy.typing import NDArray

from onlooker.evaluation.metrics import wilson_interval, write_scores
from onlooker.localization import localize
from onlooker.localization.boxes import box_iou, cut_boxes, find_boxes
from onlooker.localization.maps import background, causal_motion, contrast, motion, upsample
from onlooker.localization.online import EventState, find_box, make_causal, update_event
from onlooker.localization.parameters import LocalizationParameters, explanation_cost
from onlooker.localization.segments import event_frames, evidence_scores, find_segments, runs_above
from onlooker.localization.tubes import label_tubes, link
from onlooker.structures import Box, ClipError, Evaluation, Prediction, Segment, Tube
from onlooker_papers.detection import (
    at_thresholds,
    average_precision,
    cor_loc,
    frame_map,
    label_boxes,
    pointing_game,
    segment_iou,
    segment_map,
    tube_iou,
    video_map,
)
from onlooker_papers.digits.window_metrics import boxes_with_a_window
from onlooker_papers.pointing import peak_in_box, uniform_in_box

T, SIDE, GRID = 16, 48, 6
CLASSES = ("clap", "run", "wave")


def scene() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Two squares that move over a noisy background, and noisy maps that follow them with different weights."""
    chance = np.random.default_rng(0)
    pictures = chance.integers(40, 60, (1, SIDE, SIDE, 3)).repeat(T, 0) + chance.integers(0, 4, (T, SIDE, SIDE, 3))
    maps = chance.uniform(0, 0.02, (T, GRID, GRID))
    for t in range(T):
        pictures[t, 10:20, 2 * t : 2 * t + 12] = 210
        pictures[t, 34:42, 40 - 2 * t : 48 - 2 * t] = (20, 160, 90)
        maps[t, 1:3, (2 * t + 6) // 8] += 1
        maps[t, 4, (44 - 2 * t) // 8] += 0.6
        if t in (6, 7):
            maps[t] = 1
    return pictures.astype(np.uint8), (maps / maps.sum((1, 2), keepdims=True)).astype(np.float32)


def scores() -> NDArray[np.float32]:
    """Probabilities `T K` that rise and fall."""
    logits = np.random.default_rng(1).normal(size=(T, 3)) * 0.5
    logits[:, 0] += 3 * np.exp(-0.5 * ((np.arange(T) - 5) / 2) ** 2)
    logits[:, 2] += 3 * np.exp(-0.5 * ((np.arange(T) - 12) / 2) ** 2)
    odds = np.exp(logits)
    return (odds / odds.sum(1, keepdims=True)).astype(np.float32)


def evidence() -> NDArray[np.float32]:
    told = -3 + 5 * np.exp(-0.5 * ((np.arange(T) - 8) / 3) ** 2) + np.random.default_rng(2).normal(size=T) * 0.3
    return told.astype(np.float32)


PARAMETERS: dict[str, dict[str, Any]] = {
    "usual": {},
    "scores": {"gap": 1},
    "motion_one": {"foreground": "motion", "threshold": 0.2},
    "background_plain": {"foreground": "background", "closing": 0.1},
    "contrast_one": {"foreground": "contrast", "onset": 0.0},
    "thing_one": {"foreground": "contrast", "extent": "object", "threshold": 0.5},
    "thing_motion": {"foreground": "motion", "extent": "object"},
    "causal_plain": {"foreground": "causal-motion", "gap": 1},
    "causal_late": {"onset": 0.3, "level": 1.0},
}


def parameters(name: str) -> LocalizationParameters:
    return LocalizationParameters(**PARAMETERS[name])


def of_candidates(found: Any) -> list[Any]:
    return [[here.corners.tolist(), here.concentration.tolist(), here.points.tolist()] for here in found]


def of_tubes(tubes: tuple[Tube, ...]) -> list[Any]:
    return [[tube.label, tube.frames, tube.boxes, tube.score] for tube in tubes]


def of_segments(segments: tuple[Segment, ...]) -> list[Any]:
    return [[one.label, one.start, one.end, one.score] for one in segments]


def prediction(told: NDArray[np.float32] | None, sees: NDArray[np.float32] | None) -> Prediction:
    of, indices = scores(), np.arange(T) * 3
    return Prediction(
        Path("a.mp4"), CLASSES, of, of.mean(0), indices / 10, indices, attention=sees, size=(120, 160), evidence=told
    )


def located(name: str, told: NDArray[np.float32] | None, attends: bool = True) -> dict[str, Any]:
    pictures, maps = scene()
    found = localize(prediction(told, maps if attends else None), pictures, parameters(name))
    return {"points": found.points, "tubes": of_tubes(found.tubes), "segments": of_segments(found.segments)}


@pytest.mark.parametrize("name", [name for name in PARAMETERS if not name.startswith("causal")])
def test_places(name: str) -> None:
    pictures, maps = scene()
    chosen, indices = parameters(name), np.arange(T) * 2
    candidates = find_boxes(maps, pictures, chosen)
    tracks = link(candidates, chosen)
    boxes = label_boxes(candidates, scores(), indices, CLASSES, 0.2)
    check(
        f"localization_{name}",
        {
            "candidates": of_candidates(candidates),
            "boxes": np.array([[*box.corners, box.score] for box in boxes]),
            "boxes_of": " ".join(f"{box.label}{box.frame}" for box in boxes),
            "tracks": [[track.first, track.corners, track.concentration] for track in tracks],
            "tubes": of_tubes(label_tubes(tracks, scores(), indices, CLASSES, chosen)),
            "segments": of_segments(find_segments(scores(), indices / 10, CLASSES, chosen)),
            "located": located(name, None),
            "located_by_evidence": located(name, evidence()),
            "without_attention": located(name, evidence(), False),
            "lasts": event_frames(evidence(), chosen).tolist(),
            "happening": evidence_scores(scores().mean(0), evidence()),
        },
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_streams(name: str) -> None:
    pictures, maps = scene()
    chosen, last, lasting, said = make_causal(parameters(name)), None, EventState(), []
    for picture, attention, told in zip(pictures, maps, evidence().tolist(), strict=True):
        found, lasting = find_box(last, attention, picture, chosen)[0], update_event(lasting, told, chosen)
        box = [found.corners[0].tolist(), float(found.concentration[0])] if len(found) else [None, None]
        said.append([*box, found.point.tolist(), lasting.highest, lasting.happening])
        last = picture
    check(f"localization_live_{name}", {"said": said})


def test_maps() -> None:
    pictures, maps = scene()
    check(
        "localization_maps",
        {
            "bilinear": upsample(maps, (SIDE, SIDE + 5)),
            "motion": motion(pictures),
            "motion_so_far": causal_motion(pictures),
            "background": background(pictures),
            "contrast": contrast(pictures),
            "cut_one": of_candidates(cut_boxes(upsample(maps, (SIDE, SIDE)), parameters("usual"))),
            "runs": runs_above(scores()[:, 0], 0.5),
            "cost": explanation_cost([0.1, 0.5], [0.9, 0.2], [0.3, 0.0]),
        },
    )


def evaluation(classes: int) -> Evaluation:
    chance = np.random.default_rng(classes)
    odds = chance.random((40, classes)) ** 3 + 1e-3
    targets = np.where(chance.random(40) < 0.6, odds.argmax(1), chance.integers(classes, size=40))
    each = [chance.random((int(chance.integers(2, 6)), classes)) + 1e-3 for _ in range(40)]
    return Evaluation(
        tuple(f"clip{i}" for i in range(40)),
        tuple(f"class{k}" for k in range(classes)),
        targets,
        (odds / odds.sum(1, keepdims=True)).astype(np.float32),
        tuple((one / one.sum(1, keepdims=True)).astype(np.float32) for one in each),
        (ClipError(Path("b.mp4"), "nothing in it", "remove it"),),
    )


@pytest.mark.parametrize("classes", [1, 2, 4, 8])
def test_accuracy(classes: int, tmp_path: Path) -> None:
    answers = evaluation(classes)
    write_scores(tmp_path / "scores.csv", answers)
    written = (tmp_path / "scores.csv").read_text().splitlines()
    check(
        f"evaluation_accuracy_{classes}", {"measured": measured_as_stored(answers), "csv": written[:4] + written[-2:]}
    )


def random_boxes(chance: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    corner, size = chance.uniform(0, 30, (*shape, 2)), chance.uniform(4, 18, (*shape, 2))
    return np.concatenate((corner, corner + size), -1).astype(np.float32)


def test_looking_at_the_right_place() -> None:
    chance = np.random.default_rng(4)
    maps, boxes = chance.random((3, 5, 6, 8)), random_boxes(chance, 3, 5, 2)
    boxes[0, 1], boxes[2, 3, 1] = np.nan, np.nan
    maps[1, 1] = 1
    windows = np.zeros((3, 5, 2, 2, 3))
    windows[..., :2] = 0.4 * np.eye(2) + chance.normal(size=(3, 5, 2, 2, 2)) * 0.1
    windows[..., 2] = chance.uniform(-0.6, 0.6, (3, 5, 2, 2))
    check(
        "evaluation_looking",
        {
            "peak": peak_in_box(maps, boxes, (48, 48)).tolist(),
            "uniform": uniform_in_box(boxes, (6, 8), (48, 48)).tolist(),
            "pointing": pointing_game(maps, boxes, (48, 48)),
            "windows": boxes_with_a_window(windows, boxes, (48, 48)).tolist(),
            "wilson": [wilson_interval(right / 20, 20) for right in (0, 7, 20)],
        },
    )


def jittered(chance: np.random.Generator, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return boxes + chance.normal(size=(*boxes.shape[:-1], 1)).astype(np.float32) * 2


def test_detection() -> None:
    chance = np.random.default_rng(5)
    true_boxes: dict[str, list[Box]] = {}
    found_boxes: dict[str, list[Box]] = {}
    true_tubes: dict[str, list[Tube]] = {}
    found_tubes: dict[str, list[Tube]] = {}
    true_segments: dict[str, list[Segment]] = {}
    found_segments: dict[str, list[Segment]] = {}
    for i in range(6):
        video, label, frames = f"v{i}", CLASSES[i % 2], np.arange(i, i + 8)
        boxes = random_boxes(chance, 1).repeat(8, 0)
        near = jittered(chance, boxes)
        said = CLASSES[i % 3]
        pairs = list(zip(frames.tolist(), boxes.tolist(), near.tolist(), strict=True))
        true_boxes[video] = [Box(label, t, tuple(corners)) for t, corners, _ in pairs]
        found_boxes[video] = [Box(said, t, tuple(corners), float(chance.random())) for t, _, corners in pairs]
        found_boxes[video] += [Box(label, t, tuple(corners), float(chance.random())) for t, _, corners in pairs[::2]]
        true_tubes[video] = [Tube(label, frames, boxes)]
        found_tubes[video] = [
            Tube(label, frames[:6] + 1, near[:6], float(chance.random())),
            Tube(said, frames[2:], boxes[2:], float(chance.random())),
        ]
        start = float(chance.uniform(0, 5))
        true_segments[video] = [Segment(label, start, start + 3)]
        found_segments[video] = [
            Segment(label, start + float(chance.uniform(0, 2)), start + 4, float(chance.random())),
            Segment(said, start, start + 2, float(chance.random())),
        ]
    values, right = chance.random(30).round(1), chance.random(30) < 0.5
    of_videos = video_map(found_tubes, true_tubes)
    check(
        "evaluation_detection",
        {
            "frame_map": frame_map(found_boxes, true_boxes).tolist(),
            "frame_map_coco": frame_map(found_boxes, true_boxes, (0.3, 0.5), 101).tolist(),
            "video_map": of_videos.tolist(),
            "segment_map": segment_map(found_segments, true_segments).tolist(),
            "named": at_thresholds("video", of_videos),
            "cor_loc": [cor_loc(found_boxes, true_boxes, least) for least in (0.2, 0.5, 0.7)],
            "tube_iou": [tube_iou(found_tubes[video][0], true_tubes[video][0]) for video in true_tubes],
            "segment_iou": [segment_iou(found_segments[video][0], true_segments[video][0]) for video in true_segments],
            "average_precision": [average_precision(values, right, 20, recalls) for recalls in (None, 101)],
            "box_iou": box_iou(random_boxes(chance, 4, 1), random_boxes(chance, 1, 5)),
        },
    )
