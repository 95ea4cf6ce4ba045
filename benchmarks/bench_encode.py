"""CPU milliseconds of the frozen encoders on one thread: PyTorch, onlooker's engine, OpenVINO, and
the time of as many multiply-adds in a matrix product of this machine.

The weights and frames are the same. OpenVINO is measured if it is installed.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, cast

import harness
import torch
from torch import Tensor, nn

from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.engine import encode
from onlooker.models.encoders.graph import fold_batch_norm, make_graph

ENCODERS = (("lite0", 224, 365e6), ("small", 112, 199e6))  # name, pixels, multiply-adds
BATCHES = harness.size((1, 8), (1,))
SIDE = 1024  # of the matrices that are multiplied
Work = Callable[[], object]


def folded(encoder: nn.Module, frames: Tensor) -> Work:
    """PyTorch with batch norm as part of convolutions."""
    net = fold_batch_norm(encoder, frames[:1])
    return partial(by_pytorch, net, frames)


def by_pytorch(encoder: nn.Module, frames: Tensor) -> Tensor:
    features: Tensor = encoder(frames.contiguous(memory_format=torch.channels_last))
    return features


def by_openvino(encoder: nn.Module, frames: Tensor) -> Work:
    """OpenVINO with one thread, from the graph that ONNX Runtime could run."""
    openvino = import_module("openvino")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "encoder.onnx")
        file.write_bytes(make_graph(fold_batch_norm(encoder, frames[:1]), frames[:1]))
        settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_PRECISION_HINT"] = "f32"
        model = openvino.Core().compile_model(file, "CPU", settings)
    return partial(model, frames.numpy())


@torch.inference_mode()
def measure(name: str, pixels: int, multiply_adds: float) -> dict[str, Any]:
    """CPU milliseconds a frame by engine and frames at once, and the largest difference."""
    encoder = cast(nn.Module, build_encoder(name, 3, pixels, pretrained=not harness.smoke()))
    encoder.eval().requires_grad_(False)
    left, right = torch.rand(2, SIDE, SIDE)
    figures: dict[str, Any] = {}
    for count in BATCHES:
        frames = torch.rand(count, 3, pixels, pixels) * 2 - 1
        work: dict[str, Work] = {
            "PyTorch": partial(by_pytorch, encoder, frames),
            "PyTorch, batch norm folded": folded(encoder, frames),
            "onlooker": partial(encode, encoder, frames),
            "matrix product": partial(torch.mm, left, right),
        }
        if find_spec("openvino"):
            work["OpenVINO"] = by_openvino(encoder, frames)
        seconds = harness.interleaved(work, 15, clock=time.process_time)
        milliseconds = {key: 1000 * median(times) / count for key, times in seconds.items()}
        product = 1000 * median(seconds["matrix product"])
        milliseconds["matrix product"] = product * multiply_adds / SIDE**3
        largest = (encode(encoder, frames) - encoder(frames)).abs().max().item()
        own = milliseconds["onlooker"]
        figures[f"{count} at once"] = {
            "ms": milliseconds,
            "ratio": {key: ms / own for key, ms in milliseconds.items() if key != "onlooker"},
            "largest_difference": largest,
        }
    return figures


def main() -> None:
    harness.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    os.environ.pop("ONLOOKER_ENGINE", None)
    figures = {f"{name} at {pixels}": measure(name, pixels, of) for name, pixels, of in ENCODERS}
    rows = [
        [name, count, key, ms]
        for name, batches in figures.items()
        for count, of in batches.items()
        for key, ms in of["ms"].items()
    ]
    harness.show("one thread", ["encoder", "frames", "by", "CPU ms a frame"], rows)
    packages = ("torch", "onnxruntime", "openvino")
    installed = [package for package in packages if find_spec(package)]
    what = __doc__.splitlines()[0]
    print(harness.record("bench-encode", what, figures, packages=installed))


if __name__ == "__main__":
    main()
