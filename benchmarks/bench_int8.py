"""The exported step in 8 bits: time next to bfloat16 and float32, and the accuracy that 8 bits cost on real clips.

    ONLOOKER_DATA=folder python benchmarks/bench_int8.py

`encoder` is the encoder `small` alone, `step` the whole exported step of `convalstm` on it, for one frame on one core.
Accuracies are those of the default model, trained and tested as by `onlooker train`.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import onnxruntime
import torch
from bench_live import OWN_SIDE, live_model
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

import onlooker
from onlooker.export import export, export_run
from onlooker.onnx_step import INT8, STEP, ExportedStep
from onlooker.video.write import write
from onlooker_papers.real_clips.frozen import SETS
from onlooker_papers.sets import data_folder

TESTED = ("surveillance", "hand_gestures", "weizmann", "basketball")
WAYS = ("float32", "bf16", "int8")


class Frames(CalibrationDataReader):
    """Frames that determine the ranges of activations."""

    def __init__(self, frames: torch.Tensor) -> None:
        self.frames = iter(frames)

    def get_next(self) -> dict[str, Any] | None:
        frame = next(self.frames, None)
        return None if frame is None else {"frame": frame[None].numpy()}


def encoders(folder: Path) -> dict[str, Callable[[], object]]:
    """The encoder on one frame, in each precision."""
    network: nn.Module = live_model(OWN_SIDE).model.encoder.eval()
    frames = torch.randn(16, 3, OWN_SIDE, OWN_SIDE)
    plain, small = folder / "encoder.onnx", folder / "encoder.int8.onnx"
    torch.onnx.export(network, (frames[:1],), str(plain), dynamo=True, external_data=False, input_names=["frame"])
    quant_pre_process(str(plain), str(plain), skip_symbolic_shape=True)
    settings = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QDQ}
    quantize_static(str(plain), str(small), Frames(frames), **settings)
    feed = {"frame": frames[:1].numpy()}
    sessions = {name: session(path) for name, path in (("float32", plain), ("int8", small))}
    works = {f"encoder {name}": lambda run=run: run.run(None, feed) for name, run in sessions.items()}
    return {**works, "encoder bf16": in_bf16(network, frames[:1])}


def steps(folder: Path) -> dict[str, Callable[[], object]]:
    """The whole step on one frame, in each precision."""
    recognizer, rng = live_model(OWN_SIDE), np.random.default_rng(0)
    clip = write(folder / "noise.mp4", rng.integers(0, 256, (16, OWN_SIDE, OWN_SIDE, 3), np.uint8), 10.0)
    exported = export(recognizer, folder / "export", quantize=True, calibration=[clip])
    frame = rng.integers(0, 256, (1, OWN_SIDE, OWN_SIDE, 3), np.uint8)
    works: dict[str, Callable[[], object]] = {}
    for name, file in (("float32", STEP), ("int8", INT8)):
        step = ExportedStep(exported, file)
        state = step.step(frame).state
        works[f"step {name}"] = lambda step=step, state=state: step.step(frame, state)
    video = torch.randn(1, 3, OWN_SIDE, OWN_SIDE)
    state = recognizer.model.step(video)[1]
    return {**works, "step bf16": in_bf16(recognizer.model.step, video, state)}


def in_bf16(work: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return work(*arguments)

    return run


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def accuracies(name: str, folder: Path) -> dict[str, float]:
    """Accuracy of the default model on the test clips of a set, by each file of its export."""
    clips = data_folder() / "clips" / SETS[name].folder
    run = onlooker.train(clips, folder / name, quiet=True).path
    described = export_run(run, quantize=True, clips=clips)  # leaves out the clips that it was trained on
    files = described["files"]
    found = {"float32": files[STEP]["accuracy"], "int8": files[INT8]["accuracy"]}
    return {**found, "clips": described["tested"]["clips"]}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repetitions", type=int, default=50)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = {**encoders(folder), **steps(folder)}
        seconds = harness.medians(harness.interleaved(works, options.repetitions))
        tested = {each: accuracies(each, folder) for each in TESTED}
    parts = ("encoder", "step")
    times = {part: {way: round(1e3 * seconds[f"{part} {way}"], 3) for way in WAYS} for part in parts}
    figures = {
        "ratios": {part: round(of["bf16"] / of["int8"], 3) for part, of in times.items()},
        "milliseconds": times,
        "accuracy_cost": {name: round(of["float32"] - of["int8"], 4) for name, of in tested.items()},
        "accuracies": tested,
    }
    harness.show("ms", ["", *WAYS], [[part, *of.values()] for part, of in times.items()])
    print(figures["ratios"], tested)
    what = "the live model in 8 bits next to bfloat16 and float32 on one core, and the accuracy that 8 bits cost"
    print(harness.record("bench-int8", what, figures, [0], ("onnxruntime",)))


if __name__ == "__main__":
    main()
