"""A step of a live stream, compared with processing the last 30 frames again; drift over 100,000
frames; many streams.

Many webcam demos keep the last 30 frames (a window) and run their model over all of them for every
new frame. Both get encoded features; `with_encoder` starts from pixels, where a window encodes all
30 frames again. Drift is latency or memory after 100,000 frames divided by that after 100. For
`latency`, a new stream at frame 100 is measured alternately with the old one; `latency_by_clock`
uses the latency of the old stream at its own frame 100.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker.stream.streams import Streams

T = 30
CLASSES = 51
SEED = 0
# start of the measurement, number of frames, steps per measurement
FIRST = 100
FRAMES = harness.size(100_000, 120)
SPAN = harness.size(1000, 2)
# of a measurement of a small model: steps and windows; of several streams: steps
STEPS = harness.size(100, 2)
WINDOWS = harness.size(5, 1)
STREAM_STEPS = harness.size(20, 1)
STREAMS = harness.size((1, 4, 16), (1, 2))
# On the default encoder, and as published: VGG-16's maps, 512 channels.
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"name": "lstm", "hidden": 64},
    "convalstm": {"name": "convalstm", "hidden": 64},
}
if not harness.smoke():
    MODELS |= {
        "convalstm on vgg16": {"name": "convalstm", "encoder": "vgg16", "size": 224, "hidden": 512}
    }
DRIFT_MODEL = "convalstm"  # the model that runs over 100,000 frames


def build(settings: dict[str, Any]) -> Classifier:
    torch.manual_seed(SEED)
    options = dict(settings)
    model = create_model(options.pop("name"), CLASSES, **{"size": 64, **options}).eval()
    assert isinstance(model, Classifier)
    return model


def features_of(model: Classifier, batch: int, frames: int) -> Tensor:
    """Feature maps `B T D h w` after a ReLU, in the channels-last memory format of encoders."""
    maps = torch.randn(batch * frames, model.encoder.num_features, *model.grid).relu()
    return maps.contiguous(memory_format=torch.channels_last).unflatten(0, (batch, frames))


class Stream:
    """`batch` endless streams of encoded features, which repeat the same 30 frames."""

    def __init__(self, model: Classifier, batch: int = 1) -> None:
        self.model = model
        self.frames = features_of(model, batch, T)
        self.at = 0
        self.state = model.initial_state(batch)

    def step(self) -> Tensor:
        output, self.state = self.model.cell(self.frames[:, self.at % T], self.state)
        self.at += 1
        return self.model.classify(output.hidden).softmax(-1)

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def latency(self, count: int) -> float:
        """Median seconds of a step."""
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - start)
        return median(seconds)


def memory() -> float:
    """Resident memory of the process in MiB; 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_windows(
    model: Classifier, *, repetitions: int, steps: int, windows: int
) -> dict[str, float]:
    """Seconds of a step and of a window, both on encoded features."""
    stream = Stream(model)
    window = features_of(model, 1, T)

    def run_windows() -> None:
        for _ in range(windows):
            model.forward_features(window).logits.softmax(-1)

    seconds = harness.interleaved(
        {"step": lambda: stream.steps(steps), "window": run_windows}, repetitions
    )
    counts = {"step": steps, "window": windows}
    return {name: median(times) / counts[name] for name, times in seconds.items()}


def measure_encoded(model: Classifier, repetitions: int) -> dict[str, float]:
    """Seconds of a step and of a window, both from normalized pixels: a step encodes one frame, a
    window 30.
    """
    video = torch.randn(1, T, model.in_channels, model.size, model.size)
    states = [model.initial_state(1)]

    def step() -> None:
        states[0] = model.step(video[:, 0], states[0])[1]

    return harness.medians(
        harness.interleaved({"step": step, "window": lambda: model(video)}, repetitions)
    )


