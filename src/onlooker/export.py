"""One step of a trained model as an ONNX graph for programs without PyTorch: traced, verified and
written.

The graph takes pixels as bytes and contains normalization, encoder, one step of the cell, and the
classes. A program only resizes frames; `step.json` holds everything else that it needs, as plain
values.
"""

import copy
import shutil
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import onlooker
from onlooker.base.config import DataConfig
from onlooker.base.files import (
    explain_write_errors,
    file_digest,
    whole_folder,
    write_json,
)
from onlooker.data.transforms import to_video
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer
from onlooker.stream.segmenters.semi_markov import SemiMarkovSegmenter
from onlooker.video.motion_words import VERSION, WORDS
from onlooker.video.rates import RATE

STEP = "step.onnx"
DESCRIPTION = "step.json"
MOTION_WORDS = "motion-words.safetensors"
OPSET = 20  # runs with onnxruntime 1.17 (docs/export.md)
TOLERANCE = 1e-4  # of probabilities and attention, against the model itself
_COMPARED_FRAMES = 100  # consecutive frames: small differences may accumulate in the state


def export(recognizer: Recognizer, folder: Path | str, *, opset: int = OPSET) -> Path:
    """Write `step.onnx` and `step.json` into a folder; for a model with motion words, also the file
    with which a program computes them.

    The exported step is compared with the model over 100 frames before the folder is changed.

    Args:
        folder: an earlier export in it is replaced when this one is complete.
        opset: the version of ONNX's operators. Older programs need a lower one.

    Raises:
        ValueError: a model without a step on RGB frames, or one that this version of ONNX cannot
            express; a step that differs by more than 1e-4.
        RuntimeError: the packages for exporting are not installed.
        FileExistsError, DiskFullError, NotWritableError: the folder holds other files, or cannot be
            written to.
    """
    folder = Path(folder)
    if folder.exists() and (
        foreign := {path.name for path in folder.iterdir()} - {STEP, DESCRIPTION, MOTION_WORDS}
    ):
        raise FileExistsError(
            f"{folder}: holds {min(foreign)}, which is not of an export; choose another folder"
        )
    step = _PixelStep(recognizer)
    for name in ("onnx", "onnxscript"):
        if find_spec(name) is None:
            raise RuntimeError(f'{name} is not installed; pip install "onlooker[export]"')
    with explain_write_errors("the exported step", folder), whole_folder(folder) as draft:
        draft.mkdir(parents=True)
        graph = draft / STEP
        try:
            with warnings.catch_warnings(action="ignore"):  # of the exporter
                program = _trace(step, opset)
            compared = {"frames": _COMPARED_FRAMES, "largest_difference": verify(step, program)}
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise _inexpressible(step.model, opset, error) from error
        if not compared["largest_difference"] <= TOLERANCE:  # NaN, too
            problem = f"differs from the model by {compared['largest_difference']:.2g}"
            raise ValueError(
                f"the exported step {problem} over {_COMPARED_FRAMES} frames, expected at most "
                f"{TOLERANCE:g}; nothing is written"
            )
        program.save(graph, external_data=False)
        if "motion" in step.eyes:
            shutil.copyfile(WORDS, draft / MOTION_WORDS)
        file = {"bytes": graph.stat().st_size, "sha256": file_digest(graph)}
        write_json(
            draft / DESCRIPTION,
            _describe(recognizer, step, opset) | {"compared": compared, "files": {STEP: file}},
        )
    return folder


