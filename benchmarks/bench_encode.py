"""CPU milliseconds of the frozen encoders on one thread, by what runs them.

PyTorch, onlooker's engine, OpenVINO if it is installed, and as many multiply-adds in a matrix
product. The weights and frames are the same.
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
RUNS = harness.size(8, 1)  # one after another, as the frames of a clip: caches hold the weights
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


def several(work: Work) -> None:
    """The work, some times."""
    for _ in range(RUNS):
        work()


def frozen_encoder(name: str, pixels: int) -> nn.Module:
    """Made outside of inference mode, whose tensors only PyTorch runs (`engine.encode`)."""
    encoder = cast(nn.Module, build_encoder(name, 3, pixels, pretrained=not harness.smoke()))
    return encoder.eval().requires_grad_(False)


@torch.inference_mode()
def measure(encoder: nn.Module, *, name: str, pixels: int, multiply_adds: float) -> dict[str, Any]:
    """CPU milliseconds a frame by the number of frames at once, and the largest difference from
    PyTorch.
    """
    left, right = torch.rand(2, SIDE, SIDE)
    figures: dict[str, Any] = {}
    for count in BATCHES:
        frames = torch.rand(count, 3, pixels, pixels) * 2 - 1
        work: dict[str, Work] = {
            "onlooker": partial(encode, encoder, frames),
            "PyTorch": partial(by_pytorch, encoder, frames),
            "batch norm folded": folded(encoder, frames),
            "matrix product": partial(torch.mm, left, right),
        }
        if find_spec("openvino"):
            work["OpenVINO"] = by_openvino(encoder, frames)
        repeated = {key: partial(several, run) for key, run in work.items()}
        seconds = harness.interleaved(repeated, 15, clock=time.process_time)
        milliseconds = {key: 1000 * median(times) / RUNS for key, times in seconds.items()}
        milliseconds = {key: ms / count for key, ms in milliseconds.items()}
        milliseconds["matrix product"] *= count * multiply_adds / SIDE**3
        largest = (encode(encoder, frames) - encoder(frames)).abs().max().item()
        figures[f"{name}, {count} at once"] = {"ms": milliseconds, "largest_difference": largest}
    return figures


def main() -> None:
    harness.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    os.environ.pop("ONLOOKER_ENGINE", None)
    encoders = dict[str, Any]()
    for name, pixels, multiply_adds in ENCODERS:
        encoder = frozen_encoder(name, pixels)
        encoders |= measure(encoder, name=name, pixels=pixels, multiply_adds=multiply_adds)
    ratios = {
        name: {peer: ms / of["ms"]["onlooker"] for peer, ms in of["ms"].items()}
        for name, of in encoders.items()
    }
    peers = list(next(iter(ratios.values())))
    rows = [[name, *(of["ms"][peer] for peer in peers)] for name, of in encoders.items()]
    harness.show("CPU ms a frame, one thread", ["encoder", *peers], rows)
    packages = [package for package in ("onnxruntime", "openvino") if find_spec(package)]
    what = __doc__.splitlines()[0]
    figures = {"ratios": ratios, "encoders": encoders}
    print(harness.record("bench-encode", what, figures, packages=packages))


if __name__ == "__main__":
    main()
