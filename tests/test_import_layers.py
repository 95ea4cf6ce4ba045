"""Imports follow the layers in pyproject.toml, and libraries that take seconds are imported where
they are needed.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_contract_is_kept() -> None:
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--config",
        "pyproject.toml",
        "--no-cache",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_training_and_the_page_begin_without_libraries_that_take_seconds() -> None:
    slow = ("torchmetrics", "torchvision", "matplotlib", "sklearn", "scipy.signal", "onnxruntime")
    code = f"import sys, onlooker.run.train, onlooker.serve.app; print([n for n in {slow} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
