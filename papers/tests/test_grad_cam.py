"""Grad-CAM is its equation."""

import pytest
import torch

from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker_papers.grad_cam import grad_cam


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
            naive = sum(
                weights[target, d] * features[b, t, d] for d in range(features.shape[2])
            ).clamp(min=0)
            naive = (
                naive / naive.sum()
                if naive.sum() > 0
                else torch.full_like(naive, 1 / naive.numel())
            )
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
