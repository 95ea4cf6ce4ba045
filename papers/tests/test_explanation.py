"""Grad-CAM is its equation, and blanking tells a map that matters from one that does not."""

import numpy as np
import pytest
import torch

from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker_papers.explanation import blanked_accuracy, elsewhere, grad_cam, heaviest


def model(name: str, **settings: object) -> Classifier:
    torch.manual_seed(0)
    made = create_model(name, 3, in_channels=1, size=32, hidden=4, dropout=0.0, **settings)
    assert isinstance(made, Classifier)
    return made.eval()


def test_grad_cam_is_its_equation_place_by_place() -> None:
    """For single frames, averaged: y = w · mean(A) + b, so α_d = w_d / (h w) at every place."""
    of = model("convnet")
    features = of.encode_video(torch.rand(2, 3, 1, 32, 32)).detach()
    got = grad_cam(of, features, torch.tensor([0, 2]))
    weights = of.head[-1].weight.detach()  # type: ignore[index]
    for b, target in enumerate((0, 2)):
        for t in range(3):
            naive = sum(weights[target, d] * features[b, t, d] for d in range(features.shape[2])).clamp(min=0)
            naive = naive / naive.sum() if naive.sum() > 0 else torch.full_like(naive, 1 / naive.numel())
            torch.testing.assert_close(got[b, t], naive, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["convalstm", "alstm", "convlstm"])
def test_grad_cam_goes_through_memories_and_leaves_no_gradient_behind(name: str) -> None:
    of = model(name)
    with torch.inference_mode():
        features = of.encode_video(torch.rand(2, 4, 1, 32, 32))
        got = grad_cam(of, features, torch.tensor([1, 1]))
    assert got.shape == (2, 4, *of.grid)
    torch.testing.assert_close(got.sum((2, 3)), torch.ones(2, 4))
    assert all(parameter.grad is None for parameter in of.parameters())


def test_one_place_has_no_map() -> None:
    of = model("lstm", encoder="lenet")
    with pytest.raises(ValueError, match="1×1 grid, on which a map says nothing"):
        grad_cam(of, of.encode_video(torch.rand(1, 2, 1, 32, 32)), torch.tensor([0]))


def test_the_heaviest_pixels_are_so_many_and_where_the_map_is() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, 3] = maps[1, 2, 1] = 1
    mask = heaviest(maps, (32, 32), 0.1)
    assert mask.sum((1, 2)).tolist() == [102, 102]
    assert mask[0, :8, 24:].mean() > 0.9
    assert mask[1, 16:24, 8:16].mean() > 0.9
    with pytest.raises(ValueError, match="share is 0, expected above 0"):
        heaviest(maps, (32, 32), 0)


def test_elsewhere_has_the_same_shapes_in_another_place() -> None:
    mask = np.zeros((2, 8, 8), np.bool_)
    mask[:, 1:3, 1:3] = True
    moved = elsewhere(mask, np.random.default_rng(0))
    assert moved.sum() == mask.sum()
    assert (moved != mask).any()
    assert (moved[0] == moved[1]).all()


def test_blanking_what_matters_costs_more_than_blanking_by_lot() -> None:
    chance = np.random.default_rng(0)
    count, targets = 60, chance.integers(0, 2, 60)
    samples = np.zeros((count, 2, 32, 32, 1), np.uint8)
    right, wrong = np.full((count, 2, 4, 4), 1e-3), np.full((count, 2, 4, 4), 1e-3)
    for i, target in enumerate(targets):  # a bright square above or below says the class; a map is on it, or not
        row, column = (0 if target else 16) + 8 * int(chance.integers(2)), 8 * int(chance.integers(4))
        samples[i, :, row : row + 8, column : column + 8] = 200
        right[i, :, row // 8, column // 8] = 1
        wrong[i, :, (row // 8 + 2) % 4, (column // 8 + 2) % 4] = 1

    def judge(clips: np.ndarray) -> np.ndarray:
        above, below = clips[:, :, :16].sum((1, 2, 3, 4)), clips[:, :, 16:].sum((1, 2, 3, 4))
        return np.stack((below, above), 1) + np.array([1e-3, 0])  # says below where it sees nothing

    good = blanked_accuracy(judge, samples, right, targets.tolist(), [0], shares=(0.1,))
    bad = blanked_accuracy(judge, samples, wrong, targets.tolist(), [0], shares=(0.1,))
    assert good["whole"] == bad["whole"] == [1.0]
    assert good["attended"][0] < 0.7 < 0.8 < good["random"][0]
    assert bad["attended"][0] == 1.0
