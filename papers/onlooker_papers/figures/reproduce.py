"""`onlooker reproduce figures`: stick figures in rooms, as video files: what, where and when, from labels alone.

One model is trained on the labels of the clips; its boxes, tubes and segments are then scored on people that are not in
the training clips. The true boxes and events of every clip are known; only the scores use them.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.figure_motion import ACTIONS
from onlooker.data.split import Split
from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.data.transforms import to_video
from onlooker.data.write_folder import TRUTH
from onlooker.experiments.memo import memo
from onlooker.files import read_json, write_json
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import find_segments
from onlooker.recognizer import Recognizer, load
from onlooker.runs.evaluate import read_clips
from onlooker.runs.train import train_run
from onlooker.runs.tune_localization import choose_spatial_parameters
from onlooker.structures import Clip, Segment
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced
from onlooker_papers.detection import at_thresholds, segment_map
from onlooker_papers.grad_cam import frame_grad_cam
from onlooker_papers.memo import memo_of_training
from onlooker_papers.pointing import uniform_in_box
from onlooker_papers.results import WHOLE, About, Row, write_rows
from onlooker_papers.videolstm.places import TrueBoxes, localization_figures

# Flow alone: what moves, and in which direction. The colors of an image distinguish people and rooms, but not actions,
# and with a few hundred clips, a model that sees colors learns people and rooms first.
MODEL = ModelConfig(name="alstm", encoder="conv4", pretrained=False, attention_loss=True, dropout=0.0)
DATA = DataConfig(frames=16, size=64, modality="flow", hflip=True)
TRAINING = TrainConfig(epochs=20, batch=8, lr=3e-3, label_smoothing=0.0, patience=0, precision="32")
_AT_ONCE = 25  # clips that are classified at once
_CHOOSE_ON = 40  # validation clips: each is classified twice for every candidate


@dataclass(frozen=True)
class Budget:
    """The size of the experiment.

    Args:
        clips: clips per action.
        people: number of people; a fifth of them are used for testing.
        epochs: epochs of training.
        actions: the classes.
    """

    clips: int
    people: int
    epochs: int
    actions: tuple[str, ...] = tuple(ACTIONS)


BUDGETS = {
    "quick": Budget(6, 6, 2, ("bend", "jumping_jack", "walk")),
    "standard": Budget(40, 20, TRAINING.epochs),
    "full": Budget(200, 50, 40),
}


def reproduce(run: Path, budget: str = "standard", results: Path | None = None) -> Path:
    """Write the clips, train, and score boxes and times; what was computed before is not computed again.

    Args:
        run: the folder for everything: `clips`, `training` (a run of `onlooker train`), and the figures of both
            steps, `training.json` and `places.json`, together in `figures.json`.
        budget: one of `BUDGETS`.
        results: a folder for `stick-figures.json`; None: the figures are in `figures.json` alone.

    Returns:
        The training's report.

    Raises:
        ValueError: an unknown budget, or a run made with another one.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    chosen = BUDGETS[budget]
    how = replace(TRAINING, epochs=chosen.epochs)
    settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "training": how.to_dict(), **asdict(chosen)}
    # JSON knows no tuples.
    settings["actions"] = list(chosen.actions)
    trained = memo_of_training(run / "training", settings, lambda: _train(run, chosen, how))
    figures = {**trained, **memo(run / "places.json", settings, lambda: _score(run))}
    write_json(run / "figures.json", figures)
    if results is not None:
        flag = "" if budget == "standard" else f"--{budget} "
        what = "stick figures in rooms: actions, places and times of people never seen, learned from labels"
        about = About(what, f"onlooker reproduce figures {flag}--results results", [how.seed])
        write_rows(results, "stick-figures", about, {WHOLE: Row({"budget": settings, **figures}, settings)})
    return run / "training" / "report.html"


def _train(run: Path, budget: Budget, how: TrainConfig) -> dict[str, Any]:
    clips, training = run / "clips", run / "training"
    if not clips.exists():
        write_set(clips, budget.clips, figures=StickFigures(people=budget.people), actions=budget.actions)
    started = time.process_time()
    measured = train_run(clips, training, MODEL, DATA, how, resume=(training / "config.json").exists())
    minutes = (time.process_time() - started) / 60
    kept = ("videos", "accuracy", "accuracy_interval", "frame_accuracy", "class_accuracy", "majority_share")
    return {
        **{name: measured[name] for name in kept},
        "threads": torch.get_num_threads(),
        "processor_minutes": minutes,
    }


def _score(run: Path) -> dict[str, Any]:
    recognizer = load(run / "training", device="cpu")
    split = Split.from_dict(read_json(run / "training" / "split.json"), run / "clips")
    in_picture = choose_in_image(recognizer, split.validation)
    return score(recognizer, split.test, read_json(run / "clips" / TRUTH), in_picture)


def choose_in_image(recognizer: Recognizer, clips: Sequence[Clip]) -> LocalizationParameters:
    """`choose_spatial_parameters` on clips and their labels, with the foreground of the images, not of the input."""
    clips = [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, _CHOOSE_ON).astype(int)).tolist()]
    samples, images = read_both(recognizer, clips)
    targets = [recognizer.classes.index(clip.label) for clip in clips]
    return choose_spatial_parameters(recognizer, samples, list(images), targets)