class _PixelStep(nn.Module):
    """`VideoModel.step` from bytes to probabilities, with plain tensors as inputs and outputs: the
    exported graph.

    Args:
        recognizer: its model is copied to the CPU: a GPU may compute convolutions with reduced
            precision.

    Raises:
        ValueError: a model without a step on RGB frames.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        model = recognizer.model
        if recognizer.data.modality != "rgb" or not (model.encodes_frames and model.streams):
            remedy = "train the default model, `onlooker train CLIPS`"
            raise ValueError(f"this model has no step on single RGB frames to export; {remedy}")
        self.model = copy.deepcopy(model).cpu().float().requires_grad_(False).eval()
        self.data = recognizer.data
        self.decision = recognizer.decision
        # The state of a model without memory is empty and is not part of the graph.
        parts = self.model.initial_state(1)
        self.carried = [bool(part.numel()) for part in parts]
        self.states = {
            f"state_{i}": part.shape[1:]
            for i, part in enumerate(part for part in parts if part.numel())
        }
        self.eyes = {name: (1 + count,) for name, count in model.eyes.items()}
        # Results for a frame in the order of `forward`: names, and shapes without the B in front.
        self.results: dict[str, tuple[int, ...]] = {"scores": (model.num_classes,)}
        if model.attends:
            self.results["attention"] = (
                model.grid if model.views == 1 else (model.views, *model.grid)
            )
        self.segmenter: SemiMarkovSegmenter | None = None
        if states := model.heads.outputs("state"):
            self.segmenter = SemiMarkovSegmenter(
                self.decision, model.lengths, self.decision.frame_rate or RATE
            )
            self.results["states"] = (states,)
            # scores of the last `delay` frames, and whether there were such frames
            waiting = (self.segmenter.delay, len(model.lengths), states + 1)
            self.states[f"state_{len(self.states)}"] = waiting
        elif model.lengths:
            self.results["windows"] = (len(model.lengths), model.num_classes)

    def forward(self, frame: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Frames `B H W C` uint8, the features `B 1+F` of other eyes of the model, and states to
        results and new states.
        """
        features = self.model.encode(to_video(frame, self.data.normalization))
        # `len(frame)` would fix the number of streams in the graph.
        zeros = self.model.initial_state(frame.shape[0])
        given = iter(inputs)
        others = {name: next(given) for name in self.eyes}
        state = type(zeros)(
            *(
                next(given) if carried else part
                for part, carried in zip(zeros, self.carried, strict=True)
            )
        )
        output, state = self.model.step_features(features, state, others)
        results = {"scores": self.decision.probabilities(output.logits)}
        after = [part for part, carried in zip(state, self.carried, strict=True) if carried]
        if output.attention is not None:
            results["attention"] = output.attention
        if output.windows is not None:
            results["windows"] = self.decision.calibrated(output.windows.scores)
        if output.states is not None and self.segmenter is not None:
            parts = torch.cat((next(given), F.pad(output.states, (0, 1), value=1.0)[:, None]), 1)
            after.append(parts[:, 1:])
            results["states"] = self._probabilities(self.segmenter, parts)
            by_class = [results["states"][:, x].prod(-1) for x in self.segmenter.positions]
            results["scores"] = torch.stack(by_class, -1)
        return *results.values(), *after

    def _probabilities(self, segmenter: SemiMarkovSegmenter, parts: Tensor) -> Tensor:
        """Probabilities of the outputs of the state layer, `B R`, at the frame whose windows are
        complete now, as in `SemiMarkovSegmenter.step`; uniform before the first such frame.

        `parts`: of the windows of the last frames, `B delay+1 L R+1`.
        """
        logits = sum(parts[:, offset, place] for place, offset in enumerate(segmenter.offsets))
        assert isinstance(logits, Tensor)
        logits = logits * parts[:, 0, 0, -1:]
        return torch.cat([logits[:, columns].softmax(-1) for columns in segmenter.columns], -1)


def _trace(step: _PixelStep, opset: int) -> torch.onnx.ONNXProgram:
    """The graph, for any number of streams, in the oldest format that has these operators."""
    size = step.data.size
    frame = torch.randint(256, (2, size, size, step.data.in_channels)).to(torch.uint8)
    # random: the exporter would merge states that are equal, such as H and C of zeros, and one of
    # them would be missing in the graph
    inputs = step.eyes | step.states
    tensors = tuple(torch.rand(2, *shape) for shape in inputs.values())
    batch = {0: torch.export.Dim("B")}
    # `forward` takes one tensor and a variable number of others: their shapes are given the same
    # way.
    shapes = (batch, (batch,) * len(tensors)) if tensors else (batch,)
    nexts = (f"next_{name}" for name in step.states)
    program = torch.onnx.export(
        step,
        (frame, *tensors),
        dynamo=True,
        verbose=False,
        input_names=["frame", *inputs],
        output_names=[*step.results, *nexts],
        dynamic_shapes=shapes,
        opset_version=opset,
    )
    assert program is not None
    shape: Any = program.model.graph.inputs[0].shape
    if isinstance(shape[0], int):
        raise ValueError("it depends on the number of streams")
    if (written := program.model.opset_imports[""]) != opset:
        raise ValueError(f"PyTorch writes opset {written} instead")
    helper = import_module("onnx.helper")
    oldest = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    program.model.ir_version = min(program.model.ir_version, oldest)
    return program


