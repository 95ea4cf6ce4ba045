"""Random weights of the encoder `small` for tests, which do not need those of the package."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from onlooker.models.encoders import packaged
from onlooker.models.encoders.small import Small


def put_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Write random weights in half precision to a folder that replaces the package's."""
    torch.manual_seed(1)
    encoder = Small()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1)
    weights = {
        name: value.half() if value.is_floating_point() else value for name, value in encoder.state_dict().items()
    }
    save_file(weights, folder / "small.safetensors")
    monkeypatch.setattr(packaged, "FOLDER", folder)
    return weights
