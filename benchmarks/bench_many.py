"""The linear model fitted to many clips with stored features: CPU seconds and memory by their number.

    python benchmarks/bench_many.py

Generated statistics as those of `lite0`, 20 clips of each recording: classes and recordings have
means of their own. The layers are chosen and fitted, with events, and all clips are cross-validated
with the chosen layers, as in `onlooker train`. How long it takes to compute the statistics of a
clip from its stored features is measured as well. Each number of clips has a process of its own, on
one core; `--clips` measures some numbers again, and keeps the figures of the others.
"""

import json
import resource
import subprocess
import sys
import time
from functools import partial
from statistics import median
from typing import Any

import harness
import numpy as np
import torch

from onlooker.base.decision import Decision
from onlooker.base.files import read_json
from onlooker.models.linear import LinearClassifier
from onlooker.training.events import MOST_CLIPS
from onlooker.training.eyes import cross_validated
from onlooker.training.footage import Footage
from onlooker.training.linear import ClipStatistics
from onlooker.training.linear_fitter import fit_layers

NUMBERS = {100: 10, 1_000: 20, 5_000: 100, 20_000: 100}  # of clips: classes
FRAMES = 16
OF_RECORDING = 20  # clips
RESULT = harness.RESULTS / "bench-many.json"


def made_statistics(count: int, classes: int, M: int) -> ClipStatistics:
    """Generated statistics of clips, in single precision as those of a model."""
    random = np.random.default_rng(0)
    y = np.arange(count) % classes
    groups = random.permutation(np.arange(count) // OF_RECORDING)
    means = random.normal(0, 0.05, (classes, M)).astype(np.float32)
    places = random.normal(0, 0.5, (groups.max() + 1, M)).astype(np.float32)
    x = np.empty((count, M), np.float32)
    for number in range(count):
        x[number] = random.standard_normal(M, np.float32)
        x[number] += means[y[number]] + places[groups[number]]
    return ClipStatistics(x, y, groups.astype(str), num_classes=classes)


def milliseconds(net: LinearClassifier) -> float:
    """Of CPU time, to compute the statistics of a clip from its features."""
    features = torch.rand(1, FRAMES, net.encoder.num_features, *net.grid)
    work = {"statistics": partial(torch.inference_mode()(net.statistics), features)}
    times = harness.interleaved(work, 15, clock=time.process_time)
    return round(1000 * median(times["statistics"]), 1)


def measure(count: int, classes: int) -> dict[str, Any]:
    """CPU and wall-clock seconds, and the peak of the memory in GB."""
    torch.set_num_threads(1)
    encoder = harness.size("lite0", "conv4")
    size = harness.size(224, 64)
    net = LinearClassifier(classes, encoder, size=size, window=FRAMES, pretrained=False).eval()
    clips = made_statistics(count, classes, net.num_features)
    stream_clips = {
        number: Footage(torch.rand(FRAMES, net.encoder.num_features, *net.grid).half())
        for number in range(0, count, max(1, count // MOST_CLIPS))
    }
    decision = Decision([f"class {number}" for number in range(classes)], frame_rate=10.0)
    wall = time.perf_counter()
    begin = time.process_time()
    choice, _ = fit_layers(net, clips, decision, stream_clips=stream_clips)
    fitted = time.process_time()
    held_out, _ = cross_validated(clips, choice)
    end = time.process_time()
    return {
        "classes": classes,
        "cpu_seconds": {"fit": round(fitted - begin, 1), "test": round(end - fitted, 1)},
        "cpu_minutes": round((end - begin) / 60, 2),
        "cpu_ms_a_clip": round(1000 * (end - begin) / count, 1),
        "wall_minutes": round((time.perf_counter() - wall) / 60, 2),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "accuracy": round(held_out.accuracy, 4),
        "method": str(choice.candidate.method),
        "statistics_ms_a_clip": milliseconds(net),
    }


def main() -> None:
    arguments = harness.parser(__doc__)
    numbers = arguments.add_mutually_exclusive_group()
    numbers.add_argument("--clips", type=int, nargs="+", choices=NUMBERS, help="only these")
    numbers.add_argument("--here", type=int, choices=NUMBERS, help="print these figures")
    options = arguments.parse_args()
    if options.here:
        print(json.dumps(measure(options.here, NUMBERS[options.here])))
        return
    figures = dict[str, Any]()
    if options.clips and RESULT.exists():
        figures = read_json(RESULT)["figures"]
    if harness.smoke():
        figures = {"24": measure(24, 2)}
    for count in harness.size(options.clips or [*NUMBERS], []):
        command = [sys.executable, __file__, "--here", str(count)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures[str(count)] = json.loads(output.splitlines()[-1])
        print(count, figures[str(count)], flush=True)
    figures = {number: figures[number] for number in sorted(figures, key=int)}
    what = (
        "the linear model fitted to many clips with stored features, by their number: CPU time and "
        "memory (wall-clock time depends on what else the machine did)"
    )
    print(harness.record("bench-many", what, figures, seeds=[0]))


if __name__ == "__main__":
    main()
