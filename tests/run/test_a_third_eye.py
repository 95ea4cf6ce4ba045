"""An eye is one entry of `EYES`: a model is trained with a third one, saved, loaded, and answers for
clips, live streams and recordings.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import onlooker
from onlooker.models.linear import LinearClassifier
from onlooker.training.forward import forward_samples
from onlooker.training.search import summary
from onlooker.video.eyes import EYES, Floats
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import write

FRAMES = 6
LENGTH = 36
CLASSES = ("calm", "flash")


class Brightness:
    """How bright and how dark the quarters of a frame are."""

    num_features = 8
    digest = "mean brightness"

    def step(self, frame: Pixels, _: float, state: int | None) -> tuple[int, Floats]:
        rows = np.array_split(frame.mean(-1) / 255, 2)
        means = [half.mean() for row in rows for half in np.array_split(row, 2, axis=1)]
        features = np.stack((means, 1 - np.array(means)), 1).ravel()
        return (state or 0) + 1, np.array([1, *features], np.float32)

    def finish(self, _: int) -> Floats:
        return np.zeros(1 + self.num_features, np.float32)


def clip(label: str, seed: int) -> NDArray[np.uint8]:
    """A still scene, dark but for flashes between the frames that are sampled."""
    scene = np.random.default_rng(seed).integers(0, 80, (24, 24)).repeat(5, 0).repeat(5, 1)
    images = np.repeat(scene[None, ..., None], LENGTH, 0).repeat(3, -1).astype(np.uint8)
    between = np.setdiff1d(np.arange(LENGTH), equally_spaced(LENGTH, FRAMES))
    if label == "flash":
        images[between[::2]] += 150
    return images


def make(folder: Path, count: int, first: int = 0) -> Path:
    for number in range(first, first + count):
        for place, label in enumerate(CLASSES):
            (folder / label).mkdir(parents=True, exist_ok=True)
            write(folder / label / f"{number}.mp4", clip(label, 2 * number + place), fps=25)
    return folder


def test_a_third_eye_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EYES, "brightness", Brightness)
    run = tmp_path / "run"
    clips = make(tmp_path / "clips", 8)
    onlooker.train(clips, run, encoder="conv4", frames=FRAMES, size=32, eyes="both", quiet=True)
    figures = onlooker.TrainedRun.read(run).figures
    assert figures is not None
    assert figures.tried is not None
    chosen = summary(figures.tried)
    for choice in ("motion", "weight of motion", "brightness", "weight of brightness"):
        assert f"; {choice} " in chosen

    recognizer = onlooker.load(run, device="cpu")
    model = recognizer.model
    assert isinstance(model, LinearClassifier)
    assert {*model.eyes} == {"brightness", "motion"}
    assert model.eyes["brightness"] == Brightness.num_features
    for name in ("clip", "window"):
        assert model.heads[name].brightness_factors[0] > 0
    answers = {
        path: recognizer.predict(path)
        for path in sorted(make(tmp_path / "new", 3, first=50).glob("*/*.mp4"))
    }
    for path, answer in answers.items():
        assert answer.label == path.parent.name
    evaluation = recognizer.evaluate(tmp_path / "new")
    for name, scores in zip(evaluation.names, evaluation.scores, strict=True):
        expected = next(answers[path] for path in answers if str(path).endswith(name))
        np.testing.assert_allclose(scores, expected.scores, atol=1e-5)

    # without what it sees in the flashes, the answer is another one
    flash = next(path for path in answers if path.parent.name == "flash")
    sample = recognizer.read(flash)
    rows = {name: torch.from_numpy(seen)[None] for name, seen in sample.eyes.items()}
    pixels = torch.from_numpy(sample.pixels)[None]
    rows["brightness"] = torch.zeros_like(rows["brightness"])
    blind = recognizer.classify(pixels, rows).scores[0, -1]
    assert blind[1] < answers[flash].scores[1] - 0.05

    # and why: by all eyes, the evidence adds up to the difference of the logits
    contrast = recognizer.contrast(flash, ("flash", "calm"), sample)
    assert {*contrast.others} == {"brightness"}
    assert contrast.others["brightness"].sum() > 0.05
    parts = (contrast.pictures, contrast.motion, contrast.others["brightness"])
    np.testing.assert_allclose(contrast.evidence, sum(parts), atol=1e-6)
    rows = {name: torch.from_numpy(seen)[None] for name, seen in sample.eyes.items()}
    output = forward_samples(model, pixels, recognizer.data, others=rows)
    biases = sum(model.heads[name].bias for name in ("clip", "motion", "brightness"))
    logits = (output.logits[0, -1] - biases).detach() / recognizer.decision.temperature
    # 8 bits of the roots of what eyes see
    expected = float(logits[1] - logits[0])
    assert contrast.evidence.sum() == pytest.approx(expected, rel=0.02, abs=0.02)

    frames = np.concatenate([clip(label, 70 + i) for i, label in enumerate(CLASSES * 2)])
    *_, last = recognizer.watch(VideoReader(frames, 25.0))
    assert np.isfinite(last.scores).all()
    bounded = {name: memory.shape for name, memory in model.initial_state(1)._asdict().items()}
    assert bounded["roots"][-1] == sum(model.eyes.values())
