"""Export one step of a trained model for programs with onnxruntime and without PyTorch: write, verify, quantize, test.

Such a program only resizes frames; `step.json` holds everything that it needs, as plain values.
"""

import copy
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

import onlooker
from onlooker.config import DataConfig
from onlooker.data.folder import find_clips
from onlooker.data.samples import Sample, read_sample
from onlooker.data.split import Split, copies_of
from onlooker.data.transforms import NORMALIZATIONS, to_video
from onlooker.ensemble import Ensemble, is_ensemble
from onlooker.files import explain_write_errors, file_digest, read_json, reading, write_json
from onlooker.models.video_model import VideoModel
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

TOLERANCE = 1e-4  # of probabilities, attention and evidence, against the model itself
_COMPARED = 100  # consecutive frames: small differences may accumulate in the state
_CALIBRATION = 16  # clips that determine the ranges of activations
_QUANTIZED = ["Conv", "Gemm", "MatMul"]


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
        folder: created if necessary. Files of an earlier export are replaced, all or none.
        quantize: also write the step with 8-bit weights and activations of convolutions and matrix products.
        calibration: clips that determine the ranges of activations, of which 16 are used; best the training clips.
            Required to quantize.
        clips: for evaluating the files, with frames sampled as by `Recognizer.predict`.

    Raises:
        ValueError: a model without a step, or one that ONNX cannot express; a step that differs by more than 1e-4; no
            calibration clips; or clips of unknown classes.
        ClipError: none of the clips can be read.
        RuntimeError: the packages for exporting are not installed.
        DiskFullError, NotWritableError: the folder cannot be written to; an earlier export stays.
    """
    check_installed()
    if isinstance(recognizer, Ensemble):
        raise ValueError("an ensemble has no single step; export each of its members")
    if quantize and not calibration:
        raise ValueError("8 bits need clips to take the ranges of activations from; give calibration clips")
    if unknown := sorted({clip.label for clip in clips} - set(recognizer.classes)):
        raise ValueError(f"clips of classes {', '.join(unknown)}; the model knows {', '.join(recognizer.classes)}")
    step, folder = PixelStep(recognizer), Path(folder)
    with explain_write_errors("the exported step", folder), _draft(folder) as draft:
        with _quiet():
            batch = write_graph(step, draft / STEP)
            difference = verify(recognizer, draft)
            files: dict[str, dict[str, Any]] = {STEP: {}}
            if quantize:
                files[INT8] = _quantize(recognizer, draft, calibration)
                # Calibration uses no labels, but whoever reads the accuracy should know.
                files[INT8]["calibrated_on_tested"] = bool(set(calibration) & {clip.path for clip in clips})
        tested = {"tested": _test(recognizer, draft, files, clips)} if clips else {}
        for name, figures in files.items():
            figures |= {"bytes": (draft / name).stat().st_size, "sha256": file_digest(draft / name)}
        compared = {"frames": _COMPARED, "largest_difference": difference}
        description = _describe(recognizer, step, batch) | {"compared": compared, **tested, "files": files}
        write_json(draft / DESCRIPTION, description)
        _move(draft, folder)
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
def _draft(folder: Path) -> Iterator[Path]:
    """A temporary folder next to `folder`, removed at the end, for one export at a time.

    Raises:
        ValueError: another process exports to the same folder.
    """
    draft = folder.with_name(f".{folder.name}.part")
    draft.mkdir(parents=True, exist_ok=True)
    lock = FileLock(draft / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"{folder}: another export is being written to it; wait for it, or choose another") from error
    try:
        # Files that a killed export has left are next to this folder, and are removed with it.
        with tempfile.TemporaryDirectory(dir=draft) as files:
            yield Path(files)
    finally:
        lock.release()
        shutil.rmtree(draft, ignore_errors=True)


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
    # On the CPU: a GPU may compute convolutions with reduced precision, which differs by more than the tolerance.
    model = copy.deepcopy(recognizer.model).cpu()
    try:
        largest = _largest_difference(model, recognizer, ExportedStep(folder))
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise inexpressible(model, error) from error
    if not largest <= TOLERANCE:
        raise ValueError(
            f"the exported step differs from the model by {largest:.2g} over {_COMPARED} frames, expected at most "
            f"{TOLERANCE:g}; nothing is written"
        )
    return largest


def _largest_difference(model: VideoModel, recognizer: Recognizer, exported: ExportedStep) -> float:
    data, temperature = recognizer.data, recognizer.temperature
    rng = np.random.default_rng(0)
    state, exported_state, largest = None, None, 0.0
    for _ in range(_COMPARED):
        frame = rng.integers(256, size=(1, data.size, data.size, data.in_channels), dtype=np.uint8)
        output, state = model.step(to_video(torch.from_numpy(frame), data.normalization, data.flow_channels), state)
        answer = exported.step(frame, exported_state)
        exported_state = answer.state
        expected = ((output.logits / temperature).softmax(-1), output.attention, output.evidence)
        pairs = [(a.numpy(), b) for a, b in zip(expected, answer[:3], strict=True) if a is not None and b is not None]
        # NumPy propagates NaN, which is not below any tolerance.
        largest = float(np.max([largest, *(np.abs(a - b).max() for a, b in pairs)]))
    return largest


def _describe(recognizer: Recognizer, step: PixelStep, batch: int | str) -> dict[str, Any]:
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
        "batch": batch,
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

    exported, skipped = ExportedStep(folder), list[ClipError]()
    chosen = [calibration[i] for i in np.unique(np.linspace(0, len(calibration) - 1, _CALIBRATION).astype(int))]
    samples = [sample for path in chosen if (sample := _read(path, recognizer.data, skipped))]
    if not samples:
        raise skipped[0]
    clips = [sample.pixels[sample.temporal_crops[0]] for sample in samples]
    steps = [step for frames in clips for step in exported.run(frames)]

    class Frames(CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = (feeds for feeds, _ in steps)

        def get_next(self) -> Any:
            return next(self.feeds, None)

    graph = onnx.load(folder / STEP)
    # The quantizer transposes weights, which would contradict the stored shapes.
    del graph.graph.value_info[:]
    plain, target = folder / "plain.onnx", folder / INT8
    onnx.save(graph, plain)
    quant_pre_process(str(plain), str(plain), skip_symbolic_shape=True)
    quantize_static(
        str(plain),
        str(target),
        Frames(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_QUANTIZED,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    plain.unlink()
    small = ExportedStep(folder, INT8)
    quantized = [output for frames in clips for _, output in small.run(frames)]
    differences = [np.abs(a.scores - b.scores).max() for (_, a), b in zip(steps, quantized, strict=True)]
    return {
        "calibration_clips": len(samples),
        "calibration_frames": len(differences),
        "largest_difference": float(max(differences)),
    }


def _read(path: Path, data: DataConfig, skipped: list[ClipError]) -> Sample | None:
    """The sample of a clip; None, with the error added to `skipped`, if it cannot be read."""
    try:
        return read_sample(path, data)
    except ClipError as error:
        skipped.append(error)
        return None


def _test(
    recognizer: Recognizer, folder: Path, files: dict[str, dict[str, Any]], clips: Sequence[Clip]
) -> dict[str, Any]:
    """Add the accuracy of each file to its entry; returns the number of clips, and those that could not be read."""
    steps = {name: ExportedStep(folder, name) for name in files}
    correct: dict[str, list[bool]] = {name: [] for name in files}
    skipped: list[ClipError] = []
    for clip in clips:
        if (sample := _read(clip.path, recognizer.data, skipped)) is None:
            continue
        for name, exported in steps.items():
            of_crops = [
                [output.scores for _, output in exported.run(sample.pixels[crop])] for crop in sample.temporal_crops
            ]
            scores = np.mean([recognizer.aggregate(np.concatenate(of_crop)) for of_crop in of_crops], 0)
            correct[name].append(recognizer.classes[int(scores.argmax())] == clip.label)
    if not correct[STEP]:
        raise skipped[0]
    for name, of_file in correct.items():
        files[name]["accuracy"] = sum(of_file) / len(of_file)
    return {"clips": len(correct[STEP]), "skipped": [str(error) for error in skipped]}


def _move(draft: Path, folder: Path) -> None:
    """Move finished files into place, the description last, so that it never describes missing files."""
    folder.mkdir(exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    for name in (STEP, INT8, DESCRIPTION):
        if (draft / name).exists():
            os.replace(draft / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
