"""Classes that differ by what stands in the frame: attention marks it, whoever walks past."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.data.stick_figures import FINER, draw_figure, perform, place_joints
from onlooker.localization.boxes import heat_maps, peaks
from onlooker.models.linear import LinearClassifier
from onlooker.training.eyes import choose_eyes
from onlooker.training.linear import ClipStatistics, fit_layer
from onlooker.training.still_evidence import still_evidence

SIZE = 112
FRAMES = 8
LAMP = (0.8, 0.22)  # x and y, as shares of the frame
RADIUS = 0.07
RED = (220.0, 60.0, 50.0)
GREEN = (50.0, 200.0, 80.0)
CLIPS = 8  # of each class


def walker(
    random: np.random.Generator,
    background: NDArray[np.uint8],
    *,
    lamp: tuple[float, float, float],
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a person who walks past a lamp, which the camera sees at the same place."""
    faces_right = bool(random.random() < 0.5)
    joints = place_joints(
        perform("walk", FRAMES, 4, event=(0, FRAMES - 1), tempo=random.uniform(0.85, 1.15)),
        faces_right,
    )
    height = SIZE * random.uniform(0.5, 0.65)
    origin = SIZE * random.uniform(
        (0.15 if faces_right else 0.55, 0.9), (0.45 if faces_right else 0.85, 0.95)
    )
    colors = {
        name: random.uniform(40, 230, 3)
        for name in ("skin", "hair", "shirt", "trousers", "shoes")
    }
    center = (round(LAMP[0] * SIZE * FINER), round(LAMP[1] * SIZE * FINER))
    for t in range(FRAMES):
        canvas = background.copy()
        cv2.circle(canvas, center, round(RADIUS * SIZE * FINER), lamp, -1, cv2.LINE_AA)
        placed = {name: path[t] * height + origin for name, path in joints.items()}
        draw_figure(canvas, placed, thickness=height, colors=colors)
        yield cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def fitted() -> tuple[LinearClassifier, Tensor, NDArray[np.int64]]:
    """A model of red and green lamps, the features of its clips, and their classes."""
    random = np.random.default_rng(0)
    coarse = random.integers(90, 200, (6, 6, 3), dtype=np.uint8)
    background = cv2.resize(
        coarse, (SIZE * FINER, SIZE * FINER), interpolation=cv2.INTER_LINEAR
    )
    targets = np.repeat([0, 1], CLIPS)
    clips = np.stack(
        [
            np.stack([*walker(random, background, lamp=RED if label else GREEN)])
            for label in targets
        ]
    )
    model = LinearClassifier(2, "small", window=FRAMES, size=SIZE, pretrained=True)
    video = torch.from_numpy(clips).permute(0, 1, 4, 2, 3) / 127.5 - 1
    with torch.inference_mode():
        features = model.encode_video(video)
        x = model.statistics(features)[:, -1].double().numpy()
    groups = np.array([str(i) for i in range(len(targets))])
    statistics = ClipStatistics(x, targets, groups, num_classes=2)
    fit_layer(model, statistics, choose_eyes(statistics).candidate)
    return model, features, targets


def test_attention_marks_the_lamp_and_not_who_walks_past(
    fitted: tuple[LinearClassifier, Tensor, NDArray[np.int64]],
) -> None:
    model, features, targets = fitted
    scene = still_evidence(model, dict(enumerate(features)), targets)
    assert scene is not None
    model.set_heads({"static_scene": scene})
    with torch.inference_mode():
        attention = model.forward_features(features).attention
    assert attention is not None
    points = peaks(heat_maps(attention.flatten(0, 1).numpy(), None))
    on_lamp = np.abs(points - LAMP).max(1) < RADIUS + 0.03
    assert on_lamp.mean() >= 0.9


def test_a_stream_marks_the_same_as_a_clip(
    fitted: tuple[LinearClassifier, Tensor, NDArray[np.int64]],
) -> None:
    model, features, _ = fitted
    assert "static_scene" in model.heads
    with torch.inference_mode():
        attention = model.forward_features(features[:1]).attention
        assert attention is not None
        state = model.initial_state(1)
        for t in range(FRAMES):
            output, state = model.step_features(features[:1, t], state)
            assert output.attention is not None
            torch.testing.assert_close(output.attention[0], attention[0, t])


def test_the_evidence_for_red_over_green_is_at_the_lamp(
    fitted: tuple[LinearClassifier, Tensor, NDArray[np.int64]],
) -> None:
    model, features, targets = fitted
    assert "static_scene" in model.heads
    with torch.inference_mode():
        maps = [model.evidence(clip, torch.tensor([-1.0, 1.0])).sum(0) for clip in features]
        logits = model.forward_features(features).logits[:, -1] - model.head.bias
    evidence = torch.stack(maps).numpy()
    expected = (logits[:, 1] - logits[:, 0]).numpy()
    np.testing.assert_allclose(evidence.sum((1, 2)), expected, rtol=1e-3, atol=1e-3)
    cells = np.abs(evidence).reshape(len(evidence), -1).argmax(1)
    rows, columns = np.divmod(cells, evidence.shape[2])
    points = np.stack((columns + 0.5, rows + 0.5), 1) / evidence.shape[:0:-1]
    assert (np.abs(points - LAMP).max(1) < RADIUS + 0.1).mean() >= 0.9
    signs = np.sign(evidence[np.arange(len(evidence)), rows, columns])
    assert (signs == 2 * targets - 1).mean() >= 0.9


def test_a_saved_model_marks_the_same(
    fitted: tuple[LinearClassifier, Tensor, NDArray[np.int64]], tmp_path: Path
) -> None:
    model, features, _ = fitted
    model.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path)
    assert "static_scene" in loaded.heads
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.forward_features(features[:1]).attention,
            model.forward_features(features[:1]).attention,
        )


def test_classes_that_differ_everywhere_or_by_chance_have_no_still_evidence(
    fitted: tuple[LinearClassifier, Tensor, NDArray[np.int64]],
) -> None:
    model, features, targets = fitted
    random = np.random.default_rng(1)
    by_chance = random.permutation(targets)
    assert still_evidence(model, dict(enumerate(features)), by_chance) is None
    shift = model.class_directions()[1, 0][:, None, None]
    other_scene = (
        10_000
        * shift
        / shift.square().sum()
        * torch.from_numpy(targets)[:, None, None, None, None]
    )
    everywhere = dict(enumerate(features + other_scene))
    assert still_evidence(model, everywhere, targets) is None
