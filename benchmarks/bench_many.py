"""The linear model fitted to many clips whose statistics are stored: CPU seconds and memory by their
number.

    python benchmarks/bench_many.py

Generated statistics as those of `lite0` with 16 frames: 20 clips of each recording, classes with
means of their own. The layer is chosen and fitted, with its events; then all clips are
cross-validated with the chosen layer, for the labels to check. Each number of clips has a process
of its own.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import harness
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from onlooker.base.decision import Decision
from onlooker.models.linear import LinearClassifier
from onlooker.training.events import ClipFeatures
from onlooker.training.eyes import cross_validated
from onlooker.training.linear import ClipStatistics
from onlooker.training.linear_fitter import fit_layers

NUMBERS = {100: 10, 1_000: 20, 5_000: 100, 20_000: 100}  # of clips: classes
FRAMES = 16
STREAMED = 100  # clips of which streams with events are made
OF_RECORDING = 20  # clips


def statistics(count: int, classes: int, M: int) -> ClipStatistics:
    """Generated statistics of clips."""
    random = np.random.default_rng(0)
    y = np.arange(count) % classes
    groups = random.permutation(np.arange(count) // OF_RECORDING)
    means = random.normal(0, 0.05, (classes, M)).astype(np.float32)
    places = random.normal(0, 0.5, (groups.max() + 1, M)).astype(np.float32)
    x = np.empty((count, M))
    for number in range(count):
        own = random.standard_normal(M, np.float32)
        x[number] = means[y[number]] + places[groups[number]] + own
    return ClipStatistics(x, y, groups.astype(str), classes)


def measure(count: int) -> dict[str, Any]:
    """CPU seconds of fitting and of cross-validation, and memory in GB."""
    classes = NUMBERS[count]
    net = LinearClassifier(classes, "lite0", size=224, window=FRAMES, pretrained=False).eval()
    clips = statistics(count, classes, net.num_features)
    streamed = [
        ClipFeatures(torch.rand(FRAMES, net.encoder.num_features, *net.grid).half(), number)
        for number in range(0, count, max(1, count // STREAMED))
    ]
    decision = Decision([f"class {number}" for number in range(classes)], frame_rate=10.0)
    begin = time.process_time()
    choice, _ = fit_layers(net, clips, decision, stream_clips=streamed)
    fitted = time.process_time()
    scores, _ = cross_validated(clips, choice)
    end = time.process_time()
    return {
        "classes": classes,
        "fit_seconds": round(fitted - begin, 1),
        "cross_validation_seconds": round(end - fitted, 1),
        "accuracy": float((scores.argmax(1) == clips.y).mean()),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    if len(sys.argv) > 1:
        with threadpool_limits(1):
            print(json.dumps(measure(int(sys.argv[1]))))
        return
    figures = dict[str, Any]()
    for count in NUMBERS:
        command = [sys.executable, __file__, str(count)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        figures[str(count)] = json.loads(output.splitlines()[-1])
        print(count, figures[str(count)], flush=True)
    what = "the linear model fitted to many clips with stored statistics, by their number, CPU time on one core"
    print(harness.record("bench-many", what, figures, seeds=[0]))


if __name__ == "__main__":
    main()