def score(
    recognizer: Recognizer, clips: Sequence[Clip], truth: dict[str, Any], in_picture: LocalizationParameters
) -> dict[str, Any]:
    """How well a model localizes in space and time, in clips of generated figures.

    Args:
        recognizer: a trained model with attention and an attention loss.
        clips: clips that were not used in training, all of one length.
        truth: the content of `truth.json` in their folder.
        in_picture: parameters for boxes with the foreground of the images, which the model may not see.

    Raises:
        ValueError: the ground truth does not fit the clips: a clip is missing, or has other frames.

    Returns:
        The figures of `localization_figures` for the person, only in frames of the event, with boxes from the
        foreground of the model's input; the same under `in_picture`, with `grad_cam` instead of the baselines;
        `uniform`, the pointing game for a uniform map; and `segments`: mean average precision at IoU .2, .5 and .5 to
        .95 of the times from `memory` (the prediction at each frame), from `attended` (the attended part of each frame,
        without memory), and for `whole` (the whole clip, with the predicted class).
    """
    classes, data = recognizer.classes, recognizer.data
    about = [about_clip(clip, truth) for clip in clips]
    samples, images = read_both(recognizer, clips)
    scores, attention, _ = recognizer.classify(samples).numpy()
    assert attention is not None, "it attends"
    frames = len(about[0]["boxes"])
    indices = equally_spaced(frames, data.frames)
    height, width = truth["settings"]["size"]
    true = TrueBoxes(
        images,
        np.stack([event_boxes(one, indices) for one in about]) * np.float32(data.size) / np.tile([width, height], 2),
        [classes.index(clip.label) for clip in clips],
        classes,
    )
    own = samples.numpy()[..., : recognizer.data.image_channels]
    cam = frame_grad_cam(recognizer, samples, scores.mean(1).argmax(1))
    cut = localization_figures(scores, attention, true, in_picture, grad_cam=cam)
    return {
        **localization_figures(scores, attention, true, recognizer.localization, own),
        "in_picture": {
            **{name: value for name, value in cut.items() if name not in ("pointing", "baselines")},
            "grad_cam": cut["baselines"]["grad_cam"],
        },
        "uniform": float(np.nanmean(uniform_in_box(true.boxes[:, :, None], attention.shape[-2:], true.size))),
        "segments": _segments(recognizer, samples, scores, clips, about, truth["fps"], indices, frames),
    }


def read_both(recognizer: Recognizer, clips: Sequence[Clip]) -> tuple[torch.Tensor, NDArray[np.uint8]]:
    """The model's input for clips, and the images at the same frames, both `B T H W C`."""
    samples, images = (
        read_clips(clips, recognizer.classes, data, strict=True, quiet=True)[0]
        for data in (recognizer.data, replace(recognizer.data, modality="rgb"))
    )
    return _stacked(samples), _stacked(images).numpy()


def _stacked(samples: ClipFrames) -> torch.Tensor:
    return torch.stack([samples[index][0] for index in range(len(samples))])


def about_clip(clip: Clip, truth: dict[str, Any]) -> dict[str, Any]:
    """The ground truth of a clip, after checking that it fits the clip."""
    name = f"{clip.label}/{clip.path.name}"
    if name not in truth["clips"]:
        raise ValueError(f"{TRUTH} says nothing of {name}; take the one that was written with the clips")
    about: dict[str, Any] = truth["clips"][name]
    reader = VideoReader(clip.path)
    found = reader.estimated_length, *reader.size
    if (told := (len(about["boxes"]), *truth["settings"]["size"])) != found:
        raise ValueError(
            f"{name} has {found[0]} frames of {found[2]}×{found[1]} pixels, and {TRUTH} is of {told[0]} frames of "
            f"{told[2]}×{told[1]}; take the one that was written with the clips"
        )
    return about


def event_boxes(about: dict[str, Any], indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """`T 4` at these frames, NaN where nothing happens."""
    boxes = np.array(about["boxes"], np.float32)[indices]
    first, last = about["event"]
    boxes[(indices < first) | (indices > last)] = np.nan
    return boxes


def _segments(
    recognizer: Recognizer,
    samples: torch.Tensor,
    scores: NDArray[np.float32],
    clips: Sequence[Clip],
    about: Sequence[dict[str, Any]],
    fps: float,
    indices: NDArray[np.int64],
    frames: int,
) -> dict[str, dict[str, float]]:
    true = {
        str(b): [Segment(clip.label, one["event"][0] / fps, (one["event"][1] + 1) / fps)]
        for b, (clip, one) in enumerate(zip(clips, about, strict=True))
    }
    classes, end = recognizer.classes, frames / fps

    def of(frame_scores: NDArray[np.float32]) -> dict[str, Sequence[Segment]]:
        return {
            str(b): find_segments(here, indices / fps, classes, recognizer.localization)
            for b, here in enumerate(frame_scores)
        }

    found = {"memory": of(scores), "attended": of(_attended(recognizer, samples))}
    found["whole"] = {
        str(b): [Segment(name, 0.0, end, float(share)) for name, share in zip(classes, here.mean(0), strict=True)]
        for b, here in enumerate(scores)
    }
    return {name: at_thresholds("segment_map", segment_map(each, true)) for name, each in found.items()}


@torch.inference_mode()
def _attended(recognizer: Recognizer, samples: torch.Tensor) -> NDArray[np.float32]:
    """`B T K`, the prediction from the attended part of each frame alone."""
    model, data, parts = recognizer.model, recognizer.data, []
    for part in samples.split(_AT_ONCE):
        features = model.encode_video(to_video(part, data.normalization, data.flow_channels))
        attention = model.forward_features(features).attention
        assert attention is not None, "it attends"
        parts.append(model.attended_logits(features, attention).float().softmax(-1))
    return torch.cat(parts).numpy()