def _inexpressible(model: VideoModel, opset: int, error: Exception) -> ValueError:
    """The error for a model that the exporter or onnxruntime rejects."""
    encoder = type(model.encoder).__name__
    cell = type(getattr(model, "cell", model)).__name__
    reason = next(
        (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
    what = (
        f"a model with encoder {encoder} and cell {cell} cannot be written as ONNX of opset {opset}"
    )
    return ValueError(f"{what} ({reason}); conv4 and most timm networks can, with opset {OPSET}")


@torch.inference_mode()
def verify(step: _PixelStep, program: torch.onnx.ONNXProgram) -> float:
    """The largest difference of a probability or an attention weight between a step and its graph,
    over 100 random frames, each with the state of the frames before; NaN if one is.
    """
    program.initialize_inference_session(_on_cpu)
    chance = torch.Generator().manual_seed(0)
    size = step.data.size
    shape = (1, size, size, step.data.in_channels)
    count = len(step.results)
    before: Sequence[Tensor] = [torch.zeros(1, *state) for state in step.states.values()]
    exported_before = before
    differences = list[Tensor]()
    for _ in range(_COMPARED_FRAMES):
        frame = torch.randint(256, shape, generator=chance).to(torch.uint8)
        # in most frames, no block ends
        blocks = torch.randint(-2, 3, (1, 1), generator=chance).clamp_min(0)
        motion = [
            blocks * torch.randn(1, *part, generator=chance).abs() for part in step.eyes.values()
        ]
        expected = step(frame, *motion, *before)
        exported = program(frame, *motion, *exported_before)
        pairs = zip(expected[:count], exported[:count], strict=True)
        differences += [(ours - theirs).abs().max() for ours, theirs in pairs]
        before = expected[count:]
        exported_before = exported[count:]
    return float(torch.stack(differences).max())


def _on_cpu(model: str | bytes) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session of onnxruntime: a GPU may compute with reduced precision."""
    return import_module("onnxruntime").InferenceSession(model, providers=["CPUExecutionProvider"])


def _views(data: DataConfig) -> dict[str, list[str]]:
    """What the channels of a frame show, one after another, unless it is the frame alone: pictures,
    the frame; actor, its crop by `localization.crop.next_crop`, resized likewise.
    """
    return {} if data.views == ("pictures",) else {"views": [*data.views]}


def _describe(recognizer: Recognizer, step: _PixelStep, opset: int) -> dict[str, Any]:
    """Everything that a program needs to run the graph, as plain values."""
    data = recognizer.data
    decision = recognizer.decision
    return {
        "onlooker": onlooker.__version__,
        **decision.to_dict(),  # its temperature is applied inside the graph
        "nothing": decision.nothing_name,  # the name of this answer, also if it is no class
        "frames": data.frames,
        "opset": opset,
        "batch": "any",
        "frame": {
            "shape": ["B", data.size, data.size, data.in_channels],
            "size": data.size,
            "image": {1: "gray", 3: "RGB"}[data.channels],
        }
        | _views(data),
        # the words depend on the version of `video/motion_words.py`
        "motion": {
            "shape": ["B", *step.eyes["motion"]],
            "words": MOTION_WORDS,
            "version": VERSION,
        }
        if "motion" in step.eyes
        else None,
        "state": {
            name: {"shape": ["B", *shape], "next": f"next_{name}"}
            for name, shape in step.states.items()
        },
        "outputs": {name: ["B", *shape] for name, shape in step.results.items()},
        # A program that finds bouts does as `SemiMarkovSegmenter`, with the tiers of `states` and
        # the output `states`, which is `delay` frames late.
        "bouts": {"delay": step.segmenter.delay, "rate": step.segmenter.rate}
        if step.segmenter
        else None,
        # A program that finds events does as `WindowSegmenter` with these windows, in frames,
        # and this threshold.
        "events": {
            "lengths": list(step.model.lengths),
            "threshold": decision.event_threshold(),
        }
        if "windows" in step.results
        else None,
    }
