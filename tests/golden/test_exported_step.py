"""Golden values of exported steps and of their models on the same frames, with seeded random weights."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import check
from numpy.typing import NDArray

from onlooker.config import DataConfig
from onlooker.data.transforms import to_video
from onlooker.export import export
from onlooker.files import read_json
from onlooker.models.registry import create_model
from onlooker.onnx_step import ExportedStep
from onlooker.recognizer import Recognizer

CLASSES, SIZE, FRAMES = ("clap", "run", "wave"), 32, 5


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recognizer(name: str) -> Recognizer:
    torch.manual_seed(0)
    data = DataConfig(frames=FRAMES, size=SIZE, normalization="imagenet")
    model = create_model(name, len(CLASSES), in_channels=data.in_channels, size=SIZE, hidden=8)
    chance = np.random.default_rng(1)
    with torch.no_grad():
        # By shape and place in the model, whatever the layers are called; large enough for answers to differ.
        for values in model.parameters():
            scale = 1.5 / max(values[0].numel(), 1) ** 0.5 if values.ndim > 1 else 0.1
            drawn = torch.from_numpy(chance.standard_normal(tuple(values.shape)).astype(np.float32))
            values.copy_(scale * drawn + (values.ndim == 1) * values)
    return Recognizer(model, CLASSES, data)


def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(256, size=(FRAMES, 2, SIZE, SIZE, 3), dtype=np.uint8)


@torch.inference_mode()
def eager(of: Recognizer) -> dict[str, Any]:
    found, state = [], None
    for frame in torch.from_numpy(frames()):
        output, state = of.model.step(to_video(frame, of.data.normalization), state)
        parts = [part for part in state if part.numel()]
        found.append([output.logits, output.logits.softmax(-1), output.attention, parts])
    return {"steps": found}


def exported(folder: Path) -> dict[str, Any]:
    step, found, state = ExportedStep(folder), [], None
    for frame in frames():
        answer = step.step(frame, state)
        state = answer.state
        found.append([answer.scores, answer.attention, answer.evidence, list(state)])
    described = read_json(folder / "step.json")
    # Not the version, nor how long the file is or how far rounding goes on this machine.
    told = {name: described[name] for name in ("classes", "frames", "batch", "frame", "state")}
    told["first"] = None  # the input of a learned initial state, which is no longer exported
    told["verdict"] = described["aggregation"]
    told["frame"]["picture"] = told["frame"].pop("image")
    return {"steps": found, "told": told, "outputs": described["outputs"], "happening": described["happening"]}


@pytest.mark.parametrize("name", ["convalstm", "moments"])
def test_steps(name: str, tmp_path: Path) -> None:
    of = recognizer({"moments": "mil"}.get(name, name))
    check(f"export_{name}", {"eager": eager(of), "onnx": exported(export(of, tmp_path / "step"))})
