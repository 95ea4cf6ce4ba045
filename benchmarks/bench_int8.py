"""The exported step in 8 bits: time next to bfloat16 and float32, and the accuracy that 8 bits cost on real clips.

    ONLOOKER_DATA=folder python benchmarks/bench_int8.py

`encoder` is the encoder `small` alone, `step` the whole exported step of `convalstm` on it, for one frame on one core;
`openvino` runs the same 8 bits as `int8`, which onnxruntime runs, where it is installed.
Accuracies are those of the default model, trained and tested as by `onlooker train`.
"""

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from bench_live import OWN_SIDE, exported, live_model
from numpy.typing import NDArray
from torch import nn

from onlooker.config import TrainConfig
from onlooker.export import export, export_run
from onlooker.onnx_step import INT8, STEP, ExportedStep
from onlooker.recognizer import load
from onlooker.runs.train import train_run
from onlooker.video.write import write
from onlooker_papers.real_clips.frozen import DATA, MODEL, SETS, splits_of
from onlooker_papers.sets import data_folder

TESTED = ("surveillance", "hand_gestures", "weizmann", "basketball")
WAYS = ("float32", "bf16", "int8", *(["openvino"] if find_spec("openvino") else []))


def encoders(folder: Path) -> dict[str, Callable[[], object]]:
    """The encoder on one frame, in each precision."""
    network: nn.Module = live_model(OWN_SIDE).model.encoder.eval()
    frame = torch.randn(1, 3, OWN_SIDE, OWN_SIDE)
    works = exported(network, (frame,), folder)
    return {
        "encoder float32": works["onnxruntime"],
        "encoder int8": works["int8"],
        "encoder bf16": in_bf16(network, frame),
        **by_openvino("encoder", folder / "int8.onnx", [frame.numpy()]),
    }


def steps(folder: Path) -> dict[str, Callable[[], object]]:
    """The whole step on one frame, in each precision."""
    recognizer, rng = live_model(OWN_SIDE), np.random.default_rng(0)
    clip = write(folder / "noise.mp4", rng.integers(0, 256, (16, OWN_SIDE, OWN_SIDE, 3), np.uint8), 10.0)
    written = export(recognizer, folder / "export", calibration=[clip])
    frame = rng.integers(0, 256, (1, OWN_SIDE, OWN_SIDE, 3), np.uint8)
    works: dict[str, Callable[[], object]] = {}
    for name, file in (("float32", STEP), ("int8", INT8)):
        step = ExportedStep(written, file)
        state = step.step(frame).state
        works[f"step {name}"] = lambda step=step, state=state: step.step(frame, state)
    video = torch.randn(1, 3, OWN_SIDE, OWN_SIDE)
    state = recognizer.model.step(video)[1]
    works |= by_openvino("step", written / INT8, [*step.feeds(frame, state=None).values()])
    return {**works, "step bf16": in_bf16(recognizer.model.step, video, state)}


def by_openvino(part: str, path: Path, inputs: list[NDArray[Any]]) -> dict[str, Callable[[], object]]:
    """The file in OpenVINO, on one core; nothing where that is not installed."""
    if "openvino" not in WAYS:
        return {}
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1})
    return {f"{part} openvino": lambda: model(inputs)}


def in_bf16(work: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return work(*arguments)

    return run


def accuracies(name: str, folder: Path) -> dict[str, float]:
    """Accuracy of the default model on the test clips of the first split of a set, by each file of its export."""
    clips, split = data_folder() / "clips" / SETS[name].folder, next(iter(splits_of(name).values()))
    train_run(clips, folder / name, MODEL, DATA, TrainConfig(), split, quiet=True)
    export_run(folder / name, quantize=True)
    recognizer, steps, found = load(folder / name, "cpu"), folder / name / "export", dict[str, float]()
    samples = {clip: recognizer.read(clip.path)[0] for clip in split.test}
    for precision, step in (("float32", ExportedStep(steps, STEP)), ("int8", ExportedStep(steps, INT8))):
        correct = 0
        for clip, sample in samples.items():
            scores = np.concatenate([output.scores for _, output in step.run(sample.pixels)])
            correct += recognizer.classes[int(recognizer.aggregate(scores).argmax())] == clip.label
        found[precision] = correct / len(samples)
    return {**found, "clips": len(samples)}


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
    print(harness.record("bench-int8", what, figures, [0], ("onnxruntime", *WAYS[3:])))


if __name__ == "__main__":
    main()
