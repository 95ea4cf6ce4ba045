"""Export one step of a trained model for programs with onnxruntime and without PyTorch: write, verify, quantize, test.

Such a program only resizes frames; `step.json` holds everything that it needs, as plain values.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import onlooker
from onlooker.data.folder import find_clips
from onlooker.data.samples import Sample, read_sample
from onlooker.data.split import Split, copies_of
from onlooker.data.transforms import NORMALIZATIONS, to_video
from onlooker.ensemble import is_ensemble
from onlooker.files import explain_write_errors, file_digest, read_json, reading, whole_folder, write_json
from onlooker.onnx_step import (
    DESCRIPTION,
    INT8,
    STEP,
    ExportedStep,
    PixelStep,
    check_installed,
    inexpressible,
    write_graph,
)
from onlooker.recognizer import Recognizer, load, trained_run
from onlooker.settings import field_of
from onlooker.structures import Clip, ClipError

__all__ = ["TOLERANCE", "export", "export_run", "verify"]

TOLERANCE = 1e-4  # of probabilities, attention and evidence, against the model itself
_COMPARED = 100  # consecutive frames: small differences may accumulate in the state
_CALIBRATION = 16  # clips that determine the ranges of activations


def export(
    recognizer: Recognizer,
    folder: Path | str,
    quantize: bool = False,
    calibration: Sequence[Path] = (),
    clips: Sequence[Clip] = (),
) -> Path:
    """Write `step.onnx` and `step.json`, and with `quantize` `step.int8.onnx`, into a folder.

    The exported step is compared with the model over 100 frames before the folder is changed.

    Args:
        folder: an earlier export in it is replaced when this one is complete.
        quantize: also write the step with 8-bit weights and activations of convolutions and matrix products.
        calibration: clips that determine the ranges of activations, of which 16 are used; best the training clips.
            Required to quantize.
        clips: for evaluating the files, with frames sampled as by `Recognizer.predict`.

    Raises:
        ValueError: a model without a step, or one that ONNX cannot express; a step that differs by more than 1e-4; no
            calibration clips; or clips of unknown classes.
        ClipError: none of the clips can be read.
        RuntimeError: the packages for exporting are not installed.
        FileExistsError, DiskFullError, NotWritableError: the folder holds other files, or cannot be written to.
    """
    check_installed()
    folder = Path(folder)
    if quantize and not calibration:
        raise ValueError("8 bits need clips to take the ranges of activations from; give calibration clips")
    if unknown := sorted({clip.label for clip in clips} - set(recognizer.classes)):
        raise ValueError(f"clips of classes {', '.join(unknown)}; the model knows {', '.join(recognizer.classes)}")
    if folder.exists() and (others := {path.name for path in folder.iterdir()} - {STEP, INT8, DESCRIPTION}):
        raise FileExistsError(f"{folder}: holds {min(others)}, which is not of an export; choose another folder")
    step = PixelStep(recognizer)
    with explain_write_errors("the exported step", folder), whole_folder(folder) as draft:
        draft.mkdir(parents=True)
        files: dict[str, dict[str, Any]] = {STEP: {}}
        with _quiet():
            write_graph(step, draft / STEP)
            difference = verify(recognizer, draft)
            if quantize:
                # Calibration uses no labels, but whoever reads the accuracy should know.
                shared = bool(set(calibration) & {clip.path for clip in clips})
                files[INT8] = {**_quantize(recognizer, draft, calibration), "calibrated_on_tested": shared}
        description = _describe(recognizer, step)
        description["compared"] = {"frames": _COMPARED, "largest_difference": difference}
        if clips:
            description["tested"] = _test(recognizer, draft, files, clips)
        for name, figures in files.items():
            figures |= {"bytes": (draft / name).stat().st_size, "sha256": file_digest(draft / name)}
        write_json(draft / DESCRIPTION, description | {"files": files})
    return folder


def export_run(run: Path, out: Path | None = None, quantize: bool = False, clips: Path | None = None) -> dict[str, Any]:
    """Export a trained run, and evaluate the exported files on a folder of new clips.

    Quantization is calibrated on the training clips; if they are gone, on `clips`, without their labels.

    Args:
        out: a folder; None: `export` in the run.
        clips: a folder of clips, one sub-folder per class; training and validation clips of the run are left out.

    Returns:
        The content of step.json.

    Raises:
        FileNotFoundError: no trained model there.
        ValueError: as `export`; or an ensemble.
        ClipError: missing clips, or none that can be read and is new to the model.
    """
    if is_ensemble(run):
        raise ValueError(f"{run}: an ensemble; export its members, such as {run / 'member-0'}")
    recognizer = load(run, "cpu")
    candidates = find_clips(clips, classes=1) if clips else []
    training, known = _training_clips(run, candidates)
    new = [clip for clip in candidates if clip not in known]
    if clips and not new:
        raise ClipError(clips, "the model was trained on all of these clips", "give clips that are new to it")
    calibration = [path for path in training if path.exists()] or [clip.path for clip in new]
    if quantize and not calibration:
        raise ClipError(run, "its training clips are gone", "give other clips by --clips, to quantize with")
    folder = export(recognizer, out or run / "export", quantize, calibration, new)
    values: dict[str, Any] = read_json(folder / DESCRIPTION)
    return values


def _training_clips(run: Path, clips: Sequence[Clip]) -> tuple[list[Path], list[Clip]]:
    """Training and validation clips of a run, and those of `clips` that are among them or copies of them."""
    run = trained_run(run)
    if not ((run / "split.json").exists() and (run / "config.json").exists()):
        return [], []  # a model folder alone
    values = read_json(run / "split.json")
    with reading(run / "config.json"):
        folder = Path(field_of(read_json(run / "config.json"), "clips", str))
    with reading(run / "split.json"):
        split = Split.from_dict(values, folder)
    return [clip.path for clip in (*split.training, *split.validation)], copies_of(values, clips)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages and warnings of the exporter and the quantizer."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@torch.inference_mode()
def verify(recognizer: Recognizer, folder: Path) -> float:
    """Compare an exported step with its model over 100 random frames, each with the state of the frames before.

    Returns:
        The largest difference of a probability, an attention weight or a frame's evidence.

    Raises:
        ValueError: it is above 1e-4, or onnxruntime cannot run the graph.
    """
    data, rng = recognizer.data, np.random.default_rng(0)
    # On the CPU: a GPU may compute convolutions with reduced precision, which differs by more than the tolerance.
    model, state, exported_state, differences = copy.deepcopy(recognizer.model).cpu(), None, None, [0.0]
    try:
        exported = ExportedStep(folder)
        for _ in range(_COMPARED):
            frame = rng.integers(256, size=(1, data.size, data.size, data.in_channels), dtype=np.uint8)
            output, state = model.step(to_video(torch.from_numpy(frame), data.normalization, data.flow_channels), state)
            answer = exported.step(frame, exported_state)
            exported_state = answer.state
            expected = ((output.logits / recognizer.temperature).softmax(-1), output.attention, output.evidence)
            pairs = zip(expected, answer[:3], strict=True)
            differences += [np.abs(a.numpy() - b).max() for a, b in pairs if a is not None and b is not None]
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise inexpressible(model, error) from error
    if not (largest := float(np.max(differences))) <= TOLERANCE:  # NumPy propagates NaN
        raise ValueError(
            f"the exported step differs from the model by {largest:.2g} over {_COMPARED} frames, expected at most "
            f"{TOLERANCE:g}; nothing is written"
        )
    return largest


def _describe(recognizer: Recognizer, step: PixelStep) -> dict[str, Any]:
    """Everything that a program needs to run the graph, as plain values."""
    data, model = recognizer.data, step.model
    channels = data.in_channels - data.flow_channels
    mean, std = (list(values[:channels]) for values in NORMALIZATIONS[data.normalization])
    flow = {"channels": data.flow_channels, "method": data.flow, "limit": data.flow_limit}
    times = {name: getattr(recognizer.localization, name) for name in ("onset", "level", "score_smoothing")}
    return {
        "onlooker": onlooker.__version__,
        "classes": list(recognizer.classes),
        "aggregation": recognizer.aggregation,
        "temperature": recognizer.temperature,  # applied inside the graph; for information
        "frames": data.frames,
        "frame_rate": recognizer.frame_rate,  # of the frames that the model was trained on; None: every frame
        "threshold": recognizer.threshold,  # an event that is less probable is not reported; None: no threshold
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
        "first": "first" if step.has_learned_init else None,
        "state": {
            f"state_{i}": {"shape": ["B", *shape], "next": f"next_state_{i}"}
            for i, shape in enumerate(step.state_shapes)
        },
        "outputs": {name: ["B", *shape] for name, shape in step.result_shapes.items()},
        # For a program that decides whether the event happens as `localization.online.update_event` does.
        "happening": times if model.has_evidence else None,
    }


def _quantize(recognizer: Recognizer, folder: Path, calibration: Sequence[Path]) -> dict[str, Any]:
    """Write the 8-bit step next to the float one; returns how it was calibrated and how much it differs.

    Static quantization with ranges from clips: dynamic ranges reduce the size of convolutions but not their time.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    chosen = [calibration[i] for i in np.unique(np.linspace(0, len(calibration) - 1, _CALIBRATION).astype(int))]
    samples, _ = _read(chosen, recognizer)
    clips = [sample.pixels[sample.temporal_crops[0]] for sample in samples.values()]
    exported = ExportedStep(folder)
    steps = [step for frames in clips for step in exported.run(frames)]

    class Frames(CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = (feeds for feeds, _ in steps)

        def get_next(self) -> Any:
            return next(self.feeds, None)

    graph = onnx.load(folder / STEP)
    # The quantizer transposes weights, which would contradict the stored shapes.
    del graph.graph.value_info[:]
    plain = folder / "plain.onnx"
    onnx.save(graph, plain)
    quant_pre_process(str(plain), str(plain), skip_symbolic_shape=True)
    quantize_static(
        str(plain),
        str(folder / INT8),
        Frames(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    plain.unlink()
    small = ExportedStep(folder, INT8)
    quantized = [output for frames in clips for _, output in small.run(frames)]
    differences = [np.abs(a.scores - b.scores).max() for (_, a), b in zip(steps, quantized, strict=True)]
    return {
        "calibration_clips": len(clips),
        "calibration_frames": len(differences),
        "largest_difference": float(max(differences)),
    }


def _read(paths: Sequence[Path], recognizer: Recognizer) -> tuple[dict[Path, Sample], list[ClipError]]:
    """The samples of those clips that can be read, and the errors of the others; the first one if none can be read."""
    samples, skipped = dict[Path, Sample](), list[ClipError]()
    for path in paths:
        try:
            samples[path] = read_sample(path, recognizer.data)
        except ClipError as error:
            skipped.append(error)
    if not samples:
        raise skipped[0]
    return samples, skipped


def _test(
    recognizer: Recognizer, folder: Path, files: dict[str, dict[str, Any]], clips: Sequence[Clip]
) -> dict[str, Any]:
    """Add the accuracy of each file to its entry; returns the number of clips, and those that could not be read."""
    labels = {clip.path: clip.label for clip in clips}
    samples, skipped = _read([*labels], recognizer)
    for name, figures in files.items():
        exported, correct = ExportedStep(folder, name), 0
        for path, sample in samples.items():
            of_crops = [np.concatenate([output.scores for _, output in exported.run(sample.pixels[crop])])
                        for crop in sample.temporal_crops]  # fmt: skip
            scores = np.mean([recognizer.aggregate(of_crop) for of_crop in of_crops], 0)
            correct += recognizer.classes[int(scores.argmax())] == labels[path]
        figures["accuracy"] = correct / len(samples)
    return {"clips": len(samples), "skipped": [str(error) for error in skipped]}
