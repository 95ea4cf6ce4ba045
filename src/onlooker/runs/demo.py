"""The demo: a model with attention, trained end to end on moving digits, and baselines without attention or memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.digits import DigitSplit, split_digits
from onlooker.data.moving_mnist import PAIRS, Batch, DigitPairs, MovingDigits, pair_label
from onlooker.drawing.overlay import boxes, caption, enlarge, full_strength, overlay
from onlooker.drawing.plots import loss_and_accuracy, to_svg
from onlooker.drawing.sheet import sheet, write_png
from onlooker.evaluation.metrics import measure
from onlooker.evaluation.pointing import peak_in_box, uniform_in_box
from onlooker.evaluation.report import Page, Tone, percent
from onlooker.files import read_json, write_json
from onlooker.models.registry import MODELS, create_model
from onlooker.models.video_model import count_parameters
from onlooker.recognizer import Recognizer, load
from onlooker.runs.folder import lock_run, read_curves
from onlooker.structures import Evaluation
from onlooker.training.fit import fit
from onlooker.video.write import encode_mp4

__all__ = ["answers"]

# The model with attention first; then the same without attention, and a single-frame model, with equal budgets.
COMPARED = ("alstm", "lstm", "convnet")
FRAMES = 10
DATA = DataConfig(frames=FRAMES, size=64, channels=1, normalization="half", translate=0.0, scale=0.0)
TRAINING = TrainConfig(epochs=10, batch=32, lr=3e-3, label_smoothing=0.0, patience=0)
VIDEOS_AN_EPOCH = 60 * 32
TEST_VIDEOS = 1000
_SHOWN = 12  # clips on the page


def demo(run: Path, training: TrainConfig = TRAINING, videos: int = VIDEOS_AN_EPOCH, tests: int = TEST_VIDEOS) -> Path:
    """Train, test on unseen digits and paths, and write `report.html`; what was computed before is not computed again.

    Args:
        videos, tests: new videos in an epoch, and test videos.

    Raises:
        ValueError: the folder holds a demo with another budget, or another process computes it.
    """
    with lock_run(run):
        budget = {"videos": videos, "frames": FRAMES, **training.to_dict()}
        if (run / "budget.json").exists() and read_json(run / "budget.json") != budget:
            raise ValueError(f"{run}: holds a demo with another budget; choose another --run, or remove it")
        write_json(run / "budget.json", budget)
        digits = split_digits()
        test = MovingDigits(digits.test, frames=FRAMES).batch(tests, seed=2)
        measured = {}
        for name in COMPARED:
            folder = run / name
            if not (folder / "model" / "recognizer.json").exists():  # the last file that saving writes
                _train(name, folder, digits, training, videos)
            measured[name] = _evaluate(load(folder), folder, test)
            accuracy = percent(measured[name]["accuracy"])
            Console().print(f"{name}: {accuracy} of test videos classified correctly", highlight=False)
        write_json(run / "demo.json", measured)
        drawn = draw(load(run / COMPARED[0]), test, _SHOWN)
        write_png(run / "attention.png", sheet([(caption, frames) for frames, caption, _ in drawn[:4]]))
        clips = [(encode_mp4(frames, 5), caption, tone) for frames, caption, tone in drawn]
        return _page(run, measured, clips, training, videos).write(run / "report.html")


def _train(name: str, folder: Path, digits: DigitSplit, training: TrainConfig, videos: int) -> None:
    torch.manual_seed(training.seed)
    model = create_model(name, len(PAIRS), encoder="conv4", in_channels=1, size=DATA.size, dropout=0.0)
    train = DigitPairs(MovingDigits(digits.training, frames=FRAMES), videos, seed=0)
    validation = DigitPairs(MovingDigits(digits.validation, frames=FRAMES), 256, seed=1)
    fit(model, train, validation, DATA, training, folder, name)
    Recognizer(model, PAIRS, DATA).save(folder / "model")


def _evaluate(recognizer: Recognizer, folder: Path, test: Batch) -> dict[str, Any]:
    scores, attention = answers(recognizer, test.video)
    targets = pair_label(test.labels).numpy()
    names = tuple(f"video {i}" for i in range(len(targets)))
    figures = measure(Evaluation(names, PAIRS, targets, scores.mean(1), tuple(scores)))
    if attention is not None:
        size = (DATA.size, DATA.size)
        figures["peak_on_digit"] = float(np.nanmean(peak_in_box(attention, test.boxes.numpy(), size)))
        figures["uniform_on_digit"] = float(np.nanmean(uniform_in_box(test.boxes.numpy(), attention.shape[-2:], size)))
    figures["parameters"] = count_parameters(recognizer.model)
    write_json(folder / "evaluation.json", figures)
    return figures


def answers(recognizer: Recognizer, video: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Probabilities `B T K` and attention `B T h w` for generated videos `B T 1 H W`."""
    scores, attention, _ = recognizer.classify(video.movedim(2, -1)).numpy()
    return scores, attention


