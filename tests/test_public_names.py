"""What the package promises to export is there, and importing it waits for nothing heavy."""

import subprocess
import sys

import pytest

import onlooker

HEAVY = ("torch", "torchvision", "lightning", "timm", "cv2", "av", "matplotlib", "sklearn", "mlxtend", "numpy")


@pytest.mark.parametrize("name", onlooker.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(onlooker, name) is not None
    assert name in dir(onlooker)


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'magic'; it has Box, Classifier"):
        _ = onlooker.magic


@pytest.mark.parametrize("module", ["onlooker", "onlooker.cli"])
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert done.stderr == ""
