"""The ONNX graphs of the library's encoders, without weights, as the package contains them:
`python -m onlooker_papers.encoder.graphs`.
"""

from typing import cast

import onnx
import torch
from onnx.external_data_helper import set_external_data
from torch import nn

from onlooker.base.files import write_bytes
from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.engine import PACKAGED
from onlooker.models.encoders.graph import fold_batch_norm, make_graph

SIZES = {"conv4": 32, "lite0": 224, "small": 112}  # pixels of a frame, by encoder


def graph_of(name: str) -> bytes:
    """The graph of an encoder that takes color frames of any size that its padding allows."""
    encoder = cast(nn.Module, build_encoder(name, 3, SIZES[name])).eval().requires_grad_(False)
    random = torch.Generator().manual_seed(0)
    # The exporter leaves out zeros and joins tensors that are equal: none may be.
    for tensor in encoder.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
    frame = torch.rand(1, 3, SIZES[name], SIZES[name], generator=random)
    folded = fold_batch_norm(encoder, frame)
    model = onnx.load_from_string(make_graph(folded, frame))
    weights = folded.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            set_external_data(tensor, "weights")  # no file has this name: a session gets them
            tensor.ClearField("raw_data")
    for value, sides in ((model.graph.input[0], "HW"), (model.graph.output[0], "hw")):
        dimensions = value.type.tensor_type.shape.dim[2:]
        for side, dimension in zip(sides, dimensions, strict=True):
            dimension.dim_param = side
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.ClearField("metadata_props")  # lines of code
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def main() -> None:
    """Write one file for each encoder."""
    for name in SIZES:
        file = PACKAGED / f"{name}.onnx"
        write_bytes(file, graph_of(name))
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
