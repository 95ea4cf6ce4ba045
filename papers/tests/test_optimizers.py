"""The optimizers of the papers: their constants, and their steps against the equation."""

import pytest
import torch

from onlooker.config import TrainConfig
from onlooker.models.registry import create_model
from onlooker.training.optimizers import optimizer_of
from onlooker_papers.optimizers import RMSpropInside


@pytest.mark.parametrize(
    ("name", "kind", "constants"),
    [
        ("rmsprop", torch.optim.RMSprop, {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7}),
        ("adadelta", torch.optim.Adadelta, {"lr": 1e-3, "rho": 0.95, "eps": 1e-7}),
    ],
)
def test_optimizers_have_the_constants_of_keras(
    name: str, kind: type[torch.optim.Optimizer], constants: dict[str, float]
) -> None:
    optimizer = optimizer_of(create_model("lstm", 2, size=16), TrainConfig(optimizer=name, lr=1e-3))
    assert isinstance(optimizer, kind)
    (group,) = optimizer.param_groups
    assert {name: group[name] for name in constants} == constants


def test_rmsprop_with_epsilon_inside_the_root_follows_its_equation() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    optimizer = RMSpropInside([weight], lr=0.1, decay=0.9, eps=1e-2)
    expected, square = weight.detach().clone(), torch.zeros(3, dtype=torch.float64)
    for gradient in ([1.0, 0.01, 0.0], [-0.5, 0.02, 1e-3]):
        g = weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        square = 0.9 * square + 0.1 * g**2
        expected -= 0.1 * g / (square + 1e-2).sqrt()
        torch.testing.assert_close(weight.detach(), expected)


def test_rmsprop_of_a_mean_over_frames_takes_the_steps_of_a_sum() -> None:
    # The loss of Li et al. 2016 is a sum over 30 frames, with an epsilon of 1e-6.
    model = create_model("lstm", 2, size=16)
    ours = optimizer_of(model, TrainConfig(optimizer="rmsprop-inside", lr=1e-3))
    summed = [torch.nn.Parameter(weight.detach().clone()) for weight in model.parameters()]
    theirs = RMSpropInside(summed, 1e-3, eps=1e-6)
    for _ in range(3):
        for weight, other in zip(model.parameters(), summed, strict=True):
            weight.grad = 1e-4 * torch.randn_like(weight)
            other.grad = 30 * weight.grad
        ours.step()
        theirs.step()
    for weight, other in zip(model.parameters(), summed, strict=True):
        torch.testing.assert_close(weight, other)