def measure_drift(
    model: Classifier, *, frames: int, span: int, repetitions: int
) -> dict[str, float]:
    """Latency and memory at frame 100 and after `frames`; a new stream is timed next to the old one
    for comparison.
    """
    old = Stream(model)
    old.steps(FIRST)
    early = old.latency(span)
    memory_early = memory()
    old.steps(frames - FIRST - 2 * span)
    late = old.latency(span)
    memory_late = memory()
    new = Stream(model)
    new.steps(FIRST)
    both: dict[str, Callable[[], object]] = {
        "old": lambda: old.steps(span),
        "new": lambda: new.steps(span),
    }
    seconds = harness.medians(harness.interleaved(both, repetitions))
    return {
        "latency": round(seconds["old"] / seconds["new"], 4),
        "latency_by_clock": round(late / early, 4),
        "memory": round(memory_late / memory_early, 4) if memory_early else 0.0,
        "milliseconds_early": round(1e3 * early, 4),
        "milliseconds_late": round(1e3 * late, 4),
        "mib_early": round(memory_early, 1),
        "mib_late": round(memory_late, 1),
        "frames": frames,
    }


def measure_streams(model: Classifier, repetitions: int, steps: int) -> dict[str, dict[str, float]]:
    """Frames per second of several streams with one model: on encoded features, and from frames of
    320×240 pixels.
    """
    behind = {str(count): Stream(model, count) for count in STREAMS}
    data = DataConfig(frames=30, size=model.size, normalization="half")
    whole = {
        str(count): Streams(model, data, Decision([str(k) for k in range(CLASSES)]))
        for count in STREAMS
    }
    image = np.random.default_rng(SEED).integers(0, 256, (240, 320, 3), np.uint8)

    def watch(count: str) -> None:
        for _ in range(steps):
            whole[count].step({str(number): (0, 0.0, image) for number in range(int(count))})

    works: dict[str, Callable[[], object]] = {}
    for count in behind:
        works[f"behind {count}"] = partial(behind[count].steps, steps)
        works[f"whole {count}"] = partial(watch, count)
    seconds = harness.interleaved(works, repetitions)
    return {
        key: {
            count: round(int(count) * steps / median(seconds[f"{name} {count}"]), 1)
            for count in behind
        }
        for key, name in (("behind_encoder", "behind"), ("from_pixels", "whole"))
    }


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=9)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument(
        "--frames", type=int, default=FRAMES, help="results are recorded for 100,000 only"
    )
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    span = min(SPAN, options.frames // 4)
    models = {name: build(settings) for name, settings in MODELS.items()}
    with torch.inference_mode():
        windows = {}
        encoded = {}
        for name, model in models.items():
            few = "vgg" in name
            windows[name] = measure_windows(
                model,
                repetitions=options.repetitions,
                steps=10 if few else STEPS,
                windows=1 if few else WINDOWS,
            )
            encoded[name] = measure_encoded(model, options.repetitions)
        drift = measure_drift(
            models[DRIFT_MODEL], frames=options.frames, span=span, repetitions=options.repetitions
        )
        streams = measure_streams(models[DRIFT_MODEL], options.repetitions, STREAM_STEPS)
    ratios = {name: round(found["window"] / found["step"], 3) for name, found in windows.items()}
    whole = {name: round(found["window"] / found["step"], 3) for name, found in encoded.items()}
    harness.show(
        f"A frame of a live stream, threads: {options.threads}",
        ["", "step, ms", f"window of {T}, ms", "window / step", "with encoder"],
        [
            [name, 1e3 * found["step"], 1e3 * found["window"], ratios[name], whole[name]]
            for name, found in windows.items()
        ],
    )
    print(f"from frame {FIRST} to {options.frames}: {drift}")
    columns = ["frames per second, streams:", *map(str, STREAMS)]
    harness.show(DRIFT_MODEL, columns, [[key, *found.values()] for key, found in streams.items()])
    if options.frames == FRAMES:
        figures = {
            "ratio": min(ratios.values()),
            "ratios": ratios,
            "with_encoder": whole,
            "drift": drift,
            "frames_per_second": streams,
            "seconds": {
                name: {key: round(value, 6) for key, value in found.items()}
                for name, found in windows.items()
            },
            "window": T,
            "threads": options.threads,
        }
        print(harness.record("bench-step", __doc__.partition("\n")[0], figures, seeds=[SEED]))


if __name__ == "__main__":
    main()
