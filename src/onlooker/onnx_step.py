"""One step of a model as an ONNX graph: how it is traced, and how onnxruntime runs it.

The graph takes pixels as bytes and contains normalization, encoder, one step of the cell, and the classes.
"""

import copy
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlooker.data.transforms import to_video
from onlooker.files import check_digest, check_regular, read_json, reading
from onlooker.models.registry import list_models
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer
from onlooker.settings import field_of

__all__ = ["DESCRIPTION", "STEP", "ExportedStep", "PixelStep", "StepOutput", "write_graph"]

STEP, DESCRIPTION = "step.onnx", "step.json"
Array = NDArray[Any]


class StepOutput(NamedTuple):
    """Results for one frame of `B` streams: `scores` `B K`, `attention` `B h w`, `windows` `B L K`; the new state."""

    scores: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    windows: NDArray[np.float32] | None
    state: tuple[Array, ...]


class PixelStep(nn.Module):
    """`VideoModel.step` from bytes to probabilities, with plain tensors as inputs and outputs: the exported graph.

    Args:
        recognizer: its model is copied to the CPU.

    Raises:
        ValueError: a model without a step.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        model = recognizer.model
        if not (model.encodes_frames and model.streams):
            found = "it needs the whole clip" if model.encodes_frames else "it reads several frames together"
            raise ValueError(f"this model has no step to export, {found}; train one of {', '.join(list_models())}")
        self.model = copy.deepcopy(model).cpu().float().requires_grad_(False).eval()
        self.normalization, self.flow_channels = recognizer.data.normalization, recognizer.data.flow_channels
        self.temperature = recognizer.temperature
        # The state of a model without memory is empty and is not part of the graph.
        self.carried = [bool(part.numel()) for part in self.model.initial_state(1)]
        self.state_shapes = [tuple(part.shape[1:]) for part in self.model.initial_state(1) if part.numel()]
        # Results for a frame in the order of `forward`: names, and shapes without the B in front.
        self.result_shapes: dict[str, tuple[int, ...]] = {"scores": (model.num_classes,)}
        self.result_shapes |= {"attention": model.grid} if model.attends else {}
        self.result_shapes |= {"windows": (len(model.lengths), model.num_classes)} if model.lengths else {}
        states = [f"state_{i}" for i in range(len(self.state_shapes))]
        self.inputs = ["frame", *states]
        self.outputs = [*self.result_shapes, *(f"next_{name}" for name in states)]

    def example(self, batch_size: int) -> tuple[Tensor, ...]:
        """Inputs of the right shapes and types.

        All tensors are distinct: the exporter would merge inputs that are the same tensor, as H and C of zeros are, and
        leave the memory out of the graph.
        """
        frame = torch.randint(256, (batch_size, *[self.model.size] * 2, self.model.in_channels)).to(torch.uint8)
        return frame, *(torch.rand(batch_size, *shape) for shape in self.state_shapes)

    def forward(self, frame: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Frames `B H W C` uint8 and states to results and new states."""
        features = self.model.encode(to_video(frame, self.normalization, self.flow_channels))
        # `len(frame)` would fix the number of streams in the graph.
        zeros, given = self.model.initial_state(frame.shape[0]), iter(states)
        state = type(zeros)(*(next(given) if has else part for has, part in zip(self.carried, zeros, strict=True)))
        output, state = self.model.step_features(features, state)
        windows = None if output.windows is None else output.windows.scores
        results = [part for part in (output.attention, windows) if part is not None]
        after = (part for part, carried in zip(state, self.carried, strict=True) if carried)
        return (output.logits / self.temperature).softmax(-1), *results, *after


class ExportedStep:
    """An exported step on the CPU: `step.onnx` in a folder.

    Raises:
        ValueError: damaged, or not the file that step.json describes.
    """

    def __init__(self, folder: Path | str) -> None:
        path, record = Path(folder, STEP), Path(folder, DESCRIPTION)
        check_regular(path)
        if record.exists():  # while it is exported there is none yet
            with reading(record):
                digest = field_of(field_of(read_json(record), "files", dict), STEP, dict).get("sha256")
            check_digest(path, digest, record)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._states = {each.name: each.shape[1:] for each in self._session.get_inputs() if "state_" in each.name}
        self._outputs = [each.name for each in self._session.get_outputs()]

    def feeds(self, frame: NDArray[np.uint8], state: tuple[Array, ...] | None = None) -> dict[str, Array]:
        """What the graph takes, by name, for frames `B H W C` uint8; without a state these are the first."""
        zeros = [np.zeros((len(frame), *shape), np.float32) for shape in self._states.values()]
        return {"frame": frame, **dict(zip(self._states, zeros if state is None else state, strict=True))}

    def step(self, frame: NDArray[np.uint8], state: tuple[Array, ...] | None = None) -> StepOutput:
        """One frame `B H W C` uint8 of each stream; begin with None, and pass on the state that comes back."""
        outputs = dict(zip(self._outputs, self._session.run(None, self.feeds(frame, state)), strict=True))
        after = tuple(value for name, value in outputs.items() if name.startswith("next_state_"))
        return StepOutput(outputs["scores"], outputs.get("attention"), outputs.get("windows"), after)


def write_graph(step: PixelStep, path: Path) -> None:
    """Write the graph as one file, for any number of streams.

    Raises:
        RuntimeError: the packages for exporting are not installed.
        ValueError: an operation that ONNX does not support, or an encoder that only takes the batch it was built for.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ImportError as error:
            raise RuntimeError(f'{name} is not installed; pip install "onlooker[export]"') from error
    inputs, batch = step.example(2), {0: torch.export.Dim("B")}
    try:
        # `forward` takes one tensor and a variable number of others: their shapes are given the same way.
        shapes = (batch, *(((batch,) * (len(inputs) - 1),) if len(inputs) > 1 else ()))
        torch.onnx.export(
            step, inputs, str(path), dynamo=True, external_data=False, verbose=False,
            input_names=step.inputs, output_names=step.outputs, dynamic_shapes=shapes,
        )  # fmt: skip
        if not import_module("onnx").load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param:
            raise ValueError("it depends on the number of streams")
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        raise inexpressible(step.model, error) from error


def inexpressible(model: VideoModel, error: Exception) -> ValueError:
    """The error for a model that the exporter or onnxruntime rejects."""
    encoder, cell = type(model.encoder).__name__, type(getattr(model, "cell", model)).__name__
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    what = f"a model with encoder {encoder} and cell {cell} cannot be written as ONNX ({reason})"
    return ValueError(f"{what}; conv4 and most timm networks can")