def _page(
    run: Path,
    measured: Mapping[str, Mapping[str, Any]],
    clips: list[tuple[bytes, str, Tone]],
    training: TrainConfig,
    videos: int,
) -> Page:
    first, figures = COMPARED[0], measured[COMPARED[0]]
    best = max(COMPARED[1:], key=lambda name: measured[name]["accuracy"])
    page = Page("Two moving digits: which, and where", f"{first} · trained on this machine from single labels")
    page.figures(
        [
            (percent(figures["accuracy"]), "of test videos classified correctly", "55 pairs; new digits, new paths"),
            (percent(figures["peak_on_digit"]), "of frames: peak of attention on a digit",
             f"a uniform map: {percent(figures['uniform_on_digit'])}"),
            (percent(measured[best]["accuracy"]), f"best baseline: {best}", "no attention, the same budget"),
        ]
    )  # fmt: skip
    page.text(
        "Each video shows two moving handwritten digits. Training used one label per video, the pair, and no "
        "positions. Color shows attention, the outlines are the true positions."
    )
    page.clips(clips)
    page.heading("With attention and without")
    rows = [
        [name, MODELS[name].summary, percent(m["accuracy"]), percent(m["frame_accuracy"]), m["parameters"]]
        for name, m in measured.items()
    ]
    low, high = figures["accuracy_interval"]
    page.table(
        rows,
        ["model", "description", "videos correct", "frames correct", "parameters"],
        f"{figures['videos']} test videos with unseen digits and paths; 95 % interval of {first}: "
        f"{percent(low)} to {percent(high)}. Majority-class baseline: {percent(figures['majority_share'])}. "
        f"Each model is trained for {training.epochs} epochs of {videos} new videos with {FRAMES} frames.",
    )
    if measured["convnet"]["accuracy"] >= figures["accuracy"]:
        page.text(
            "Both digits are visible in every frame, so the average over single frames is hard to beat in this task: "
            "memory helps where the class depends on motion. Compare attention with the same model without it."
        )
    page.heading("Training")
    for name in COMPARED:
        if curves := read_curves(run / name):
            page.figure(to_svg(loss_and_accuracy(curves)), f"{name}: loss and accuracy per epoch.", wide=True)
    page.heading("Data and settings")
    page.text(
        "5,000 digits of MNIST: 3,600 for training, 400 for validation, which selects the epoch, and 1,000 for the "
        "test. Every video has new random paths."
    )
    with page.details("All settings"):
        values = {**DATA.to_dict(), **training.to_dict(), "encoder": "conv4"}
        page.table([[name, str(value)] for name, value in values.items()], ["setting", "value"])
    return page


def draw(recognizer: Recognizer, test: Batch, shown: int) -> list[tuple[NDArray[np.uint8], str, Tone]]:
    """The first `shown` test videos, with attention, true boxes and the prediction drawn on each frame: `T H W 3`."""
    scores, attention = answers(recognizer, test.video[:shown])
    assert attention is not None
    drawn: list[tuple[NDArray[np.uint8], str, Tone]] = []
    for i in range(shown):
        video, scale = test.video[i].movedim(1, -1).expand(-1, -1, -1, 3).numpy(), full_strength(attention[i])
        frames = []
        for frame, weights, corners, s in zip(video, attention[i], test.boxes[i].numpy(), scores[i], strict=True):
            frame = boxes(overlay(enlarge(frame), weights, scale), corners, size=(DATA.size, DATA.size))
            frames.append(caption(frame, [f"{PAIRS[int(s.argmax())]}  {100 * s.max():.0f} %"]))
        predicted, truth = PAIRS[int(scores[i].mean(0).argmax())], PAIRS[int(pair_label(test.labels[i : i + 1]))]
        words = f"{truth}\npredicted {predicted}, {100 * scores[i].mean(0).max():.0f} %"
        drawn.append((np.stack(frames), words, "right" if predicted == truth else "wrong"))
    return drawn
