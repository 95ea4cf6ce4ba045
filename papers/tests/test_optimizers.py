"""The constants of the optimizers of the papers."""

import pytest
import torch

from onlooker.config import TrainConfig
from onlooker.models.registry import create_model
from onlooker.training.optimizers import optimizer_of


@pytest.mark.parametrize(
    ("name", "kind", "constants"),
    [
        ("rmsprop", torch.optim.RMSprop, {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7}),
        ("adadelta", torch.optim.Adadelta, {"lr": 1e-3, "rho": 0.95, "eps": 1e-7}),
    ],
)
def test_constants_equal_keras(name: str, kind: type[torch.optim.Optimizer], constants: dict[str, float]) -> None:
    optimizer = optimizer_of(create_model("lstm", 2, size=16), TrainConfig(optimizer=name, lr=1e-3))
    assert isinstance(optimizer, kind)
    (group,) = optimizer.param_groups
    assert {name: group[name] for name in constants} == constants
