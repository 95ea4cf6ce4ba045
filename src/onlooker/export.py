"""Export one step of a trained model for programs without PyTorch: write and verify.

Such a program only resizes frames; `step.json` holds everything that it needs, as plain values.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import onlooker
from onlooker.answer import nothing_name
from onlooker.config import StreamConfig
from onlooker.data.transforms import NORMALIZATIONS, to_video
from onlooker.files import explain_write_errors, file_digest, read_json, whole_folder, write_json
from onlooker.onnx_step import DESCRIPTION, STEP, ExportedStep, PixelStep, inexpressible, write_graph
from onlooker.recognizer import Recognizer, load

__all__ = ["TOLERANCE", "export", "export_run", "verify"]

TOLERANCE = 1e-4  # of probabilities and attention, against the model itself
_COMPARED = 100  # consecutive frames: small differences may accumulate in the state
_FILES = {STEP, DESCRIPTION}


def export(recognizer: Recognizer, folder: Path | str) -> Path:
    """Write `step.onnx` and `step.json` into a folder.

    The exported step is compared with the model over 100 frames before the folder is changed.

    Args:
        folder: an earlier export in it is replaced when this one is complete.

    Raises:
        ValueError: a model without a step, or one that ONNX cannot express; a step that differs by more than 1e-4.
        RuntimeError: the packages for exporting are not installed.
        FileExistsError, DiskFullError, NotWritableError: the folder holds other files, or cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and (others := {path.name for path in folder.iterdir()} - _FILES):
        raise FileExistsError(f"{folder}: holds {min(others)}, which is not of an export; choose another folder")
    step = PixelStep(recognizer)
    with explain_write_errors("the exported step", folder), whole_folder(folder) as draft, _quiet():
        draft.mkdir(parents=True)
        graph = draft / STEP
        write_graph(step, graph)
        compared = verify(recognizer, draft)
        file = {"bytes": graph.stat().st_size, "sha256": file_digest(graph)}
        write_json(draft / DESCRIPTION, _describe(recognizer, step) | {"compared": compared, "files": {STEP: file}})
    return folder


def export_run(run: Path, out: Path | None = None) -> dict[str, Any]:
    """Export a trained run.

    Args:
        out: a folder; None: `export` in the run.

    Returns:
        The content of step.json.

    Raises:
        FileNotFoundError: no trained model there.
        ValueError: as `export`.
    """
    folder = export(load(run, "cpu"), out or run / "export")
    values: dict[str, Any] = read_json(folder / DESCRIPTION)
    return values


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages and warnings of the exporter."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


@torch.inference_mode()
def verify(recognizer: Recognizer, folder: Path) -> dict[str, Any]:
    """Compare an exported step with its model over 100 random frames, each with the state of the frames before.

    Returns:
        The largest difference of a probability or an attention weight, and the median milliseconds of a frame by
        onnxruntime and by PyTorch, in turn.

    Raises:
        ValueError: it is above 1e-4, or onnxruntime cannot run the file.
    """
    data, rng, state, differences = recognizer.data, np.random.default_rng(0), None, [0.0]
    # On the CPU: a GPU may compute convolutions with reduced precision, which differs by more than the tolerance.
    model, shape = copy.deepcopy(recognizer.model).cpu(), (data.size, data.size, data.in_channels)
    frames = (rng.integers(256, size=shape, dtype=np.uint8) for _ in range(_COMPARED))
    try:
        exported, seconds, answer = ExportedStep(folder), list[tuple[float, float]](), None
        for frame in frames:
            begin = perf_counter()
            answer = exported.step(frame[None], answer and answer.state)
            between = perf_counter()
            video = to_video(torch.from_numpy(frame[None]), data.normalization, data.flow_channels)
            output, state = model.step(video, state)
            windows = None if output.windows is None else output.windows.scores
            expected = ((output.logits / recognizer.temperature).softmax(-1), output.attention, windows)
            seconds.append((between - begin, perf_counter() - between))
            pairs = zip(expected, answer[:3], strict=True)
            differences += [np.abs(a.numpy() - b).max() for a, b in pairs if a is not None and b is not None]
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise inexpressible(model, error) from error
    if not (largest := float(np.max(differences))) <= TOLERANCE:  # NumPy propagates NaN
        found = f"differs from the model by {largest:.2g} over {_COMPARED} frames"
        raise ValueError(f"the exported step {found}, expected at most {TOLERANCE:g}; nothing is written")
    engine, pytorch = np.round(1000 * np.median(seconds, 0), 3).tolist()
    return {
        "frames": _COMPARED,
        "largest_difference": largest,
        "milliseconds": engine,
        "pytorch_milliseconds": pytorch,
    }


def _describe(recognizer: Recognizer, step: PixelStep) -> dict[str, Any]:
    """Everything that a program needs to run the graph, as plain values."""
    data = recognizer.data
    channels = data.in_channels - data.flow_channels
    mean, std = (list(values[:channels]) for values in NORMALIZATIONS[data.normalization])
    least = recognizer.event_threshold(StreamConfig.alarms_per_hour)
    flow = {"channels": data.flow_channels, "method": "dis", "limit": data.flow_limit}
    return {
        "onlooker": onlooker.__version__,
        "classes": list(recognizer.classes),
        "aggregation": recognizer.aggregation,
        "temperature": recognizer.temperature,  # applied inside the graph; for information
        "frames": data.frames,
        "frame_rate": recognizer.frame_rate,  # of the frames that the model was trained on; None: every frame
        "threshold": recognizer.threshold,  # an event that is less probable is not reported; None: no threshold
        "nothing": nothing_name(recognizer.classes, recognizer.nothing),  # what is answered then
        "batch": "any",
        "frame": {
            "shape": ["B", data.size, data.size, data.in_channels],
            "size": data.size,
            "image": {0: None, 1: "gray", 3: "RGB"}[channels],
            "flow": flow if data.flow_channels else None,
            # Applied inside the graph to pixel values / 255; for information.
            "mean": mean,
            "std": std,
        },
        "state": {
            f"state_{i}": {"shape": ["B", *shape], "next": f"next_state_{i}"}
            for i, shape in enumerate(step.state_shapes)
        },
        "outputs": {name: ["B", *shape] for name, shape in step.result_shapes.items()},
        # A program that finds events does as `stream.events.Finder` with these windows, in frames, and this threshold.
        "events": {"lengths": list(step.model.lengths), "threshold": least} if step.model.lengths else None,
    }
